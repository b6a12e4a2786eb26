"""A person at the wheel: keys to actions in-process, and the real window with real key events on a virtual screen."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SEARCH, command, run_script
from test_viewer import run_on_screen

import config
from display import play
from simulation.environments import make_env

# Xvfb's screen file: see test_viewer.py. The gauge of the gas pedal is the one thing of exactly this green.
PERSON = """
import subprocess, sys, time, numpy as np

def screen():
    file = np.fromfile(sys.argv[1], np.uint8)
    header = file[:100].view(">u4")
    return file[header[0] + 12 * header[19]:].reshape(900, 1400, 4)[..., 2::-1]

def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout.split()

def becomes(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)

def gas():
    return (screen() == (90, 200, 90)).all(axis=-1).sum() > 100  # at rest it is a line

game = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, text=True)
assert becomes(lambda: xdotool("search", "--name", "World Models")), "no window"
xdotool("search", "--name", "World Models", "windowfocus")
assert becomes(lambda: len(np.unique(screen().reshape(-1, 3), axis=0)) > 20), "a blank screen"
assert not gas()
xdotool("keydown", "Up")
assert becomes(gas), "the pedal does nothing"
xdotool("keyup", "Up")
assert becomes(lambda: not gas()), "the pedal is stuck"
assert "score" in [game.stdout.readline() for _ in range(2)][1]  # the first line says which keys there are
xdotool("key", "Escape")
assert game.wait(30) == 0
print("done")
"""


class Tape:
    """A world that writes down what is done to it, and pays the gas."""

    help = ""

    def __init__(self) -> None:
        self.done: list[list[float]] = []
        self.seeds: list[int] = []
        self.temperature = 1.0

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def step(self, action: np.ndarray) -> tuple[float, bool]:
        self.done.append(action.tolist())
        return float(action[1]), len(self.done) == 6

    def picture(self, action: np.ndarray, score: float, steps: int) -> np.ndarray:
        return np.full((4, 4, 3), steps, np.uint8)

    def change_temperature(self, factor: float) -> None:
        self.temperature *= factor


def hold(*keys: str) -> frozenset[str]:
    return frozenset(keys)


def test_keys_are_actions_a_step_later() -> None:
    world, held = Tape(), iter([hold("up"), hold("up", "left"), hold("down"), hold("right"), *[hold()] * 5])
    result = play.episode(world, 7, 100, play.keyboard, lambda picture: next(held))
    brake = float(np.float32(play.BRAKE))
    assert world.done == [[0, 1, 0], [-1, 1, 0], [0, 0, brake], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (result.score, result.steps, world.seeds) == (2.0, 6, [7])


def test_an_episode_ends_at_its_length() -> None:
    assert play.episode(Tape(), 7, 3, play.keyboard, lambda picture: hold()).steps == 3


def test_r_begins_the_same_track_anew_and_the_end_brings_the_next() -> None:
    """Held down, R counts once; the window is closed in the third episode."""
    world, shown = Tape(), []

    def show(picture: np.ndarray) -> frozenset[str]:
        shown.append(picture)
        if len(world.seeds) == 3 and len(shown) > 12:
            raise KeyboardInterrupt
        return hold("r") if len(shown) in (3, 4) else hold()

    play.by_hand(world, [5, 6, 7], 100, show)
    assert world.seeds == [5, 5, 6]


def test_plus_and_minus_change_the_temperature_once_a_press() -> None:
    held = iter([hold(), hold("plus"), hold("plus"), hold(), hold("plus"), hold("minus"), hold()])
    world = Tape()
    play.episode(world, 7, 6, play.keyboard, lambda picture: next(held))
    assert world.temperature == pytest.approx(play.WARMER)


def test_the_road_is_the_environments() -> None:
    road, env = play.Road("car_racing", None), make_env("car_racing")
    road.reset(3)
    frame, _ = env.reset(seed=3)
    for _ in range(5):
        action = np.array([0.1, 1, 0], np.float32)
        frame, reward, *_ = env.step(action)
        assert road.step(action) == (float(reward), False)
    np.testing.assert_array_equal(road.frame, frame)
    assert road.picture(action, 1.0, 5).shape == (400, 800, 3)


@pytest.mark.parametrize("dream", ["", "--dream_mode"])
def test_a_person_drives_in_a_window(dream: str, copy_of: Callable[..., Path], tmp_path: Path) -> None:
    """In a folder where nothing was trained, the road; with all stages behind it, the dream."""
    if not shutil.which("xdotool"):
        pytest.skip("xdotool is not installed: apt install xdotool")
    folder = tmp_path / "nothing"
    if dream:
        folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller", "data/initial_z.npz")
    folder.mkdir(exist_ok=True)
    driver = f"--filename {folder}/controller/{SEARCH}.best.json" if dream else ""
    game = command("model.py", f"car_racing --play --max_length 150 {dream} {driver}")
    done = run_on_screen(PERSON, tmp_path, *game)
    assert done.stdout == "done\n", done.stderr


def test_the_agent_dreams_and_is_filmed(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller", "data/initial_z.npz")
    driver = f"car_racing --filename controller/{SEARCH}.best.json"
    arguments = f"{driver} --dream_mode --max_length 12 --record_video"
    first, second = (run_script(folder, "model.py", arguments, DISPLAY=None).stdout for _ in range(2))
    assert "dreamt score" in first and "in 12 steps" in first
    assert first == second
    assert (folder / config.VIDEO_DIR / f"{SEARCH}.best.dream.seed0.mp4").stat().st_size > 1000
    warmer = run_script(folder, "model.py", arguments, "--temperature 3", DISPLAY=None).stdout
    assert warmer != first
