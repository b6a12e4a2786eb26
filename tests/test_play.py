"""Tests of interactive episodes: keys to actions, and the real window with key events on a virtual display."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.scripts import SEARCH, command, run_script
from test_viewer import run_on_display

import config
from display import play
from display.overlay import INSET, draw_keys, signed_map
from simulation.agent import Agent
from simulation.dream import DreamWorld
from simulation.environments import make_env
from simulation.policies import FunctionPolicy
from simulation.real_world import EnvironmentWorld
from simulation.rollout import Result, Slot, Task

# For Xvfb's screen file see test_viewer.py. Only the gauge of the gas pedal has exactly this green.
PERSON = """
import subprocess, sys, time, numpy as np

def screen():
    file = np.fromfile(sys.argv[1], np.uint8)
    header = file[:100].view(">u4")
    return file[header[0] + 12 * header[19]:].reshape(900, 1400, 4)[..., 2::-1]

def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout.split()

def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)

def gas():
    return (screen() == (90, 200, 90)).all(axis=-1).sum() > 100  # released, the gauge is a line

game = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, text=True)
assert wait_for(lambda: xdotool("search", "--name", "World Models")), "no window"
xdotool("search", "--name", "World Models", "windowfocus")
assert wait_for(lambda: len(np.unique(screen().reshape(-1, 3), axis=0)) > 20), "a blank screen"
assert not gas()
xdotool("keydown", "Up")
assert wait_for(gas), "the key does not press the pedal"
xdotool("keyup", "Up")
assert wait_for(lambda: not gas()), "the pedal stays pressed"
assert "score" in [game.stdout.readline() for _ in range(2)][1]  # the first line is the help
xdotool("key", "Escape")
assert game.wait(30) == 0
print("done")
"""


class RecordingWorld(DreamWorld):
    """A world that records its calls; the reward is the gas, and the episode ends after six steps."""

    def __init__(self) -> None:
        self.rows, self.temperature = 1, 1.0
        self.actions: list[list[float]] = []
        self.seeds: list[int] = []

    def reset(self, row: int, seed: int) -> None:
        self.seeds.append(seed)

    def step(self, actions: np.ndarray, rows: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        self.actions += actions.tolist()
        return actions[:, 1].astype(float), np.array([len(self.actions) == 6])


def draw(world: RecordingWorld, slot: Slot, action: np.ndarray) -> np.ndarray:
    return np.full((4, 4, 3), slot.steps, np.uint8)


def drive(world: RecordingWorld, max_length: int, show: play.Show) -> Result:
    """One episode of a person who sees `show`."""
    keyboard = play.Keyboard(draw, [show])
    return play.run_episode(world, keyboard, Task(7, max_length), keyboard)


def hold(*keys: str) -> frozenset[str]:
    return frozenset(keys)


def test_keys_act_at_the_next_step() -> None:
    world, held = RecordingWorld(), iter([hold("up"), hold("up", "left"), hold("down"), hold("right"), *[hold()] * 5])
    result = drive(world, 100, lambda image: next(held))
    brake = float(np.float32(play.KEY_BRAKE))
    assert world.actions == [[0, 1, 0], [-1, 1, 0], [0, 0, brake], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (result.score, result.steps, world.seeds) == (2.0, 6, [7])


def test_episode_ends_at_its_step_limit() -> None:
    assert drive(RecordingWorld(), 3, lambda image: hold()).steps == 3


def test_every_step_is_shown_once() -> None:
    """To a person, and of a policy: the first frame, and that after each step."""
    for drives in (True, False):
        shown: list[int] = []
        outputs = [lambda image, shown=shown: shown.append(int(image[0, 0, 0]))]
        person = play.Keyboard(draw, outputs)
        policy = FunctionPolicy(lambda world, slots: np.zeros((1, 3), np.float32))
        display = person if drives else play.InteractiveDisplay(draw, outputs)
        play.run_episode(RecordingWorld(), person if drives else policy, Task(7, 100), display)
        assert shown == [0, 1, 2, 3, 4, 5, 6]


def test_r_restarts_the_track_and_enter_starts_the_next() -> None:
    """R counts once while it is held, at the end too; the window is closed in the third episode."""
    world, shown = RecordingWorld(), []

    def show(image: np.ndarray) -> frozenset[str]:
        shown.append(image)
        if len(world.seeds) == 3 and len(shown) > 12:
            raise KeyboardInterrupt
        return {3: hold("r"), 4: hold("r"), 9: hold("enter")}.get(len(shown), hold())  # the ninth is the end card

    play.play_episodes(world, [5, 6, 7], 100, play.Keyboard(draw, [show]))
    assert world.seeds == [5, 5, 6]


def test_the_end_card_waits_for_a_key(capsys: pytest.CaptureFixture) -> None:
    """R drives the same track again, Enter the next; until then the card stays, whatever else is pressed."""
    world = RecordingWorld()
    episode = [hold()] * 7  # six steps, and the image after the last one
    keys = iter([*episode, hold(), hold("up"), hold("r"), *episode, hold(), hold("enter"), *episode])

    def show(image: np.ndarray) -> frozenset[str]:
        held = next(keys, None)
        if held is None:
            raise KeyboardInterrupt
        return held

    play.play_episodes(world, [5, 6], 6, play.Keyboard(draw, [show]))
    assert world.seeds == [5, 5, 6]
    assert capsys.readouterr().out.count("in 6 steps") == 3


def test_a_countdown_precedes_the_first_step() -> None:
    """The keys of those seconds act on nothing, and R does not restart."""
    world, shown = RecordingWorld(), []

    def show(image: np.ndarray) -> frozenset[str]:
        shown.append(image)
        return hold("up", "r") if len(shown) < 2 * play.FPS else hold()

    keyboard = play.Keyboard(lambda world, slot, action: np.full((400, 800, 3), 90, np.uint8), [show], countdown=2)
    play.run_episode(world, keyboard, Task(7, 3), keyboard)
    assert world.actions == [[0, 0, 0]] * 3 and world.seeds == [7]
    two, one, first = shown[play.FPS - 1], shown[2 * play.FPS - 1], shown[2 * play.FPS]
    assert len(shown) == 2 * play.FPS + 4
    assert (two != one).any() and two.max() == one.max() == 255
    assert np.median(two) == 30 and np.median(first) == 90, "the picture is dimmed while it counts"


def test_the_display_shows_which_keys_are_down() -> None:
    """Each of the four keys at a place of its own, and what the other keys do."""
    world = RecordingWorld()
    images = {}
    for name in ("up", "down", "left", "right", "enter"):
        image = np.full((400, 800, 3), 90, np.uint8)
        draw_keys(image, {name})
        images[name] = (image == 255).all(axis=-1)
    changed = [images[name] & ~images["enter"] for name in ("up", "down", "left", "right")]
    assert all(places.sum() > 200 for places in changed) and not np.sum(changed, axis=0).max() > 1
    shown: list[np.ndarray] = []
    keyboard = play.Keyboard(lambda world, slot, action: np.full((400, 800, 3), 90, np.uint8), [shown.append])
    play.run_episode(world, keyboard, Task(7, 1), keyboard)
    assert (shown[0][:60] == 255).any() and (shown[0][60:] == 255).any(), "the help above, and the keys"


@pytest.mark.parametrize(("reward", "done", "text"), [(3.2, True, "lap finished"), (-100, True, "off the road")])
def test_the_end_is_named(reward: float, done: bool, text: str) -> None:
    slot = Slot(0, 0, Task(0, 9), reward=reward, done=done)
    assert play.ending(slot) == text
    slot.done = False
    assert play.ending(slot) == "time is up"


@pytest.mark.usefixtures("one_thread")
def test_a_dream_is_shown_once_beside_what_it_is_made_of() -> None:
    """The panel at the right shows z and h, not the view again; both change the image."""
    agent = Agent()
    world = DreamWorld(agent.rnn, (np.ones((1, 32)), np.zeros((1, 32))), 1.0, 1, agent.vae)
    world.reset(0, 0)
    slot, action = Slot(0, 0, Task(0, 9)), np.zeros(3, np.float32)
    first = play.draw_dream(world, slot, action)
    world.h[0, :128] = 1
    with_h = play.draw_dream(world, slot, action)
    assert (first != with_h).any() and (first[:, :600] == with_h[:, :600]).all()
    view = cv2.resize(world.render(0), (INSET, INSET), interpolation=cv2.INTER_NEAREST)
    assert cv2.matchTemplate(first[:, 600:], view, cv2.TM_SQDIFF).min() > 1000


def test_numbers_below_and_above_zero_have_colors_of_their_own() -> None:
    image = signed_map(np.array([-2, -0.5, 0, 0.5, 1, 2]), 2)
    assert image.shape == (2, 3, 3)
    blue, red = image[..., 2].astype(int), image[..., 0].astype(int)
    assert blue[0, 0] > blue[0, 1] > red[0, 1] and image[0, 2].max() == 0
    assert red[1, 1] == red[1, 2] > red[1, 0] > blue[1, 0]


def test_plus_and_minus_change_the_temperature_once_per_press() -> None:
    held = iter([hold(), hold("plus"), hold("plus"), hold(), hold("plus"), hold("minus"), hold()])
    world = RecordingWorld()
    drive(world, 6, lambda image: next(held))
    assert world.temperature == pytest.approx(play.TEMPERATURE_FACTOR)


def test_a_person_drives_the_environment_itself() -> None:
    env, images = make_env("car_racing"), []
    frame, _ = env.reset(seed=3)
    score = 0.0
    for _ in range(5):
        frame, reward, *_ = env.step(np.array([-1, 1, 0], np.float32))
        score += float(reward)
    world = EnvironmentWorld("car_racing", rows=1, render_mode="rgb_array")

    def show(image: np.ndarray) -> frozenset[str]:
        images.append(image)
        return hold("up", "left")

    keyboard = play.Keyboard(play.draw_real, [show])
    assert play.run_episode(world, keyboard, Task(3, 5), keyboard) == Result(score, 5)
    np.testing.assert_array_equal(world.frames[0], frame)
    assert [image.shape for image in images] == 6 * [(400, 800, 3)]


@pytest.mark.parametrize("dream", ["", "--dream_mode"])
def test_person_drives_in_a_window(dream: str, copy_of: Callable[..., Path], tmp_path: Path) -> None:
    """The real environment in an empty folder, the dream with the files of all stages."""
    if not shutil.which("xdotool"):
        pytest.skip("xdotool is not installed: apt install xdotool")
    folder = tmp_path / "empty"
    if dream:
        folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller", "data/initial_z.npz")
    folder.mkdir(exist_ok=True)
    controller = f"--filename {folder}/controller/{SEARCH}.best.json" if dream else ""
    game = command("model.py", f"car_racing --play --max_length 150 {dream} {controller}")
    done = run_on_display(PERSON, tmp_path, *game)
    assert done.stdout == "done\n", done.stderr


def test_dream_of_an_agent_is_recorded(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("vae/weights.h5", "rnn/weights.h5", "rnn/weights.json", "controller", "data/initial_z.npz")
    agent = f"car_racing --filename controller/{SEARCH}.best.json"
    arguments = f"{agent} --dream_mode --max_length 12 --record_video"
    first, second = (run_script(folder, "model.py", arguments, DISPLAY=None).stdout for _ in range(2))
    assert "dream score" in first and "in 12 steps" in first
    assert first == second
    assert (folder / config.VIDEO_DIR / f"{SEARCH}.best.dream.seed0.mp4").stat().st_size > 1000
    hotter = run_script(folder, "model.py", arguments, "--temperature 3", DISPLAY=None).stdout
    assert hotter != first
