"""Tests of the other environments of config.py: Snake's rules, and Pendulum from pixels through every stage."""

from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import run_script

import config
from custom_envs.frames import Crop, Dim
from custom_envs.snake import MOVES, SIZE, Snake
from simulation.environments import make_env, try_env

UP, RIGHT, DOWN, LEFT = range(4)


@pytest.fixture
def snake() -> Snake:
    """A game with its head at row 10, column 8, that moves to the right; the food is two cells ahead."""
    env = Snake()
    env.reset(seed=0)
    env.direction, env.body, env.food = RIGHT, [(10, 8), (10, 7), (10, 6)], (10, 10)
    return env


@pytest.mark.parametrize("name", ["pendulum", "snake"])
def test_the_stages_can_use_it(name: str) -> None:
    """And a seed determines what is random in it."""
    actions = try_env(name)
    assert (actions.count, actions.first) == {"pendulum": (1, None), "snake": (4, 0)}[name]
    first, again, other = (make_env(name).reset(seed=seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_food_is_a_reward_and_another_cell(snake: Snake) -> None:
    assert snake.step(RIGHT)[1:4] == (0.1, False, False)
    assert snake.step(RIGHT)[1:4] == (1.1, False, False)
    assert snake.body == [(10, 10), (10, 9), (10, 8), (10, 7)]
    assert snake.food not in snake.body
    snake.food = (12, 10)
    assert snake.step(UP)[1] == -0.1
    assert snake.body == [(9, 10), (10, 10), (10, 9), (10, 8)]


def test_the_way_back_is_ignored(snake: Snake) -> None:
    for action, (down, right) in enumerate(MOVES):
        snake.direction, snake.body = action, [(10, 8), (10 - down, 8 - right)]
        snake.step((action + 2) % 4)
        assert snake.body[0] == (10 + down, 8 + right)


def test_the_wall_ends_the_game(snake: Snake) -> None:
    for action, head in ((UP, (0, 8)), (DOWN, (SIZE - 1, 8)), (RIGHT, (10, SIZE - 1)), (LEFT, (10, 0))):
        snake.direction, snake.body = action, [head]
        assert snake.step(action)[1:4] == (-1.0, True, False)


def test_the_snake_must_not_run_into_itself_but_may_follow_its_tail(snake: Snake) -> None:
    snake.direction, square = UP, [(10, 8), (11, 8), (11, 9), (10, 9)]
    snake.body = square
    assert snake.step(RIGHT)[1:4] == (0.1, False, False)
    snake.direction, snake.body = UP, [*square, (9, 9)]
    assert snake.step(RIGHT)[1:4] == (-1.0, True, False)


def test_a_full_board_ends_the_game(snake: Snake) -> None:
    path = [(row, column if row % 2 else SIZE - 1 - column) for row in range(SIZE) for column in range(SIZE)]
    snake.food, *snake.body = path
    snake.direction = RIGHT
    assert snake.step(RIGHT)[1:4] == (1.1, True, False)
    assert len(snake.body) == SIZE**2


def test_a_frame_shows_every_cell(snake: Snake) -> None:
    frame = snake.render()
    for (row, column), color in (((10, 8), (60, 90, 230)), ((10, 6), (60, 170, 60)), ((10, 10), (230, 60, 60))):
        assert (frame[2 + 3 * row : 5 + 3 * row, 2 + 3 * column : 5 + 3 * column] == color).all()
    assert (frame[2:32, 2:32, 0] == 190).all()  # above and to the left of the food
    assert (frame[35:62, 35:62] == 70).all()  # below and to the right of both
    assert not frame[:2].any() and not frame[:, 62:].any()


@pytest.mark.parametrize("field", [{"top": -1}, {"left": 30}, {"height": 50}])
def test_a_crop_is_within_the_frame(field: dict[str, int]) -> None:
    part = {"top": 20, "left": 4, "height": 40, "width": 40}
    snake = Snake()
    frame, _ = Crop(snake, **part).reset(seed=1)
    assert np.array_equal(frame, snake.render()[20:60, 4:44])
    with pytest.raises(ValueError, match=r"are not within a frame of \(64, 64, 3\)"):
        Crop(snake, **part | field)


def test_dimmed_frames_keep_the_order_of_colors() -> None:
    snake = Snake()
    frame, _ = Dim(snake, darkest=10, brightest=60).reset(seed=1)
    expected = 10 + snake.render() / 255 * 50
    assert np.abs(frame - expected).max() <= 0.5 and frame.dtype == np.uint8


def test_pendulum_runs_through_every_stage_from_pixels(tmp_path: Path) -> None:
    """One entry of config.py: actions -2..2, rewards that only cost, and other sizes."""
    entry = config.ENVIRONMENTS["pendulum"]

    def run(name: str, arguments: str) -> str:
        return run_script(tmp_path, name, arguments).stdout

    run("01_generate_data.py", "pendulum --total_episodes 4 --batch_size 4 --time_steps 30")
    run("02_train_vae.py", "--new_model --steps 2 --batch_size 10")
    run("03_generate_rnn_data.py", "")
    run("04_train_rnn.py", "--new_model --steps 2 --batch_size 2")
    search = "pendulum -n 1 -t 4 -e 1 --max_length 20 --eval_steps 1 --eval_episode 1 --generations 1 --subspace 4"
    run("05_train_controller.py", search)
    run("05_train_controller.py", f"{search} --dream_mode 1")
    inputs = np.load(tmp_path / "data" / "rnn_input_0.npy")
    assert inputs.shape == (4, 29, entry.z + 1 + 1)
    assert np.abs(inputs[..., entry.z]).max() > 1.0  # torques
    rewards = np.load(tmp_path / "data" / "reward_data_0.npy")
    np.testing.assert_allclose(inputs[..., -1], (rewards[:, :-1] + 6) / 4, atol=1e-6)
    for controller in ("pendulum.cma.1.4.best.json", "pendulum_dream.cma.1.4.dream_best.json"):
        out = run("model.py", f"--filename controller/{controller} --final_mode --num_episode 2 --max_length 20")
        assert out.count("in   20 steps") == 2  # none is ended early, though no reward is positive
    report = run("experiments/report.py", "all --filename controller/pendulum.cma.1.4.best.json --num_episode 1")
    assert "left out" not in report
    assert (tmp_path / "report" / "dream_errors.png").exists()
