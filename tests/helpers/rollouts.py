"""Rollouts of controllers in the real world, as stage 05 and model.py make them."""

from collections.abc import Sequence

from simulation.agent import Agent
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import Callback, Result, Task, rollout


def simulate(
    agent: Agent,
    tasks: Sequence[Task],
    env_name: str = "car_racing",
    max_steps_without_progress: int | None = None,
    callbacks: Sequence[Callback] = (),
    render_mode: str | None = None,
) -> list[Result]:
    """Roll out the controllers of the tasks in a new world."""
    world = RealWorld(agent, env_name, render_mode=render_mode)
    return rollout(world, ControllerPolicy(world.rows), tasks, max_steps_without_progress, callbacks)
