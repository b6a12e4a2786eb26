"""The transfer of a controller to other V and M, on recorded episodes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from controller.arch import unpack
from controller.fit import fit_weights
from pipeline.batches import ObsSettings, check_vae, existing_record, find_batches_of, open_batch
from pipeline.entries import entry_of
from simulation.agent import Agent, folder_of
from simulation.real_world import ROWS

TRANSFER_EPISODES = 100  # 30,000 steps for 289 weights per action


def transferred_weights(
    agent: Agent, env_name: str, path: Path, hashes: dict[str, str], weights: np.ndarray
) -> np.ndarray:
    """The weights (867,) with which `agent` acts most nearly as the agent of another V and M does.

    After V and M have been trained further, z and h mean something else, and the earlier weights act otherwise. Both
    agents see the same episodes of data/: those of earlier agents or, where there are none, those of the exploration
    policy.

    Args:
        agent: the V and M of the new weights.
        env_name: whose batches are read.
        path: a file of the earlier controller, in the controller/ folder beside its V and M.
        hashes: of that V and M, {"vae": ..., "rnn": ...}.
        weights: of the earlier controller, float64 (867,).

    Raises:
        UserError: the earlier V or M is not beside the file, or a batch is missing or of another V.
    """
    earlier = Agent.on_one_thread()
    earlier.load_for(path, hashes, folder_of(path))
    numbers = find_batches_of(env_name, "rnn")
    by_agents = [b for b in numbers if _recorded_by_an_agent(b)]
    return fit_weights(_samples(agent, env_name, earlier, weights, by_agents or numbers))


def _recorded_by_an_agent(b: int) -> bool:
    settings = existing_record("obs", b).settings
    return isinstance(settings, ObsSettings) and settings.controller is not None


def _samples(
    agent: Agent, env_name: str, earlier: Agent, weights: np.ndarray, numbers: list[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each batch, the agent's [z, h] (n, 288) and what the earlier weights give `squash` at the same steps, (n, 3).

    Every batch contributes the same number of episodes.
    """
    W, b = unpack(weights, agent.sizes.actions)
    earlier_cell, cell = W.shape[1] > earlier.sizes.z + earlier.sizes.h, "c" in entry_of(env_name).controller_input
    for number in numbers:
        latents, frames = open_batch("rnn", number), open_batch("obs", number)["obs_data"]
        check_vae([latents], agent.hashes["vae"])
        inputs = latents["rnn_input"][: max(1, TRANSFER_EPISODES // len(numbers))]
        z = np.stack([earlier.vae.encode(frames[i], ROWS)[0] for i in range(len(inputs))])
        earlier_inputs = np.concatenate([z[:, :-1], inputs[..., agent.sizes.z :]], axis=-1)
        # z_{t+1} and h_{t+1}, as the controller sees them
        seen = np.concatenate([z[:, 1:], earlier.rnn.hidden_states(earlier_inputs, earlier_cell)], axis=-1)
        new_z = latents["rnn_output"][: len(inputs), :, : agent.sizes.z]
        features = np.concatenate([new_z, agent.rnn.hidden_states(inputs, cell)], axis=-1)
        running = latents.transitions(slice(len(inputs)))
        yield features[running], seen[running] @ W.T + b
