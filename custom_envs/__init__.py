"""Our environments. Importing this package registers them with Gymnasium and loads nothing else."""

import sys

from gymnasium.envs.registration import register

ENTRY_POINTS = {
    "WorldModels/CarRacing-v0": "custom_envs.car_racing:CarRacing",
    "WorldModels/CarRacingDream-v0": "custom_envs.car_racing_dream:CarRacingDream",
    "WorldModels/CarRacingOriginal-v0": "custom_envs.original:OriginalCarRacing",
}
for gymnasium_id, entry_point in ENTRY_POINTS.items():
    # No max_episode_steps: how long an episode may last is the caller's decision, recorded with its data.
    register(gymnasium_id, entry_point)

if "gym" in sys.modules:  # somebody uses Gymnasium's predecessor and wants them there
    from custom_envs import legacy_gym

    for gymnasium_id in ENTRY_POINTS:
        legacy_gym.register(gymnasium_id)
