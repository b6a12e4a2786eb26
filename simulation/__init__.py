"""Many episodes at once: worlds, rollouts, the agent in memory, MPI ranks; registers the dream with Gymnasium."""

import sys

from gymnasium.envs.registration import register, registry

import custom_envs  # registers an id that explains where the dream has moved to; replaced below

DREAM_ID = custom_envs.DREAM_ID
registry.pop(DREAM_ID, None)
register(DREAM_ID, "simulation.dream_env:CarRacingDream")

if "gym" in sys.modules:  # Gymnasium's predecessor is in use: register the dream there as well
    from custom_envs import legacy_gym

    legacy_gym.register(DREAM_ID)
