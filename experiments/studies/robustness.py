"""Driving in other pixels: an agent in CarRacing with colors, bars and blobs that it was not trained on.

    python experiments/studies/robustness.py                       # the pretrained agent
    python experiments/studies/robustness.py --filename FILE --num_episode 16

The environments are those of config.PERTURBED: Gymnasium's `domain_randomize`, and the perturbations under which
AttentionAgent was tested (custom_envs/perturbed.py). Writes docs/results/robustness.json and its table in
docs/results.md.
"""

import argparse
import time
from dataclasses import replace

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import config
from experiments import tables
from experiments.results import ENV_NAME, record, rollout_settings, score_flags
from experiments.studies import study
from pipeline.files import file_hash
from pipeline.scores import mean_std
from simulation.agent import load_agent_and_weights
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import rollout


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    study.add_agent_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args, started = parse_args(), time.monotonic()
    agent, weights = load_agent_and_weights(args.filename)
    settings = rollout_settings(args.seed, args.num_episode)
    scores: dict[str, list[float]] = {}
    for name in (ENV_NAME, *(f"{ENV_NAME}_{suffix}" for suffix in config.PERTURBED)):
        world = RealWorld(agent, name)
        tasks = replace(settings, env=name).tasks(weights)
        scores[name] = [result.score for result in rollout(world, ControllerPolicy(world.rows), tasks)]
        print(f"{name}: {mean_std(scores[name])}, min {min(scores[name]):.1f}", flush=True)
    command = f"python experiments/studies/robustness.py {score_flags(args.filename, settings)}"
    minutes = (time.monotonic() - started) / 60
    controller = file_hash(args.filename)
    print(record("robustness", command, args.seed, minutes, controller=controller, scores_by_environment=scores))
    tables.render(tables.RESULTS, "robustness")


if __name__ == "__main__":
    cli.run(main, resumable=False)
