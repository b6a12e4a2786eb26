"""The policies of a rollout: a controller, the environment's exploration policy, and a mixture of both."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

import config
from controller.arch import CAR_FORM, Form, act, unpack
from pipeline.seeds import rng
from pipeline.sizes import CAR
from simulation.environments import Explore
from simulation.rollout import Policy, Slot, W_contra, World


class LatentWorld(World, Protocol):
    """A world in which a controller can act.

    Attributes:
        seen_z, h, c: float32 (rows, 32), (rows, 256) and (rows, 256): what controllers see; c not in every environment.
    """

    @property
    def seen_z(self) -> np.ndarray: ...

    h: np.ndarray
    c: np.ndarray


class FunctionPolicy(Policy[W_contra]):
    """A policy without a state of its own: a function of the world and of the running episodes."""

    def __init__(self, function: Callable[[W_contra, list[Slot]], np.ndarray]) -> None:
        self.function = function

    def act(self, world: W_contra, slots: list[Slot]) -> np.ndarray:
        """What the function returns, the actions (rows, ...)."""
        return self.function(world, slots)


class ControllerPolicy(Policy[LatentWorld]):
    """The controllers whose weights, float64 (867,), the tasks hold.

    Args:
        rows: of the world.
        form: that of the controllers, see environments.form_of.
    """

    def __init__(self, rows: int, form: Form = CAR_FORM) -> None:
        self.form = form
        self.W, self.b = unpack(np.zeros((rows, form.num_weights)), form.actions)

    def reset(self, slot: Slot) -> None:
        self.W[slot.row], self.b[slot.row] = unpack(slot.task.weights, self.form.actions)

    def act(self, world: LatentWorld, slots: list[Slot]) -> np.ndarray:
        """Actions, float32 (rows, 3); see controller.arch.act."""
        state = np.concatenate([world.h, world.c], axis=1) if self.form.cell else world.h
        return act(self.W, self.b, world.seen_z, state, self.form.squash)


class ExplorationPolicy(Policy[World]):
    """An exploration policy, which reads neither frames nor z.

    Args:
        explore: (step, last action, rng, refresh_rate) -> action, see environments.exploration_policy.
        rows: of the world.
        refresh_rate: frames for which an action is held.
        count: numbers of an action.
    """

    def __init__(
        self, explore: Explore, rows: int, refresh_rate: int = config.ACTION_REFRESH_RATE, count: int = CAR.actions
    ) -> None:
        self.explore, self.refresh_rate = explore, refresh_rate
        self.rngs = [rng("exploration", 0)] * rows
        self.actions = np.zeros((rows, count), np.float32)  # the last ones

    def reset(self, slot: Slot) -> None:
        self.rngs[slot.row] = rng("exploration", slot.task.env_seed)
        self.actions[slot.row] = 0

    def act(self, world: World, slots: list[Slot]) -> np.ndarray:
        """Actions, float32 (rows, 3)."""
        actions = self.actions.copy()
        for slot in slots:
            actions[slot.row] = self.explore(slot.steps, actions[slot.row], self.rngs[slot.row], self.refresh_rate)
        self.actions = actions
        return actions


class PartlyExploringPolicy(Policy[LatentWorld]):
    """A policy that takes exploratory actions for a share of the time.

    The share is drawn for each episode, uniformly from 0 to max_share: without exploration the data lacks recoveries
    from the grass, and with a constant share it lacks driving at speed.

    Args:
        policy: acts for the rest of the time.
        exploration: holds an exploratory action for its refresh_rate; then it is drawn anew who acts.
        rows: of the world.
    """

    def __init__(
        self, policy: Policy[LatentWorld], exploration: ExplorationPolicy, max_share: float, rows: int
    ) -> None:
        self.policy, self.exploration, self.max_share = policy, exploration, max_share
        self.shares, self.exploring = np.zeros(rows), np.zeros(rows, bool)

    def reset(self, slot: Slot) -> None:
        self.policy.reset(slot)
        self.exploration.reset(slot)
        self.shares[slot.row] = self.max_share * rng("exploration_share", slot.task.env_seed).random()
        self.exploring[slot.row] = False

    def act(self, world: LatentWorld, slots: list[Slot]) -> np.ndarray:
        """Actions, float32 (rows, 3)."""
        for slot in slots:
            if self.shares[slot.row] and slot.steps % self.exploration.refresh_rate == 0:
                draw = self.exploration.rngs[slot.row].random()
                self.exploring[slot.row] = draw < self.shares[slot.row]
        actions = self.policy.act(world, slots)
        exploring = [slot for slot in slots if self.exploring[slot.row]]
        rows = [slot.row for slot in exploring]
        actions[rows] = self.exploration.act(world, exploring)[rows]
        self.exploration.actions = actions.copy()
        return actions
