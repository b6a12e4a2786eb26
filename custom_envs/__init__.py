"""Our environments. Importing this package registers them with Gymnasium and loads nothing else."""

from gymnasium.envs.registration import register

# No max_episode_steps: how long an episode may last is the caller's decision, recorded with its data.
register(id="WorldModels/CarRacing-v0", entry_point="custom_envs.car_racing:CarRacing")
register(id="WorldModels/CarRacingOriginal-v0", entry_point="custom_envs.original:OriginalCarRacing")
