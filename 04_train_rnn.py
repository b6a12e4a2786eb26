"""Stage 04: train the MDN-RNN (M) on the latent series of stage 03.

    python 04_train_rnn.py --start_batch 0 --max_batch 9 --new_model
    python 04_train_rnn.py --new_model --batch_size 100 --steps 4000
    python 04_train_rnn.py --new_model --init_weights ../rnn/weights.h5 --steps 200    # start from earlier weights

Reads data/rnn_*; writes rnn/weights.h5 (best validation loss), rnn/state.h5 (for resuming), rnn/log.csv (losses)
and log/rnn/ (the same and images, for TensorBoard).
Every --checkpoint_steps gradient steps M is validated on a fixed part of the held-out episodes and saved.
The same command without --new_model resumes the training, also with a larger --epochs or --steps. Every gradient step
samples z anew from the mean and variance given by the VAE. Losses: z_loss is the negative log likelihood in nats per
latent, reward_loss the binary cross-entropy of a positive reward in nats, and loss is their sum. Where config.py says
so, M models the value of the reward instead, and predicts the end of an episode (done_loss).
"""

import argparse
from dataclasses import asdict
from functools import partial

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import numpy as np

import config
from pipeline.batches import (
    MAKER,
    Batch,
    RNNSettings,
    check_vae,
    combined_hash,
    environments_of,
    open_batches,
    split_episodes,
)
from pipeline.entries import entry_of
from pipeline.errors import UserError
from pipeline.schedule import Schedule, in_order, shuffled, spread
from pipeline.sizes import Sizes
from pipeline.weights import TrainingSettings, find_vae_hash

WEIGHTS = config.RNN_DIR / "weights.h5"
CHECKPOINT_STEPS = 100  # gradient steps: a checkpoint costs about 2 % of their time at most
PATIENCE_STEPS = 4000  # gradient steps without a better validation loss


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    epochs = "passes over the episodes in total; default: set by --steps"
    parser.add_argument("--epochs", type=cli.positive_int, help=epochs)
    parser.add_argument("--steps", type=cli.positive_int, default=4000, help="gradient steps in total")
    parser.add_argument("--batch_size", type=cli.positive_int, default=100, help="episodes per gradient step")
    return cli.parse_training(parser, WEIGHTS, CHECKPOINT_STEPS)


def sizes_in(batches: list[Batch]) -> Sizes:
    """The sizes of M: those of the series, and for the rest those of the environment's entry.

    Raises:
        UserError: series of one batch were made for another M than those of another.
    """
    found = set()
    for batch in batches:
        settings = batch.record.settings
        assert isinstance(settings, RNNSettings)
        entry = entry_of(settings.env)
        found.add(Sizes(settings.z, settings.actions, entry.h, entry.mixtures, settings.done, settings.reward))
    if len(found) > 1:
        raise UserError(f"the series are for an M of {' and of '.join(map(str, found))}: run {MAKER['rnn']} again")
    return found.pop()


def read_series(batches: list[Batch], sizes: Sizes, episodes: np.ndarray) -> dict[str, np.ndarray]:
    """Read n episodes, counted across all batches, as the input of RNNTrainer.losses_of."""
    ends, shape = np.cumsum([batch.episodes for batch in batches]), (len(episodes), batches[0].record.time_steps)
    steps = (len(episodes), shape[1] - 1)
    mu, log_var = np.empty((2, *shape, sizes.z), np.float32)
    action, reward = np.empty((*steps, sizes.actions), np.float32), np.empty(shape, np.float32)
    real, done = np.empty(steps, bool), np.empty(steps, np.float32)
    z, a = slice(0, sizes.z), slice(sizes.z, -1)
    for row, episode in enumerate(episodes):
        position = int(np.searchsorted(ends, episode, side="right"))
        batch = batches[position]
        episode = int(episode - ends[position] + batch.episodes)  # within the batch
        inputs, outputs = batch["rnn_input"][episode], batch["rnn_output"][episode]
        mu[row, 0], mu[row, 1:] = inputs[0, z], outputs[:, z]
        reward[row, 0], reward[row, 1:], done[row] = inputs[0, -1], outputs[:, sizes.z], outputs[:, -1]
        action[row], log_var[row] = inputs[:, a], batch["rnn_log_var"][episode]
        real[row] = batch.transitions(episode)
    series = {"mu": mu, "log_var": log_var, "action": action, "reward": reward, "real": real}
    return series | ({"done": done} if sizes.done else {})


@cli.enough_memory("lower --batch_size")
def main() -> None:
    args = parse_args()
    batches = open_batches("rnn", args.start_batch, args.max_batch, args.N)
    vae_hash = find_vae_hash()
    check_vae(batches, vae_hash)
    sizes = sizes_in(batches)
    episodes = min(sum(batch.episodes for batch in batches), args.N or np.inf)
    train, held_out = split_episodes(int(episodes), args.seed)
    if len(train) < args.batch_size:
        raise UserError(f"--batch_size {args.batch_size} is more than the {len(train)} training episodes")

    from pipeline import training  # imports TensorFlow, which takes seconds: --help and errors come before
    from pipeline.devices import strategy
    from pipeline.networks import seed_everything, use_one_thread_per_operation
    from pipeline.optimizer import Adam
    from rnn.arch import RNN, RNNTrainer

    use_one_thread_per_operation()  # see TOWERS of pipeline/networks.py
    seed_everything(args.seed)
    with strategy(args.distribute).scope():
        rnn = RNN(sizes)
        init_weights = args.init_weights and rnn.load(args.init_weights)
        trainer = RNNTrainer(rnn, args.seed)
        trainer.compile(optimizer=Adam(1e-3, global_clipnorm=1.0))
    settings = TrainingSettings(
        env=environments_of(batch.record.settings for batch in batches),
        data=combined_hash(batches),
        vae_hash=vae_hash,
        N=args.N,
        batch_size=args.batch_size,
        seed=args.seed,
        init_weights=init_weights,
        **asdict(sizes),
    )
    held_out = spread(held_out, args.batch_size)
    read = partial(read_series, batches, sizes)
    print(f"{len(train)} training episodes, {len(held_out)} validation episodes")
    training.fit(
        trainer,
        config.RNN_DIR,
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
