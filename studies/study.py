"""What the studies share: searches beside each other, each in a folder of its own, scored on the same fresh tracks."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import config
from rollouts import file_hash, read_json, write_json

ROOT = Path(__file__).parents[1]
SCORED = re.compile(r"track +\d+: +(-?[\d.]+) in +\d+ steps")


@dataclass(frozen=True)
class Outcome:
    """What came of one training."""

    name: str
    scores: list[float]  # over fresh tracks
    parameters: int  # numbers that were trained
    agent_steps: int
    seconds: float

    def row(self) -> str:
        """A line of a table."""
        mean, std, low = np.mean(self.scores), np.std(self.scores), min(self.scores)
        cost = f"{self.parameters:,} | {self.agent_steps / 1e6:.1f} million | {self.seconds / 3600:.1f}"
        return f"| {self.name} | {mean:.1f} ± {std:.1f} | {low:.1f} | {cost} |"


HEADER = "| driver | score | lowest | numbers trained | agent-steps | hours |\n|---|---|---|---|---|---|"


def run(folder: Path, command: str) -> str:
    """Run one of the project's scripts in a folder, its output on the screen as it comes; returns that output."""
    script, *arguments = shlex.split(command)
    with subprocess.Popen(
        [sys.executable, ROOT / script, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(process.returncode)
    return "".join(lines)


def link(folder: Path, source: Path, *names: Path) -> None:
    """Make a folder that works with the data and networks of another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / name).exists():
            (folder / name).symlink_to((source / name).resolve())


def score(folder: Path, name: str, driver: str, seed: int, parameters: int, which: str = "best") -> Outcome:
    """What a search in a folder has found, on 100 fresh tracks: scored once, and then remembered.

    Args:
        driver: what the search's files are called; which: its "best" or "dream_best".
        parameters: of the controller.
    """
    weights, kept = folder / config.CONTROLLER_DIR / f"{driver}.{which}.json", folder / f"{driver}.{which}.outcome.json"
    outcome = read_json(kept) if kept.exists() else {}
    about = {"weights": file_hash(weights), "seed": seed}
    if {key: outcome.get(key) for key in about} != about:
        final = f"model.py car_racing --filename controller/{weights.name} --final_mode --seed {seed}"
        scores = [float(score) for score in SCORED.findall(run(folder, final))]
        rows = read_json(folder / config.LOG_DIR / f"{driver}.hist.json")
        steps = sum(row["mean steps"] * row["tracks"] for row in rows) * int(driver.split(".")[-1])
        outcome = about | {"scores": scores, "agent_steps": round(steps), "seconds": rows[-1]["seconds"]}
        write_json(kept, outcome)
    return Outcome(name, outcome["scores"], parameters, outcome["agent_steps"], outcome["seconds"])


def search_and_score(folder: Path, name: str, search: str, driver: str, seed: int, parameters: int) -> Outcome:
    """Run a search in a folder to its end, and score what it has found; `search` is the command line of stage 05."""
    print(f"--- {name}", flush=True)
    run(folder, f"05_train_controller.py car_racing {search} -s {seed}")
    return score(folder, name, driver, seed, parameters)


def table(outcomes: list[Outcome]) -> str:
    return "\n".join([HEADER, *(outcome.row() for outcome in outcomes)]) + "\n"
