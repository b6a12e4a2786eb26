"""The pretrained agent as the folder that the Hugging Face Hub expects: weights, config.json, model card and video.

    python experiments/hub.py hub                    # writes hub/; contacts nothing
    hf upload NAME/world-models-car-racing hub       # huggingface_hub's own command uploads it; not tried here

Copies the weights of V, M and C, the initial states of dreams and the logs of the search from pretrained/, so that
`load_agent("hub")` loads the copy. README.md is pretrained/README.md without links into the project; config.json has
the sizes, the environment and the hashes of the weights; replay.mp4 shows one lap, as model.py --record_video does.
"""

import argparse
import re
from pathlib import Path
from typing import Any

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import config
from controller.arch import NUM_WEIGHTS
from display import play
from display.video import open_video
from pipeline.actions import CAR_ACTIONS
from pipeline.files import check_new_folder, copy_file, write_json, write_text
from pipeline.seeds import env_seed_range
from pipeline.sizes import CAR
from simulation.agent import load_agent_and_weights
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import Task

ENV_NAME = "car_racing"
CONTROLLER = config.CONTROLLER_DIR / config.PRETRAINED
LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")


def parse_args() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("folder", type=Path, help="new or empty folder to write")
    parser.add_argument("--seed", type=cli.seed, default=0, help="seed of the track in replay.mp4")
    length = config.ENVIRONMENTS[ENV_NAME].max_length
    parser.add_argument("--max_length", type=cli.positive_int, default=length, help="steps of replay.mp4 at most")
    return parser.parse_args()


def copy_weights(folder: Path) -> None:
    """Copy the files of the pretrained agent in pretrained/, not those of other agents below it."""
    for part_of in (config.VAE_DIR, config.RNN_DIR, config.CONTROLLER_DIR, config.DATA_DIR, config.LOG_DIR):
        for path in sorted((config.PRETRAINED_DIR / part_of).iterdir()):
            copy_file(path, folder / part_of / path.name)


def card() -> str:
    """The model card; links into the project, which lead nowhere on the Hub, are plain text."""
    return LOCAL_LINK.sub(r"\1", (config.PRETRAINED_DIR / "README.md").read_text(encoding="utf-8"))


def configuration(hashes: dict[str, str]) -> dict[str, Any]:
    """What config.json holds; `hashes` are those of V and M."""
    return {
        "model_type": "world_models",
        "environment": config.ENVIRONMENTS[ENV_NAME].id,
        "frame_shape": config.FRAME_SHAPE,
        "z_dim": CAR.z,
        "hidden_units": CAR.h,
        "mixtures": CAR.mixtures,
        "actions": CAR_ACTIONS.names,
        "action_low": CAR_ACTIONS.low,
        "action_high": CAR_ACTIONS.high,
        "controller_weights": NUM_WEIGHTS,
        "controller": str(CONTROLLER),
        "weights_sha256": hashes,
    }


def write_video(path: Path, seed: int, max_length: int) -> dict[str, str]:
    """Record a lap of the pretrained agent on the track of a run seed; returns the hashes of V and M."""
    agent, weights = load_agent_and_weights(config.PRETRAINED_DIR / CONTROLLER)
    world = RealWorld(agent, ENV_NAME, render_mode="rgb_array")
    [env_seed] = env_seed_range("report", seed, 0, 1)
    with open_video(path) as show:
        display, policy = play.Display(play.draw_real, [show]), ControllerPolicy(world.rows)
        result = play.run_episode(world, policy, Task(env_seed, max_length, weights), display)
    print(f"{path}: score {result.score:.1f} in {result.steps} steps")
    return agent.hashes


def main() -> None:
    args = parse_args()
    check_new_folder(args.folder)
    copy_weights(args.folder)
    write_text(args.folder / "README.md", card())
    hashes = write_video(args.folder / "replay.mp4", args.seed, args.max_length)
    write_json(args.folder / "config.json", configuration(hashes))
    print(f"{args.folder}/ is complete: `hf upload NAME {args.folder}` would upload it")


if __name__ == "__main__":
    cli.run(main, resumable=False)
