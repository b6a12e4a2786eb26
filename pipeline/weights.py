"""Hashes and training metadata of weight files, readable without TensorFlow."""

import os
from pathlib import Path

import config
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json


def vae_hash() -> str:
    """The hash of the VAE weights of stage 02; UserError if there are none."""
    path = config.VAE_DIR / "weights.h5"
    if not path.exists():
        raise UserError(f"{path} is not there: run 02_train_vae.py first")
    return file_hash(path)


def training_settings(path: Path) -> dict:
    """The training settings in the metadata file (.json) beside a weight file; {} without a metadata file.

    Raises:
        UserError: the metadata are of other weights, because one of the two files was damaged or replaced.
    """
    metadata_path = path.with_suffix(".json")
    if not os.path.lexists(metadata_path):  # unlike exists(), true for a dangling link, which is damage
        return {}
    metadata = read_json(metadata_path)
    if not isinstance(metadata, dict) or metadata.get("weights_sha256") != file_hash(path):
        raise UserError(f"{metadata_path} does not belong to {path}: restore the matching file, or train again")
    return metadata["settings"] if isinstance(metadata.get("settings"), dict) else {}
