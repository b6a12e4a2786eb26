"""Sizes, paths and the table of environments. Edit this file to add an environment (docs/your_environment.md).

Values only: a callable is named as "module:function", as in Gymnasium's entry points.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

FRAME_SHAPE = (64, 64, 3)  # height, width, RGB; uint8

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
    arguments: dict[str, Any] = field(default_factory=dict)  # of gymnasium.make
    # What makes a frame uint8 (64, 64, 3): "module:Wrapper" and its arguments each, the innermost first.
    wrappers: tuple[tuple[str, dict[str, Any]], ...] = ()
    max_length: int = 1000  # steps per episode
    # What stage 05 charges for each remaining step of an episode that it truncates because no reward was positive for
    # --max_steps_without_progress; None: it truncates none, as where every reward is a cost.
    no_progress_reward: float | None = None

    # Actions: the numbers of a Box of one dimension, or the choices of a Discrete, which M sees one-hot.
    actions: tuple[str, ...] = ()  # what figures call them; (): by number
    # "module:function" of the exploration policy, (step, last action, rng, refresh_rate) -> action; None: at random.
    explore: str | None = None
    # "module:function" from C's outputs (..., A) to actions; None: into the bounds by tanh, or the largest one-hot.
    squash: str | None = None

    # The models; the defaults are the paper's.
    z: int = 32  # latent dimensions of a frame
    pixel_variance: float = 0.5  # of a pixel (0..1) around V's reconstruction; less of it keeps smaller details
    h: int = 256  # LSTM units
    mixtures: int = 5  # Gaussians per latent dimension
    controller_input: tuple[str, ...] = ("z", "h")  # or ("z", "h", "c")
    reward: str = "positive"  # what M models: whether the reward is "positive", or its "value"
    done: bool = False  # whether M predicts the end of an episode, and with it ends dreams

    # Dreams.
    dream_reward: tuple[float, float] = (1.0, 0.0)  # (a, b): a dream's reward is a * r + b, where r is what M models
    dream_goal: int | None = None  # positive rewards that end a dream

    pretrained: str | None = None  # file name of the shipped controller in pretrained/controller/


ENVIRONMENTS = {
    "car_racing": Environment(
        id="custom_envs:WorldModels/CarRacing-v0",
        max_length=1000,
        no_progress_reward=-0.1,
        actions=("steer", "gas", "brake"),
        explore="custom_envs.exploration:explore_car_racing",
        squash="controller.arch:squash",
        dream_reward=(1000 / 300, -0.1),  # of a lap with 300 tiles: M predicts whether one was visited, not how many
        dream_goal=300,
        pretrained=PRETRAINED,
    ),
    "pendulum": Environment(
        id="Pendulum-v1",
        arguments={"render_mode": "rgb_array"},
        wrappers=(
            ("gymnasium.wrappers:AddRenderObservation", {}),  # a frame in place of angle and speed
            ("custom_envs.frames:Crop", {"top": 110, "left": 110, "height": 280, "width": 280}),
            ("gymnasium.wrappers:ResizeObservation", {"shape": FRAME_SHAPE[:2]}),
            ("custom_envs.frames:Dim", {}),
        ),
        max_length=200,
        actions=("torque",),
        z=8,
        h=64,
        reward="value",  # none is positive
        dream_reward=(4.0, -6.0),  # about the standard deviation and the mean of random actions
    ),
    "snake": Environment(
        id="custom_envs:WorldModels/Snake-v0",
        max_length=200,
        actions=("up", "right", "down", "left"),
        z=16,
        h=64,
        reward="value",
        dream_reward=(0.2, 0.0),  # about the standard deviation of random actions
        done=True,
    ),
}
ENVIRONMENTS["car_racing_original"] = replace(  # gym 0.17.2: see custom_envs/original.py
    ENVIRONMENTS["car_racing"], id="custom_envs:WorldModels/CarRacingOriginal-v0"
)
# CarRacing with other pixels (custom_envs/perturbed.py), to score agents that were trained on car_racing.
PERTURBED = {"randomized": "Randomized", "color": "Color", "color3": "Color3", "bar": "Bar", "blob": "Blob"}
ENVIRONMENTS |= {
    f"car_racing_{name}": replace(ENVIRONMENTS["car_racing"], id=f"custom_envs:WorldModels/CarRacing{suffix}-v0")
    for name, suffix in PERTURBED.items()
}
ENVIRONMENTS["doom_take_cover"] = Environment(  # the paper's sizes, section 4 and appendix A
    id="custom_envs.doom:VizdoomTakeCover-v1",
    wrappers=(
        ("custom_envs.doom:Screen", {}),
        ("custom_envs.frames:Crop", {"top": 80, "left": 0, "height": 120, "width": 320}),  # most of the rest is floor
        ("gymnasium.wrappers:ResizeObservation", {"shape": (64, 64)}),
    ),
    max_length=2100,
    actions=("stay", "right", "left"),
    z=64,
    pixel_variance=0.02,  # fireballs are a few pixels
    h=512,
    controller_input=("z", "h", "c"),
    done=True,
    dream_reward=(0.0, 1.0),  # every step survived counts 1
)
TRAIN_ENVS = ("car_racing",)  # the environments of 01 --run_all_envs
ACTION_REFRESH_RATE = 5  # frames for which the exploration policy holds an action
