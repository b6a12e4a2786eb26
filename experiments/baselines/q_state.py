"""The saved state of a Deep Q-Learning, and the weights that follow from it."""

from pathlib import Path

import numpy as np

from experiments.baselines import records
from experiments.baselines.q_network import Learner
from experiments.baselines.q_training import EVALUATION, ROW, STEPS, Progress
from experiments.baselines.recipe import Problem, Recipe
from pipeline.errors import UserError, first_line
from pipeline.files import check_same, read_json
from pipeline.networks import are_saved, load_weights, save_weights, seed_everything, versions
from pipeline.seeds import env_seed_range
from pipeline.training_state import check_arrays, read_state, restore, write_state

START = "add --new_model to start"


def new_learner(problem: Problem, recipe: Recipe, seed: int) -> Learner:
    """A learner that has learned nothing yet; its initial weights follow from the seed."""
    seed_everything(seed)
    own_target = recipe.target_update_freq > 0
    return Learner(
        problem.make_network(), recipe.learning_rate, recipe.gamma, recipe.loss, own_target, double=recipe.double
    )


def save(name: str, learner: Learner, progress: Progress) -> None:
    """Write all that resuming needs, but for the replay memory."""
    groups = learner.variables() | {"best": progress.best_weights, "rows": [progress.rows]}
    metadata = {"settings": progress.settings}
    write_state(records.path(name, "state.h5"), metadata, groups | {"evaluations": [progress.evaluations]})


def load(path: Path, learner: Learner) -> Progress:
    """Restore a learner from what `save` wrote; returns the progress it had made.

    Raises:
        UserError: it is damaged, or of another architecture.
    """
    metadata, groups = read_state(path, START)
    try:
        [rows], [evaluations] = groups.pop("rows"), groups.pop("evaluations")
        progress = Progress(dict(metadata["settings"]), rows, evaluations, groups.pop("best"), resumed=True)
        numbers = np.arange(1, len(rows) + 1)
        if not len(rows) or rows.shape[1:] != (len(ROW),) or evaluations.shape[1:] != (len(EVALUATION),):
            raise ValueError("its tables are not those of a training")
        if not np.array_equal(rows[:, 0], numbers) or (rows[:, STEPS] < numbers).any():
            raise ValueError("its episodes are not in order")
    except Exception as error:  # nonsense in it is as good as damage
        raise UserError(f"{path} is not a training state ({first_line(error)}): {START}") from None
    variables, tables = learner.variables(), [rows, evaluations]
    check_arrays(path, variables["model"] if len(evaluations) else [], progress.best_weights, START)
    check_arrays(path, tables, tables, START)  # finite, that is
    restore(path, variables, groups, START)
    return progress


def start_or_resume(name: str, learner: Learner, settings: dict, new_model: bool) -> Progress:
    """Where the training stands: at its start, or where its file says, which is then in `learner` too."""
    path = records.path(name, "state.h5")
    weights = records.weights_path(name)
    if not (new_model or path.exists()) and weights.exists():
        raise UserError(f"{weights} is there, but {path}, to go on from, is not: put it back, or give --new_model")
    if new_model or not path.exists():
        records.remove(name)  # of a training that --new_model replaces
        return Progress(settings)
    progress = load(path, learner)
    check_same(str(path), progress.settings, settings, "give the settings of before, or --new_model to start over")
    print(f"going on with {path} after {progress.episodes} episodes; the replay memory begins empty")
    write_weights(name, learner, progress)  # it may have been killed before it could
    return progress


def evaluate(problem: Problem, learner: Learner, progress: Progress) -> str:
    """Score the network, without exploring, on tracks of its own, and keep it if it is the best so far; saves."""
    seed, count = progress.settings["seed"], progress.settings["eval_episode"]
    tracks = env_seed_range("evaluate", seed, progress.episodes * count, count)
    scores = problem.evaluate(learner.q, tracks)
    better = not len(progress.evaluations) or np.mean(scores) > progress.best
    row = (progress.episodes, np.mean(scores), np.std(scores), min(scores))
    progress.evaluations = np.vstack([progress.evaluations, row])
    if better:
        progress.best_weights = learner.network.get_weights()
    save(problem.name, learner, progress)
    write_weights(problem.name, learner, progress)
    records.draw_learning_curve(problem.name, progress.rows[:, ROW.index("score")], progress.evaluations)
    mark = ", the best so far" if better else ""
    return (
        f"episode {progress.episodes}: {row[1]:.1f} ± {row[2]:.1f} over {count} unseen tracks, min {row[3]:.1f}{mark}"
    )


def write_weights(name: str, learner: Learner, progress: Progress) -> None:
    """The best weights, unless they are there."""
    path = records.weights_path(name)
    if not progress.best_weights or are_saved(path, progress.metadata() | {"versions": versions()}):
        return
    last = learner.network.get_weights()
    learner.network.set_weights(progress.best_weights)
    save_weights(learner.network, path, progress.metadata() | {"versions": versions()})
    learner.network.set_weights(last)


def load_best(problem: Problem, recipe: Recipe, script: str) -> tuple[Learner, dict]:
    """A learner with the best weights that its training left, and what is said beside them.

    Raises:
        UserError: there are none, or they are damaged.
    """
    learner = new_learner(problem, recipe, 0)
    path = records.weights_path(problem.name)
    load_weights(learner.network, path, script)
    return learner, dict(read_json(path.with_suffix(".json")))
