"""Short dreams that start at recorded moments: --dream_length of stage 05.

A whole dream starts at the first frame of an episode, and M's errors add up over its steps; a search learns to drive in
what is left of the road. A short dream starts at any step of a recorded episode, with the h and c that M had there, and
ends before M has lost the road, as the branched rollouts of MBPO do (Janner et al. 2019, arXiv 1906.08253).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pipeline.batches import check_vae, combined_hash, open_batches_of
from pipeline.seeds import rng
from simulation.dream import DreamWorld

if TYPE_CHECKING:
    from rnn.arch import RNN

EPISODES = 400  # of which the moments are drawn
MOMENTS = 16_384  # each of some 2.5 kB; every rank holds them


class Moments(NamedTuple):
    """Moments of recorded episodes, float32: mu and log_var (n, 32), M's h and c (n, 256), modeled reward (n,)."""

    mu: np.ndarray
    log_var: np.ndarray
    h: np.ndarray
    c: np.ndarray
    modeled_reward: np.ndarray


def series_hash(env_name: str) -> str:
    """A hash of the latent series of an environment, 16 hex digits; with V, M and a seed they decide the moments."""
    return combined_hash(list(open_batches_of(env_name, "rnn")))


def recorded_moments(env_name: str, vae_hash: str, rnn: "RNN", seed: int) -> Moments:
    """Draw moments from the latent series of stage 03, as many from every batch of the environment.

    Batches may come from different policies; the latest ones, of the agent that is searched further, are small.

    Raises:
        UserError: there is no batch, or another VAE encoded one.
    """
    batches = list(open_batches_of(env_name, "rnn"))
    check_vae(batches, vae_hash)
    random = rng("dream_moments", seed)
    parts = []
    for batch in batches:
        episodes = np.sort(random.permutation(batch.episodes)[: max(1, EPISODES // len(batches))])
        outputs, log_var = batch["rnn_output"][episodes], batch["rnn_log_var"][episodes, 1:]
        h, c = np.split(rnn.hidden_states(batch["rnn_input"][episodes], cell=True), 2, axis=2)
        e, t = random.permutation(np.argwhere(batch.transitions(episodes)))[: max(1, MOMENTS // len(batches))].T
        z = rnn.sizes.z
        parts.append((outputs[e, t, :z], log_var[e, t], h[e, t], c[e, t], outputs[e, t, z]))
    return Moments(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class ContinuedDreams(DreamWorld):
    """Dreams that continue recorded moments; everything else is that of DreamWorld."""

    def __init__(self, rnn: "RNN", moments: Moments, *args: Any, **kwargs: Any) -> None:
        super().__init__(rnn, (moments.mu, moments.log_var), *args, **kwargs)
        self.moments = moments

    def state_at(self, start: int) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
        """h, c and modeled reward of a moment."""
        return self.moments.h[start], self.moments.c[start], self.moments.modeled_reward[start]
