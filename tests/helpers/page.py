"""Pages in headless Chromium: what docs/dream.html holds, keys pressed in it, places on the screen, no request."""

import json
from pathlib import Path

import pytest

from experiments.browser.chromium import Chromium, is_installed
from helpers.scripts import ROOT

PAGE = ROOT / "docs" / "dream.html"
READY = "typeof openLoop === 'object'"
CODES = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
needs_chromium = pytest.mark.skipif(not is_installed(), reason="chromium is not installed: apt install chromium")


def data_of(path: Path) -> dict:
    """What a page holds as json."""
    content = path.read_text().partition('<script type="application/json" id="data">')[2]
    data: dict = json.loads(content.partition("</script>")[0])
    return data


def open_page(path: Path, width: int = 1280, **features: str) -> Chromium:
    browser = Chromium(width, 900, {name.replace("_", "-"): value for name, value in features.items()})
    browser.open(path)
    browser.wait_for(READY)
    return browser


def assert_silent_and_offline(browser: Chromium) -> None:
    """No message of the console, and no request but for the page itself and what it holds."""
    methods = [event["method"] for event in browser.events]
    assert not {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"} & set(methods)
    requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert {url.split(":")[0] for url in requests} == {"file", "data"}
    assert len([url for url in requests if url.startswith("file")]) == 1


def key(browser: Chromium, code: str, text: str = "", up: bool = True, down: bool = True, modifiers: int = 0) -> None:
    """Press a key, by its code, and release it."""
    name = text or code
    number = CODES.get(name, ord(code[-1]))
    for kind in ["keyDown"] * down + ["keyUp"] * up:
        event = {"type": kind, "code": code, "key": name, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        if kind == "keyDown" and name == "Enter":
            event["text"] = "\r"
        browser.send("Input.dispatchKeyEvent", **event)


def center(browser: Chromium, selector: str) -> dict[str, float]:
    """The center of an element on the screen, scrolled to."""
    place = f"document.querySelector({selector!r})"
    browser.evaluate(f"{place}.scrollIntoView({{block: 'center'}})")
    box = browser.evaluate(f"{place}.getBoundingClientRect().toJSON()")
    return {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
