"""Results of commands in docs/results/*.json, and the tables of README.md and docs/speed.md rendered from them.

    python experiments/results.py score demo_seed0 --run "make demo SEED=0" \\
        --filename demo/seed0/controller/car_racing.cma.1.64.best.json
    python experiments/results.py --render

    python experiments/results.py score snake_random --explore snake

`score` runs a command, if one is given, and measures its wall and processor time; then it scores a controller, or the
exploration policy of an environment, on unseen tracks, or takes the scores of a baseline's --final_mode, and writes
docs/results/NAME.json. The README's rows are made from the names demo, train and pretrained; with several seeds from
demo_seed0, demo_seed1 and so on. --render rewrites the lines between the markers <!-- results:start --> and
<!-- results:end --> of README.md, and likewise other tables in docs/.
"""

import argparse
import platform
import re
import resource
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from controller.files import recorded_env
from experiments import ROOT, tables
from experiments.scores import read_scores
from pipeline.errors import UserError
from pipeline.files import file_hash, write_json
from simulation.agent import load_agent_and_weights
from simulation.environments import exploration_policy
from simulation.policies import ControllerPolicy, ExplorationPolicy
from simulation.real_world import EnvironmentWorld, RealWorld
from simulation.rollout import RolloutSettings, score_unseen_tracks

ENV_NAME = "car_racing"
T = TypeVar("T")
PACKAGES = ["tensorflow", "keras", "numpy", "gymnasium", "box2d", "opencv-python-headless", "cma", "mpi4py", "mpich"]
PACKAGES += ["envpool"]


def result_name(text: str) -> str:
    """An argparse type: the name of a result, which becomes a file name."""
    if not re.fullmatch("[a-z0-9_]+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not made of a-z, 0-9 and _")
    return text


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--render", action="store_true", help="rewrite the tables of README.md and docs/speed.md")
    subparsers = parser.add_subparsers(dest="action", metavar="score")
    score = subparsers.add_parser(
        "score",
        help="score a controller on unseen tracks and record the result",
        formatter_class=parser.formatter_class,
        allow_abbrev=False,
    )
    score.add_argument("name", type=result_name, help="name of the result: docs/results/NAME.json")
    scored = score.add_mutually_exclusive_group(required=True)
    scored.add_argument("--filename", type=Path, help="controller of stage 05, in the environment that it is of")
    scored.add_argument("--explore", metavar="ENV", help="exploration policy of an environment")
    scored.add_argument("--scores", type=Path, help="scores of a baseline's --final_mode, which the others compute")
    score.add_argument("--num_episode", type=cli.episode_count, default=100, help="unseen tracks")
    score.add_argument("--seed", type=cli.seed, default=0, help="run seed of the unseen tracks")
    score.add_argument("--run", help="command that trains the controller, run in the project folder before the score")
    args = parser.parse_args()
    if args.render == bool(args.action):
        parser.error("give either --render or score NAME")
    if args.action and args.explore:
        cli.check_environment(parser, args.explore)
    return args


# --- records ----------------------------------------------------------------------------------------------------------
def revision() -> str | None:
    """The project's git revision, with "+" where tracked files differ from it; None without git."""
    try:
        git = ["git", "-C", str(ROOT)]
        short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        # Several results are recorded before they are committed; they do not change what is measured.
        changes = [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results"]
        dirty = subprocess.run(changes, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return short.stdout.strip() + ("+" if dirty else "")


def processor() -> str:
    """The processor's name as Linux gives it, elsewhere as Python does."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the installed packages that a measurement may depend on."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def record(
    name: str,
    command: str,
    seed: int | None = None,
    wall_minutes: float | None = None,
    processor_minutes: float | None = None,
    scores: Sequence[float] | None = None,
    **measured: object,
) -> Path:
    """Write docs/results/NAME.json: what was run, where, and what it measured; returns its path.

    Args:
        command: the command that produced the result.
        seed: run seed of the unseen tracks.
        wall_minutes, processor_minutes: its cost; None where it is unknown.
        scores: of unseen tracks; their mean, standard deviation, minimum and number are added.
        measured: further values that json can hold.
    """
    content: dict[str, Any] = {
        "command": command,
        "tracks_seed": seed,
        "revision": revision(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "packages": versions(),
        "processor": processor(),
        "cores": cli.cores(),
        "wall_minutes": wall_minutes,
        "processor_minutes": processor_minutes,
    }
    if scores is not None:
        statistics = {"mean": np.mean(scores), "std": np.std(scores), "min": np.min(scores)}
        content |= {key: float(value) for key, value in statistics.items()}
        content |= {"tracks": len(scores), "scores": list(scores)}
    path = tables.RESULTS_DIR / f"{name}.json"
    write_json(path, content | measured)
    return path


def rollout_settings(seed: int, num_episode: int, env_name: str = ENV_NAME) -> RolloutSettings:
    """The settings of a published score."""
    max_length = config.ENVIRONMENTS[env_name].max_length
    return RolloutSettings(env=env_name, seed=seed, num_episode=num_episode, max_length=max_length)


def score_controller(filename: Path, settings: RolloutSettings) -> list[float]:
    """Scores of a controller on unseen tracks, as `model.py --final_mode` computes and prints them."""
    agent, weights = load_agent_and_weights(filename)
    world = RealWorld(agent, settings.env)
    return score_unseen_tracks(world, ControllerPolicy(world.rows, world.form), settings, weights)


def score_exploration(settings: RolloutSettings) -> list[float]:
    """Scores of the exploration policy on unseen tracks, as `model.py --generate_data_mode --final_mode`."""
    world = EnvironmentWorld(settings.env)
    assert world.actions  # its environment is in config.py
    policy = ExplorationPolicy(exploration_policy(settings.env), world.rows, count=world.actions.count)
    return score_unseen_tracks(world, policy, settings)


def shown(path: Path) -> str:
    """A path for a result: relative to the project, or the name alone of a file that lies elsewhere."""
    path = path.resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)


def score_flags(filename: Path, settings: RolloutSettings) -> str:
    """The flags that repeat the score of a controller."""
    return f"--filename {shlex.quote(shown(filename))} {tracks_flags(settings)}"


def tracks_flags(settings: RolloutSettings) -> str:
    """The flags that repeat the unseen tracks."""
    return f"--num_episode {settings.num_episode} --seed {settings.seed}"


def timed(work: Callable[[], T]) -> tuple[T, float, float]:
    """The result of `work`, and the wall and processor minutes that it and its child processes took."""

    def processor_seconds() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    wall, used = time.perf_counter(), processor_seconds()
    result = work()
    return result, (time.perf_counter() - wall) / 60, (processor_seconds() - used) / 60


def run_command(command: str) -> None:
    """Run a command in the project folder; UserError if it fails."""
    if subprocess.run(shlex.split(command), cwd=ROOT).returncode:
        raise UserError(f"'{command}' failed: nothing is recorded")


def scored(args: argparse.Namespace) -> tuple[list[float], str, dict[str, Any]]:
    """The scores of the command line, the flags that repeat them, and what was scored and how, for the result."""
    if args.scores:
        kept = read_scores(args.scores)
        agent = {"agent_steps": kept.agent_steps, "parameters": kept.parameters}
        return kept.scores, f"--scores {shlex.quote(shown(args.scores))}", {"rollout": asdict(kept.settings)} | agent
    env_name = args.explore or recorded_env(args.filename) or ENV_NAME
    settings = rollout_settings(args.seed, args.num_episode, env_name)
    rollout = {"rollout": asdict(settings)}
    if args.explore:
        return score_exploration(settings), f"--explore {args.explore} {tracks_flags(settings)}", rollout
    scores = score_controller(args.filename, settings)
    controller = {"file": shown(args.filename), "sha256": file_hash(args.filename)}
    return scores, score_flags(args.filename, settings), {"controller": controller} | rollout


def record_score(args: argparse.Namespace) -> Path:
    """Run the command that trains an agent, score the agent, and record both."""
    minutes = timed(lambda: run_command(args.run))[1:] if args.run else None
    (scores, flags, measured), wall, processor = timed(lambda: scored(args))
    command = args.run or f"python experiments/results.py score {args.name} {flags}"
    seed = measured["rollout"]["seed"]
    return record(args.name, command, seed, *(minutes or (wall, processor)), scores, **measured)


def main() -> None:
    args = parse_args()
    if args.render:
        for path, section in tables.PLACES:
            tables.render(path, section)
    else:
        print(f"result in {record_score(args).relative_to(ROOT)}")


if __name__ == "__main__":
    cli.run(main, resumable=False)
