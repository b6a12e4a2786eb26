"""Stage 03: encode the frames of stage 01 with the VAE (V) into the latent series for stage 04.

    python 03_generate_rnn_data.py --start_batch 0 --max_batch 9

Reads data/obs_* and vae/weights.h5; writes rnn_input_B.npy, rnn_output_B.npy, rnn_log_var_B.npy and their record
rnn_B.json into data/, and initial_z.npz, the initial states of dreams. Batches that this VAE has encoded are kept;
those of another VAE are encoded again.
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np
from tqdm import tqdm

import config
from pipeline.batches import (
    Batch,
    ObsSettings,
    RNNSettings,
    claim_batch,
    existing_record,
    find_batches,
    open_batch,
    read_record,
    real_steps,
    select_batches,
    write_batch,
)
from pipeline.entries import check_env, sizes_for
from pipeline.errors import UserError
from pipeline.files import atomic_write
from pipeline.sizes import Sizes
from pipeline.weights import sizes_of, trained_in

if TYPE_CHECKING:
    from vae.arch import VAE


ROWS = 1000  # frames of a network call at most: more need more memory, and are no faster


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--start_batch", type=cli.count, default=0, help="first batch file to encode")
    parser.add_argument("--max_batch", type=cli.count, help="last batch file to encode (inclusive); default: all")
    parser.add_argument("--N", type=cli.positive_int, help="encode the first batches that hold this many episodes")
    cli.add_time_steps(parser)
    return parser.parse_args()


def encode_batch(vae: "VAE", batch: Batch, sizes: Sizes, bar: tqdm) -> Iterator[dict[str, np.ndarray]]:
    """Yield the latent series of each episode of an obs batch; data/README.md has their shapes."""
    time_steps = batch.record.time_steps
    rows = min(time_steps, ROWS)
    for episode in range(batch.episodes):
        parts = [slice(first, first + rows) for first in range(0, time_steps, rows)]
        encoded = [vae.encode(batch["obs_data"][episode, part], rows) for part in parts]
        mu, log_var = (np.concatenate(arrays) for arrays in zip(*encoded, strict=True))
        reward = sizes.modeled_reward(batch["reward_data"][episode])[:, None]
        action, done = batch["action_data"][episode], batch["done_data"][episode][:, None]
        yield {
            "rnn_input": np.concatenate([mu, action, reward], axis=1)[:-1],
            "rnn_output": np.concatenate([mu, reward, *[done] * sizes.done], axis=1)[1:],
            "rnn_log_var": log_var,
        }
        bar.update(time_steps)


def is_complete(number: int, settings: RNNSettings) -> bool:
    """Whether the rnn batch of these settings exists; prints why a batch of other settings is encoded again."""
    record = read_record("rnn", number)
    if record is not None and record.settings != settings:
        whys = {"vae_hash": "by another VAE", "obs": "from other frames"}
        differs = [why for field, why in whys.items() if getattr(record.settings, field) != getattr(settings, field)]
        why = (*differs, "for another entry in config.py")[0]
        tqdm.write(f"batch {number} was encoded {why}: encoding it again")
        return False
    return record is not None


def settings_and_sizes(batch: Batch, vae_hash: str, z_dim: int) -> tuple[RNNSettings, Sizes]:
    """The settings of the rnn batch of an obs batch, and the sizes of the M that it is for."""
    recorded = batch.record.settings
    assert isinstance(recorded, ObsSettings)
    sizes = sizes_for(recorded.env, recorded.actions, z_dim)
    settings = RNNSettings(
        env=recorded.env,
        vae_hash=vae_hash,
        obs=batch.hash,
        lengths=tuple(real_steps(batch["done_data"][:]).sum(axis=1).tolist()),  # without padding
        z=sizes.z,
        actions=sizes.actions,
        reward=sizes.reward,
        done=sizes.done,
        run_all_envs=recorded.run_all_envs,
    )
    return settings, sizes


def write_series(vae: "VAE", vae_hash: str, number: int) -> bool:
    """Encode one batch unless it is complete; returns whether it was encoded."""
    with claim_batch("rnn", number) as locked:
        if not locked:
            raise UserError(f"batch {number} is being encoded by another process")
        batch = open_batch("obs", number)
        settings, sizes = settings_and_sizes(batch, vae_hash, vae.z_dim)
        if is_complete(number, settings):
            return False
        time_steps = batch.record.time_steps
        with cli.progress(batch.episodes * time_steps, "frame", f"batch {number}") as bar:
            write_batch("rnn", number, batch.episodes, time_steps, encode_batch(vae, batch, sizes, bar), settings)
        return True


def write_initial_z(vae_hash: str) -> None:
    """Write the initial states of dreams: mu and log_var of the first frame of every episode encoded by this VAE."""
    records = {number: read_record("rnn", number) for number in find_batches("rnn")}
    of_this_vae = [number for number, record in records.items() if record and record.settings.vae_hash == vae_hash]
    series = [open_batch("rnn", number) for number in of_this_vae]
    log_var = np.concatenate([batch["rnn_log_var"][:, 0] for batch in series])
    mu = np.concatenate([batch["rnn_input"][:, 0, : log_var.shape[1]] for batch in series])
    with atomic_write(config.DATA_DIR / "initial_z.npz") as part:
        np.savez(part, mu=mu, log_var=log_var, vae=np.array(vae_hash))


@cli.enough_memory("record shorter episodes, see --time_steps of 01")
def main() -> None:
    args = parse_args()
    numbers = select_batches(args.start_batch, args.max_batch, args.N, args.time_steps)

    from vae.arch import VAE  # imports TensorFlow, which takes seconds: --help and errors come before

    weights = config.VAE_DIR / "weights.h5"
    vae = VAE(sizes_of(weights).z)
    vae_hash = vae.load(weights)
    environments = trained_in(weights)
    for number in numbers:
        remedy = f"leave batch {number} out by --start_batch and --max_batch, or train V on it"
        check_env(f"{config.VAE_DIR}/", environments, existing_record("obs", number).settings.env, remedy)
    encoded = sum([write_series(vae, vae_hash, number) for number in numbers])
    if encoded < len(numbers):
        print(f"{len(numbers) - encoded} of {len(numbers)} batches are complete and kept")
    write_initial_z(vae_hash)
    print(f"series of batches {numbers[0]}..{numbers[-1]} and initial_z.npz in {config.DATA_DIR}/")


if __name__ == "__main__":
    cli.run(main)
