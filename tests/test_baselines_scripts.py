"""The baseline scripts at a tiny size: complete, resumed, with other seeds, and with mistakes."""

import json
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import ROOT, command, environment, run_script, snapshot

from controller.saved_search import load_search, save_search
from experiments.baselines import dqn_car_racing, dqn_cartpole, dqn_snake, ga_car_racing, random_car_racing
from experiments.baselines.ga_car_racing import GASearch, GASettings, best_genes
from experiments.baselines.q_training import QTraining
from pipeline.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

RANDOM, CARTPOLE, CAR, SNAKE, GA = (
    f"experiments/baselines/{name}.py"
    for name in ("random_car_racing", "dqn_cartpole", "dqn_car_racing", "dqn_snake", "ga_car_racing")
)
TINY = {
    RANDOM: "--num_episode 2 --max_length 20",
    CARTPOLE: "--episodes 4 --eval_steps 2 --eval_episode 3",
    CAR: "--episodes 2 --max_length 40 --eval_steps 2 --eval_episode 2",
    SNAKE: "--episodes 4 --eval_steps 2 --eval_episode 2",
    GA: "-n 1 --population 4 --generations 2 --episodes_per_candidate 1 --max_length 30 --eval_steps 2"
    " --eval_episode 2",
}
MODULES = {RANDOM: random_car_racing, CARTPOLE: dqn_cartpole, CAR: dqn_car_racing, SNAKE: dqn_snake, GA: ga_car_racing}
LEFT = {
    RANDOM: {"random_car_racing.scores.json", "random_car_racing.png"},
    CARTPOLE: {"cartpole.state.h5", "cartpole_weight.h5", "cartpole_weight.json", "cartpole.png"},
    CAR: {
        *{"dqn_car_racing.state.h5", "dqn_car_racing.png"},
        *{"dqn_car_racing_weight.h5", "dqn_car_racing_weight.json"},
    },
    SNAKE: {"dqn_snake.state.h5", "dqn_snake_weight.h5", "dqn_snake_weight.json", "dqn_snake.png"},
    GA: {"ga_car_racing.es.npz", "ga_car_racing.png"},
}
Here = Callable[..., str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Here:
    """Runs a script's main in this process, where TensorFlow is loaded, in this test's folder; returns its output."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, arguments: str = "") -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments.split()])
        MODULES[name].main()
        return capsys.readouterr().out

    return run


def rows_of(name: str) -> np.ndarray:
    """The rows of a Q training in this folder, without the seconds."""
    from pipeline.training_state import read_state

    _, groups = read_state(Path(f"baselines/{name}.state.h5"), "")
    return np.delete(groups["rows"][0], 1, axis=1)


# --- as subprocesses --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TINY)
def test_every_script_runs_from_any_folder_and_writes_its_files(name: str, tmp_path: Path) -> None:
    run_script(tmp_path, name, TINY[name])
    assert {path.split("/")[1] for path in snapshot(tmp_path)} == LEFT[name]
    assert (tmp_path / f"baselines/{Path(name).stem.replace('dqn_cartpole', 'cartpole')}.png").stat().st_size > 5000


@pytest.mark.parametrize("name", TINY)
def test_help_describes_the_script_without_tensorflow(name: str, tmp_path: Path) -> None:
    program = f"""
import runpy, sys
sys.argv, sys.path[:0] = ["x", "--help"], [{str(ROOT)!r}]
try:
    runpy.run_path({str(ROOT / name)!r}, run_name="__main__")
finally:
    print("tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert name in done.stdout
    assert "resumes" in done.stdout
    assert "A kill costs" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
    assert not list(tmp_path.iterdir())


def test_killed_it_leaves_complete_files_and_resumes(tmp_path: Path) -> None:
    call = command(RANDOM, "--num_episode 5000 --max_length 30")
    process = subprocess.Popen(call, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        assert process.stdout.readline().startswith("track")
    process.send_signal(signal.SIGKILL)
    process.wait()
    scores = json.loads((tmp_path / "baselines/random_car_racing.scores.json").read_text())["scores"]
    assert len(scores) >= 3
    out = run_script(tmp_path, RANDOM, f"--num_episode {len(scores) + 1} --max_length 30").stdout
    assert f"after {len(scores)} episodes" in out
    assert out.count("track ") == 1


# --- random -----------------------------------------------------------------------------------------------------------
def test_random_resumed_is_the_same(here: Here, tmp_path: Path) -> None:
    def scores() -> list[float]:
        return json.loads((tmp_path / "baselines/random_car_racing.scores.json").read_text())["scores"]

    here(RANDOM, "--num_episode 3 --max_length 20 --seed 4")
    uninterrupted = scores()
    here(RANDOM, "--num_episode 1 --max_length 20 --seed 4 --new_model")
    assert scores() == uninterrupted[:1]
    assert "after 1 episodes" in here(RANDOM, "--num_episode 3 --max_length 20 --seed 4")
    assert scores() == uninterrupted
    here(RANDOM, "--num_episode 3 --max_length 20 --seed 5 --new_model")
    assert scores() != uninterrupted


# --- Deep Q-Learning --------------------------------------------------------------------------------------------------
def test_the_same_seed_learns_the_same_and_another_seed_something_else(here: Here) -> None:
    found = []
    for seed in (1, 1, 2):
        here(CARTPOLE, f"{TINY[CARTPOLE]} --new_model --seed {seed}")
        found.append((rows_of("cartpole").tolist(), json.loads(Path("baselines/cartpole_weight.json").read_text())))
    assert found[0][0] == found[1][0]
    assert found[0][0] != found[2][0]
    assert found[0][1]["weights_sha256"] == found[1][1]["weights_sha256"] != found[2][1]["weights_sha256"]


def test_it_resumes_from_weights_optimizer_and_steps(here: Here) -> None:
    from experiments.baselines.q_training import QTraining

    out = here(CARTPOLE, f"{TINY[CARTPOLE]} --stable --episodes 40 --eval_steps 40")
    before = rows_of("cartpole_stable")
    assert f"40 episodes, {int(before[-1, 1])} steps" in out
    problem, settings = dqn_cartpole.CartPole(stable=True), {"eval_steps": 40, "eval_episode": 3}
    training, again = (QTraining(problem, Namespace(seed=seed, **settings)) for seed in (0, 9))
    training.restore()
    assert int(training.learner.optimizer.iterations) > 0
    assert training.last("steps") == before[-1, 1]
    training.path = again.path = Path("baselines/copy.state.h5")
    training.save()
    again.settings = training.settings
    again.restore()
    for group, variables in training.learner.variables().items():
        assert variables
        for one, two in zip(variables, again.learner.variables()[group], strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(training.rows, again.rows)
    out = here(CARTPOLE, f"{TINY[CARTPOLE]} --stable --episodes 41 --eval_steps 40")
    assert "the replay memory starts empty" in out
    assert "resuming baselines/cartpole_stable.state.h5 after episode 40" in out
    after = rows_of("cartpole_stable")
    np.testing.assert_array_equal(after[:40], before)
    assert after[40, 1] == before[-1, 1] + after[40, 3]


def test_resumed_with_the_sources_recipe_epsilon_is_at_its_minimum(here: Here) -> None:
    here(CARTPOLE, TINY[CARTPOLE])
    here(CARTPOLE, TINY[CARTPOLE].replace("--episodes 4", "--episodes 5"))
    epsilon = rows_of("cartpole")[:, 4]
    assert epsilon[3] > 0.9
    assert epsilon[4] == dqn_cartpole.SOURCE.epsilon_final


def test_best_weights_follow_from_the_state_and_score_the_same(here: Here) -> None:
    here(CARTPOLE, TINY[CARTPOLE])
    weights = Path("baselines/cartpole_weight.h5")
    kept = weights.read_bytes()
    weights.unlink()  # as after a kill between the state and the weights
    here(CARTPOLE, TINY[CARTPOLE])
    assert weights.read_bytes() == kept
    scores = []
    for _ in range(2):
        out = here(CARTPOLE, "--final_mode --num_episode 4")
        assert re.search(r"\d ± .* over 4 episodes, min .*: not solved, which takes 475", out)
        scores.append(json.loads(Path("baselines/cartpole.scores.json").read_text())["scores"])
    assert scores[0] == scores[1]
    here(CARTPOLE, "--final_mode --num_episode 4 --seed 3")
    assert json.loads(Path("baselines/cartpole.scores.json").read_text())["scores"] != scores[0]


def test_snake_learns_from_pixels_and_is_scored(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a short warm-up, so that the test has gradient steps; a final score is of other seeds."""
    monkeypatch.setattr(dqn_snake.Snake, "recipe", replace(dqn_snake.RECIPE, memory=200, warm_up=10))
    here(SNAKE, TINY[SNAKE])
    rows = rows_of("dqn_snake")
    assert rows[-1, -1] > 0  # loss
    assert ((rows[:, 3] > 0) & (rows[:, 3] <= dqn_snake.MAX_LENGTH)).all()
    here(SNAKE, "--final_mode --num_episode 3 --seed 5")
    kept = json.loads(Path("baselines/dqn_snake.scores.json").read_text())
    assert (kept["settings"]["env"], kept["settings"]["seed"], len(kept["scores"])) == ("snake", 5, 3)
    assert kept["agent_steps"] == rows[1, 1] or kept["agent_steps"] == rows[3, 1]


def test_the_car_learns_from_pixels_and_is_scored(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a short warm-up, so that the test has gradient steps."""
    recipe = replace(dqn_car_racing.RECIPE, memory=200, warm_up=10, target_update_freq=7)
    monkeypatch.setattr(dqn_car_racing, "RECIPE", recipe)
    here(CAR, TINY[CAR].replace("--max_length 40", "--max_length 120"))
    rows = rows_of("dqn_car_racing")
    assert (rows[:, -1] > 0).all()  # losses
    assert rows[-1, 1] == 60  # two episodes of 30 held actions
    out = here(CAR, "--final_mode --num_episode 2 --max_length 40")
    assert re.search(r"track   0: .* in   40 steps\n", out)
    assert "over 2 tracks" in out
    with pytest.raises(UserError, match=r"made with max_length = 120, now it is 40: give the earlier settings"):
        here(CAR, TINY[CAR])


# --- --new_model over an earlier training -----------------------------------------------------------------------------
def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


STEP = {RANDOM: (random_car_racing, "rollout"), CARTPOLE: (QTraining, "advance")}


@pytest.mark.parametrize("name", STEP)
def test_an_earlier_training_is_lost_only_when_the_new_one_has_saved_a_state(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is stopped before its first result; then a run without --new_model is refused, in one line."""
    here(name, TINY[name])
    earlier = snapshot(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(*STEP[name], stopped)
        with pytest.raises(KeyboardInterrupt) as stop:
            here(name, f"{TINY[name]} --new_model --seed 1")
    assert stop.value.__notes__ == ["nothing is saved yet; run the same command, with --new_model, to start again"]
    assert {path.removesuffix(".previous"): digest for path, digest in snapshot(tmp_path).items()} == earlier
    with pytest.raises(UserError, match="--new_model was stopped before it saved a state"):
        here(name, f"{TINY[name]} --seed 1")
    here(name, f"{TINY[name]} --new_model --seed 1")
    new = snapshot(tmp_path)
    assert new.keys() == earlier.keys()
    assert not any(new[path] == earlier[path] for path in new)
    assert "resuming" in here(name, f"{TINY[name]} --seed 1")


# --- the genetic algorithm --------------------------------------------------------------------------------------------
def history() -> list[np.ndarray]:
    kept = load_search("baselines/ga_car_racing.es.npz")
    tables = [kept.coordinates[name] for name in ("best", "champion", "evaluations")]
    return [kept.fitness, np.delete(kept.coordinates["rows"], 1, axis=1), *tables]  # without the seconds


def test_a_resumed_search_is_the_same_on_any_number_of_processes(here: Here, tmp_path: Path) -> None:
    arguments = TINY[GA].replace("--generations 2", "--generations 3")
    run_script(tmp_path, GA, arguments)
    uninterrupted = history()
    run_script(tmp_path, GA, arguments.replace("--generations 3", "--generations 1"), "--new_model")
    assert len(history()[0]) == 1
    out = run_script(tmp_path, GA, arguments.replace("-n 1", "-n 2")).stdout
    assert "resuming baselines/ga_car_racing.es.npz after generation 1" in out
    for one, two in zip(uninterrupted, history(), strict=True):
        np.testing.assert_array_equal(one, two)
    run_script(tmp_path, GA, arguments, "--new_model --seed 1")
    assert (history()[0] != uninterrupted[0]).any()
    out = run_script(tmp_path, GA, "--final_mode --num_episode 2 --max_length 20").stdout
    assert "over 2 tracks" in out


SEARCH = {"population": 4, "seed": 0, "sigma": 0.3, "crossover": 0.8, "mutation": 0.1, "max_length": 10}
SEARCH |= {"max_steps_without_progress": 100, "episodes_per_candidate": 1, "eval_steps": 2, "eval_episode": 2}


def search_of(**changes: int) -> GASearch:
    """A search of five genes without an environment."""

    def evaluate(candidates: np.ndarray, env_seeds: list[list[int]], max_length: int) -> tuple[np.ndarray, np.ndarray]:
        shape = len(candidates), len(env_seeds[0])
        return np.arange(np.prod(shape)).reshape(shape), np.full(shape, max_length)

    return GASearch(GASettings(**(SEARCH | changes)), evaluate)


def test_an_earlier_search_is_lost_only_when_the_new_one_has_saved_a_state(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ga_car_racing, "GENES", 5)
    search_of().train(2, new_model=False)
    earlier = snapshot(tmp_path)
    stopping = search_of(seed=1)
    stopping.evaluate_candidates = stopped
    with pytest.raises(KeyboardInterrupt):
        stopping.train(2, new_model=True)
    assert {path.removesuffix(".previous"): digest for path, digest in snapshot(tmp_path).items()} == earlier
    with pytest.raises(UserError, match="--new_model was stopped before it saved a state"):
        search_of(seed=1).train(2, new_model=False)
    search_of(seed=1).train(1, new_model=True)
    assert len(history()[0]) == 1
    assert snapshot(tmp_path).keys() == earlier.keys()


def test_a_damaged_search_is_refused(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ga_car_racing, "GENES", 5)
    search_of().train(1, new_model=False)
    with pytest.raises(UserError, match="no champion yet"):
        best_genes()
    search = search_of()
    search.train(2, new_model=False)
    np.testing.assert_array_equal(best_genes()[0], search.optimizer.population[0])
    monkeypatch.setattr(ga_car_racing, "GENES", 6)
    with pytest.raises(UserError, match=r"holds \(5,\) genes, this network has 6"):
        best_genes()
    monkeypatch.setattr(ga_car_racing, "GENES", 5)
    with pytest.raises(UserError, match="made with seed = 0, now it is 1"):
        search_of(seed=1).train(2, new_model=False)
    search.fitness = search.fitness[:, ::-1]
    search.save()
    with pytest.raises(UserError, match="replays to another search"):
        search_of().train(2, new_model=False)
    search.path.write_bytes(search.path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        search_of().train(2, new_model=False)


def test_a_search_of_version_0_1_0_is_resumed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ga_car_racing, "GENES", 5)
    search_of().train(2, new_model=False)
    kept = load_search("baselines/ga_car_racing.es.npz")
    old_names = {new: old for old, new in GASettings.RENAMED.items()}
    settings = {old_names.get(name, name): value for name, value in kept.settings.items()}
    assert {"patience", "tracks"} <= settings.keys()
    save_search("baselines/ga_car_racing.es.npz", settings, kept.coordinates, kept.fitness)
    best_genes()
    search = search_of()
    search.train(3, new_model=False)
    assert len(search.rows) == 3


# --- mistakes ---------------------------------------------------------------------------------------------------------
MISTAKES = [
    (RANDOM, "--max_length 0", "--max_length"),
    (RANDOM, "--seed -1", "--seed"),
    (CARTPOLE, "--episodes many", "--episodes"),
    (CAR, "--eval_episode 0", "--eval_episode"),
    (GA, "--population 7", "--population: must be even"),
    (GA, "--mutation 2", "--mutation"),
    (GA, "--final_mode", r"ga_car_racing.es.npz does not exist"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line(name: str, arguments: str, message: str, tmp_path: Path) -> None:
    done = run_script(tmp_path, name, arguments, ok=False)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert "Traceback" not in done.stderr
    assert not snapshot(tmp_path)


@pytest.mark.parametrize("name", TINY)
def test_without_the_project_it_says_in_one_line_what_is_missing(name: str) -> None:
    call = [sys.executable, "-I", "-S", str(ROOT / name), "--help"]  # a Python without installed packages
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"No module named '\w+': run `make setup`, .*\n", done.stderr)


@pytest.mark.parametrize(
    ("name", "weights"),
    [(CARTPOLE, "cartpole_weight"), (CAR, "dqn_car_racing_weight"), (SNAKE, "dqn_snake_weight")],
)
def test_there_is_no_final_score_before_there_are_weights(name: str, weights: str, here: Here, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{weights}.h5 is not there: run {name} first"):
        here(name, "--final_mode")
    assert not snapshot(tmp_path)


def test_a_damaged_state_is_refused_and_left_alone(here: Here) -> None:
    here(CARTPOLE, TINY[CARTPOLE])
    path = Path("baselines/cartpole.state.h5")
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:2000] + b"x" + whole[2001:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"cartpole.state.h5 is not a training state .*--new_model"):
            here(CARTPOLE, TINY[CARTPOLE])
        assert path.read_bytes() == damaged
    path.write_bytes(whole)
    with pytest.raises(UserError, match="made with seed = 0, now it is 1"):
        here(CARTPOLE, f"{TINY[CARTPOLE]} --seed 1")


@pytest.mark.parametrize(
    "content", ["[]", '{"seed": 0, "about": {"max_length": 40}}', '{"seed": 0, "about": 1, "scores": [1]}']
)
def test_scores_edited_by_hand_are_refused_in_one_line(here: Here, capsys: pytest.CaptureFixture, content: str) -> None:
    Path("baselines").mkdir()
    Path("baselines/random_car_racing.scores.json").write_text(content)
    with pytest.raises(UserError, match=r"scores\.json does not hold scores: --new_model starts over"):
        here(RANDOM, TINY[RANDOM])
