"""A trained agent as a folder to ship: its weights in half the bytes, the initial states of its dreams, and its logs.

    python experiments/ship.py pretrained/doom \\
        --filename games/doom_take_cover/seed0/round3/controller/doom_take_cover_dream.cma.8.64.dream_best.json

The weights of V and M are rounded to half precision and compressed; TensorFlow reads them as before. Their hashes
change with that, so the files that name them (M's metadata, the controller, the initial states) are written anew. The
folder is an agent of its own: score it again, since a rounded agent is another agent.
"""

import argparse
import io
from pathlib import Path

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import h5py
import numpy as np

import config
from controller.files import name_of
from pipeline.errors import UserError
from pipeline.files import atomic_write, check_new_folder, copy_file, file_hash, read_json, write_json
from pipeline.weights import read_metadata
from simulation.agent import load_agent_and_weights
from simulation.dream import open_initial_z

INITIAL_STATES = 500  # at most; each takes 2 x z floats


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("folder", type=Path, help="new or empty folder to write")
    parser.add_argument("--filename", type=Path, required=True, help="controller, a .json of stage 05")
    return parser.parse_args()


def write_rounded(source: Path, path: Path) -> None:
    """Copy a weight file (HDF5) with its arrays rounded to half precision, as compressed float32.

    Raises:
        UserError: a weight is too large for half precision.
    """
    content = io.BytesIO()  # HDF5 crashes the process on a full disk
    with h5py.File(source) as original, h5py.File(content, "w") as copy:

        def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = copy.require_group(name)
            else:
                with np.errstate(over="ignore"):
                    rounded = item[()].astype(np.float16).astype(np.float32)
                if not np.isfinite(rounded).all():
                    raise UserError(f"{source}: a weight of {name} is too large for half precision")
                copied = copy.create_dataset(name, data=rounded, compression="gzip", compression_opts=9, shuffle=True)
            copied.attrs.update(item.attrs)

        original.visititems(add)
    with atomic_write(path) as part:
        part.write_bytes(content.getvalue())


def ship_weights(source: Path, path: Path, **changed: str) -> str:
    """Copy weights rounded, and their metadata with `changed` settings; returns the new hash."""
    metadata = read_metadata(source)
    write_rounded(source, path)
    digest = file_hash(path)
    settings = metadata.get("settings", {}) | changed
    write_json(path.with_suffix(".json"), metadata | {"settings": settings, "weights_sha256": digest})
    return digest


def main() -> None:
    args = parse_args()
    source = args.filename.parent.parent
    agent, _ = load_agent_and_weights(args.filename)  # checks that all belongs together
    mu, log_var = open_initial_z(agent.hashes["vae"], source, agent.sizes.z)
    check_new_folder(args.folder)

    names = [folder / "weights.h5" for folder in (config.VAE_DIR, config.RNN_DIR)]
    vae = ship_weights(source / names[0], args.folder / names[0])
    rnn = ship_weights(source / names[1], args.folder / names[1], vae_hash=vae)
    with atomic_write(args.folder / config.DATA_DIR / "initial_z.npz") as part:
        np.savez(part, mu=mu[:INITIAL_STATES], log_var=log_var[:INITIAL_STATES], vae=np.array(vae))
    weights, score, metadata = read_json(args.filename)
    controller = args.folder / config.CONTROLLER_DIR / args.filename.name
    write_json(controller, [weights, score, metadata | {"vae": vae, "rnn": rnn}])
    for log in sorted((source / config.LOG_DIR).glob(f"{name_of(args.filename)}.*json")):
        copy_file(log, args.folder / config.LOG_DIR / log.name)
    load_agent_and_weights(controller)
    print(f"{args.folder}/ is complete: python model.py --filename {controller} --final_mode scores it")


if __name__ == "__main__":
    cli.run(main, resumable=False)
