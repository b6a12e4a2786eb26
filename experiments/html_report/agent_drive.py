"""The agent drives for the report: scores beside those of a random and an untrained agent, a video, and an episode."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from display.overlay import card
from display.play import draw_real, ending
from display.video import open_video
from experiments.html_report.figures import said
from experiments.plots.dream import PRIME, Episode
from pipeline.entries import are_variants
from pipeline.errors import UserError
from pipeline.scores import summary
from pipeline.seeds import rng
from pipeline.sizes import Sizes
from simulation.agent import Agent
from simulation.dream import DreamWorld
from simulation.environments import exploration_policy
from simulation.policies import ControllerPolicy, ExplorationPolicy
from simulation.real_world import ROWS, EnvironmentWorld, RealWorld
from simulation.rollout import NO_WEIGHTS, Callback, Result, RolloutSettings, Slot, Task, rollout

FPS = 25  # of the video, which shows every second frame: real time
SKIP = 2
CARD_SECONDS = 2  # for which the video shows how the episode ended


@dataclass(frozen=True)
class DrivenEpisode(Episode):
    """An episode of an agent, with M's state h and c before each action, float32 (T, 2, 256)."""

    states: np.ndarray


class Filming(Callback[RealWorld]):
    """Callback that sends every `skip`-th image of the first task to `show`, and then a card for `card_images`."""

    def __init__(self, show: Callable[[np.ndarray], object], skip: int, card_images: int) -> None:
        self.show, self.skip, self.card_images = show, skip, card_images

    def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
        for slot in slots:
            if slot.index == 0:
                self.action = actions[slot.row]
                if slot.steps % self.skip == 0:
                    self.show(draw_real(world, slot, self.action))

    def on_end(self, world: RealWorld, slot: Slot, result: Result) -> None:
        if slot.index == 0:
            ends = ending(slot) if are_variants("car_racing", world.env_name) else "the end"
            lines = [ends, f"score {result.score:.1f} in {result.steps} steps"]
            image = card(draw_real(world, slot, self.action), lines)
            for _ in range(self.card_images):
                self.show(image)


class Remember(Callback[RealWorld]):
    """Callback that keeps frames, [z, action, modeled reward] and M's state h and c of each step of one episode."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.series: list[np.ndarray] = []
        self.states: list[np.ndarray] = []

    def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
        [slot] = slots
        self.frames.append(world.frames[slot.row].copy())
        reward = world.agent.sizes.modeled_reward(np.array([world.reward[slot.row]]))
        self.series.append(np.concatenate([world.z[slot.row], actions[slot.row], reward]))
        self.states.append(np.stack([world.h[slot.row], world.c[slot.row]]))


def drive_episode(agent: Agent, weights: np.ndarray, settings: RolloutSettings, steps: int) -> DrivenEpisode:
    """At most `steps` steps of the agent on the first track of the settings."""
    world, remember = RealWorld(agent, settings.env), Remember()
    task = replace(settings.tasks(weights)[0], max_length=steps)
    rollout(world, ControllerPolicy(ROWS, world.form), [task], callbacks=[remember])
    return DrivenEpisode(*map(np.stack, (remember.frames, remember.series, remember.states)))


class ContinuedDream(DreamWorld):
    """A dream that begins at a moment of a real episode: with its z, its reward, and M's state.

    Attributes:
        latents: z of each step, float32 (32,).
    """

    def __init__(self, agent: Agent, episode: DrivenEpisode, step: int, env_name: str) -> None:
        first, (h, c) = episode.series[step], episode.states[step]
        self.moment = first[: agent.sizes.z], h, c, first[-1]
        zeros = np.zeros((1, agent.sizes.z), np.float32)  # in place of initial states, which it does not begin in
        super().__init__(agent.rnn, (zeros, zeros), temperature=1.0, rows=1, env_name=env_name)
        self.latents: list[np.ndarray] = []

    def reset(self, row: int, seed: int) -> None:
        super().reset(row, seed)
        self.continue_from(row, *self.moment)

    def step(self, actions: np.ndarray, rows: Sequence[int] = ()) -> tuple[list[float], list[bool]]:
        self.latents.append(self.z[0])
        return super().step(actions, rows)


def road_and_dream(agent: Agent, weights: np.ndarray, episode: DrivenEpisode, env_name: str) -> dict[str, np.ndarray]:
    """The road, and the dream in which the agent drives on after PRIME steps: uint8 (T, 64, 64, 3) each.

    Both end with the dream, which M may end earlier.

    Raises:
        UserError: the episode is too short.
    """
    if len(episode.series) <= PRIME:
        raise UserError(f"the agent's episode has {len(episode.series)} steps; the dream begins after {PRIME}")
    world = ContinuedDream(agent, episode, PRIME, env_name)
    rollout(world, ControllerPolicy(1, world.form), [Task(0, len(episode.series) - PRIME, weights)])
    real = said(env_name, "road", "game")
    end = PRIME + len(world.latents)
    return {real: episode.frames[PRIME:end], "dream": agent.vae.decode(np.stack(world.latents))}


def untrained(seed: int, sizes: Sizes, num_weights: int) -> tuple[Agent, np.ndarray]:
    """An agent before stage 02: networks with initial weights, and a random controller (num_weights,)."""
    from pipeline.networks import seed_everything

    seed_everything(seed)
    return Agent.on_one_thread(sizes=sizes), rng("untrained", seed).normal(0, 0.1, num_weights)


def score_agents(agent: Agent, weights: np.ndarray, settings: RolloutSettings, video: Path) -> dict[str, list[float]]:
    """Scores of three agents on the same unseen tracks; prints a line for each.

    Args:
        video: where the trained agent's drive on the first track is written, as an mp4.
    """
    with open_video(video, FPS) as show:
        world = RealWorld(agent, settings.env, render_mode="rgb_array")
        filming = Filming(show, SKIP, CARD_SECONDS * FPS)
        policy = ControllerPolicy(ROWS, world.form)
        trained = rollout(world, policy, settings.tasks(weights), callbacks=[filming])
    explore = ExplorationPolicy(exploration_policy(settings.env), ROWS, count=agent.sizes.actions)
    random = rollout(EnvironmentWorld(settings.env), explore, settings.tasks(NO_WEIGHTS))
    other, its_weights = untrained(settings.seed, agent.sizes, len(weights))
    initial = rollout(RealWorld(other, settings.env), policy, settings.tasks(its_weights))
    scores = {}
    for name, results in {"trained": trained, "random": random, "untrained": initial}.items():
        scores[name] = [result.score for result in results]
        print(f"{name:>10}: {summary(scores[name], 'unseen tracks')}", flush=True)
    return scores
