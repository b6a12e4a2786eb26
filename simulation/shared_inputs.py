"""What rank 0 reads from files and every rank of a search needs: settings, V and M, and initial states."""

from functools import partial
from typing import NamedTuple

import numpy as np

from controller.settings import SearchSettings
from simulation.agent import Agent, Networks
from simulation.dream import DreamWorld, open_initial_z
from simulation.policies import ControllerPolicy
from simulation.ranks import Functions
from simulation.real_world import RealWorld
from simulation.rollout import rollout


class SharedInputs(NamedTuple):
    """The inputs of the rollouts of a search. Other ranks get them by broadcast: their hosts may have no files."""

    settings: SearchSettings
    networks: Networks
    initial_z: tuple[np.ndarray, np.ndarray] | None  # mu and log_var, float32 (n, 32) each; of a search in dreams


def read_inputs(settings: SearchSettings, agent: Agent) -> SharedInputs:
    """The inputs of a search, of an agent that has loaded its weights; UserError if the initial states are missing."""
    initial_z = open_initial_z(settings.vae_hash, z_dim=settings.z) if settings.dream_mode else None
    return SharedInputs(settings, agent.networks, initial_z)


def received(agent: Agent, inputs: SharedInputs) -> Functions:
    """The `rollouts` of another rank, whose agent has loaded nothing."""
    agent.networks = inputs.networks
    return rollouts(RealWorld(agent, inputs.settings.env_name), inputs)


def rollouts(real: RealWorld, inputs: SharedInputs) -> Functions:
    """The functions that roll out tasks in the real world and, for a search in dreams, in dreams."""
    settings = inputs.settings
    limit = settings.max_steps_without_progress
    functions: Functions = {
        "real": partial(rollout, real, ControllerPolicy(real.rows, real.form), max_steps_without_progress=limit)
    }
    if inputs.initial_z:
        dream = DreamWorld(real.agent.rnn, inputs.initial_z, settings.temperature, env_name=settings.env_name)
        policy = ControllerPolicy(dream.rows, real.form)
        functions["dream"] = partial(rollout, dream, policy, max_steps_without_progress=limit)
    return functions
