"""Hashes and training metadata of weight files, readable without TensorFlow."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import config
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json
from pipeline.settings import Settings, read_settings
from pipeline.sizes import CAR, Sizes

SIZES = tuple(field.name for field in fields(Sizes))


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """Settings of stage 02 or 04, which a resumed training must share."""

    RENAMED: ClassVar = {"vae": "vae_hash"}

    env: tuple[str, ...] | None = None  # environments of the batches; None: not stated, in a file of an earlier version
    data: str  # hash of the batches
    vae_hash: str | None = None  # of 04: the VAE that encoded the series
    N: int | None  # episodes at most
    batch_size: int
    seed: int
    init_weights: str | None  # hash
    # Sizes, see pipeline.sizes.Sizes: of V z alone, of M all. None: not stated.
    z: int | None = None
    actions: int | None = None
    h: int | None = None
    mixtures: int | None = None
    done: bool | None = None
    reward: tuple[float, ...] | None = None
    pixel_variance: float | None = None  # of V, see vae.arch.VAETrainer

    @property
    def sizes(self) -> Sizes:
        """The sizes of V or M; those that are not stated are the car's."""
        stated: dict[str, Any] = {name: value for name in SIZES if (value := getattr(self, name)) is not None}
        return replace(CAR, **stated)

    def as_stated_in(self, earlier: "TrainingSettings") -> Self:
        """These settings without what those of an earlier training do not state, if it is of an earlier version."""
        names = ["pixel_variance"] * (earlier.pixel_variance is None) + ["env", *SIZES] * (earlier.env is None)
        not_stated: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **not_stated)


def find_vae_hash() -> str:
    """The hash of the VAE weights of stage 02; UserError if there are none."""
    path = config.VAE_DIR / "weights.h5"
    if not path.exists():
        raise UserError(f"{path} is not there: run 02_train_vae.py first")
    return file_hash(path)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata in the file (.json) beside a weight file; {} without one.

    Raises:
        UserError: the metadata are of other weights, because one of the two files was damaged or replaced.
    """
    metadata_path = path.with_suffix(".json")
    if not os.path.lexists(metadata_path):  # unlike exists(), true for a dangling link, which is damage
        return {}
    metadata = read_json(metadata_path)
    if not isinstance(metadata, dict) or metadata.get("weights_sha256") != file_hash(path):
        raise UserError(f"{metadata_path} does not belong to {path}: restore the matching file, or train again")
    return metadata


def training_settings(path: Path) -> TrainingSettings | None:
    """The settings of the training of 02 or 04 that made a weight file; None where its metadata hold none.

    Raises:
        UserError: the metadata are of other weights, or hold other settings.
    """
    settings = read_metadata(path).get("settings")
    if not settings:  # initial weights, which no stage has trained
        return None
    return read_settings(TrainingSettings, settings, str(path.with_suffix(".json")), "train again")


def trained_in(path: Path) -> tuple[str, ...] | None:
    """The environments that V or M was trained in; None where the metadata of the weight file do not state them.

    Raises:
        UserError: as in `training_settings`.
    """
    settings = training_settings(path)
    return settings.env if settings else None


def sizes_of(path: Path) -> Sizes:
    """The sizes of V or M that the metadata of a weight file state; the car's where they state none.

    Raises:
        UserError: as in `training_settings`.
    """
    settings = training_settings(path) if path.exists() else None
    return settings.sizes if settings else CAR
