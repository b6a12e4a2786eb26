"""Our environments. Importing this package registers them with Gymnasium and loads nothing else."""

import sys

from gymnasium.envs.registration import register

# No max_episode_steps: how long an episode may last is the caller's decision, recorded with its data.
register(id="WorldModels/CarRacing-v0", entry_point="custom_envs.car_racing:CarRacing")
register(id="WorldModels/CarRacingOriginal-v0", entry_point="custom_envs.original:OriginalCarRacing")

if "gym" in sys.modules:  # somebody uses Gymnasium's predecessor and wants them there
    from custom_envs import legacy_gym

    legacy_gym.register("WorldModels/CarRacing-v0")
    legacy_gym.register("WorldModels/CarRacingOriginal-v0")
