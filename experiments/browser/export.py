"""What the browser page holds: weights in half precision, initial states, and a recorded drive of the agent."""

import base64
import hashlib
from typing import Any

import cv2
import numpy as np

import config
from controller.arch import unpack
from experiments.plots.vae import INFORMATIVE_NATS, nats_per_latent
from pipeline.errors import UserError
from simulation.agent import Agent
from simulation.collect import record_episodes
from simulation.policies import ControllerPolicy
from simulation.real_world import ROWS, RealWorld
from simulation.rollout import Task

DRIVE_STEPS = 400  # frames of the recorded drive
MIN_STEPS = 20  # fewer are no drive in which a dream could start
INITIAL_STATES = 64  # of data/initial_z.npz, evenly spaced
MIN_LATENTS = 8  # sliders of a V that stores no information yet
SHEET_COLUMNS = 20  # frames side by side in the image that holds all of them


def named_weights(agent: Agent, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of V's decoder, M and C by the names that the page uses; `weights` (867,) are the controller's."""
    W, b = unpack(weights)
    deconvolutions = [f"deconv{i}_{part}" for i in range(4) for part in ("kernel", "bias")]
    decoder = ["dense_kernel", "dense_bias", *deconvolutions]
    rnn = ["lstm_kernel", "lstm_recurrent_kernel", "lstm_bias", "mixture_kernel", "mixture_bias"]
    return {
        **dict(zip(decoder, agent.vae.decoder.get_weights(), strict=True)),
        **dict(zip(rnn, agent.rnn.model.get_weights(), strict=True)),
        "controller_W": W,
        "controller_b": b,
    }


def halves(*arrays: np.ndarray) -> bytes:
    """Arrays one after the other as little-endian float16.

    Raises:
        UserError: a number is too large for float16, or is not finite.
    """
    with np.errstate(over="ignore"):
        rounded = [array.astype("<f2") for array in arrays]
    if not all(np.isfinite(array).all() for array in rounded):
        raise UserError("the weights of V, M or C are too large for the page (above 65,504), or damaged: train again")
    return b"".join(array.tobytes() for array in rounded)


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def weights_data(agent: Agent, weights: np.ndarray) -> dict[str, Any]:
    """The weights: names and shapes in order, the numbers, and the SHA-256 of their bytes."""
    named = named_weights(agent, weights)
    content = halves(*named.values())
    layout = [[name, list(array.shape)] for name, array in named.items()]
    return {"layout": layout, "numbers": encoded(content), "sha256": hashlib.sha256(content).hexdigest()}


def initial_data(initial_z: tuple[np.ndarray, np.ndarray]) -> dict[str, str]:
    """mu and log_var of some initial states, (n, 32) each; `initial_z` is that of open_initial_z."""
    chosen = np.linspace(0, len(initial_z[0]) - 1, min(INITIAL_STATES, len(initial_z[0]))).astype(int)
    mu, log_var = (encoded(halves(array[chosen])) for array in initial_z)
    return {"mu": mu, "log_var": log_var}


def drive_data(agent: Agent, weights: np.ndarray, env_name: str, env_seed: int) -> dict[str, Any]:
    """A drive of the agent in the real environment: frames, z, actions, rewards, and the latents that vary.

    Raises:
        UserError: the episode ends at once.
    """
    task = Task(env_seed, DRIVE_STEPS - 1, weights)
    [episode] = record_episodes(RealWorld(agent, env_name), ControllerPolicy(ROWS), [task], DRIVE_STEPS)
    steps = DRIVE_STEPS - int(episode["done_data"].sum())
    if steps < MIN_STEPS:
        raise UserError(f"the agent's episode in {env_name} ends after {steps} steps: the page needs {MIN_STEPS}")
    frames = episode["obs_data"][:steps]
    mu, log_var = agent.vae.encode(frames, ROWS)
    nats = nats_per_latent(mu, log_var)
    count = max(MIN_LATENTS, int((nats > INFORMATIVE_NATS).sum()))
    return {
        "steps": steps,
        "columns": SHEET_COLUMNS,
        "frames": encoded(sheet(frames)),
        "z": encoded(halves(mu)),
        "actions": encoded(halves(episode["action_data"][:steps])),
        "positive_rewards": (episode["reward_data"][:steps] > 0).astype(int).tolist(),
        "latents": np.argsort(-nats)[:count].tolist(),
    }


def sheet(frames: np.ndarray) -> bytes:
    """One PNG of all frames, uint8 (n, 64, 64, 3), in rows of SHEET_COLUMNS."""
    size = config.FRAME_SHAPE[0]
    missing = -len(frames) % SHEET_COLUMNS
    padded = np.concatenate([frames, np.zeros((missing, *config.FRAME_SHAPE), np.uint8)])
    image = padded.reshape(-1, SHEET_COLUMNS, size, size, 3).swapaxes(1, 2).reshape(-1, SHEET_COLUMNS * size, 3)
    _, png = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return png.tobytes()
