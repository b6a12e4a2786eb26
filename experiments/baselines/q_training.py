"""Deep Q-Learning, whatever it drives: the loop over episodes, its saved state, and what it leaves.

Mnih et al. 2015 (Nature 518, 529), Algorithm 1. NAME.state.h5 is the one commit point, written whole after every
episode and every evaluation; the best weights and the learning curve follow from it. The replay memory is not in it.
"""

import argparse
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

import config
from experiments.baselines import records
from experiments.baselines.recipe import Problem, Recipe, World
from experiments.baselines.replay import Replay
from pipeline import cli
from pipeline.errors import UserError
from pipeline.files import check_folder, only_one
from pipeline.seeds import env_seed_range

if TYPE_CHECKING:
    from experiments.baselines.q_network import Learner

ROW = ("episode", "seconds", "steps", "score", "length", "epsilon", "loss")
EVALUATION = ("episode", "mean", "std", "min")
SECONDS, STEPS, SCORE = ROW.index("seconds"), ROW.index("steps"), ROW.index("score")


@dataclass
class Progress:
    """What a training has come to.

    Attributes:
        rows: float64 (episodes, 7), see ROW.
        evaluations: float64 (evaluations, 4), see EVALUATION.
        best_weights: those of the best evaluation; none before there is one.
        resumed: whether it goes on from a file.
    """

    settings: dict
    rows: np.ndarray = field(default_factory=lambda: np.zeros((0, len(ROW))))
    evaluations: np.ndarray = field(default_factory=lambda: np.zeros((0, len(EVALUATION))))
    best_weights: list[np.ndarray] = field(default_factory=list)
    resumed: bool = False

    @property
    def episodes(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> int:
        return int(self.rows[-1, STEPS]) if self.episodes else 0

    @property
    def best(self) -> float:
        """The mean score of the best evaluation."""
        return float(self.evaluations[:, 1].max(initial=-np.inf))

    @property
    def evaluation_due(self) -> bool:
        done = self.episodes in self.evaluations[:, 0]
        return self.episodes > 0 and self.episodes % self.settings["eval_steps"] == 0 and not done

    def metadata(self) -> dict:
        """What is said beside the best weights."""
        best = self.evaluations[self.evaluations[:, 1].argmax()]
        steps, seconds = self.rows[int(best[0]) - 1, [STEPS, SECONDS]]
        row = dict(zip(EVALUATION, best.tolist(), strict=True))
        return {"settings": self.settings, "evaluation": row, "steps": int(steps), "seconds": round(float(seconds))}


def play_episode(world: World, learner: "Learner", replay: Replay, recipe: Recipe, progress: Progress) -> tuple:
    """Act, remember and learn for one episode; returns its row but for the seconds, see ROW.

    Tracks, exploration and minibatches follow from the seed and the number of the episode.

    Raises:
        UserError: the loss is not finite.
    """
    seed, number = progress.settings["seed"], progress.episodes
    rng = np.random.default_rng([seed, number, 0xD0])
    [env_seed] = env_seed_range("search", seed, number, 1)
    replay.begin(world.reset(env_seed))
    first = steps = progress.steps
    losses, ended = [], False
    epsilon = recipe.epsilon_final
    while not ended:
        # As in the source, a training that goes on from weights explores no more than it must.
        if not (progress.resumed and recipe.epsilon_decay):
            epsilon = recipe.epsilon(steps, learner.updates)
        explores = rng.random() < epsilon
        action = world.explore(rng) if explores else int(learner.q(replay.newest())[0].argmax())
        observation, reward, terminal, ended = world.step(action)
        replay.add(action, reward, terminal, observation)
        steps += 1
        due = steps % recipe.train_every == 0 if recipe.train_every else ended
        if due and replay.transitions >= recipe.warm_up:
            losses.append(learner.train(replay.sample(recipe.batch_size, rng)))
            if not np.isfinite(losses[-1]):
                raise UserError(f"the loss is {losses[-1]} in episode {number + 1}: stopped; the last state is kept")
        if recipe.target_update_freq and steps % recipe.target_update_freq == 0:
            learner.refresh_target()
    return number + 1, steps, world.score, steps - first, epsilon, float(np.mean(losses or [0.0]))


def add_arguments(parser: argparse.ArgumentParser, episodes: int, eval_steps: int, eval_episode: int) -> None:
    """The flags of a training, with a script's own defaults."""
    add = parser.add_argument
    add("--episodes", type=cli.positive_int, default=episodes, help="episodes to learn from, all told")
    add("--eval_steps", type=cli.positive_int, default=eval_steps, help="episodes between evaluations")
    add("--eval_episode", type=cli.episode_count, default=eval_episode, help="unseen tracks an evaluation")
    records.add_arguments(parser)
    records.add_final_arguments(parser)


def train(problem: Problem, recipe: Recipe, args: argparse.Namespace) -> None:
    """Learn from scratch, or from where it stopped; `args` are those of `add_arguments`.

    Raises:
        UserError: it was begun with other settings, or its file is damaged, or cannot be written.
    """
    from experiments.baselines import q_state  # imports TensorFlow, which --help and mistakes need not wait for

    check_folder(config.BASELINES_DIR)
    with only_one(records.path(problem.name, "lock"), f"training {problem.name}"):
        settings = {name: getattr(args, name) for name in ("seed", "eval_steps", "eval_episode")}
        learner = q_state.new_learner(problem, recipe, args.seed)
        settings |= asdict(recipe) | problem.settings
        progress = q_state.start_or_resume(problem.name, learner, settings, args.new_model)
        run(problem, recipe, learner, progress, args.episodes)
        records.draw_learning_curve(problem.name, progress.rows[:, SCORE], progress.evaluations)
    curve = records.path(problem.name, "png")
    print(f"{progress.episodes} episodes, {progress.steps} steps; learning curve in {curve}")


def run(problem: Problem, recipe: Recipe, learner: "Learner", progress: Progress, episodes: int) -> None:
    """Play until there are enough episodes, or an evaluation is good enough; saves after each of them."""
    from experiments.baselines import q_state

    world = problem.make_world()
    replay = Replay(recipe.memory, world.shape, world.dtype, world.stack)
    started = time.monotonic() - (progress.rows[-1, SECONDS] if progress.episodes else 0)
    with cli.progress(episodes, "episode") as bar:
        bar.update(progress.episodes)
        while True:
            if progress.evaluation_due:  # first: the last run may have been stopped in the middle of it
                bar.write(q_state.evaluate(problem, learner, progress))
            if progress.best >= problem.enough:
                return bar.write(f"{progress.best:.1f} in an evaluation is enough: --final_mode, or --new_model")
            if progress.episodes >= episodes:
                return
            number, *rest = play_episode(world, learner, replay, recipe, progress)
            progress.rows = np.vstack([progress.rows, (number, time.monotonic() - started, *rest)])
            q_state.save(problem.name, learner, progress)
            recent = progress.rows[-records.WINDOW :]
            bar.set_postfix(score=f"{recent[:, SCORE].mean():.0f}", epsilon=f"{recent[-1, -2]:.2f}", refresh=False)
            bar.update()
