"""Sizes, paths and the table of environments. Edit this file to add an environment (docs/your_own_environment.md).

Values only: a callable is named as "module:function", as in Gymnasium's entry points.
"""

from dataclasses import dataclass, replace
from pathlib import Path

# --- frames and actions -----------------------------------------------------------------------------------------------
FRAME_SHAPE = (64, 64, 3)  # height, width, RGB; uint8
ACTIONS = ("steer", "gas", "brake")  # -1..1, 0..1, 0..1
ACTION_LOW = (-1.0, 0.0, 0.0)
ACTION_HIGH = (1.0, 1.0, 1.0)

# --- output folders of the stages, relative to the working directory --------------------------------------------------
DATA_DIR = Path("data")
VAE_DIR = Path("vae")
RNN_DIR = Path("rnn")
CONTROLLER_DIR = Path("controller")
LOG_DIR = Path("log")
VIDEO_DIR = Path("videos")
REPORT_DIR = Path("report")
BASELINES_DIR = Path("baselines")
PRETRAINED_DIR = Path(__file__).parent / "pretrained"  # the shipped agent; it has the same folders
PRETRAINED = "car_racing.cma.4.64.best.json"  # its controller


# --- environments -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Environment:
    """How the pipeline uses one environment."""

    id: str  # Gymnasium id; "module:Id" first imports the module that registers it
    explore: str  # "module:function" of the exploration policy: (step, last action, rng, refresh_rate) -> action
    max_length: int = 1000  # steps per episode
    no_progress_reward: float = 0.0  # charged for each remaining step of an episode truncated for lack of progress
    pretrained: str | None = None  # file name of the shipped controller in pretrained/controller/


ENVIRONMENTS = {
    "car_racing": Environment(
        id="custom_envs:WorldModels/CarRacing-v0",
        explore="custom_envs.exploration:explore_car_racing",
        max_length=1000,
        no_progress_reward=-0.1,
        pretrained=PRETRAINED,
    ),
    "car_racing_original": Environment(  # gym 0.17.2: see custom_envs/original.py
        id="custom_envs:WorldModels/CarRacingOriginal-v0",
        explore="custom_envs.exploration:explore_car_racing",
        no_progress_reward=-0.1,
        pretrained=PRETRAINED,
    ),
}
# CarRacing with other pixels (custom_envs/perturbed.py), to score agents that were trained on car_racing.
PERTURBED = {"randomized": "Randomized", "color": "Color", "color3": "Color3", "bar": "Bar", "blob": "Blob"}
ENVIRONMENTS |= {
    f"car_racing_{name}": replace(ENVIRONMENTS["car_racing"], id=f"custom_envs:WorldModels/CarRacing{suffix}-v0")
    for name, suffix in PERTURBED.items()
}
TRAIN_ENVS = ("car_racing",)  # the environments of 01 --run_all_envs
ACTION_REFRESH_RATE = 5  # frames for which the exploration policy holds an action
