"""Three gifs in docs/images/: driving.gif and dream.gif of the pretrained agent, and doom.gif of the one in Doom.

    python experiments/readme_images.py

driving.gif shows a whole lap on the first unseen track of run seed 0, at twice its speed, with score and finish.
dream.gif shows the agent on the road and, from the same moment, in its dream, at half the speed. doom.gif shows the
same of Doom Take Cover, in real time; it needs the extra doom.
"""

try:
    from pipeline import cli
except ImportError as error:
    raise SystemExit(f"{error}: run `make setup`, start this with .venv/bin/python, without PYTHONPATH") from None

import config
from experiments import ROOT
from simulation.agent import load_agent_and_weights
from simulation.policies import ControllerPolicy
from simulation.real_world import ROWS, RealWorld
from simulation.rollout import RolloutSettings, rollout

IMAGES, ENV_NAME = ROOT / "docs" / "images", "car_racing"
DOOM = "doom_take_cover_dream.cma.32.64.dream_best.json"
FPS = 12.5
LAP_SKIP, DREAM_SKIP, DOOM_SKIP = 8, 2, 3  # every so many steps become an image
CARD_SECONDS = 3  # for which the finish is shown


def main() -> None:
    cli.parser(__doc__).parse_args()
    from display.video import open_video  # it and the next import TensorFlow: --help must not wait
    from experiments.html_report.agent_drive import Filming, drive_episode, road_and_dream
    from experiments.plots.dream import PRIME, STEPS, write_dream

    agent, weights = load_agent_and_weights(config.PRETRAINED_DIR / config.CONTROLLER_DIR / config.PRETRAINED)
    max_length = config.ENVIRONMENTS[ENV_NAME].max_length
    settings = RolloutSettings(env=ENV_NAME, seed=0, num_episode=1, max_length=max_length)
    with open_video(IMAGES / "driving.gif", FPS) as show:
        world = RealWorld(agent, ENV_NAME, render_mode="rgb_array")
        filming = Filming(show, LAP_SKIP, round(CARD_SECONDS * FPS))
        [result] = rollout(world, ControllerPolicy(ROWS), settings.tasks(weights), callbacks=[filming])
    print(f"{IMAGES / 'driving.gif'}: score {result.score:.1f} in {result.steps} steps")
    doom = load_agent_and_weights(config.PRETRAINED_DIR / "doom" / config.CONTROLLER_DIR / DOOM)
    dreams = (("dream", (agent, weights), ENV_NAME, DREAM_SKIP), ("doom", doom, "doom_take_cover", DOOM_SKIP))
    for name, pair, env_name, skip in dreams:
        settings = RolloutSettings(env=env_name, seed=0, num_episode=1, max_length=max_length)
        episode = drive_episode(*pair, settings, PRIME + STEPS)
        write_dream(road_and_dream(*pair, episode, env_name), IMAGES / f"{name}.gif", FPS, skip)
        print(IMAGES / f"{name}.gif")


if __name__ == "__main__":
    cli.run(main, resumable=False)
