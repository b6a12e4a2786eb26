"""Scores of an agent on unseen tracks with what they cost, as a file: those of the baselines and of the studies."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.settings import read_settings
from simulation.rollout import RolloutSettings

REMEDY = "--new_model starts over"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores on unseen tracks.

    Attributes:
        settings: those of the rollouts.
        scores: one per track.
        metadata: of the agent; json must be able to hold it.
        parameters: of the policy.
        agent_steps, seconds: environment or dream steps and wall time of its training.
    """

    settings: RolloutSettings
    scores: list[float]
    metadata: dict[str, Any]
    parameters: int = 0
    agent_steps: int = 0
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write a file for `read_scores`."""
        content = asdict(self)
        write_json(path, {"settings": content.pop("settings"), "about": content.pop("metadata")} | content)


def read_scores(path: Path) -> Scores:
    """Read a file of `Scores.write`, or one of version 0.1.0; UserError when it is damaged."""
    content = read_json(path)
    try:
        scores, metadata = [float(score) for score in content["scores"]], dict(content["about"])
        # Version 0.1.0 wrote the seed and, for the random agent, the step limit.
        old = {"env": "car_racing", "num_episode": len(scores), "max_length": 1000}
        settings = content["settings"] if "settings" in content else old | {"seed": content["seed"]} | metadata
        cost = int(content["parameters"]), int(content["agent_steps"]), float(content["seconds"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} does not hold scores: {REMEDY}") from None
    parameters, agent_steps, seconds = cost
    return Scores(
        settings=read_settings(RolloutSettings, settings, str(path), REMEDY),
        scores=scores,
        metadata=metadata,
        parameters=parameters,
        agent_steps=agent_steps,
        seconds=seconds,
    )
