"""Rollouts of many episodes at once: worlds, agents, data collection, MPI ranks. Registers the dream environment."""

import sys

from gymnasium.envs.registration import register, registry

import custom_envs  # registers the dream's id with an error that names the new one; replaced below

DREAM_ID = custom_envs.DREAM_ID
registry.pop(DREAM_ID, None)
register(DREAM_ID, "simulation.dream_env:CarRacingDream")

if "gym" in sys.modules:  # gym 0.26 is in use: register the dream with it as well
    from custom_envs import for_gym

    for_gym.register(DREAM_ID)
