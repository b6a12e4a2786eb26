"""What rank 0 reads from files and every rank of a search needs: settings, V and M, and initial states."""

from functools import partial
from typing import NamedTuple

import numpy as np

from controller.settings import SearchSettings
from simulation.agent import Agent, Networks
from simulation.dream import DreamWorld, initial_states_hash, open_initial_z
from simulation.moments import ContinuedDreams, Moments, recorded_moments, series_hash
from simulation.policies import ControllerPolicy
from simulation.ranks import Functions
from simulation.real_world import RealWorld
from simulation.rollout import rollout


class SharedInputs(NamedTuple):
    """The inputs of the rollouts of a search. Other ranks get them by broadcast: their hosts may have no files."""

    settings: SearchSettings
    networks: Networks
    initial_z: tuple[np.ndarray, np.ndarray] | None  # mu and log_var, float32 (n, 32) each; of whole dreams
    moments: Moments | None  # of short dreams


def read_inputs(settings: SearchSettings, agent: Agent) -> SharedInputs:
    """The inputs of a search, of an agent that has loaded its weights; UserError if starts of dreams are missing."""
    initial_z = moments = None
    if settings.dream_length:
        moments = recorded_moments(settings.env_name, settings.vae_hash, agent.rnn, settings.seed)
    elif settings.dream_mode:
        initial_z = open_initial_z(settings.vae_hash, z_dim=settings.z)
    return SharedInputs(settings, agent.networks, initial_z, moments)


def starts_hash(env_name: str, vae_hash: str, z_dim: int, dream_mode: int, dream_length: int) -> str | None:
    """A hash of what decides where the dreams of a search start; None for a search without dreams."""
    if dream_length:
        return series_hash(env_name)
    return initial_states_hash(vae_hash, z_dim) if dream_mode else None


def dream_world(agent: Agent, inputs: SharedInputs) -> DreamWorld | None:
    """The dreams of a search, if it has any."""
    temperature, env_name = inputs.settings.temperature, inputs.settings.env_name
    if inputs.moments:
        return ContinuedDreams(agent.rnn, inputs.moments, temperature, env_name=env_name)
    if inputs.initial_z:
        return DreamWorld(agent.rnn, inputs.initial_z, temperature, env_name=env_name)
    return None


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
    if dream := dream_world(real.agent, inputs):
        policy = ControllerPolicy(dream.rows, real.form)
        functions["dream"] = partial(rollout, dream, policy, max_steps_without_progress=limit)
    return functions
