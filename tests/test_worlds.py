"""A world, a policy or a callback of one's own takes one class and no change elsewhere."""

from collections.abc import Sequence

import numpy as np
import pytest
from helpers.rollouts import simulate, untrained_agent

import controller.arch as controller
from experiments.studies.skipped_frames import SkippedFrames
from pipeline.networks import seed_everything
from pipeline.sizes import CAR
from rnn.arch import RNN
from simulation.agent import Agent
from simulation.dream import DreamWorld
from simulation.policies import ControllerPolicy, FunctionPolicy
from simulation.real_world import ROWS, RealWorld
from simulation.rollout import Callback, Result, Slot, Task, World, rollout

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 12


@pytest.fixture(scope="module")
def agent(one_thread: None) -> Agent:
    return untrained_agent()


def tasks(count: int = 3) -> list[Task]:
    rng = np.random.default_rng(0)
    return [Task(i, STEPS + i, rng.normal(0, 0.3, controller.NUM_WEIGHTS)) for i in range(count)]


class Latents(Callback[RealWorld]):
    """Records z, h, frames and actions of the first task."""

    def __init__(self) -> None:
        self.z: list[np.ndarray] = []
        self.h: list[np.ndarray] = []
        self.frames: list[np.ndarray] = []
        self.actions: list[np.ndarray] = []
        self.rewards: list[float] = []

    def on_step(self, world: RealWorld, slots: list[Slot], actions: np.ndarray) -> None:
        for slot in slots:
            if slot.index == 0:
                for values, array in ((self.z, world.z), (self.h, world.h), (self.frames, world.frames)):
                    values.append(array[slot.row].copy())
                self.actions.append(actions[slot.row].copy())
                self.rewards.append(slot.reward)


# --- a world that shows every k-th frame ------------------------------------------------------------------------------
def test_every_frame_is_the_real_world(agent: Agent) -> None:
    world = SkippedFrames(agent, "car_racing", every=1)
    assert rollout(world, ControllerPolicy(ROWS), tasks()) == simulate(agent, tasks())


def test_between_frames_z_is_the_expectation_of_m(agent: Agent) -> None:
    latents = Latents()
    world = SkippedFrames(agent, "car_racing", every=3)
    # Twice as many tasks as rows: rows begin new episodes while others are between two frames.
    rollout(world, ControllerPolicy(ROWS), tasks(2 * ROWS), callbacks=[latents])
    encoded, _ = agent.vae.encode(np.stack(latents.frames), ROWS)
    kernel, bias = (weight.numpy().astype(np.float64) for weight in agent.rnn.model.get_layer("mixture").weights)
    for t, (z, h) in enumerate(zip(latents.z, latents.h, strict=True)):
        log_pi, mu, _ = (h @ kernel + bias)[:480].reshape(3, 5, 32)
        pi = np.exp(log_pi) / np.exp(log_pi).sum(axis=0)
        expected = encoded[t] if t % 3 == 0 else (pi * mu).sum(axis=0)
        np.testing.assert_allclose(z, expected, atol=1e-5)
    assert np.abs(np.stack(latents.z) - encoded)[1].max() > 0.01  # M's expectation is not V's z


# --- a callback that records h ----------------------------------------------------------------------------------------
def test_a_callback_records_h(agent: Agent) -> None:
    latents = Latents()
    simulate(agent, tasks(), callbacks=[latents])
    h, c = np.zeros((2, ROWS, CAR.h), np.float32)
    for t in range(STEPS):
        np.testing.assert_array_equal(latents.h[t], h[0])
        x = np.zeros((ROWS, CAR.z + CAR.actions + 1), np.float32)
        x[0] = [*latents.z[t], *latents.actions[t], latents.rewards[t] > 0]
        h, c = agent.rnn.step(x, h, c)
    assert np.abs(latents.h[-1]).max() > 0


# --- a third world: the mean of an ensemble of Ms ---------------------------------------------------------------------
class EnsembleDream(DreamWorld):
    """The dream of several Ms: z, h and the reward's probability are their means."""

    def __init__(self, rnns: Sequence[RNN], initial_z: tuple[np.ndarray, np.ndarray], rows: int) -> None:
        super().__init__(rnns[0], initial_z, 1.0, rows)
        self.rnns, self.states = rnns, np.zeros((len(rnns), 2, rows, CAR.h), np.float32)

    def reset(self, row: int, seed: int) -> None:
        super().reset(row, seed)
        self.states[:, :, row] = 0

    def predict(self, x: np.ndarray, noise: np.ndarray) -> None:
        steps = [rnn.dream(x, *state, noise, 1.0) for rnn, state in zip(self.rnns, self.states, strict=True)]
        self.states = np.array([(h, c) for _, _, h, c, _ in steps])
        self.z, self.seen_z = (np.mean([step[i] for step in steps], axis=0) for i in (0, -1))
        self.modeled_reward = (np.mean([reward for _, reward, *_ in steps], axis=0) > 0.5).astype(np.float32)
        self.h, self.c = self.states.mean(axis=0)


def test_an_ensemble_is_a_third_world() -> None:
    """Two equal Ms dream as one; two different ones do not. The dreams follow the ensemble's arithmetic."""
    seed_everything(1)
    one, other, rng = RNN(), RNN(), np.random.default_rng(2)
    for rnn in (one, other):
        rnn.model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in rnn.model.get_weights()])
    initial_z = rng.normal(size=(4, 32)).astype(np.float32), np.zeros((4, 32), np.float32)
    rows, policy = 4, ControllerPolicy(4)
    alone = rollout(DreamWorld(one, initial_z, 1.0, rows), policy, tasks(6))
    assert rollout(EnsembleDream([one, one], initial_z, rows), policy, tasks(6)) == alone
    assert rollout(EnsembleDream([one, other], initial_z, rows), policy, tasks(6)) != alone


# --- a world that is no game at all -----------------------------------------------------------------------------------
class Counter(World):
    """Counts to the seed; the reward is the action, and an episode is over when the count is reached."""

    name, rows, no_progress_reward = "counter", 2, -1.0

    def __init__(self) -> None:
        self.count = np.zeros(2, int)

    def reset(self, row: int, seed: int) -> None:
        self.count[row] = seed

    def step(self, actions: np.ndarray, rows: list[int]) -> tuple[list[float], list[bool]]:
        self.count[rows] -= 1
        return actions.tolist(), (self.count == 0).tolist()


@pytest.mark.parametrize(
    ("reward", "limit", "expected"),
    [
        (1.0, 3, [Result(2, 2), Result(5, 5), Result(9, 9), Result(9, 9)]),  # ended by the world, or at the limit
        (0.0, 3, [Result(0, 2), Result(-6, 3), Result(-6, 3), Result(-6, 3)]),  # charged for 9 - 3 steps
        (-0.5, None, [Result(-1, 2), Result(-2.5, 5), Result(-4.5, 9), Result(-4.5, 9)]),
    ],
)
def test_an_episode_ends_by_the_world_the_step_limit_or_lack_of_progress(
    reward: float, limit: int | None, expected: list[Result]
) -> None:
    policy = FunctionPolicy(lambda world, slots: np.full(2, reward))
    assert rollout(Counter(), policy, [Task(seed, 9) for seed in (2, 5, 9, 12)], limit) == expected
