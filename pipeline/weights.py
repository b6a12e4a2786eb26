"""Hashes and training records of weight files, readable without TensorFlow."""

import os
from pathlib import Path

import config
from pipeline.errors import UserError
from pipeline.files import file_hash, read_json


def vae_hash() -> str:
    """The hash of the VAE that stage 02 left."""
    path = config.VAE_DIR / "weights.h5"
    if not path.exists():
        raise UserError(f"{path} is not there: run 02_train_vae.py --new_model first")
    return file_hash(path)


def training_settings(path: Path) -> dict:
    """The settings that weights were trained under, by the .json beside them; {} where there is none.

    Raises:
        UserError: what is beside them is about other weights: one of the two is damaged, or was put there.
    """
    beside = path.with_suffix(".json")
    if not os.path.lexists(beside):  # a link that leads nowhere is damage
        return {}
    metadata = read_json(beside)
    if not isinstance(metadata, dict) or metadata.get("weights_sha256") != file_hash(path):
        raise UserError(f"{path} is not what {beside} was written for: put its own beside it, or train again")
    return metadata["settings"] if isinstance(metadata.get("settings"), dict) else {}
