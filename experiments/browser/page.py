"""Fills the template of the browser page with its style, its scripts and an agent."""

import json
from pathlib import Path
from string import Template
from typing import Any

import config
from display.play import KEY_BRAKE
from display.video import FPS
from experiments.browser.export import drive_data, initial_data, weights_data
from pipeline.files import file_hash, write_text
from simulation import dream
from simulation.agent import folder_of, load_agent_and_weights

FOLDER = Path(__file__).parent
SCRIPTS = ("numbers", "vae", "rnn", "controller", "dream", "screen", "drive", "latents", "open_loop", "page")


def page(data: dict[str, Any]) -> str:
    """The page, one HTML file that needs no other, for the data of `page_data`."""
    scripts = [(FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    content = json.dumps(data).replace("<", "\\u003c")  # no file name can end the element
    return template.substitute(style=style, data=content, script="\n".join(scripts))


def page_data(filename: Path, env_name: str, env_seed: int) -> dict[str, Any]:
    """Everything that the page's scripts read: the agent of a controller file, and what it drives in.

    Raises:
        UserError: a file is missing or damaged, or does not belong to the others.
    """
    agent, weights = load_agent_and_weights(filename)
    initial_z = dream.open_initial_z(agent.hashes["vae"], folder_of(filename))
    entry = config.ENVIRONMENTS[env_name]
    rules = {
        "lap_tiles": entry.dream_goal,
        "tile_reward": entry.dream_reward[0],
        "no_progress_reward": entry.no_progress_reward,
        "max_steps_without_progress": dream.MAX_STEPS_WITHOUT_PROGRESS,
        "max_length": entry.max_length,
    }
    return {
        "agent": {"controller": filename.name, "controller_hash": file_hash(filename), **agent.hashes},
        "rules": rules,
        "steps_per_second": FPS,
        "key_brake": KEY_BRAKE,
        "initial_z": initial_data(initial_z),
        "weights": weights_data(agent, weights),
        "drive": drive_data(agent, weights, env_name, env_seed),
    }


def write_page(filename: Path, env_name: str, env_seed: int, path: Path) -> None:
    """Write the page of a controller file; see `page_data`."""
    write_text(path, page(page_data(filename, env_name, env_seed)))
