"""Sizes, paths and the table of environments: the file to edit for an environment of your own.

Values only. A callable is named as "module:function", as Gymnasium names its entry points. See
docs/your_own_environment.md.
"""

from dataclasses import dataclass
from pathlib import Path

# --- sizes (the paper's and the tutorial's) ---------------------------------------------------------------------------
FRAME_SHAPE = (64, 64, 3)  # height, width, RGB; uint8
Z_DIM = 32  # latents a frame
ACTIONS = ("steer", "gas", "brake")  # -1..1, 0..1, 0..1
ACTION_DIM = len(ACTIONS)
HIDDEN_UNITS = 256  # LSTM units
MIXTURES = 5  # Gaussians a latent
ACTION_LOW = (-1.0, 0.0, 0.0)
ACTION_HIGH = (1.0, 1.0, 1.0)

# --- where the stages leave their files, below the folder they are started in -----------------------------------------
DATA_DIR = Path("data")
VAE_DIR = Path("vae")
RNN_DIR = Path("rnn")
CONTROLLER_DIR = Path("controller")
LOG_DIR = Path("log")
VIDEO_DIR = Path("videos")
REPORT_DIR = Path("report")
BASELINES_DIR = Path("baselines")
PRETRAINED_DIR = Path(__file__).parent / "pretrained"  # the shipped agent, in the same folders
PRETRAINED = "car_racing.cma.4.64.best.json"


ACTION_REFRESH_RATE = 5  # frames for which the exploration policy holds an action


# --- environments -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Environment:
    """How the pipeline uses one environment."""

    id: str  # Gymnasium id; "module:Id" imports the module that registers it first
    explore: str  # "module:function" of the exploration policy: (step, last action, rng, refresh_rate) -> action
    max_length: int = 1000  # steps an episode
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
    "car_racing_original": Environment(  # gym 0.17.2 itself: see custom_envs/original.py
        id="custom_envs:WorldModels/CarRacingOriginal-v0",
        explore="custom_envs.exploration:explore_car_racing",
        no_progress_reward=-0.1,
        pretrained=PRETRAINED,
    ),
}
TRAIN_ENVS = ("car_racing",)  # the environments of 01 --run_all_envs
