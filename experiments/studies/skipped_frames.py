"""Driving with few frames: the agent sees every k-th frame only, and between them M predicts z.

    python experiments/studies/skipped_frames.py                       # the pretrained agent, k = 1, 2, 3, ...
    python experiments/studies/skipped_frames.py --filename FILE --every 1 4 --num_episode 16

Between two frames z is the mean of M's predicted mixture, from which C acts and on which M is conditioned next. A high
score at k = 4 means that M can replace three of four frames. Writes docs/results/skipped_frames.json and the figure
docs/images/skipped_frames.png below the working directory's project.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

from experiments import ROOT
from experiments.plots.canvas import new_figure, save_figure
from experiments.results import record, rollout_settings, score_flags
from experiments.studies import study
from pipeline.scores import mean_std
from simulation.agent import Agent, load_agent_and_weights
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import rollout

ENV_NAME = "car_racing"


class SkippedFrames(RealWorld):
    """The real world, of whose frames the agent sees every k-th; between them z is M's expectation.

    Args:
        agent, env_name: as for RealWorld.
        every: k; 1 is the real world.
    """

    def __init__(self, agent: Agent, env_name: str, every: int) -> None:
        super().__init__(agent, env_name)
        self.every, self.steps = every, np.zeros(self.rows, int)

    def reset(self, row: int, seed: int) -> None:
        super().reset(row, seed)
        self.steps[row] = 0

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        answer = super().step(actions, rows)
        self.steps += 1
        return answer

    def encode(self, rows: list[int]) -> np.ndarray:
        """z of the frames that are shown, M's expectation in the other rows: float32 (len(rows), 32)."""
        shown = self.steps[rows] % self.every == 0
        return np.where(shown[:, None], super().encode(rows), self.expected_z()[rows])

    def expected_z(self) -> np.ndarray:
        """The mean of the mixture that M predicts for the current z, float32 (rows, 32)."""
        from rnn.arch import split_mixture

        log_pi, mu, *_ = split_mixture(self.agent.rnn.model.get_layer("mixture")(self.h))
        return (np.exp(log_pi) * mu.numpy()).sum(axis=1)


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_agent_arguments(parser)
    every = [1, 2, 3, 4, 6, 8, 12]
    parser.add_argument("--every", type=cli.positive_int, nargs="+", default=every, help="k: one of so many frames")
    return parser.parse_args()


def draw(scores: dict[int, list[float]], path: Path) -> None:
    """The mean score ± its standard deviation over tracks, and the minimum, by k."""
    figure, axes = new_figure(6, 4)
    every, values = list(scores), np.array(list(scores.values()))
    axes.errorbar(every, values.mean(axis=1), values.std(axis=1), fmt="o-", capsize=3, label="mean ± std over tracks")
    axes.plot(every, values.min(axis=1), "x", label="worst track")
    axes.set(xlabel="k: the agent sees every k-th frame", ylabel="score", xticks=every)
    axes.legend()
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def main() -> None:
    args, started = parse_args(), time.monotonic()
    agent, weights = load_agent_and_weights(args.filename)
    settings = rollout_settings(args.seed, args.num_episode)
    scores: dict[int, list[float]] = {}
    for every in sorted(set(args.every)):
        world = SkippedFrames(agent, ENV_NAME, every)
        scores[every] = [
            result.score for result in rollout(world, ControllerPolicy(world.rows), settings.tasks(weights))
        ]
        print(f"every {every:2d}: {mean_std(scores[every])}, min {min(scores[every]):.1f}", flush=True)
    draw(scores, ROOT / "docs" / "images" / "skipped_frames.png")
    command = f"python experiments/studies/skipped_frames.py {score_flags(args.filename, settings)}"
    minutes = (time.monotonic() - started) / 60
    print(record("skipped_frames", command, args.seed, minutes, rollout=asdict(settings), scores_by_every=scores))


if __name__ == "__main__":
    cli.run(main, resumable=False)
