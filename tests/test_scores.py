"""Tests that a score is a function of weights, environment seed, step limit and no-progress limit, to the last bit.

The reference is a plain loop over one episode. It is compared with what stage 05 writes on 1, 2 and 3 ranks, with
`model.py --final_mode`, and with all rows of a world.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.rollouts import simulate
from helpers.scripts import LIMIT, SEARCH, STAGES, command, environment

import config
import controller.arch as controller
import model
from controller import files as controller_files
from controller.search import ControllerSearch
from pipeline.seeds import env_seed_range
from pipeline.sizes import CAR
from simulation.agent import Agent
from simulation.environments import make_env
from simulation.real_world import ROWS
from simulation.rollout import PrintScores, Result, Task

pytestmark = pytest.mark.usefixtures("one_thread")

MAX_STEPS_WITHOUT_PROGRESS, MAX_LENGTH, SEED = 12, 45, 7
CONTROLLER = "05_train_controller.py"
ARGUMENTS = STAGES[CONTROLLER].replace("--max_length 30", f"--max_length {MAX_LENGTH}").replace("-e 1", "-e 2")
ARGUMENTS = f"{ARGUMENTS} --max_steps_without_progress {MAX_STEPS_WITHOUT_PROGRESS} -s {SEED}"
NAME = SEARCH.replace(".1.", ".2.")
Copy = Callable[..., Path]


def plain_loop(agent: Agent, task: Task, max_steps_without_progress: float = np.inf) -> Result:
    """One episode, step by step; network calls have ROWS rows, of which the others are zeros."""
    env, entry = make_env("car_racing"), config.ENVIRONMENTS["car_racing"]
    frame, _ = env.reset(seed=task.env_seed)
    x = np.zeros((ROWS, CAR.z + CAR.actions + 1), np.float32)
    h, c = np.zeros((2, ROWS, CAR.h), np.float32)
    W, b = controller.unpack(task.weights)
    score, reward, steps_without_progress, steps, ended = 0.0, 0.0, 0, 0, False
    while not ended and steps < task.max_length and steps_without_progress < max_steps_without_progress:
        z = agent.vae.encode(frame[None], ROWS)[0][0]
        action = controller.squash((W * np.concatenate([z, h[0]])).sum(axis=1) + b).astype(np.float32)
        x[0] = [*z, *action, reward > 0]
        h, c = agent.rnn.step(x, h, c)
        frame, reward, terminated, truncated, _ = env.step(action)
        score, steps, ended = score + float(reward), steps + 1, terminated or truncated
        steps_without_progress = 0 if reward > 0 else steps_without_progress + 1
    return Result(score + (0 if ended else task.max_length - steps) * entry.no_progress_reward, steps)


@pytest.fixture(scope="module")
def agent(finished: Path, one_thread: None) -> Agent:
    """The agent of the small finished run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        agent = Agent()
        agent.load()
    return agent


def tasks(count: int) -> list[Task]:
    """Tasks that differ in weights, environment seed and length; some are truncated early."""
    controllers = np.random.default_rng(0).normal(0, 0.3, (count, controller.NUM_WEIGHTS))
    return [Task(100 + i % 5, MAX_LENGTH - i % 4, weights) for i, weights in enumerate(controllers)]


@pytest.fixture(scope="module")
def plain_results(agent: Agent) -> list[Result]:
    """The plain loop's results of twenty tasks."""
    return [plain_loop(agent, task, MAX_STEPS_WITHOUT_PROGRESS) for task in tasks(20)]


def test_all_slots_equal_the_plain_loop(agent: Agent, plain_results: list[Result]) -> None:
    assert simulate(agent, tasks(20), max_steps_without_progress=MAX_STEPS_WITHOUT_PROGRESS) == plain_results
    truncated = [result.steps < MAX_LENGTH - 3 for result in plain_results]
    assert any(truncated)
    assert not all(truncated)
    assert len({result.score for result in plain_results}) > 5


def test_score_does_not_depend_on_the_tasks_beside_it(agent: Agent) -> None:
    many = tasks(64)
    results = simulate(agent, many)
    for first in (0, 17, 45):
        assert simulate(agent, many[first : first + 3]) == results[first : first + 3]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_stage_05_equals_the_plain_loop(
    agent: Agent, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    """The scores of the population, and those of its mean on unseen tracks."""
    folder = copy_of("data", "vae/weights.h5", "rnn/weights.h5", "rnn/weights.json")
    workers = {1: "-n 1 -t 4", 2: "-n 2 -t 2", 3: "-n 4 -t 1"}[ranks]
    arguments = (ARGUMENTS.replace("-n 2 -t 2", workers), "--generations 1")
    launcher = [str(Path(sys.executable).with_name("mpirun")), "-np", "3"] if ranks == 3 else []
    call = [*launcher, *command(CONTROLLER, *arguments)]
    done = subprocess.run(call, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(folder)
    saved = ControllerSearch.load(Path(f"controller/{NAME}.es.npz"))
    [fitness], [row], [evaluation] = saved.fitness, saved.rows, saved.real.rows
    replayed = ControllerSearch(NAME, saved.settings, saved.coordinates)
    env_seeds = env_seed_range("search", SEED, 0, 2)
    population = [
        [plain_loop(agent, Task(s, MAX_LENGTH, w), MAX_STEPS_WITHOUT_PROGRESS) for s in env_seeds]
        for w in replayed.ask()
    ]
    scores, steps = (
        np.array([[getattr(r, name) for r in results] for results in population]) for name in ("score", "steps")
    )
    assert replayed.tell(scores, steps, row[1]) == tuple(row)
    np.testing.assert_array_equal(replayed.fitness[-1], fitness)
    env_seeds = env_seed_range("evaluate", SEED, 2, 2)
    mean = replayed.mean_weights
    scores = [plain_loop(agent, Task(s, MAX_LENGTH, mean), MAX_STEPS_WITHOUT_PROGRESS).score for s in env_seeds]
    assert tuple(evaluation) == (1, np.mean(scores), np.std(scores), min(scores))


def final_mode(monkeypatch: pytest.MonkeyPatch, folder: Path, seed: int) -> list[Result]:
    """The results of `model.py --final_mode`, not rounded."""
    results: list[Result] = []
    arguments = f"car_racing --filename controller/{SEARCH}.best.json --final_mode --num_episode 3 --max_length 40"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["model.py", *arguments.split(), "--seed", str(seed)])
    with monkeypatch.context() as patch:
        patch.setattr(PrintScores, "on_end", lambda printer, world, slot, result: results.append(result))
        model.main()
    return results


def test_final_mode_equals_the_plain_loop_and_depends_on_the_seed(
    agent: Agent, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {}
    weights, *_ = controller_files.load(finished / "controller" / f"{SEARCH}.best.json")
    for seed in (0, 1):
        env_seeds = env_seed_range("report", seed, 0, 3)
        scores[seed] = final_mode(monkeypatch, finished, seed)
        assert scores[seed] == [plain_loop(agent, Task(env_seed, 40, weights)) for env_seed in env_seeds]
        assert final_mode(monkeypatch, finished, seed) == scores[seed]
    assert scores[0] != scores[1]
