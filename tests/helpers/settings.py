"""Settings of every kind with values that a test may change."""

from pathlib import Path

from controller.settings import SearchSettings
from pipeline.batches import BatchSettings, ObsSettings, RNNSettings
from pipeline.files import file_hash, write_json
from pipeline.settings import read_settings
from pipeline.weights import TrainingSettings

OBS = {"env": "car_racing", "seed": 0, "action_refresh_rate": 5, "time_steps": 5, "episodes": 3}
RNN = {"env": "car_racing", "vae_hash": "v", "obs": "o", "lengths": [5, 5, 5]}
TRAINING = {"data": "d", "N": None, "batch_size": 2, "seed": 0, "init_weights": None}
SEARCH = {
    "env_name": "car_racing",
    "num_episode": 3,
    "max_length": 9,
    "max_steps_without_progress": 100,
    "cap_time": 0,
    "optimizer": "cma",
    "subspace": 0,
    "sigma_init": 0.1,
    "sigma_decay": 1.0,
    "retrain": 0,
    "eval_steps": 10,
    "eval_episode": 5,
    "dream_mode": 0,
    "temperature": 1.0,
    "z_only": False,
    "sample_z": False,
    "previous_action": False,
    "init_opt": None,
    "vae_hash": "v",
    "rnn_hash": "r",
    "seed": 1,
    "population": 8,
    "initial_z": None,
    "versions": {},
}


def obs_settings(**changes: object) -> ObsSettings:
    return read_settings(ObsSettings, OBS | changes, "a test", "")


def rnn_settings(**changes: object) -> RNNSettings:
    return read_settings(RNNSettings, RNN | changes, "a test", "")


def batch_settings(kind: str, **changes: object) -> BatchSettings:
    return obs_settings(**changes) if kind == "obs" else rnn_settings(**changes)


def training_settings(**changes: object) -> TrainingSettings:
    return read_settings(TrainingSettings, TRAINING | changes, "a test", "")


def search_settings(**changes: object) -> SearchSettings:
    return read_settings(SearchSettings, SEARCH | changes, "a test", "")


def write_training_metadata(weights: Path, **changes: object) -> None:
    """Write the metadata file beside a weight file, as stages 02 and 04 do."""
    settings = TRAINING | changes
    write_json(weights.with_suffix(".json"), {"settings": settings, "weights_sha256": file_hash(weights)})
