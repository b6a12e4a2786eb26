"""The sections of the report: of each stage, what it is, its figures, and how its files were made."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import config
from experiments.html_report import provenance
from experiments.html_report.controller_section import controller_figures, controller_provenance
from experiments.html_report.dream_section import dream_figures
from experiments.html_report.figures import Figure, said
from experiments.html_report.provenance import Provenance
from pipeline.batches import Batch, open_batches_of
from pipeline.sizes import Sizes
from pipeline.weights import sizes_of
from simulation.agent import Agent

Args = argparse.Namespace


@dataclass(frozen=True)
class Stage:
    """A section of the report.

    Attributes:
        heading, text: what the stage is.
        figures: command line -> figures, not yet drawn; UserError where the stage's files are missing.
        provenance: command line -> how its files were made.
    """

    heading: str
    text: str
    figures: Callable[[Args], list[Figure]]
    provenance: Callable[[Args], Provenance | None]


@cache  # opening a batch hashes it, which takes a second per gigabyte
def obs_batches(env_name: str) -> list[Batch]:
    return list(open_batches_of(env_name, "obs"))


# --- 01 to 04 ---------------------------------------------------------------------------------------------------------
def data_figures(args: Args) -> list[Figure]:
    from experiments.plots.data import draw_actions, draw_frames

    batches = obs_batches(args.env_name)
    return [
        Figure(
            "frames.png",
            "Recorded episodes",
            "Frames of four episodes at some steps; below, the actions of the last one and its sum of rewards.",
            said(
                args.env_name,
                "the road is in view most of the time, and the sum of rewards rises wherever the car visits tiles.",
                "the frames differ, and some of the actions lead to rewards.",
            ),
            lambda: draw_frames(batches),
        ),
        Figure(
            "actions.png",
            "Actions and returns",
            "How often each action was taken (logarithmic), and the sum of rewards of each episode.",
            "every value of each action occurs, and some episodes get far: M cannot learn what was never recorded.",
            lambda: draw_actions(batches),
        ),
    ]


def vae_figures(args: Args) -> list[Figure]:
    from experiments.plots.losses import VAE_LOSSES, draw_losses
    from experiments.plots.vae import draw_latents, draw_reconstructions

    weights, batches = config.VAE_DIR / "weights.h5", obs_batches(args.env_name)
    agent = Agent.on_one_thread(sizes=Sizes(z=sizes_of(weights).z))
    agent.vae.load(weights)
    return [
        Figure(
            "vae_losses.png",
            "Losses of V",
            "The two terms of V's loss at every checkpoint.",
            "the squared error falls and flattens while the KL divergence settles; both pairs of curves stay close.",
            lambda: draw_losses(config.VAE_DIR / "log.csv", VAE_LOSSES),
        ),
        Figure(
            "reconstructions.png",
            "Reconstructions",
            "Frames, and below each what V restores from their latents.",
            said(
                args.env_name,
                "road, bend and car are where they are in the frame; blurred edges do no harm.",
                "all that matters for acting is where it is in the frame; blurred edges do no harm.",
            ),
            lambda: draw_reconstructions(agent.vae, batches),
        ),
        Figure(
            "latents.png",
            "Latents",
            "Information in each latent, and one frame decoded with one latent changed at a time.",
            "some latents are informative, the others near zero; each changes something that matters.",
            lambda: draw_latents(agent.vae, batches),
        ),
    ]


def rnn_figures(args: Args) -> list[Figure]:
    from experiments.plots.losses import DONE_LOSS, RNN_LOSSES, draw_losses
    from experiments.plots.rnn import draw_predictions

    agent = Agent.on_one_thread()
    hashes = agent.load()
    losses = (*RNN_LOSSES, DONE_LOSS) if agent.sizes.done else RNN_LOSSES
    return [
        Figure(
            "rnn_losses.png",
            "Losses of M",
            "The terms of M's loss at every checkpoint.",
            "all curves fall and flatten; held-out data lie close to training data, else M memorizes.",
            lambda: draw_losses(config.RNN_DIR / "log.csv", losses),
        ),
        Figure(
            "predictions.png",
            "Predictions one step ahead",
            "One recorded episode: latents that vary most, and the reward, as M predicts them from the step before.",
            "the observed curve stays in the band most of the time, and the predicted reward rises where one came.",
            lambda: draw_predictions(agent.rnn, args.env_name, hashes["vae"]),
        ),
    ]


def data_provenance(args: Args) -> Provenance:
    return provenance.of_data(obs_batches(args.env_name))


def vae_provenance(args: Args) -> Provenance:
    return provenance.of_network(config.VAE_DIR, "02_train_vae.py")


def rnn_provenance(args: Args) -> Provenance:
    return provenance.of_network(config.RNN_DIR, "04_train_rnn.py", ["python 03_generate_rnn_data.py"])


STAGES = {
    "data": Stage(
        "01, episodes",
        "Stage 01 drives and records what V and M learn from: frames, actions and rewards.",
        data_figures,
        data_provenance,
    ),
    "vae": Stage(
        "02 V, the VAE",
        "V compresses a frame of 64 × 64 pixels into z, 32 latents, and restores the frame from them.",
        vae_figures,
        vae_provenance,
    ),
    "rnn": Stage(
        "04 M, the MDN-RNN",
        "Stage 03 encodes the episodes. M then learns to predict the next z and the reward.",
        rnn_figures,
        rnn_provenance,
    ),
    "controller": Stage(
        "05 C, the controller",
        "C is a linear layer from z and M's hidden state h to an action; an evolution strategy finds it.",
        controller_figures,
        controller_provenance,
    ),
    "dream": Stage(
        "The dream",
        "M predicts what V would see. Fed with its own predictions it continues an episode without the environment.",
        dream_figures,
        lambda args: None,
    ),
}
