"""Displayed episodes: a callback that shows every step of a rollout, and a policy by which a person drives."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np

from display.overlay import as_the_window, card, compose, compose_with, draw_keys, draw_title, signed_map
from display.video import FPS
from pipeline.actions import CAR_ACTIONS
from pipeline.sizes import CAR
from simulation.dream import DreamWorld
from simulation.real_world import EnvironmentWorld, RealWorld
from simulation.rollout import Callback, Policy, Result, Slot, Task, W, World, rollout

KEY_BRAKE = 0.8  # brake while its key is down; from 0.9 on the wheels lock
TEMPERATURE_FACTOR = 1.1  # by which one press of + multiplies the temperature
COUNTDOWN = 3  # seconds before a person drives
HELP = "arrow keys: drive, R: restart, Esc: quit"
DREAM_HELP = HELP + ", + and -: temperature"
END_HELP = "Enter: next, R: again, Esc: quit"

Keys = frozenset[str]  # names of the keys that are down, of display.viewer.KEYS
Show = Callable[[np.ndarray], Keys | None]  # shows or records an image, uint8 (H, W, 3); a window returns the keys
Draw = Callable[[Any, Slot, np.ndarray], np.ndarray]  # world, slot, action (3,) -> image, uint8 (H, W, 3)


class Restart(Exception):
    """Raised within a rollout when R is pressed."""


def draw_environment(world: EnvironmentWorld, slot: Slot, action: np.ndarray) -> np.ndarray:
    """The environment's image alone."""
    return world.render(slot.row)


def draw_real(world: EnvironmentWorld, slot: Slot, action: np.ndarray) -> np.ndarray:
    """The environment's image, the frame and, if the world has an agent, the frame's reconstruction."""
    reconstruction = None
    if isinstance(world, RealWorld):
        reconstruction = world.agent.vae.decode(world.z[slot.row : slot.row + 1])[0]
    return compose(
        world.render(slot.row),
        world.frames[slot.row],
        reconstruction,
        action,
        slot.score,
        slot.steps,
        world.actions or CAR_ACTIONS,
    )


def draw_dream(world: DreamWorld, slot: Slot, action: np.ndarray) -> np.ndarray:
    """The decoded z of a dream, and what it is made of: z, and M's hidden state h."""
    insets = {"z": signed_map(world.z[slot.row] / 3, 4), "h of M": signed_map(world.h[slot.row], 16)}
    title = f"a dream of M, temperature {world.temperature:.2f}"
    view = world.render(slot.row)
    view = as_the_window(view) if world.actions == CAR_ACTIONS else view
    return compose_with(view, insets, action, slot.score, slot.steps, title, world.actions)


def ending(slot: Slot) -> str:
    """How an episode has ended: the last tile of a lap has a positive reward, leaving the field a negative one."""
    if not slot.done:
        return "time is up"
    return "lap finished" if slot.reward > 0 else "off the road"


class Display(Callback[World]):
    """Callback that shows every step of the one episode that runs.

    Attributes:
        keys: those that were down when the last image was shown.
        image: the last composed image, uint8 (H, W, 3).

    Args:
        draw: composes the image of a step.
        outputs: show or record an image; a window returns the keys that are down.
    """

    def __init__(self, draw: Draw, outputs: list[Show]) -> None:
        self.draw, self.outputs = draw, outputs
        self.keys: Keys = frozenset()
        self.action = np.zeros(CAR.actions, np.float32)

    def on_step(self, world: World, slots: list[Slot], actions: np.ndarray) -> None:
        [slot] = slots
        self.action = actions[slot.row]
        self.show(world, slot)

    def on_end(self, world: World, slot: Slot, result: Result) -> None:
        self.show(world, slot)

    def show(self, world: World, slot: Slot) -> None:
        """Show the state of the world and the last action; without outputs, do nothing."""
        if self.outputs:
            self.image = self.compose(world, slot)
            self.send(self.image)

    def compose(self, world: World, slot: Slot) -> np.ndarray:
        """The image of the present step, uint8 (H, W, 3)."""
        return self.draw(world, slot, self.action)

    def send(self, image: np.ndarray) -> None:
        """Show or record an image, and read the keys."""
        answers = [output(image) for output in self.outputs]
        self.keys = next((keys for keys in answers if keys is not None), frozenset())


class InteractiveDisplay(Display):
    """A display that reacts to keys: R restarts the episode, + and - change the temperature of a dream."""

    def show(self, world: World, slot: Slot) -> None:
        held = self.keys
        super().show(world, slot)
        pressed = self.keys - held
        if "r" in pressed:
            raise Restart
        if isinstance(world, DreamWorld):
            world.temperature *= TEMPERATURE_FACTOR ** (("plus" in pressed) - ("minus" in pressed))


class Keyboard(InteractiveDisplay, Policy[World]):
    """Policy, and callback, of a person who drives: the keys that are down when a frame is shown choose the action.

    The image shows the keys, and what others do. A countdown precedes each episode, and a card follows it.

    Args:
        draw, outputs: as for Display.
        countdown: seconds; each is FPS images.
    """

    def __init__(self, draw: Draw, outputs: list[Show], countdown: int = 0) -> None:
        super().__init__(draw, outputs)
        self.countdown, self.ending = countdown, ""

    def reset(self, slot: Slot) -> None:
        self.action = np.zeros(CAR.actions, np.float32)

    def act(self, world: World, slots: list[Slot]) -> np.ndarray:
        """Show the frame, and return the action of the arrow keys, float32 (1, 3)."""
        [slot] = slots
        if slot.steps == 0:
            for second in range(self.countdown, 0, -1):
                for _ in range(FPS):
                    self.send(card(self.compose(world, slot), [str(second)]))
        self.show(world, slot)
        self.action = keyboard_action(self.keys)
        return self.action[None]

    def compose(self, world: World, slot: Slot) -> np.ndarray:
        image = super().compose(world, slot)
        dreams = isinstance(world, DreamWorld)
        draw_title(image, DREAM_HELP if dreams else HELP, line=int(dreams))  # the first line of a dream is its title
        draw_keys(image, self.keys)
        return image

    def on_step(self, world: World, slots: list[Slot], actions: np.ndarray) -> None:
        """Show nothing: `act` has shown this step."""

    def on_end(self, world: World, slot: Slot, result: Result) -> None:
        super().on_end(world, slot, result)
        self.ending = ending(slot)

    def wants_again(self, result: Result) -> bool:
        """Show the end card until R, for the same episode again, or Enter, for the next one, is pressed."""
        lines = [self.ending, f"score {result.score:.1f} in {result.steps} steps", END_HELP]
        while True:
            held = self.keys
            self.send(card(self.image, lines))
            pressed = self.keys - held
            if pressed & {"r", "enter"}:
                return "r" in pressed


def keyboard_action(keys: Keys) -> np.ndarray:
    """The action, float32 (3,), of the arrow keys that are down."""
    return np.array([("right" in keys) - ("left" in keys), "up" in keys, KEY_BRAKE * ("down" in keys)], np.float32)


def run_episode(world: W, policy: Policy[W], task: Task, display: Display) -> Result:
    """Run one episode, again whenever R is pressed."""
    while True:
        with suppress(Restart):
            [result] = rollout(world, policy, [task], callbacks=[display])
            return result


def play_episodes(world: World, env_seeds: Iterable[int], max_length: int, keyboard: Keyboard) -> None:
    """Let a person drive one episode per seed, or one of them again, until the window is closed; prints each score."""
    print(DREAM_HELP if isinstance(world, DreamWorld) else HELP)
    with suppress(KeyboardInterrupt):
        for env_seed in env_seeds:
            again = True
            while again:
                result = run_episode(world, keyboard, Task(env_seed, max_length), keyboard)
                print(f"score {result.score:.1f} in {result.steps} steps", flush=True)
                again = keyboard.wants_again(result)


def limit_fps(show: Show, fps: int = FPS) -> Show:
    """Wrap `show` so that it sleeps before displaying more than `fps` images a second."""
    due = time.monotonic()

    def show_when_due(image: np.ndarray) -> Keys | None:
        nonlocal due
        due = max(due + 1 / fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        return show(image)

    return show_when_due
