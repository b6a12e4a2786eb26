"""The coordinates of a search: all weights of C, or a principal subspace of [z, h]."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controller.arch import without_h
from controller.settings import SearchSettings
from pipeline.batches import check_vae, open_batches_of
from pipeline.sizes import CAR

HiddenStates = Callable[[np.ndarray], np.ndarray]  # M: series (n, T, 36) -> h, or [h, c], after each step (n, T, 256)


@dataclass(frozen=True)
class Coordinates:
    """Linear coordinates u (k,) of the controller's weights: weights = w0 + T u, with w0 (867,) and T (867, k).

    The number of weights here and below is the car's.
    """

    w0: np.ndarray
    T: np.ndarray

    def weights(self, u: np.ndarray) -> np.ndarray:
        """Weights (..., 867) of coordinates u (..., k)."""
        weights: np.ndarray = self.w0 + (self.T @ u[..., None])[..., 0]
        return weights


def all_weights(w0: np.ndarray) -> Coordinates:
    """One coordinate per weight, as in the tutorial."""
    return Coordinates(w0, np.eye(len(w0)))


def principal_subspace(
    w0: np.ndarray, features: np.ndarray, components: int, actions: int = CAR.actions
) -> Coordinates:
    """Coordinates of a controller on the leading principal components of [z, h]: 3 * (components + 1) of them.

    Directions in which [z, h] hardly varies cannot influence the actions; without them the search has a sixth of the
    dimensions. With eigenvalues lambda_i and eigenvectors v_i of the covariance of the features x, each of the three
    inputs of `squash` is sum_i u_i lambda_i^(-1/4) v_i (x - mean) + u_k, with k + 1 coordinates u of its own, the bias
    last. The exponent -1/2 would give all components equal influence, 0 almost none to the small ones.

    Args:
        w0: weights at u = 0, float64 (867,).
        features: [z, h] of driven episodes, (n, 288).
        actions: numbers of an action.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    eigenvalues, eigenvectors = np.linalg.eigh(np.cov(features, rowvar=False, dtype=np.float64))
    leading = slice(-1, -1 - components, -1)  # eigh sorts in ascending order
    scale = np.maximum(eigenvalues[leading], 1e-12) ** -0.25
    directions = eigenvectors[:, leading] * scale
    # LAPACK leaves the sign of an eigenvector open; it is fixed here so that a seed determines the search.
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(components)])
    inputs = len(mean)
    one_action = np.zeros((inputs + 1, components + 1))
    one_action[:inputs, :components] = directions
    one_action[inputs, :components] = -mean @ directions
    one_action[inputs, components] = 1
    T: np.ndarray = np.zeros((actions, inputs + 1, actions, components + 1))
    for a in range(actions):
        T[a, :, a] = one_action
    T = T.reshape(actions, inputs + 1, -1)
    return Coordinates(w0, np.concatenate([T[:, :inputs].reshape(-1, T.shape[-1]), T[:, inputs]]))


SUBSPACE_EPISODES = 200  # enough to estimate the covariance of [z, h]


def new_coordinates(settings: SearchSettings, hidden_states: HiddenStates, w0: np.ndarray) -> Coordinates:
    """The coordinates of a new search by its settings `subspace` and `z_only`; w0 (867,) are the weights at u = 0."""
    if settings.subspace == 0:
        return all_weights(w0)
    features = real_features(hidden_states, settings.env_name, settings.vae_hash)
    components = settings.subspace
    if settings.z_only:
        features[:, settings.z :], components = 0, min(components, settings.z)
        w0 = without_h(w0, settings.actions, settings.z)
    return principal_subspace(w0, features, components, settings.actions)


def real_features(hidden_states: HiddenStates, env_name: str, vae_hash: str) -> np.ndarray:
    """[z, h] along the latent series of stage 03: float32 (n, 288).

    Every batch of the environment contributes the same number of episodes, since batches may come from different
    policies.

    Args:
        hidden_states: M as a function of series, (n, T, 36) -> h, or [h, c], after each step (n, T, 256).
        vae_hash: the VAE that must have encoded the series.

    Raises:
        UserError: there is no batch, or another VAE encoded one.
    """
    batches = list(open_batches_of(env_name, "rnn"))
    check_vae(batches, vae_hash)
    episodes_per_batch = max(1, SUBSPACE_EPISODES // len(batches))
    features = []
    for batch in batches:
        h = hidden_states(batch["rnn_input"][:episodes_per_batch])
        z_dim = batch["rnn_log_var"].shape[2]
        z = batch["rnn_output"][: len(h), :, :z_dim]  # pairs z_{t+1} with h_{t+1}, as the controller sees them
        features.append(np.concatenate([z, h], axis=-1)[batch.transitions(slice(len(h)))])
    return np.concatenate(features)
