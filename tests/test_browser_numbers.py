"""Tests of the numbers of docs/dream.html, which are Python's on the same rounded weights, and of its command."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.page import PAGE, data_of, needs_chromium, open_page
from helpers.scripts import SEARCH, run_script

import config
from controller.arch import act, unpack
from experiments.browser.chromium import Chromium
from experiments.browser.export import halves, weights_data
from experiments.browser.page import page
from pipeline.errors import UserError
from pipeline.files import file_hash
from pipeline.seeds import rng
from pipeline.sizes import CAR
from rnn.arch import dream_noise
from simulation.agent import Agent, load_agent_and_weights
from simulation.dream import open_initial_z

CONTROLLER = config.PRETRAINED_DIR / "controller" / config.PRETRAINED
STEPS, TEMPERATURES = 200, (0.5, 1.0, 1.3)
TOLERANCE, NEAR = 1e-2, 1e-3  # of z; of a uniform number to a threshold of the mixture or the reward


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with open_page(PAGE) as browser:
        yield browser


@pytest.fixture(scope="module")
def rounded(one_thread: None) -> tuple[Agent, np.ndarray]:
    """The pretrained agent and its controller, with weights rounded to half precision."""
    agent, weights = load_agent_and_weights(CONTROLLER)
    for network in (agent.vae.full_model, agent.rnn.model):
        network.set_weights([weight.astype(np.float16).astype(np.float32) for weight in network.get_weights()])
    return agent, weights.astype(np.float16).astype(np.float64)


def near_a_threshold(agent: Agent, h: np.ndarray, noise: np.ndarray, temperature: float) -> tuple[np.ndarray, ...]:
    """Which latents (n, 32) and rewards (n,) have a uniform number near a threshold; h (n, 256) of the next step."""
    kernel, bias = (np.float64(array) for array in agent.rnn.model.get_layer("mixture").get_weights())
    outputs = (h @ kernel + bias) / temperature
    log_pi = outputs[:, : CAR.mixtures * CAR.z].reshape(-1, CAR.mixtures, CAR.z)
    pi = np.exp(log_pi - log_pi.max(axis=1, keepdims=True))
    cdf = np.cumsum(pi / pi.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    uniform = noise[:, CAR.z :]
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
    tile_reward, step_reward = config.ENVIRONMENTS["car_racing"].dream_reward
    noise = dream_noise(rng("dream_noise", 7), STEPS)
    z, reward = open_initial_z(agent.hashes["vae"], config.PRETRAINED_DIR)[0][:1], np.zeros(1, np.float32)
    mu = z
    h, c = np.zeros((2, 1, CAR.h), np.float32)
    inputs, python = [], []
    for t in range(STEPS):
        inputs.append([noise[t].tolist(), *(a[0].tolist() for a in (z, mu, reward, h, c))])
        action = act(W, b, mu, h)
        x = np.concatenate([z, action, reward[:, None]], axis=1)
        z, reward, h, c, mu = agent.rnn.dream(x, h, c, noise[t : t + 1], temperature)
        python.append((z[0], mu[0], reward[0], h[0], c[0], action[0], tile_reward * reward[0] + step_reward))
    browser.evaluate(f"inputs = {json.dumps(inputs)}; world.temperature = {temperature}; drive.pause(true)")
    answers = browser.evaluate("""inputs.map(([noise, z, mu, positiveReward, h, c]) => {
        fillNoise = numbers => numbers.set(noise);
        world.reset();
        for (const [name, numbers] of Object.entries({ z, mu, h, c })) world[name].set(numbers);
        world.positiveReward = positiveReward;
        const action = controller.act(world.mu, world.h, new Float32Array(3));
        world.step(action);
        return [world.z, world.mu, world.positiveReward, world.h, world.c, action, world.score].map(
            part => part.length ? [...part] : part);
    })""")
    parts = [np.array(part) for part in zip(*python, strict=True)]
    python_z, python_mu, python_reward, python_h, *python_others = parts
    page_z, page_mu, page_reward, page_h, *page_others = (np.array(part) for part in zip(*answers, strict=True))
    near_z, near_reward = near_a_threshold(agent, python_h, noise, temperature)
    assert near_z.mean() < 0.02 and near_reward.mean() < 0.02
    assert np.abs(page_z - python_z)[~near_z].max() < TOLERANCE
    assert np.abs(page_mu - python_mu)[~near_z].max() < TOLERANCE
    np.testing.assert_array_equal(page_reward[~near_reward], python_reward[~near_reward])
    assert 0 < python_reward.sum() < STEPS
    np.testing.assert_allclose(page_h, python_h, atol=1e-4)
    (page_c, page_action, page_score), (python_c, python_action, python_score) = page_others, python_others
    np.testing.assert_allclose(page_c, python_c, atol=1e-3)
    np.testing.assert_allclose(page_action, python_action, atol=1e-4)
    np.testing.assert_allclose(page_score[~near_reward], python_score[~near_reward])


@needs_chromium
def test_a_decoded_frame_is_pythons(browser: Chromium, rounded: tuple[Agent, np.ndarray]) -> None:
    """Each pixel differs by at most one of 255 levels."""
    agent, _ = rounded
    z = np.random.default_rng(0).normal(size=(5, CAR.z)).astype(np.float32)
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
    agent, weights = load_agent_and_weights(CONTROLLER)
    assert data["weights"] == weights_data(agent, weights)
    names = ("vae/weights.h5", "rnn/weights.h5", f"controller/{config.PRETRAINED}")
    hashes = [file_hash(config.PRETRAINED_DIR / name) for name in names]
    assert [data["agent"][name] for name in ("vae", "rnn", "controller_hash")] == hashes
    assert 2.2e6 < sum(np.prod(shape) for _, shape in data["weights"]["layout"]) < 2.4e6


def test_the_page_has_the_current_scripts_and_is_small_enough() -> None:
    remedy = "run python experiments/report.py browser in the project folder, and move report/dream.html to docs/"
    assert PAGE.read_text() == page(data_of(PAGE)), remedy
    assert PAGE.stat().st_size <= 8e6


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
