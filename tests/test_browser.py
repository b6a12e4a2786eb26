"""Tests of docs/dream.html in headless Chromium: its numbers are Python's, and keys, touch and sliders work.

Keys and touches are real ones: the browser receives them as from a keyboard and a touch screen.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import ROOT, SEARCH, run_script

import config
from controller.arch import act, unpack
from experiments.browser.chromium import Chromium, is_installed
from experiments.browser.export import halves, weights_data
from experiments.browser.page import page
from pipeline.errors import UserError
from pipeline.files import file_hash
from pipeline.seeds import rng
from rnn.arch import dream_noise
from simulation.agent import Agent, load_agent
from simulation.dream import open_initial_z

PAGE = ROOT / "docs" / "dream.html"
CONTROLLER = config.PRETRAINED_DIR / "controller" / config.PRETRAINED
STEPS, TEMPERATURES = 200, (0.5, 1.0, 1.3)
TOLERANCE, NEAR = 1e-2, 1e-3  # of z; of a uniform number to a threshold of the mixture or the reward
READY = "typeof openLoop === 'object'"
DRIVEN = "[drive.action[0], drive.action[1], Math.round(10 * drive.action[2]) / 10]"
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"  # two frames have passed
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


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounded(one_thread: None) -> tuple[Agent, np.ndarray]:
    """The pretrained agent and its controller, with weights rounded to half precision."""
    agent, weights = load_agent(CONTROLLER)
    for network in (agent.vae.full_model, agent.rnn.model):
        network.set_weights([weight.astype(np.float16).astype(np.float32) for weight in network.get_weights()])
    return agent, weights.astype(np.float16).astype(np.float64)


def near_a_threshold(agent: Agent, h: np.ndarray, noise: np.ndarray, temperature: float) -> tuple[np.ndarray, ...]:
    """Which latents (n, 32) and rewards (n,) have a uniform number near a threshold; h (n, 256) of the next step."""
    kernel, bias = (np.float64(array) for array in agent.rnn.model.get_layer("mixture").get_weights())
    outputs = (h @ kernel + bias) / temperature
    log_pi = outputs[:, : config.MIXTURES * config.Z_DIM].reshape(-1, config.MIXTURES, config.Z_DIM)
    pi = np.exp(log_pi - log_pi.max(axis=1, keepdims=True))
    cdf = np.cumsum(pi / pi.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    uniform = noise[:, config.Z_DIM :]
    latents = (np.abs(uniform[:, None, :-1] - cdf) < NEAR).any(axis=1)
    return latents, np.abs(uniform[:, -1] - 1 / (1 + np.exp(-outputs[:, -1]))) < NEAR


@needs_chromium
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_step_of_the_dream_is_pythons(
    browser: Chromium, rounded: tuple[Agent, np.ndarray], temperature: float
) -> None:
    """Each of the steps begins from Python's z, h and c, with the same noise; C's actions agree too."""
    agent, weights = rounded
    W, b = (array[None] for array in unpack(weights))
    noise = dream_noise(rng("dream_noise", 7), STEPS)
    z, reward = open_initial_z(agent.hashes["vae"], config.PRETRAINED_DIR)[0][:1], np.zeros(1, np.float32)
    h, c = np.zeros((2, 1, config.HIDDEN_UNITS), np.float32)
    inputs, actions, python = [], [], []
    for t in range(STEPS):
        action = act(W, b, z, h)
        x = np.concatenate([z, action, reward[:, None]], axis=1)
        inputs.append([array[0].tolist() for array in (x, h, c)] + [noise[t].tolist(), z[0].tolist()])
        actions.append(action[0])
        z, reward, h, c = agent.rnn.dream(x, h, c, noise[t : t + 1], temperature)
        python.append((z[0], reward[0], h[0], c[0]))
    browser.evaluate(f"inputs = {json.dumps(inputs)}, null")
    answers = browser.evaluate(f"""inputs.map(numbers => {{
        const [x, h, c, noise, z] = numbers.map(array => Float32Array.from(array));
        const action = [...controller.act(z, h, new Float32Array(3))];
        const {{ positiveReward }} = rnn.dream(x, h, c, noise, {temperature}, z);
        return [[...z], positiveReward, [...h], [...c], action];
    }})""")
    python_z, python_reward, python_h, python_c = (np.array(part) for part in zip(*python, strict=True))
    z_page, reward_page, h_page, c_page, action_page = (np.array(part) for part in zip(*answers, strict=True))
    near_z, near_reward = near_a_threshold(agent, python_h, noise, temperature)
    assert near_z.mean() < 0.02 and near_reward.mean() < 0.02
    assert np.abs(z_page - python_z)[~near_z].max() < TOLERANCE
    np.testing.assert_array_equal(reward_page[~near_reward], python_reward[~near_reward])
    assert 0 < python_reward.sum() < STEPS
    np.testing.assert_allclose(h_page, python_h, atol=1e-4)
    np.testing.assert_allclose(c_page, python_c, atol=1e-3)
    np.testing.assert_allclose(action_page, actions, atol=1e-4)


@needs_chromium
def test_a_decoded_frame_is_pythons(browser: Chromium, rounded: tuple[Agent, np.ndarray]) -> None:
    """Each pixel differs by at most one of 255 levels."""
    agent, _ = rounded
    z = np.random.default_rng(0).normal(size=(5, config.Z_DIM)).astype(np.float32)
    pixels = browser.evaluate(f"""{z.tolist()}.map(z => {{
        const pixels = new Uint8ClampedArray(4 * 64 * 64);
        decoder.decode(Float32Array.from(z), pixels);
        return [...pixels];
    }})""")
    page_frames = np.array(pixels).reshape(5, 64, 64, 4)
    assert (page_frames[..., 3] == 255).all()
    assert np.abs(page_frames[..., :3] - agent.vae.decode(z).astype(int)).max() <= 1


@needs_chromium
def test_every_number_of_half_precision_is_read(browser: Chromium) -> None:
    halves_of_all_bits = np.arange(2**16, dtype="<u2").view("<f2")
    finite = np.isfinite(halves_of_all_bits)
    read = browser.evaluate("Array.from({ length: 2 ** 16 }, (_, bits) => halfToNumber(bits))")
    np.testing.assert_array_equal(np.array(read)[finite].astype(float), halves_of_all_bits[finite])


def test_the_page_holds_the_pretrained_agent(one_thread: None) -> None:
    data = data_of(PAGE)
    agent, weights = load_agent(CONTROLLER)
    assert data["weights"] == weights_data(agent, weights)
    names = ("vae/weights.h5", "rnn/weights.h5", f"controller/{config.PRETRAINED}")
    hashes = [file_hash(config.PRETRAINED_DIR / name) for name in names]
    assert [data["agent"][name] for name in ("vae", "rnn", "controller_hash")] == hashes
    assert 2.2e6 < sum(np.prod(shape) for _, shape in data["weights"]["layout"]) < 2.4e6


def test_the_page_has_the_current_scripts_and_is_small_enough() -> None:
    remedy = "run python experiments/report.py browser in the project folder, and move report/dream.html to docs/"
    assert PAGE.read_text() == page(data_of(PAGE)), remedy
    assert PAGE.stat().st_size <= 8e6


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
    key(browser, "KeyR")
    browser.wait_for(f"drive.world.steps > 0 && drive.world.steps < {steps} || drive.world.steps > {steps} + 5")
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
        browser.send("Input.dispatchTouchEvent", type="touchMove", touchPoints=fingers[1:])
        browser.wait_for(f"String({DRIVEN}) === '1,0,0'")
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
            drive.world.reset();
            drive.world[field] = value;
            drive.world.step([0, 0, 1]);
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
    z = browser.evaluate("[...openLoop.zs]")
    real = np.array(browser.evaluate("[...recorded.zs]")).reshape(-1, config.Z_DIM)
    start = browser.evaluate("openLoop.start.valueAsNumber")
    dreamed = np.reshape(z, (-1, config.Z_DIM))
    used = data_of(PAGE)["drive"]["latents"]
    error = np.sqrt(((dreamed - real[start : start + len(dreamed)])[:, used] ** 2).mean(axis=1))
    assert error[:5].mean() < 0.5 * real[:, used].std()
    browser.evaluate("element('open-loop-again').focus()")
    key(browser, "Enter")
    assert browser.evaluate("[...openLoop.zs]") != z
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
        assert browser.evaluate(SMALLEST_CONTROL) >= 44
        methods = [event["method"] for event in browser.events]
        assert not {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"} & set(methods)
        requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        assert {url.split(":")[0] for url in requests} == {"file", "data"}
        assert len([url for url in requests if url.startswith("file")]) == 1


@needs_chromium
def test_tab_reaches_every_control(browser: Chromium) -> None:
    controls = browser.evaluate("""[...document.querySelectorAll('a, button, input, [tabindex]')]
        .filter(node => node.getClientRects().length).length""")
    browser.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    reached = []
    for _ in range(controls):
        key(browser, "Tab")
        reached.append(browser.evaluate("""[...document.querySelectorAll('*')].indexOf(document.activeElement)"""))
        visible = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        assert browser.evaluate(visible), "the focus can be seen"
    assert len(set(reached)) == controls
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


# --- the command ------------------------------------------------------------------------------------------------------


@needs_chromium
def test_the_command_makes_the_page_of_another_agent(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae", "rnn", "controller", "data/initial_z.npz")
    printed = run_script(folder, "experiments/report.py", "browser").stdout
    assert printed == "open report/dream.html in a browser\n"
    path = folder / "report" / "dream.html"
    data = data_of(path)
    assert data["agent"]["vae"] == file_hash(folder / "vae" / "weights.h5")
    assert data["agent"]["controller"] == f"{SEARCH}.best.json"
    assert data["weights"]["sha256"] != data_of(PAGE)["weights"]["sha256"]
    with open_page(path) as browser:
        browser.wait_for("drive.world.steps > 5")
        assert not [event for event in browser.events if event["method"] == "Runtime.exceptionThrown"]


def test_the_page_of_the_pretrained_agent_where_nothing_is_trained(tmp_path: Path) -> None:
    """Its weights are those of the shipped page."""
    printed = run_script(tmp_path, "experiments/report.py", "browser").stdout
    assert printed.startswith("no trained agent in this folder: using ")
    assert data_of(tmp_path / "report" / "dream.html")["weights"] == data_of(PAGE)["weights"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["vae", "rnn"], "no car_racing.*.best.json in controller/: run 05_train_controller.py first"),
        (["vae", "rnn", "controller"], "data/initial_z.npz (the initial states of dreams) is missing"),
        (["vae", "controller"], "rnn/weights.h5 is not there: run 04_train_rnn.py first"),
    ],
)
def test_what_is_missing_is_one_line(parts: list[str], message: str, copy_of: Callable[..., Path]) -> None:
    folder = copy_of(*parts)
    done = run_script(folder, "experiments/report.py", "browser", ok=False)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (folder / "report" / "dream.html").exists()


def test_weights_too_large_for_half_precision_are_refused() -> None:
    assert halves(np.array([1.5, -2.0])) == np.array([1.5, -2.0], "<f2").tobytes()
    with pytest.raises(UserError, match="too large for the page"):
        halves(np.ones(3), np.array([7e4]))
