"""Real environments, registered with Gymnasium when this package is imported; their modules load when made."""

import sys
from typing import NoReturn

from gymnasium import error
from gymnasium.envs.registration import register, registry

ENVIRONMENTS: dict[str, tuple[str, dict]] = {  # id -> entry point and its arguments
    "WorldModels/CarRacing-v0": ("custom_envs.car_racing:CarRacing", {}),
    "WorldModels/CarRacingRandomized-v0": ("custom_envs.car_racing:CarRacing", {"domain_randomize": True}),
    "WorldModels/CarRacingColor-v0": ("custom_envs.perturbed:ShiftedColors", {"channels": 1}),
    "WorldModels/CarRacingColor3-v0": ("custom_envs.perturbed:ShiftedColors", {"channels": 3}),
    "WorldModels/CarRacingBar-v0": ("custom_envs.perturbed:SideBars", {}),
    "WorldModels/CarRacingBlob-v0": ("custom_envs.perturbed:Blob", {}),
    "WorldModels/CarRacingOriginal-v0": ("custom_envs.original:OriginalCarRacing", {}),
}
MAX_EPISODE_STEPS = 1000  # of gym.make without a limit of its own, as in CarRacing-v0; the stages set theirs
LEGACY_ID = "WorldModels/LegacyGym-v0"
DREAM_ID = "WorldModels/CarRacingDream-v0"


def moved_dream(**kwargs: object) -> NoReturn:
    """Raise an error that names the dream's new id, for code that uses the one from before it moved to simulation/."""
    raise error.UnregisteredEnv(f"custom_envs:{DREAM_ID} has moved: gym.make('simulation:{DREAM_ID}')")


for gymnasium_id, (entry_point, arguments) in ENVIRONMENTS.items():
    register(gymnasium_id, entry_point, max_episode_steps=MAX_EPISODE_STEPS, kwargs=arguments)
register("WorldModels/Snake-v0", "custom_envs.snake:Snake")
register(LEGACY_ID, "custom_envs.legacy_gym:LegacyGym")
if DREAM_ID not in registry:
    register(DREAM_ID, "custom_envs:moved_dream", disable_env_checker=True)

if "gym" in sys.modules:  # gym 0.26 is in use: register the environments with it as well
    from custom_envs import for_gym

    for gymnasium_id in ENVIRONMENTS:
        for_gym.register(gymnasium_id, MAX_EPISODE_STEPS)
