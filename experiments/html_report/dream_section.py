"""The report's section of the dream: of the agent where there is one, and of a recorded episode otherwise."""

import argparse
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

import config
from experiments.html_report.controller_section import chosen_controller, has_controllers, score_settings
from experiments.html_report.figures import Figure, said
from pipeline.entries import are_variants
from pipeline.errors import UserError
from simulation.agent import Agent, load_agent_and_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

Args = argparse.Namespace


def dream_figures(args: Args) -> list[Figure]:
    """Of the agent where there is one, and of a recorded episode otherwise."""
    from experiments.html_report.agent_drive import DrivenEpisode, drive_episode, road_and_dream
    from experiments.plots import dream as plots

    agent_drives = not args.draw_only and bool(args.filename or has_controllers(args))
    if agent_drives:
        agent, weights = load_agent_and_weights(chosen_controller(args))
        vae = agent.hashes["vae"]
    else:
        agent = Agent.on_one_thread()
        vae = agent.load()["vae"]

    @cache
    def episode() -> plots.Episode:
        if agent_drives:
            return drive_episode(agent, weights, score_settings(args), plots.PRIME + plots.STEPS)
        return plots.recorded_episode(args.env_name, vae)

    @cache
    def dream() -> plots.Dream:
        return plots.dream_of(agent.vae, agent.rnn, episode())

    def video() -> None:
        driven, path = episode(), config.REPORT_DIR / "dream.mp4"
        if isinstance(driven, DrivenEpisode):
            plots.write_dream(road_and_dream(agent, weights, driven, args.env_name), path)
        else:
            plots.write_dream(dict(zip(plots.ROWS, dream().images, strict=True)), path)

    whose = "an episode of the trained agent" if agent_drives else "a recorded episode"
    both = "Left the trained agent drives an unseen track; right it drives on in its dream from the same moment."
    replay = "Left a recorded episode, in the middle V's reconstruction, right the dream under the same actions."
    figures = [
        Figure(
            "dream.mp4",
            said(args.env_name, "A dream beside the road", "A dream beside the game"),
            both if agent_drives else replay,
            said(
                args.env_name,
                "the dream looks like a road, which bends and goes on; it need not bend where the real one does.",
                "the dream looks like the game and goes on by its rules; it need not go on as the real one does.",
            ),
            video,
        ),
        Figure(
            "dream.png",
            "The dream, step by step",
            f"M continues {whose} under the same actions, without another frame; above, what was real.",
            "the first columns agree; later ones differ, since M draws one of many possible futures.",
            lambda: plots.draw_dream(dream()),
        ),
        Figure(
            "dream_errors.png",
            "Errors of the dream",
            "How far the mean of 16 dreams is from the recorded episodes, by the number of dreamt steps.",
            "M's curves begin far below the untrained M's and rise slowly; after long, every prediction is a guess.",
            lambda: plots.draw_errors(agent.rnn, args.env_name, vae),
        ),
    ]
    if agent_drives and are_variants("car_racing", args.env_name):
        figures.append(calibration_figure(args, agent, weights))
    return figures


def calibration_figure(args: Args, agent: Agent, weights: np.ndarray) -> Figure:
    """M's rewards where the agent drives; also of the working directory's M, if it is another, as after a round."""
    from experiments.plots import calibration

    def draw() -> "MatplotlibFigure":
        here, models = Agent.on_one_thread(), {"M": agent}
        with suppress(UserError):
            if here.load() != agent.hashes:
                models = {"M before": agent, "M after": here}
        return calibration.draw_calibration(calibration.drive(agent, weights, score_settings(args)), models)

    return Figure(
        "dream_calibration.png",
        "Where M's rewards are right",
        "How often the next reward is positive where the agent drives, and how often M expects it."
        " With --filename of an earlier folder: that folder's M before, and this folder's after.",
        "the curves agree; where M expects more than the road gives, a search in dreams drives there.",
        draw,
    )
