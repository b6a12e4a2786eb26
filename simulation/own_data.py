"""A writer of obs batches for recordings of one's own, which 02, 03 and 04 then read as those of stage 01."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

import config
from pipeline.actions import Actions
from pipeline.batches import ObsSettings, record_path, write_batch
from pipeline.errors import UserError
from simulation.environments import actions_of


@dataclass(frozen=True)
class Episode:
    """One recorded episode of T steps; episodes may differ in T.

    Attributes:
        frames: uint8 (T, 64, 64, 3), RGB 0..255; frames[t] is what was seen at step t.
        actions: of a Box, floats (T, A), or of a Discrete, integers (T,); actions[t] was taken at frames[t]. Of the
            car, floats (T, 3): steering -1..1, gas 0..1, brake 0..1.
        rewards: floats (T,); rewards[t] was received on arriving at frames[t], so rewards[0] is 0.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


def write_episodes(b: int, episodes: Sequence[Episode], env: str = "car_racing") -> None:
    """Write episodes as batch `b` into data/ of the working directory.

    Shorter episodes are padded with zeros to the length of the longest; `done` marks the padding, which the stages
    leave out.

    Args:
        b: number of the batch.
        env: key of config.ENVIRONMENTS in whose name stage 05 may use the batch.

    Raises:
        UserError: the batch exists, the environment cannot be made, or a file cannot be written.
        ValueError: there is no episode, or one has arrays of other shapes, dtypes or bounds than `Episode` names.
    """
    if record_path("obs", b).exists():
        raise UserError(f"{record_path('obs', b)} exists: use another number, or delete it")
    actions = actions_of(env)
    numbers = [_checked(i, episode, actions) for i, episode in enumerate(episodes)]
    time_steps = max(len(episode.frames) for episode in episodes)
    # Stage 01 holds actions for at least one frame: its batches and these are never taken for each other.
    settings = ObsSettings(
        env=env,
        seed=0,
        action_refresh_rate=0,
        time_steps=time_steps,
        episodes=len(episodes),
        actions=actions.count,
    )
    write_batch("obs", b, len(episodes), time_steps, _padded(episodes, numbers, time_steps), settings)


def _checked(i: int, episode: Episode, space: Actions) -> np.ndarray:
    """The numbers (T, A) of an episode's actions, after checks."""
    frames, rewards, actions = episode.frames, episode.rewards, space.numbers(episode.actions)
    if frames.dtype != np.uint8 or frames.shape[1:] != config.FRAME_SHAPE or len(frames) < 2:
        needed = f"uint8 (T, {', '.join(map(str, config.FRAME_SHAPE))}), T at least 2"
        raise ValueError(f"episode {i}: frames are {frames.dtype} {frames.shape}, need {needed}")
    if actions.shape != (len(frames), space.count) or rewards.shape != (len(frames),):
        found = f"actions {actions.shape} and rewards {rewards.shape}"
        raise ValueError(f"episode {i}: {found}, need ({len(frames)}, {space.count}) and ({len(frames)},)")
    if not ((actions >= space.low) & (actions <= space.high)).all():  # nor NaN
        raise ValueError(f"episode {i}: an action is not within {space.low} and {space.high}")
    return actions


def _padded(
    episodes: Sequence[Episode], numbers: Sequence[np.ndarray], time_steps: int
) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each episode as a batch holds them; `done` is True from the last frame on."""
    for episode, actions in zip(episodes, numbers, strict=True):
        steps = len(episode.frames)
        parts = {"obs_data": episode.frames, "action_data": actions, "reward_data": episode.rewards}
        row = {
            name: np.concatenate([part, np.zeros((time_steps - steps, *part.shape[1:]), part.dtype)])
            for name, part in parts.items()
        }
        yield row | {"done_data": np.arange(time_steps) >= steps - 1}
