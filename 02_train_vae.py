"""Stage 02: train the VAE (V) on the frames of stage 01.

    python 02_train_vae.py --start_batch 0 --max_batch 9 --new_model
    python 02_train_vae.py --new_model --N 2000 --epochs 10
    python 02_train_vae.py --new_model --init_weights ../vae/weights.h5 --steps 1000    # start from earlier weights

Reads data/obs_*; writes vae/weights.h5 (best validation loss), vae/state.h5 (for resuming), vae/log.csv (losses)
and log/vae/ (the same and images, for TensorBoard).
Every --checkpoint_steps gradient steps V is validated on a fixed part of the held-out frames and saved.
The same command without --new_model resumes the training, also with a larger --epochs or --steps. Losses:
reconstruction is the squared error summed over the 64 x 64 x 3 values (0..1) of a frame, kl is in nats, summed over the
latents, and loss is reconstruction / (2 pixel_variance) + kl; a car's pixel_variance is 1/2 (config.py).
"""

import argparse
from functools import partial

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from pipeline.batches import (
    Batch,
    check_time_steps,
    combined_hash,
    environments_of,
    open_batches,
    real_steps,
    split_episodes,
)
from pipeline.entries import entry_of
from pipeline.errors import UserError
from pipeline.schedule import Schedule, in_order, shuffled, spread
from pipeline.weights import TrainingSettings

WEIGHTS = config.VAE_DIR / "weights.h5"
CHECKPOINT_STEPS = 200  # gradient steps: a checkpoint costs about 2 % of their time at most
PATIENCE_STEPS = 5000  # gradient steps without a better validation loss


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--epochs", type=cli.positive_int, default=10, help="passes over the frames in total")
    parser.add_argument("--steps", type=cli.positive_int, help="gradient steps in total; default: set by --epochs")
    parser.add_argument("--batch_size", type=cli.positive_int, default=100, help="frames per gradient step")
    cli.add_time_steps(parser)
    return cli.parse_training(parser, WEIGHTS, CHECKPOINT_STEPS)


def find_frames(batches: list[Batch], episodes: np.ndarray) -> np.ndarray:
    """The indices of all frames of some episodes, without the padding after their ends.

    Args:
        episodes: sorted episode numbers, counted across all batches.

    Returns: int32 (frames, 3): position in `batches`, episode within that batch, step.
    """
    indices, first = [], 0
    for position, batch in enumerate(batches):
        selected = episodes[(episodes >= first) & (episodes < first + batch.episodes)] - first
        episode, step = np.nonzero(real_steps(batch["done_data"][selected]))
        indices.append(np.stack([np.full_like(step, position), selected[episode], step], axis=1).astype(np.int32))
        first += batch.episodes
    return np.concatenate(indices)


def read_frames(batches: list[Batch], indices: np.ndarray) -> np.ndarray:
    """Read frames: indices (n, 3) of `find_frames` -> uint8 (n, 64, 64, 3)."""
    frames = np.empty((len(indices), *config.FRAME_SHAPE), np.uint8)
    for row, (position, episode, step) in enumerate(indices.tolist()):
        frames[row] = batches[position]["obs_data"][episode, step]
    return frames


@cli.enough_memory("lower --batch_size")
def main() -> None:
    args = parse_args()
    batches = open_batches("obs", args.start_batch, args.max_batch, args.N)
    check_time_steps(args.time_steps, batches[0].record)
    environments = environments_of(batch.record.settings for batch in batches)
    entry = entry_of(environments[0])
    episodes = min(sum(batch.episodes for batch in batches), args.N or np.inf)
    train_episodes, held_out_episodes = split_episodes(int(episodes), args.seed)
    train, held_out = find_frames(batches, train_episodes), find_frames(batches, held_out_episodes)
    if len(train) < args.batch_size:
        raise UserError(f"--batch_size {args.batch_size} is more than the {len(train)} training frames")

    from pipeline import training  # imports TensorFlow, which takes seconds: --help and errors come before
    from pipeline.devices import strategy
    from pipeline.networks import TOWERS, seed_everything, use_one_thread_per_operation
    from pipeline.optimizer import Adam
    from vae.arch import VAE, VAETrainer

    if cli.cores() <= TOWERS:  # on more, every operation of V uses all of them
        use_one_thread_per_operation()
    seed_everything(args.seed)
    with strategy(args.distribute).scope():
        vae = VAE(entry.z)
        init_weights = args.init_weights and vae.load(args.init_weights)
        trainer = VAETrainer(vae, args.seed, entry.pixel_variance)
        trainer.compile(optimizer=Adam(1e-3))
    settings = TrainingSettings(
        env=environments,
        data=combined_hash(batches),
        N=args.N,
        batch_size=args.batch_size,
        seed=args.seed,
        init_weights=init_weights,
        z=vae.z_dim,
        pixel_variance=entry.pixel_variance,
    )
    held_out = spread(held_out, args.batch_size)
    read = partial(read_frames, batches)
    print(f"{len(train)} training frames of {len(train_episodes)} episodes, {len(held_out)} validation frames")
    training.fit(
        trainer,
        config.VAE_DIR,
        settings=settings,
        schedule=Schedule(len(train) // args.batch_size, args.epochs, args.steps, args.checkpoint_steps),
        new_model=args.new_model,
        training=lambda epoch, first: map(read, shuffled(train, args.batch_size, args.seed, epoch, first)),
        validation=lambda: map(read, in_order(held_out, args.batch_size)),
        patience_steps=PATIENCE_STEPS,
    )
    print(f"best weights in {WEIGHTS}")


if __name__ == "__main__":
    cli.run(main)
