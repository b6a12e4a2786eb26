"""The baselines' mathematics against independent formulas, their determinism, and the replay memory."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.baselines import ga_car_racing as ga
from experiments.baselines.dqn_car_racing import (
    EXPLORATION,
    FRAME_SKIP,
    MAX_STEPS_WITHOUT_PROGRESS,
    RECIPE,
    CarRacing,
    Greedy,
)
from experiments.baselines.dqn_cartpole import SOURCE, STABLE
from experiments.baselines.q_learning import ReplayMemory
from experiments.plots.baselines import running_mean
from pipeline.seeds import ENV_SEED_RANGES, env_seed_range
from simulation.environments import make_env
from simulation.real_world import ROWS, EnvironmentWorld
from simulation.rollout import Callback, Policy, Result, Slot, Task, rollout

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Deep Q-Learning --------------------------------------------------------------------------------------------------
def test_smooth_l1_is_the_integral_of_a_clipped_error() -> None:
    from experiments.baselines.q_training import LOSSES

    errors = np.linspace(-5, 5, 41).astype(np.float32)
    integrals = []
    for error in errors:
        x = np.linspace(0, error, 20_001)
        integrals.append(np.trapezoid(np.clip(x, -1, 1), x))
    losses = [float(LOSSES["smooth_l1"]([0.0], [error])) for error in errors]
    np.testing.assert_allclose(losses, integrals, atol=1e-5)
    piecewise = np.where(np.abs(errors) < 1, errors**2 / 2, np.abs(errors) - 0.5)
    np.testing.assert_allclose(losses, piecewise, atol=1e-6)


@pytest.mark.parametrize("double", [False, True])
def test_bellman_targets_one_by_one(double: bool) -> None:
    from experiments.baselines.q_training import bellman_targets

    rng = np.random.default_rng(0)
    reward, terminal = rng.normal(size=7).astype(np.float32), (np.arange(7) % 3 == 0).astype(np.float32)
    next_q, online = rng.normal(size=(2, 7, 5)).astype(np.float32)
    targets = bellman_targets(reward, terminal, next_q, online if double else next_q, 0.9)
    for i in range(7):
        value = next_q[i][int(online[i].argmax())] if double else max(next_q[i])
        expected = reward[i] if terminal[i] else reward[i] + 0.9 * value
        assert float(targets[i]) == pytest.approx(float(expected), abs=1e-6)
    assert double == (not np.allclose(targets, bellman_targets(reward, terminal, next_q, next_q, 0.9)))


CHAIN, GAMMA = 5, 0.8


def chain_q() -> np.ndarray:
    """Q of a chain of five rooms by value iteration: action 1 moves right; leaving the last room earns 1."""
    q = np.zeros((CHAIN, 2))
    for _ in range(200):
        value = q.max(axis=1)
        q[:, 0] = GAMMA * value[np.maximum(np.arange(CHAIN) - 1, 0)]
        q[:, 1] = np.append(GAMMA * value[1:], 1.0)
    return q


@pytest.mark.parametrize("changes", [{"target_update_freq": 20, "double": True}, {"double": False}])
def test_it_learns_the_q_values_of_value_iteration(changes: dict) -> None:
    """From random transitions alone, with a linear network that is a table: one weight for each room and action."""
    from experiments.baselines.q_training import Learner
    from pipeline.networks import keras

    rooms = np.eye(CHAIN, dtype=np.float32)
    table = keras.Sequential([keras.Input((CHAIN,)), keras.layers.Dense(2, use_bias=False)])
    recipe = replace(SOURCE, learning_rate=0.02, gamma=GAMMA, loss="smooth_l1", **changes)
    learner = Learner(SimpleNamespace(make_network=lambda: table, recipe=recipe), seed=0)
    assert (learner.target is table) == (not recipe.target_update_freq)
    rng, replay, room = np.random.default_rng(0), ReplayMemory(2000, (CHAIN,), np.float32), 0
    replay.begin(rooms[0])
    for _ in range(1000):
        action = int(rng.integers(2))
        out = action == 1 and room == CHAIN - 1
        room = 0 if out else max(0, room + 2 * action - 1)
        replay.add(action, float(out), out, rooms[room])
        if out:
            replay.begin(rooms[0])
    assert np.abs(learner.q(rooms) - chain_q()).max() > 0.3
    for step in range(800):
        learner.train(replay.sample(32, rng))
        if step % 20 == 0:
            learner.target.set_weights(table.get_weights())
    np.testing.assert_allclose(learner.q(rooms), chain_q(), atol=0.02)
    assert int(learner.optimizer.iterations) == 800


def test_epsilon_by_step_halves_its_distance_to_the_end_at_equal_intervals() -> None:
    recipe = replace(STABLE, epsilon_final=0.05, epsilon_step=300.0)
    assert recipe.epsilon(0, updates=0) == 1.0
    half_life = 300 * math.log(2)
    for n in range(1, 8):
        assert recipe.epsilon(half_life * n, updates=0) == pytest.approx(0.05 + 0.95 / 2**n)
    assert recipe.epsilon(10**9, updates=0) == 0.05


def test_epsilon_by_update_is_the_sources_loop() -> None:
    epsilon, decay, final = 1.0, 0.995, 0.01
    for updates in range(1200):
        assert SOURCE.epsilon(0, updates) == pytest.approx(max(epsilon, final))
        epsilon *= decay
    assert SOURCE.epsilon(step=10**6, updates=0) == 1.0
    assert SOURCE.epsilon(step=0, updates=10**6) == SOURCE.epsilon_final
    assert STABLE.epsilon(step=10**9, updates=0) == pytest.approx(STABLE.epsilon_final)


def fill(replay: ReplayMemory, episodes: int, length: int) -> dict[int, tuple]:
    """Fill a memory with the observations 1, 2, ...; returns the transition of each from a plain list."""
    plain, count = {}, 0
    for episode in range(episodes):
        count += 1
        first = count
        replay.begin(np.array(count))
        for t in range(length):
            window = [max(first, count - back) for back in range(replay.stack)][::-1]
            last = t == length - 1
            replay.add(count % 3, count / 10, last and episode % 2 == 0, np.array(count + 1))
            plain[count] = (window, count % 3, count / 10, last and episode % 2 == 0, [*window[1:], count + 1])
            count += 1
    return plain


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("capacity", [1000, 37])
def test_samples_are_the_transitions_of_a_plain_list(stack: int, capacity: int) -> None:
    """Also once the ring buffer is full; a state at its edge then repeats the oldest observation that is left."""
    replay = ReplayMemory(capacity, (), np.int64, stack)
    plain = fill(replay, episodes=20, length=5)
    left = {count: row for count, row in plain.items() if count > replay.stored - capacity}
    assert replay.transitions == len(left)
    states, actions, rewards, terminals, next_states = replay.sample(4000, np.random.default_rng(0))
    drawn = states if stack == 1 else states[:, -1]
    assert set(drawn.tolist()) == left.keys()
    counts = np.bincount(drawn)[sorted(left)]
    assert counts.min() > 0.3 * 4000 / len(left)
    oldest = replay.stored - min(capacity, replay.stored) + 1
    for i, count in enumerate(drawn.tolist()):
        window, action, reward, terminal, next_window = left[count]
        window, next_window = ([max(oldest, shown) for shown in shows] for shows in (window, next_window))
        assert np.atleast_1d(states[i]).tolist() == window
        assert np.atleast_1d(next_states[i]).tolist() == next_window
        assert (actions[i], terminals[i]) == (action, float(terminal))
        assert rewards[i] == pytest.approx(reward)
    newest = replay.newest()[0]
    assert np.atleast_1d(newest)[-1] == replay.stored


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    replay = ReplayMemory(100, (), np.int64)
    with pytest.raises(ValueError, match="no transition"):
        replay.sample(1, np.random.default_rng(0))
    fill(replay, 10, 9)
    one, same, other = (replay.sample(32, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


# --- the environment of the car ---------------------------------------------------------------------------------------
class Drive(Policy[EnvironmentWorld], Callback[EnvironmentWorld]):
    """Takes actions by a function, and records what the training would learn from each step."""

    def __init__(self, car: CarRacing, choose: Callable[[], int]) -> None:
        self.car, self.choose = car, choose
        self.learned: list[tuple[float, bool]] = []
        self.observations: list[np.ndarray] = []

    def act(self, world: EnvironmentWorld, slots: list[Slot]) -> np.ndarray:
        self.observe(slots[0])
        return self.car.actions[[self.choose()]]

    def on_end(self, world: EnvironmentWorld, slot: Slot, result: Result) -> None:
        self.observe(slot)

    def observe(self, slot: Slot) -> None:
        self.observations.append(self.car.observe())
        if slot.steps:
            self.learned.append(self.car.learn_from(slot))

    def run(self, env_seed: int) -> Result:
        task = Task(env_seed, self.car.max_length)
        [result] = rollout(self.car.world, self, [task], self.car.max_steps_without_progress, [self])
        return result


def test_an_action_is_held_and_its_rewards_are_added() -> None:
    env = make_env("car_racing")
    env.reset(seed=5)
    drive = Drive(CarRacing(max_length=42), lambda: 2)
    result = drive.run(5)
    assert result.steps == len(drive.learned) == 11
    score = 0.0
    for step, (learned, terminal) in enumerate(drive.learned):
        rewards = [env.step(np.array([0, 0.5, 0], np.float32))[1] for _ in range(FRAME_SKIP if step < 10 else 2)]
        score += sum(rewards)
        assert learned == pytest.approx(max(-1, 0.1 * sum(rewards)))
        assert not terminal  # the step limit is not terminal
    assert [observation.shape for observation in drive.observations] == 12 * [(64, 64)]
    assert result.score == pytest.approx(score)


def test_an_episode_without_progress_is_truncated_early_and_charged() -> None:
    drive = Drive(CarRacing(), lambda: 4)
    result = drive.run(5)
    learned, terminal = drive.learned[-1]
    assert terminal
    assert MAX_STEPS_WITHOUT_PROGRESS <= result.steps * FRAME_SKIP <= MAX_STEPS_WITHOUT_PROGRESS + 2 * FRAME_SKIP
    assert result.score == pytest.approx(
        CarRacing().evaluate(lambda states: np.eye(5)[np.full(len(states), 4)], [5])[0]
    )
    forever = sum(-0.1 * FRAME_SKIP * 0.1 * RECIPE.gamma**t for t in range(2000))
    assert learned == pytest.approx(forever, rel=1e-3)


def test_greedy_rollouts_have_the_states_of_the_replay_memory() -> None:
    """Sixteen episode slots at once and one episode alone make the same states, and the same score."""

    def q(states: np.ndarray) -> np.ndarray:
        seen.append(states.copy())
        return states.reshape(len(states), -1)[:, 1500:1505].astype(np.float32)

    seen: list[np.ndarray] = []
    tasks = [Task(env_seed, 60) for env_seed in range(7, 7 + ROWS)]
    [result, *_] = rollout(EnvironmentWorld("car_racing"), Greedy(q), tasks)
    slots = np.array([states[0] for states in seen])
    car = CarRacing(max_length=60)
    replay = ReplayMemory(100, car.shape, car.dtype, car.stack)
    states = []

    def choose() -> int:
        if states:
            replay.add(0, 0.0, False, drive.observations[-1])
        else:
            replay.begin(drive.observations[-1])
        states.append(replay.newest()[0].copy())
        return int(q(replay.newest())[0].argmax())

    drive = Drive(car, choose)
    alone = drive.run(7)
    np.testing.assert_array_equal(states, slots)
    assert alone.score == pytest.approx(result.score)
    assert sum(EXPLORATION) == pytest.approx(1)


# --- the genetic algorithm --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fitness", [[3.0, 1.0, 2.0], [-3.0, -1.0, -2.0], [-1.0, 0.0, 900.0]])
def test_roulette_works_for_any_fitness(fitness: list[float]) -> None:
    chances = ga.roulette(np.array(fitness))
    above = [f - min(fitness) for f in fitness]
    assert chances.tolist() == pytest.approx([a / sum(above) for a in above])
    drawn = ga.draw_parents(np.array(fitness), 4000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=3) / 4000, chances, atol=0.03)


def test_parents_differ_and_are_not_always_the_same_two() -> None:
    for fitness in (np.arange(6.0), np.zeros(6), np.array([1.0, 0, 0, 0, 0, 0])):
        pairs = ga.draw_parents(fitness, 300, np.random.default_rng(0))
        assert (pairs[:, 0] != pairs[:, 1]).all()
        assert len(np.unique(pairs, axis=0)) >= 5
    assert ga.roulette(np.zeros(6)).tolist() == pytest.approx([1 / 6] * 6)


def test_crossover_swaps_from_one_point_on_and_loses_nothing() -> None:
    mothers = np.arange(200 * 9, dtype=float).reshape(200, 9)
    fathers = -1 - mothers
    children = ga.crossover(mothers, fathers, 0.8, np.random.default_rng(0))
    first, second = children[:200], children[200:]
    np.testing.assert_array_equal(np.sort([first, second], axis=0), np.sort([mothers, fathers], axis=0))
    from_mother = first == mothers
    assert from_mother[:, 0].all()
    assert (np.abs(np.diff(from_mother.astype(int), axis=1)).sum(axis=1) <= 1).all()
    crossed = ~from_mother.all(axis=1)
    assert 0.7 < crossed.mean() < 0.9
    assert len(set(from_mother.sum(axis=1))) == 9  # points 1..8, and none
    assert (second[crossed] != fathers[crossed]).any(axis=1).all()  # the source's second child never changes
    assert mothers[0, 0] == 0  # the parents are unchanged


def test_mutation_changes_the_share_it_should() -> None:
    genes = np.zeros((100, 1000))
    mutated = ga.mutate(genes, 0.1, 0.3, np.random.default_rng(0))
    assert (mutated != 0).mean() == pytest.approx(0.1, abs=0.005)
    assert mutated[mutated != 0].std() == pytest.approx(0.3, rel=0.02)
    assert not genes.any()


def valley(genes: np.ndarray) -> np.ndarray:
    """A fitness below zero everywhere but at 0.3, where it is 0."""
    return -np.sum((genes - 0.3) ** 2, axis=1)


def test_it_climbs_and_keeps_its_champion() -> None:
    search = ga.RouletteGA(20, 40, seed=0, sigma_init=0.3)
    champions = []
    for _ in range(150):
        search.tell(valley(search.ask()))
        champions.append(search.fitness[0])
        assert (np.diff(search.fitness) <= 0).all()
        assert valley(search.population[:1])[0] == search.fitness[0]
    assert champions[0] < -1.5
    assert (np.diff(champions) >= 0).all()
    assert champions[-1] > -0.2


def test_a_generation_is_a_function_of_seed_and_fitness() -> None:
    one, same, other = (ga.RouletteGA(20, 40, seed) for seed in (1, 1, 2))
    for search in (one, same, other):
        for _ in range(5):
            search.tell(valley(search.ask()))
    np.testing.assert_array_equal(one.ask(), same.ask())
    assert (one.ask() != other.ask()).any()
    for popsize in (0, 2, 6):
        with pytest.raises(ValueError, match="multiple of four"):
            ga.RouletteGA(20, popsize, 0)


def test_actions_do_not_depend_on_the_other_individuals() -> None:
    rng = np.random.default_rng(0)
    genes = rng.normal(size=(5, ga.GENES))
    frames = rng.integers(0, 256, (5, 64, 64, 3), np.uint8)
    x = ga.observe(frames)
    assert x.shape == (5, 64)
    assert x[2, 9] == pytest.approx(frames[2, 8:16, 8:16, 1].mean() / 127.5 - 1)
    together = ga.forward(ga.unpack(genes), x)
    for i in range(5):
        W1, b1, W2, b2 = ga.unpack(genes[i])
        steer, gas, brake = np.tanh(W2 @ np.tanh(W1 @ x[i] + b1) + b2)
        assert together[i].tolist() == pytest.approx([steer, (gas + 1) / 2, max(brake, 0)], abs=1e-6)
        alone = ga.forward(ga.unpack(genes[i : i + 1]), x[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])
    assert together.dtype == np.float32


def test_running_mean() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    expected = [np.mean(scores[max(0, i - 6) : i + 1]) for i in range(30)]
    np.testing.assert_allclose(running_mean(scores, 7), expected)


def test_no_two_purposes_share_a_track() -> None:
    ranges = [set(env_seed_range(purpose, 3, 0, 500)) for purpose in ENV_SEED_RANGES]
    assert len(set.union(*ranges)) == 500 * len(ranges)
