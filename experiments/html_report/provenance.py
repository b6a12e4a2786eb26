"""How a folder's files were made: the settings, seeds, cost, versions and commands that its records hold.

The records hold settings, not command lines. The commands are therefore written anew: run again, each finds its files
complete. A file that a record names by its hash alone has a name in capitals.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path

from controller.settings import SearchSettings
from experiments.plots.losses import read_losses
from pipeline.batches import Batch, ObsSettings
from pipeline.errors import UserError
from pipeline.settings import Settings
from pipeline.weights import read_metadata, training_settings


@dataclass(frozen=True)
class Provenance:
    """How the files of one or two stages were made.

    Attributes:
        settings: name -> value.
        commands: command lines that make them.
        seed: of the stage.
        cost: what it took.
        versions: package -> version.
    """

    settings: dict[str, str]
    commands: Sequence[str]
    seed: str = ""
    cost: str = ""
    versions: dict[str, str] = field(default_factory=dict)


def flags(**values: object) -> str:
    """Values as flags of a command line, without those that are None or False; True is a flag without a value."""
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    return " ".join(f"--{name}" if value is True else f"--{name} {value}" for name, value in given.items())


def shown(settings: Settings) -> dict[str, str]:
    """Settings of a dataclass as text, without those that are not set."""
    hidden = ("version", "versions")
    return {name: str(value) for name, value in asdict(settings).items() if value is not None and name not in hidden}


def of_data(batches: Sequence[Batch]) -> Provenance:
    """How the obs batches were made, one command for each run of consecutive batches of the same settings."""
    settings, commands, seeds, frames = {}, [], [], 0

    def key(batch: Batch) -> ObsSettings:
        assert isinstance(batch.record.settings, ObsSettings)
        return replace(batch.record.settings, episodes=0)

    for common, group in groupby(batches, key):
        members = list(group)
        episodes, first = sum(batch.episodes for batch in members), members[0].number
        policy = f"agent {common.controller}" if common.controller else "exploration policy"
        settings[f"batches {first}–{members[-1].number}"] = f"{episodes} episodes × {common.time_steps} steps, {policy}"
        command = flags(
            total_episodes=episodes,
            batch_size=members[0].episodes,
            start_batch=first or None,
            time_steps=common.time_steps,
            action_refresh_rate=common.action_refresh_rate,
            controller="CONTROLLER.json" if common.controller else None,
            exploration=common.exploration,
            seed=common.seed,
        )
        commands.append(f"python 01_generate_data.py {common.env} {command}")
        seeds.append(str(common.seed))
        frames += episodes * common.time_steps
    settings["action_refresh_rate"] = f"{common.action_refresh_rate} steps"
    count = sum(batch.episodes for batch in batches)
    return Provenance(settings, commands, ", ".join(sorted(set(seeds))), f"{count:,} episodes, {frames:,} frames")


def of_network(folder: Path, script: str, before: Sequence[str] = ()) -> Provenance:
    """How the weights of 02 or 04 were made.

    Args:
        folder: of weights.h5, weights.json and log.csv.
        script: the numbered script.
        before: commands that precede it.
    """
    path = folder / "weights.h5"
    metadata, settings = read_metadata(path), training_settings(path)
    if settings is None:
        raise UserError(f"{path} has no settings of a training beside it")
    steps, epochs = metadata.get("steps"), None
    try:
        last = read_losses(folder / "log.csv", ["step", "epoch"])[-1]
        steps, epochs = int(last["step"]), max(1, math.ceil(last["epoch"]))
    except UserError:  # a folder that holds the weights alone, as the pretrained one
        pass
    text = shown(settings) | {"steps": f"{steps:,}"} if steps else shown(settings)
    losses = metadata.get("losses", {})
    text |= {name: f"{losses[name]:.4g}" for name in sorted(losses) if name.startswith("val_")}
    command = flags(
        steps=steps,
        epochs=epochs,
        batch_size=settings.batch_size,
        N=settings.N,
        init_weights="WEIGHTS.h5" if settings.init_weights else None,
        seed=settings.seed,
    )
    commands = [*before, f"python {script} {command}"]
    cost = f"{steps:,} gradient steps" if steps else ""
    return Provenance(text, commands, str(settings.seed), cost, metadata.get("versions", {}))


def of_search(settings: SearchSettings, rows: Sequence[dict]) -> Provenance:
    """How a controller was found.

    Args:
        rows: the history of the search, one row per generation.
    """
    command = flags(
        num_worker=settings.population,
        num_worker_trial=1,
        num_episode=settings.num_episode,
        max_length=settings.max_length,
        max_steps_without_progress=settings.max_steps_without_progress,
        cap_time=settings.cap_time or None,
        optimizer=settings.optimizer,
        subspace=settings.subspace,
        sigma_init=settings.sigma_init,
        sigma_decay=settings.sigma_decay,
        retrain=settings.retrain or None,
        init_opt="SEARCH.es.npz" if settings.init_opt else None,
        generations=len(rows),
        eval_steps=settings.eval_steps,
        eval_episode=settings.eval_episode,
        dream_mode=settings.dream_mode or None,
        temperature=settings.temperature if settings.dream_mode else None,
        dream_length=settings.dream_length or None,
        z_only=settings.z_only,
        sample_z=settings.sample_z,
        previous_action=settings.previous_action,
        seed=settings.seed,
    )
    episodes = sum(row["episodes"] for row in rows)
    steps = sum(row["episodes"] * row["mean steps"] for row in rows)
    seconds = rows[-1]["seconds"] if rows else 0
    cost = f"{len(rows)} generations, {episodes:,.0f} episodes, {steps:,.0f} agent-steps, {wall_time(seconds)}"
    commands = [f"python 05_train_controller.py {settings.env_name} {command}"]
    return Provenance(shown(settings), commands, str(settings.seed), cost, settings.versions)


def wall_time(seconds: float) -> str:
    """A wall time in the unit that fits."""
    unit, size = next(pair for pair in (("hours", 3600), ("minutes", 60), ("seconds", 0)) if seconds >= pair[1])
    return f"{seconds / max(size, 1):.1f} {unit}"
