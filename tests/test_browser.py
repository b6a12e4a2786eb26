"""Tests of docs/dream.html in headless Chromium: driving, sliders, and what everybody needs to use it.

Keys and touches are real ones: the browser receives them as from a keyboard and a touch screen.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from helpers.page import PAGE, assert_silent_and_offline, center, data_of, key, needs_chromium, open_page

from experiments.browser.chromium import Chromium
from pipeline.sizes import CAR

DRIVEN = "[drive.action[0], drive.action[1], Math.round(10 * drive.action[2]) / 10]"
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"  # two frames have passed


@pytest.fixture(scope="module")
def shared() -> Iterator[Chromium]:
    """The shipped page, which the tests of this file that do not reload it share."""
    with open_page(PAGE) as browser:
        yield browser


@pytest.fixture
def browser(shared: Chromium) -> Chromium:
    """The shared page, with a new dream, the controller at the wheel and the picture in focus."""
    shared.evaluate("drive.restart(); drive.handOver(true); element('drive-game').focus()")
    return shared


# --- driving ----------------------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize("codes", ["ArrowUp ArrowLeft ArrowDown ArrowRight", "KeyW KeyA KeyS KeyD"])
def test_keys_drive_and_take_the_wheel(browser: Chromium, codes: str) -> None:
    up, left, down, right = codes.split()
    assert browser.evaluate("drive.controllerDrives")
    for pressed, action in (([up, left], [-1, 1, 0]), ([down], [0, 0, 0.8]), ([right], [1, 0, 0]), ([], [0, 0, 0])):
        for code in pressed:
            key(browser, code, up=False)
        browser.wait_for(f"String({DRIVEN}) === '{','.join(map(str, action))}'")
        for code in pressed:
            key(browser, code, down=False)
    assert browser.evaluate("element('drive-who').textContent") == "you"
    assert browser.evaluate("scrollY") == 0, "arrow keys do not scroll while the picture has the focus"


@needs_chromium
def test_keys_hand_over_pause_and_restart(browser: Chromium) -> None:
    browser.wait_for("drive.world.steps > 3")
    key(browser, "KeyC")
    assert browser.evaluate("element('drive-who').textContent") == "you"
    key(browser, "KeyC")
    assert browser.evaluate("element('drive-who').textContent") == "the controller"
    key(browser, "KeyP")
    steps = browser.evaluate("drive.world.steps")
    browser.evaluate(FRAMES)
    assert browser.evaluate("drive.world.steps") == steps > 3
    assert browser.evaluate("element('drive-message').textContent") == "Paused."
    browser.evaluate("drive.world.steps = 500")
    key(browser, "KeyR")
    browser.wait_for("drive.world.steps > 0")
    assert browser.evaluate("drive.world.steps") < 500
    assert not browser.evaluate("drive.paused")


@needs_chromium
def test_touch_drives_with_two_fingers() -> None:
    with open_page(PAGE, 390) as browser:
        browser.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=3)
        fingers = [center(browser, f"[data-key={name}]") | {"id": i} for i, name in enumerate(("gas", "right"))]
        browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers[:1])
        browser.wait_for(f"String({DRIVEN}) === '0,1,0'")
        browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers)
        browser.wait_for(f"String({DRIVEN}) === '1,1,0'")
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        browser.wait_for(f"String({DRIVEN}) === '0,0,0'")
        assert browser.evaluate("element('drive-who').textContent") == "you"


@needs_chromium
def test_the_card_says_why_the_dream_has_ended(browser: Chromium) -> None:
    """The card says why it has ended, and its button starts a new dream."""
    browser.evaluate("drive.pause(true)")
    ends = browser.evaluate("""(() => {
        const ends = {};
        for (const [name, field, value] of [["lap", "positives", 1e9], ["none", "stepsWithoutProgress", 99],
                                            ["long", "steps", 999]]) {
            do {
                drive.world.reset();
                drive.world[field] = value;
                drive.world.step([0, 0, 1]);
            } while (name === "none" && drive.world.positiveReward);
            ends[name] = drive.world.end;
        }
        return ends;
    })()""")
    assert ends["lap"] == "The lap is complete."
    assert ends["none"] == "M predicted no reward for 100 steps."
    assert ends["long"] == "1000 steps are over."
    browser.evaluate("drive.pause(false)")
    assert browser.evaluate("element('drive-again').textContent") == "New dream"
    place = center(browser, "#drive-again")
    for kind in ("mousePressed", "mouseReleased"):
        browser.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)
    browser.wait_for("!drive.world.end && drive.world.steps > 0")
    assert browser.evaluate("element('drive-card').hidden && document.activeElement.id") == "drive-game"


@needs_chromium
def test_the_temperature_slider(browser: Chromium) -> None:
    """Its arrow keys change the temperature and do not drive."""
    browser.evaluate("element('drive-temperature').focus()")
    for code, value in (("ArrowRight", 1.05), ("Home", 0.1), ("End", 1.5)):
        key(browser, code)
        assert browser.evaluate("drive.world.temperature") == pytest.approx(value)
        assert browser.evaluate("element('drive-temperature-value').textContent") == f"{value:.2f}"
    assert browser.evaluate("drive.controllerDrives")
    browser.evaluate("element('drive-pause').focus()")
    key(browser, "ArrowLeft")
    assert not browser.evaluate("drive.controllerDrives"), "a button beside the picture leaves the arrow keys to it"
    browser.evaluate("drive.setTemperature(1), element('drive-temperature').value = 1")


# --- the other sections -----------------------------------------------------------------------------------------------


@needs_chromium
def test_a_latent_slider_changes_the_decoded_frame(browser: Chromium) -> None:
    """The reset button brings the frame's z back; every informative latent has a slider."""
    picture = "element('latents-decoded').toDataURL()"
    before = browser.evaluate(picture)
    latents = data_of(PAGE)["drive"]["latents"]
    assert browser.evaluate("document.querySelectorAll('#latents-sliders input').length") == len(latents)
    browser.evaluate(f"element('latents-z{latents[0]}').focus()")
    key(browser, "Home")
    assert browser.evaluate(picture) != before
    assert browser.evaluate(f"latents.z[{latents[0]}]") <= -3
    browser.evaluate("element('latents-reset').focus()")
    key(browser, "Enter")
    assert browser.evaluate(picture) == before
    browser.evaluate("element('latents-frame').focus()")
    key(browser, "ArrowRight")
    assert browser.evaluate(picture) != before


@needs_chromium
def test_the_dream_below_the_real_drive(browser: Chromium) -> None:
    """Both are drawn frame by frame; z starts from what M has read, and a new dream differs from the one before."""
    pictures = "[element('open-loop-real').toDataURL(), element('open-loop-dream').toDataURL()]"
    first = browser.evaluate(pictures)
    browser.evaluate("element('open-loop-next').focus()")
    key(browser, "Enter")
    second = browser.evaluate(pictures)
    assert browser.evaluate("element('open-loop-frame-value').textContent") == "+2 of 100"
    assert first[0] != second[0] and first[1] != second[1]
    browser.evaluate("drive.setTemperature(0.1), element('open-loop-again').focus()")  # hardly any noise
    key(browser, "Enter")
    z = browser.evaluate("[...openLoop.zs]")
    real = np.array(browser.evaluate("[...recorded.zs]")).reshape(-1, CAR.z)
    start = browser.evaluate("openLoop.start.valueAsNumber")
    dreamed = np.reshape(z, (-1, CAR.z))
    used = data_of(PAGE)["drive"]["latents"]
    error = np.sqrt(((dreamed - real[start : start + len(dreamed)])[:, used] ** 2).mean(axis=1))
    assert error[:5].mean() < 0.5 * real[:, used].std()
    key(browser, "Enter")
    assert browser.evaluate("[...openLoop.zs]") != z
    browser.evaluate("drive.setTemperature(1)")
    browser.evaluate("element('open-loop-play').focus()")
    key(browser, "Enter")
    browser.wait_for("openLoop.frame.valueAsNumber > 4")
    key(browser, "Enter")
    assert not browser.evaluate("openLoop.playing")


# --- for everybody ----------------------------------------------------------------------------------------------------

SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll('body *')]
    .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
    .filter(node => !node.closest('script, style, noscript, title, desc') && node.getClientRects().length)
    .map(node => parseFloat(getComputedStyle(node).fontSize)
        * (node.ownerSVGElement ? node.ownerSVGElement.clientWidth / 360 : 1)))"""  # of the diagram's own units
WORDS_FIT = """[...document.querySelectorAll('.diagram text')].every(text => {
    const [word, diagram] = [text, text.ownerSVGElement].map(node => node.getBoundingClientRect());
    return word.left >= diagram.left && word.right <= diagram.right && word.bottom <= diagram.bottom;
})"""
SMALLEST_CONTROL = """Math.min(...[...document.querySelectorAll('button')]
    .filter(node => node.getClientRects().length).map(node => node.getBoundingClientRect().height))"""


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_without_network_or_messages(width: int, scheme: str) -> None:
    """At the width of a phone and of a desktop: no sideways scrolling, text of at least 12 pixels, a silent console."""
    with open_page(PAGE, width, prefers_color_scheme=scheme) as browser:
        browser.wait_for("drive.world.steps > 5")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert browser.evaluate(SMALLEST_TEXT) >= 12
        assert browser.evaluate(WORDS_FIT)
        assert browser.evaluate(SMALLEST_CONTROL) >= 44
        assert_silent_and_offline(browser)


@needs_chromium
def test_tab_reaches_every_control(browser: Chromium) -> None:
    controls = browser.evaluate("""[...document.querySelectorAll('a, button, input, [tabindex]')]
        .filter(node => node.getClientRects().length).length""")
    reached: list[int] = []
    for _ in range(controls + 2):  # past the last one the focus leaves the page, and returns to the first
        key(browser, "Tab")
        if browser.evaluate("document.activeElement === document.body"):
            continue
        reached.append(browser.evaluate("""[...document.querySelectorAll('*')].indexOf(document.activeElement)"""))
        visible = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        assert browser.evaluate(visible), "the focus can be seen"
    assert len(set(reached)) == controls > 20
    named = """[...document.querySelectorAll('button, input')].every(node =>
        node.textContent.trim() || node.labels?.length || node.closest('[hidden]'))"""
    assert browser.evaluate(named)


@needs_chromium
def test_reduced_motion_waits_for_the_visitor() -> None:
    with open_page(PAGE, prefers_reduced_motion="reduce") as browser:
        browser.evaluate(FRAMES)
        assert browser.evaluate("drive.world.steps") == 0
        assert browser.evaluate("element('drive-again').textContent") == "Start"
        browser.evaluate("element('drive-again').focus()")
        key(browser, "Enter")
        browser.wait_for("drive.world.steps > 0")
