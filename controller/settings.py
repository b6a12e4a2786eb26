"""The settings of a search: what determines its results, stored with it, and shared by the run that resumes it."""

from dataclasses import dataclass
from typing import ClassVar

from controller.arch import CAR_FORM
from pipeline.settings import Settings


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Settings):
    """Settings of stage 05, which a resumed search must share, all but the versions; its --help says what they do."""

    RENAMED: ClassVar = {"patience": "max_steps_without_progress", "vae": "vae_hash", "rnn": "rnn_hash"}
    REMOVED: ClassVar = ("joint_steps", "turn_steps", "turn_sigma", "hard_tracks")  # of version 0.1.0

    env_name: str
    num_episode: int  # tracks per candidate and generation
    max_length: int  # steps
    max_steps_without_progress: int
    cap_time: int  # 0 or 1
    optimizer: str
    subspace: int
    sigma_init: float
    sigma_decay: float
    retrain: int  # 0 or 1
    eval_steps: int  # generations
    eval_episode: int  # tracks
    dream_mode: int  # 0 or 1
    temperature: float
    z_only: bool
    sample_z: bool
    previous_action: bool
    init_opt: str | None  # hash of the saved search that it started from
    vae_hash: str
    rnn_hash: str
    seed: int
    population: int
    initial_z: str | None  # hash of what decides where dreams start, of a search in dreams
    versions: dict[str, str]  # of libraries
    dream_length: int = 0  # steps of a dream that starts at a recorded moment; 0: whole dreams
    actions: int = CAR_FORM.actions  # numbers of an action
    z: int = CAR_FORM.z  # numbers of z
    features: int = CAR_FORM.features  # inputs of C

    @property
    def num_weights(self) -> int:
        """The weights of C."""
        return self.actions * (self.features + 1)
