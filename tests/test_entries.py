"""Tests of environments as entries of config.py: actions, sizes, what may be mixed, and impossible values."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from helpers.settings import obs_settings, training_settings

import config
import controller.arch as arch
from pipeline.actions import CAR_ACTIONS, Actions
from pipeline.batches import environments_of
from pipeline.entries import are_variants, check_env, entry_of, sizes_for
from pipeline.errors import UserError
from pipeline.sizes import CAR, Sizes
from simulation.environments import actions_of, exploration_policy, form_of, make_env, try_env

PENDULUM = config.Environment(
    id="Pendulum-v1",
    arguments={"render_mode": "rgb_array"},
    wrappers=(
        ("gymnasium.wrappers:AddRenderObservation", {}),
        ("gymnasium.wrappers:ResizeObservation", {"shape": (64, 64)}),
    ),
    max_length=200,
    reward="value",
    dream_reward=(8.0, -8.0),
)
CART_POLE = replace(PENDULUM, id="CartPole-v1", reward="positive", dream_reward=(1.0, 0.0), z=8, h=6)
CART_POLE = replace(CART_POLE, done=True, controller_input=("z", "h", "c"))


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of Gymnasium's own environments, seen as pixels."""
    monkeypatch.setitem(config.ENVIRONMENTS, "swing", PENDULUM)
    monkeypatch.setitem(config.ENVIRONMENTS, "pole", CART_POLE)


# --- actions ----------------------------------------------------------------------------------------------------------


def test_the_actions_of_a_box_and_of_choices(entries: None) -> None:
    assert actions_of("swing") == Actions(("action 0",), (-2.0,), (2.0,))
    assert actions_of("pole") == Actions(("action 0", "action 1"), (0.0, 0.0), (1.0, 1.0), first=0)
    assert actions_of("car_racing") == CAR_ACTIONS


def test_outputs_are_squashed_into_any_bounds() -> None:
    actions = Actions(("a", "b"), (-2.0, 5.0), (2.0, 6.0))
    x = np.array([[0, 0], [99, 99], [-99, -99], [0.5, -0.5]])
    np.testing.assert_allclose(actions.squash(x)[:3], [[0, 5.5], [2, 6], [-2, 5]])
    np.testing.assert_allclose(actions.squash(x)[3], [2 * np.tanh(0.5), 5.5 - np.tanh(0.5) / 2])
    np.testing.assert_array_equal(actions.taken(x), x)


def test_the_largest_output_is_the_choice() -> None:
    actions = Actions(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, first=4)
    numbers = actions.squash(np.array([[-3.0, -1, -2], [7, 0, 0.0]]))
    np.testing.assert_array_equal(numbers, [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(actions.taken(numbers), [5, 4])
    np.testing.assert_array_equal(actions.numbers(np.array([5, 4])), numbers)
    for wrong in ([3], [7], [4.0], [[4]]):
        with pytest.raises(ValueError, match="integers from 4 to 6"):
            actions.numbers(np.array(wrong))


def test_a_choice_by_nan_is_refused() -> None:
    W, b = np.zeros((1, 3, 4)), np.array([[0, np.nan, 0]])
    actions = Actions(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, first=0)
    with pytest.raises(UserError, match="not finite"):
        arch.act(W, b, np.zeros((1, 2)), np.zeros((1, 2)), actions.squash)


def test_the_default_exploration_holds_random_actions(entries: None) -> None:
    for name, count in (("swing", 1), ("pole", 2)):
        explore, rng, action = exploration_policy(name), np.random.default_rng(0), np.zeros(count, np.float32)
        taken = []
        for t in range(200):
            taken.append(action := explore(t, action, rng, 4))
        held = np.array(taken).reshape(50, 4, count)
        assert held.dtype == np.float32
        assert (held == held[:, :1]).all()
        actions = actions_of(name)
        assert (held >= actions.low).all() and (held <= actions.high).all()
        assert len(np.unique(held[:, 0], axis=0)) == (50 if name == "swing" else 2)
    assert held.sum(axis=2).min() == held.sum(axis=2).max() == 1  # one-hot


def test_the_cars_formula_is_named_in_its_entry() -> None:
    assert form_of("car_racing", CAR_ACTIONS, CAR) == arch.CAR_FORM
    assert sizes_for("car_racing", 3) == CAR


def test_the_form_of_other_controllers(entries: None) -> None:
    form = form_of("pole", actions_of("pole"), sizes_for("pole", 2))
    assert (form.features, form.num_weights, form.cell) == (8 + 2 * 6, 2 * 21, True)
    W, b = arch.unpack(np.arange(42.0), 2)
    assert W.shape == (2, 20) and b.tolist() == [40, 41]
    with pytest.raises(UserError, match="'pole' is 2 numbers, M was trained on 3: give the environment"):
        form_of("pole", actions_of("pole"), CAR)


def test_a_squash_that_gives_no_action_is_refused(entries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for squash, message in (("numpy:ravel", r"gives \(1,\) for"), ("numpy:nothing", "cannot be imported")):
        monkeypatch.setitem(config.ENVIRONMENTS, "swing", replace(PENDULUM, squash=squash))
        with pytest.raises(UserError, match=f"'swing': squash = '{squash}' in config.py {message}"):
            form_of("swing", actions_of("swing"), sizes_for("swing", 1))


# --- frames -----------------------------------------------------------------------------------------------------------


def test_wrappers_make_frames_of_any_environment(entries: None) -> None:
    env = make_env("swing")
    frames = [env.reset(seed=3)[0], *(env.step(np.array([2.0], np.float32))[0] for _ in range(3))]
    assert {(frame.dtype, frame.shape) for frame in frames} == {(np.dtype(np.uint8), config.FRAME_SHAPE)}
    assert not np.array_equal(frames[0], frames[-1])
    np.testing.assert_array_equal(make_env("swing").reset(seed=3)[0], frames[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wrappers": ()}, r"frames are float32 \(3,\), need uint8 \(64, 64, 3\)"),
        ({"wrappers": (("gymnasium.wrappers:None", {}),)}, "a wrapper = 'gymnasium.wrappers:None' in config.py cannot"),
        ({"wrappers": (("gymnasium.wrappers:ResizeObservation", {"shape": (64, 64)}),)}, "does not wrap it: "),
        ({"wrappers": (("gymnasium.wrappers:AddRenderObservation", {"size": 3}),)}, "does not wrap it: "),
        ({"arguments": {"g": 9.8, "size": 64}}, "cannot be made: .*unexpected keyword argument 'size'"),
        ({"id": "no_module:Swing-v0"}, "cannot be made: No module named 'no_module'"),
        ({"actions": ("left", "right")}, r"actions = \('left', 'right'\) in config.py, but an action is 1 numbers"),
        ({"reward": "log"}, "reward = 'log' in config.py, need 'positive' or 'value'"),
        ({"controller_input": ("z",)}, r"controller_input = \('z',\) in config.py, need \('z', 'h'\) or"),
        ({"z": 0}, "z = 0 in config.py, need at least 1"),
        ({"pixel_variance": 0.0}, "pixel_variance = 0.0 in config.py, need above 0"),
        ({"dream_reward": (0.0, 1.0)}, r"dream_reward = \(0.0, 1.0\) in config.py, but M divides by it"),
    ],
)
def test_an_impossible_entry_is_one_line(
    entries: None, monkeypatch: pytest.MonkeyPatch, change: dict, message: str
) -> None:
    monkeypatch.setitem(config.ENVIRONMENTS, "swing", replace(PENDULUM, **change))
    with pytest.raises(UserError, match=f"environment 'swing'.*{message}") as error:
        make_env("swing")
    assert "\n" not in str(error.value)


# --- what may be mixed ------------------------------------------------------------------------------------------------


def test_environments_that_differ_in_the_id_alone_are_variants(entries: None) -> None:
    assert are_variants("car_racing", "car_racing_color") and are_variants("car_racing_original", "car_racing")
    assert not are_variants("car_racing", "swing") and not are_variants("swing", "pole")
    assert are_variants("gone", "gone") and not are_variants("gone", "swing")
    check_env("a file", None, "swing", "")
    check_env("a file", ("car_racing", "swing"), "car_racing_bar", "")
    with pytest.raises(UserError, match=r"^a file is of environment swing and pole, not of car_racing: choose$"):
        check_env("a file", ("swing", "pole"), "car_racing", "choose")


def test_batches_of_several_environments_come_from_one_run_of_all(entries: None) -> None:
    both = ("pole", "swing")

    def environments(*runs: tuple[str, tuple[str, ...] | None]) -> tuple[str, ...]:
        return environments_of(obs_settings(env=env, run_all_envs=run) for env, run in runs)

    assert environments(("pole", ()), ("pole", both)) == ("pole",)
    assert environments(("swing", both), ("pole", both)) == both
    assert environments(("swing", None), ("pole", None)) == both  # an earlier version did not record it
    assert environments(("car_racing", ()), ("car_racing_bar", ())) == ("car_racing", "car_racing_bar")
    for first, second in (((), ()), (both, ()), ((), None), (both, ("swing", "pole"))):
        with pytest.raises(UserError, match="environments swing and pole, not of one --run_all_envs command: choose"):
            environments(("swing", first), ("pole", second))


def test_trainings_of_earlier_versions_state_neither_sizes_nor_environment() -> None:
    old = training_settings()
    new = training_settings(env=["pole"], **asdict(sizes_for_pole := Sizes(z=8, actions=2, h=6, done=True)))
    assert old.sizes == CAR and new.sizes == sizes_for_pole
    assert new.as_stated_in(new) == new
    assert new.as_stated_in(old) == old
    weighted = training_settings(env=["pole"], **asdict(sizes_for_pole), pixel_variance=0.1)
    assert weighted.as_stated_in(weighted) == weighted
    assert weighted.as_stated_in(new) == new


def test_an_entry_that_is_gone_is_named() -> None:
    with pytest.raises(UserError, match=r"^unknown environment 'gone': config.py lists car_racing, "):
        entry_of("gone")


# --- M's view of a reward ---------------------------------------------------------------------------------------------


def test_the_modeled_reward_is_a_sign_or_a_value(entries: None) -> None:
    rewards = np.array([-16.0, 0.0, 0.5])
    np.testing.assert_array_equal(CAR.modeled_reward(rewards), [0, 0, 1])
    np.testing.assert_array_equal(sizes_for("swing", 1).modeled_reward(rewards), [-1, 1, 1.0625])
    assert sizes_for("pole", 2).outputs == 3 * 5 * 8 + 2


def test_no_file_is_needed_for_the_entries(tmp_path: Path) -> None:
    """config.py holds values only: every entry can be read without importing what it names."""
    for name in config.ENVIRONMENTS:
        assert entry_of(name) is config.ENVIRONMENTS[name]


# --- the old gym ------------------------------------------------------------------------------------------------------


class Game(gym.Env):
    """A square that an action moves; the subclasses answer as the old gym did."""

    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)
    place = 0

    def frame(self) -> np.ndarray:
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[self.place % 60 :][:4] = 255
        return frame

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(60))
        return self.frame(), {}

    def step(self, action: int) -> tuple:
        self.place += 2 * int(action) - 1
        return self.frame(), 1.0, False, False, {}


class FourValues(Game):
    def step(self, action: int) -> tuple:
        frame, reward, *_ = super().step(action)
        return frame, reward, self.place > 60, {}


class NoPair(Game):
    def reset(self, *, seed: int | None = None, options: dict | None = None) -> np.ndarray:
        return super().reset(seed=seed)[0]


class NoSeed(Game):
    def reset(self) -> tuple:
        return super().reset()


class ArrayReward(Game):
    def step(self, action: int) -> tuple:
        frame, reward, *rest = super().step(action)
        return frame, np.array([reward]), *rest


class NoGymnasium:
    """As of 2016: another base class, four values, a frame alone, a seed of its own, an array as reward."""

    observation_space, action_space = Game.observation_space, Game.action_space

    def __init__(self) -> None:
        self.game, self.numbers = Game(), np.random.default_rng(0)

    def seed(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)

    def reset(self) -> np.ndarray:
        self.steps, self.game.place = 0, int(self.numbers.integers(60))
        return self.game.frame()

    def step(self, action: int) -> tuple:
        self.steps += 1
        frame, reward, *_ = self.game.step(action)
        return frame, np.array([reward]), self.steps == 3, {"TimeLimit.truncated": self.game.place > 30}

    def render(self, mode: str = "human") -> np.ndarray | None:
        return self.game.frame() if mode == "rgb_array" else None

    def close(self) -> None:
        pass


class WrongSpace(Game):
    observation_space = gym.spaces.Box(0, 100, (64, 64, 3), np.uint8)


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], str]:
    """Registers a class and enters it into config.py as `game`."""

    def enter(cls: type) -> str:
        gym.register("Game-v0", cls)
        monkeypatch.setitem(config.ENVIRONMENTS, "game", config.Environment(id="Game-v0"))
        return "game"

    yield enter
    gym.registry.pop("Game-v0", None)


ADAPTER = r"needs the adapter custom_envs/legacy_gym\.py$"


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (FourValues, f"step() gives 4 values, need five: frame, reward, terminated, truncated, info: .* {ADAPTER}"),
        (NoPair, f"reset() gives uint8 (64, 64, 3), need a frame and a dict: .* {ADAPTER}"),
        (NoSeed, f"reset() takes no seed (.*unexpected keyword argument 'seed'): .* {ADAPTER}"),
        (ArrayReward, f"step() gives float64 (1,) as reward, need a number: .* {ADAPTER}"),
        (NoGymnasium, f"cannot be made: The environment must inherit from the gymnasium.Env class.*; .* {ADAPTER}"),
        (WrongSpace, "fails Gymnasium's check_env: "),
    ],
)
def test_an_environment_of_the_old_gym_is_refused_by_what_it_answers(
    game: Callable[[type], str], cls: type, message: str
) -> None:
    pattern = message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(UserError, match=f"^environment 'game'.* ?{pattern}") as error:
        try_env(game(cls))
    assert "\n" not in str(error.value)


def test_the_adapter_makes_an_old_environment_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"maker": f"{__name__}:NoGymnasium"}
    entry = config.Environment(id="custom_envs:WorldModels/LegacyGym-v0", arguments=arguments)
    monkeypatch.setitem(config.ENVIRONMENTS, "old", entry)
    assert try_env("old").count == 2
    env = make_env("old", "rgb_array")
    first, info = env.reset(seed=5)
    assert info == {}
    for seed, same in ((5, True), (6, False)):
        assert np.array_equal(make_env("old").reset(seed=seed)[0], first) == same
    answers = [env.step(1) for _ in range(3)]
    assert [(reward, type(reward)) for _, reward, *_ in answers] == [(1.0, float)] * 3
    ends = [(terminated, truncated) for _, _, terminated, truncated, _ in answers]
    truncated = np.random.default_rng(5).integers(60) + 3 > 30
    assert ends == [(False, False), (False, False), (not truncated, truncated)]
    assert env.render().shape == (64, 64, 3)
