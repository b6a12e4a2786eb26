"""The mathematics of the baselines, against second formulas; what is deterministic, and what the memory remembers."""

import math

import numpy as np
import pytest

from experiments.baselines import ga, ga_car_racing, records
from experiments.baselines.dqn_car_racing import (
    EXPLORE,
    HOLD,
    MAX_STEPS_WITHOUT_PROGRESS,
    RECIPE,
    Greedy,
    Road,
    evaluate,
)
from experiments.baselines.dqn_cartpole import SOURCE, STABLE
from experiments.baselines.recipe import epsilon_by_step, epsilon_by_update
from experiments.baselines.replay import Replay
from pipeline.seeds import ENV_SEED_RANGES, env_seed_range
from simulation.environments import make_env
from simulation.rollout import ROWS, Task

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Deep Q-Learning --------------------------------------------------------------------------------------------------
def test_smooth_l1_is_the_integral_of_a_clipped_error() -> None:
    from experiments.baselines.q_network import smooth_l1
    from pipeline.networks import keras

    errors = np.linspace(-5, 5, 41).astype(np.float32)
    integrals = []
    for error in errors:
        x = np.linspace(0, error, 20_001)
        integrals.append(np.trapezoid(np.clip(x, -1, 1), x))
    np.testing.assert_allclose(smooth_l1(errors), integrals, atol=1e-5)
    keras_says = [float(keras.losses.huber([0.0], [error])) for error in errors]
    np.testing.assert_allclose(smooth_l1(errors), keras_says, atol=1e-6)


@pytest.mark.parametrize("double", [False, True])
def test_bellman_targets_one_by_one(double: bool) -> None:
    from experiments.baselines.q_network import bellman_targets

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
    """Q of a chain of five rooms by value iteration: right leads on, and out of the last one for 1; left leads back."""
    q = np.zeros((CHAIN, 2))
    for _ in range(200):
        value = q.max(axis=1)
        q[:, 0] = GAMMA * value[np.maximum(np.arange(CHAIN) - 1, 0)]
        q[:, 1] = np.append(GAMMA * value[1:], 1.0)
    return q


@pytest.mark.parametrize("recipe", [{"own_target": True, "double": True}, {"own_target": False, "double": False}])
def test_it_learns_what_value_iteration_says(recipe: dict[str, bool]) -> None:
    """From random transitions alone, by a network that is a table: one weight a room and action."""
    from experiments.baselines.q_network import Learner
    from pipeline.networks import keras

    rooms = np.eye(CHAIN, dtype=np.float32)
    table = keras.Sequential([keras.Input((CHAIN,)), keras.layers.Dense(2, use_bias=False)])
    learner = Learner(table, learning_rate=0.02, gamma=GAMMA, loss="smooth_l1", **recipe)
    rng, replay, room = np.random.default_rng(0), Replay(2000, (CHAIN,), np.float32), 0
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
            learner.refresh_target()
    np.testing.assert_allclose(learner.q(rooms), chain_q(), atol=0.02)
    assert learner.updates == 800


def test_epsilon_by_step_halves_its_distance_to_the_end_at_equal_intervals() -> None:
    assert epsilon_by_step(0, 1.0, 0.05, 300.0) == 1.0
    half_life = 300 * math.log(2)
    for n in range(1, 8):
        assert epsilon_by_step(half_life * n, 1.0, 0.05, 300.0) == pytest.approx(0.05 + 0.95 / 2**n)
    assert epsilon_by_step(10**9, 1.0, 0.05, 300.0) == 0.05


def test_epsilon_by_update_is_the_sources_loop() -> None:
    epsilon, decay, final = 1.0, 0.995, 0.01
    for updates in range(1200):
        assert epsilon_by_update(updates, 1.0, final, decay) == pytest.approx(max(epsilon, final))
        epsilon *= decay
    assert SOURCE.epsilon(step=10**6, updates=0) == 1.0
    assert SOURCE.epsilon(step=0, updates=10**6) == SOURCE.epsilon_final
    assert STABLE.epsilon(step=10**9, updates=0) == pytest.approx(STABLE.epsilon_final)


def remember(replay: Replay, episodes: int, length: int) -> dict[int, tuple]:
    """Fill a memory with observations that are counted 1, 2, ...; returns what a plain list remembers of each."""
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
def test_what_is_drawn_is_what_a_plain_list_remembers(stack: int, capacity: int) -> None:
    """Also after the ring has come round; then a window at its edge shows the oldest observation that is left."""
    replay = Replay(capacity, (), np.int64, stack)
    plain = remember(replay, episodes=20, length=5)
    left = {count: row for count, row in plain.items() if count > replay.stored - capacity}
    assert replay.transitions == len(left)
    batch = replay.sample(4000, np.random.default_rng(0))
    drawn = batch.state if stack == 1 else batch.state[:, -1]
    assert set(drawn.tolist()) == left.keys()
    counts = np.bincount(drawn)[sorted(left)]
    assert counts.min() > 0.3 * 4000 / len(left)
    oldest = replay.stored - min(capacity, replay.stored) + 1
    for i, count in enumerate(drawn.tolist()):
        window, action, reward, terminal, next_window = left[count]
        window, next_window = ([max(oldest, shown) for shown in shows] for shows in (window, next_window))
        assert np.atleast_1d(batch.state[i]).tolist() == window
        assert np.atleast_1d(batch.next_state[i]).tolist() == next_window
        assert (batch.action[i], batch.terminal[i]) == (action, float(terminal))
        assert batch.reward[i] == pytest.approx(reward)
    newest = replay.newest()[0]
    assert np.atleast_1d(newest)[-1] == replay.stored


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    replay = Replay(100, (), np.int64)
    with pytest.raises(ValueError, match="no transition"):
        replay.sample(1, np.random.default_rng(0))
    remember(replay, 10, 9)
    one, same, other = (replay.sample(32, np.random.default_rng(seed)).state for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


# --- the road ---------------------------------------------------------------------------------------------------------
def test_an_action_is_held_and_its_rewards_are_added() -> None:
    road, env = Road(max_length=42), make_env("car_racing")
    road.reset(5)
    env.reset(seed=5)
    score, ended, steps = 0.0, False, 0
    while not ended:
        observation, learned, terminal, ended = road.step(2)
        rewards = [env.step(np.array([0, 0.5, 0], np.float32))[1] for _ in range(HOLD if steps < 10 else 2)]
        score, steps = score + sum(rewards), steps + 1
        assert learned == pytest.approx(max(-1, 0.1 * sum(rewards)))
        assert observation.shape == (64, 64)
        assert not terminal  # the end of time is none
    assert steps == 11
    assert road.score == pytest.approx(score)


def test_a_car_that_stands_is_given_up_and_charged() -> None:
    road = Road()
    road.reset(5)
    ended, steps = False, 0
    while not ended:
        _, learned, terminal, ended = road.step(4)
        steps += 1
    assert terminal
    assert MAX_STEPS_WITHOUT_PROGRESS <= steps * HOLD <= MAX_STEPS_WITHOUT_PROGRESS + 2 * HOLD
    assert road.score == pytest.approx(evaluate(lambda states: np.eye(5)[np.full(len(states), 4)], [5])[0])
    forever = sum(-0.1 * HOLD * 0.1 * RECIPE.gamma**t for t in range(2000))
    assert learned == pytest.approx(forever, rel=1e-3)


def test_greedy_lanes_see_what_the_replay_memory_shows() -> None:
    """Sixteen lanes side by side and one episode alone make the same states, and the same score."""

    def q(states: np.ndarray) -> np.ndarray:
        seen.append(states.copy())
        return states.reshape(len(states), -1)[:, 1500:1505].astype(np.float32)

    seen: list[np.ndarray] = []
    [result, *_] = Greedy(q).run([Task(None, env_seed, 60) for env_seed in range(7, 7 + ROWS)])
    slots = np.array([states[0] for states in seen])
    road = Road(max_length=60)
    replay = Replay(100, road.shape, road.dtype, road.stack)
    replay.begin(road.reset(7))
    for states in slots:
        np.testing.assert_array_equal(replay.newest()[0], states)
        action = int(q(replay.newest())[0].argmax())
        replay.add(action, 0.0, False, road.step(action)[0])
    assert road.score == pytest.approx(result.score)
    assert sum(EXPLORE) == pytest.approx(1)


# --- the genetic algorithm --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fitness", [[3.0, 1.0, 2.0], [-3.0, -1.0, -2.0], [-1.0, 0.0, 900.0]])
def test_the_roulette_wheel_turns_for_any_fitness(fitness: list[float]) -> None:
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
    assert mothers[0, 0] == 0  # parents stay who they are


def test_mutation_changes_the_share_it_should() -> None:
    genes = np.zeros((100, 1000))
    mutated = ga.mutate(genes, 0.1, 0.3, np.random.default_rng(0))
    assert (mutated != 0).mean() == pytest.approx(0.1, abs=0.005)
    assert mutated[mutated != 0].std() == pytest.approx(0.3, rel=0.02)
    assert not genes.any()


def valley(genes: np.ndarray) -> np.ndarray:
    """A fitness below zero everywhere but at 0.3, where it is 0."""
    return -np.sum((genes - 0.3) ** 2, axis=1)


def test_it_climbs_and_never_loses_its_champion() -> None:
    search = ga.RouletteGA(20, 40, seed=0, sigma_init=0.3)
    champions = []
    for _ in range(150):
        search.tell(valley(search.ask()))
        champions.append(search.fitness[0])
        assert (np.diff(search.fitness) <= 0).all()
        assert valley(search.champion[None])[0] == search.fitness[0]
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


def test_individuals_act_alone_as_in_a_crowd() -> None:
    rng = np.random.default_rng(0)
    genes = rng.normal(size=(5, ga_car_racing.GENES))
    frames = rng.integers(0, 256, (5, 64, 64, 3), np.uint8)
    x = ga_car_racing.look(frames)
    assert x.shape == (5, 64)
    assert x[2, 9] == pytest.approx(frames[2, 8:16, 8:16, 1].mean() / 127.5 - 1)
    together = ga_car_racing.decide(ga_car_racing.unpack(genes), x)
    for i in range(5):
        W1, b1, W2, b2 = ga_car_racing.unpack(genes[i])
        steer, gas, brake = np.tanh(W2 @ np.tanh(W1 @ x[i] + b1) + b2)
        assert together[i].tolist() == pytest.approx([steer, (gas + 1) / 2, max(brake, 0)], abs=1e-6)
        alone = ga_car_racing.decide(ga_car_racing.unpack(genes[i : i + 1]), x[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])
    assert together.dtype == np.float32


def test_running_mean() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    expected = [np.mean(scores[max(0, i - 6) : i + 1]) for i in range(30)]
    np.testing.assert_allclose(records.running_mean(scores, 7), expected)


def test_no_two_purposes_share_a_track() -> None:
    ranges = [set(env_seed_range(purpose, 3, 0, 500)) for purpose in ENV_SEED_RANGES]
    assert len(set.union(*ranges)) == 500 * len(ranges)
