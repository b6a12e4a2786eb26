"""The card at the top of the HTML report: the score, the agent's video, and how the agent was made."""

import argparse
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

import numpy as np

import config
from experiments.html_report.controller_section import VIDEO, chosen_controller, saved_scores
from experiments.html_report.page import Header, Section
from experiments.html_report.provenance import Provenance
from experiments.html_report.sections import STAGES
from experiments.results import revision
from pipeline.errors import UserError
from pipeline.scores import mean_std

PACKAGES = ("tensorflow", "keras", "numpy", "cma", "gymnasium")


def header(args: argparse.Namespace, sections: Sequence[Section]) -> Header:
    """The card of an environment's report; without scores where none were measured."""
    made = {each.name: each.made for each in sections if each.made}
    environment = config.ENVIRONMENTS[args.env_name]
    facts = {
        "environment": f"{args.env_name} ({environment.id}), at most {environment.max_length:,} steps",
        "seeds": joined(made, "seed") or "not recorded",
        "cost": joined(made, "cost"),
        "trained with": ", ".join(f"{name} {number}" for name, number in trained_with(made).items()),
        "reported with": reported_with(),
    }
    video = next((each for section in sections for each in section.drawn if each.figure.name == VIDEO), None)
    report = f"python experiments/report.py all {args.env_name} --num_episode {args.num_episode} --seed {args.seed}"
    commands = [command for each in made.values() for command in each.commands]
    score, under, table = "", "not scored", []
    with suppress(UserError):
        filename, saved = chosen_controller(args), saved_scores(args)
        report += f" --filename {filename}"
        flags = f"--filename {filename} --seed {saved['seed']}"
        commands.append(f"python model.py {args.env_name} {flags} --final_mode --num_episode {saved['num_episode']}")
        commands.append(f"python model.py {args.env_name} {flags} --render_mode --record_video")
        facts = {"controller": f"{filename} (SHA-256 {saved['sha256']}…)"} | facts
        facts["seeds"] += f"; unseen tracks {saved['seed']}"
        scores = saved["scores"]
        score = mean_std(scores["trained"])
        under = f"mean score ± std, min {min(scores['trained']):.1f}, over {len(scores['trained'])} unseen tracks"
        table = [("agent", "mean", "std", "min", "max")]
        for name, values in scores.items():
            statistics = (np.mean(values), np.std(values), min(values), max(values))
            table.append((name, *(f"{value:.1f}" for value in statistics)))
    commands.append(report)
    shown_video = video if video and not video.left_out else None
    title = f"World Models, staged: {args.env_name}"
    return Header(title, score, under, table, {key: text for key, text in facts.items() if text}, commands, shown_video)


def joined(made: dict[str, Provenance], name: str) -> str:
    """One field of all stages, each after the stage's number."""
    values = {STAGES[stage].heading.partition(",")[0]: getattr(each, name) for stage, each in made.items()}
    return "; ".join(f"{stage}: {value}" for stage, value in values.items() if value)


def trained_with(made: dict[str, Provenance]) -> dict[str, str]:
    """The versions of packages that the stages recorded."""
    return {name: number for each in made.values() for name, number in each.versions.items()}


def reported_with() -> str:
    """The versions that this process runs with."""
    project = f"World Models, staged {version('world-models-staged')}"
    known = f", revision {revision()}" if revision() else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{project}{known}, Python {platform.python_version()}, {packages}"


def footer() -> str:
    """When the report was made."""
    return f"Made on {time.strftime('%Y-%m-%d', time.gmtime())} by experiments/report.py. This file needs no other."
