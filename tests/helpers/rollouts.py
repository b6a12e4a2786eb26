"""An untrained agent, and rollouts of controllers in the real world as stage 05 and model.py make them."""

from collections.abc import Sequence

from pipeline.networks import seed_everything
from simulation.agent import Agent
from simulation.policies import ControllerPolicy
from simulation.real_world import RealWorld
from simulation.rollout import Callback, Result, Task, rollout


def untrained_agent() -> Agent:
    """An agent with initial weights, those of V doubled, so that z and h are far from zero."""
    seed_everything(0)
    agent = Agent()
    agent.vae.full_model.set_weights([2 * weight for weight in agent.vae.full_model.get_weights()])
    return agent


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
