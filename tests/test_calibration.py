"""Tests of the report's calibration of M's reward: speed and curvature, M's predictions, and the figure's bins."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.scripts import SEARCH, run_script

from experiments.plots import calibration
from experiments.plots.calibration import Drive, binned, drive, predicted_rates, road_of
from simulation.agent import load_agent_and_weights
from simulation.environments import make_env
from simulation.rollout import RolloutSettings

FPS = 50


def test_the_curvature_of_a_circle_is_one_over_its_radius() -> None:
    """Also where the direction of the road passes from 2 pi to 0."""
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    for radius in (20.0, 60.0):
        places = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        track = [(a, a % (2 * np.pi), *place) for a, place in zip(angles, places, strict=True)]
        for here in (0, 30, 199):
            hull = SimpleNamespace(position=places[here] + 0.01, linearVelocity=SimpleNamespace(length=7.0))
            speed, curvature = road_of(SimpleNamespace(car=SimpleNamespace(hull=hull), track=track))
            assert speed == 7
            assert curvature == pytest.approx(1 / radius, rel=1e-3)


def test_the_speed_is_the_distance_of_a_step_times_steps_per_second() -> None:
    env = make_env("car_racing")
    env.reset(seed=3)
    for _ in range(60):
        env.step(np.array([0, 1, 0]))
    before = np.array(env.unwrapped.car.hull.position)
    env.step(np.array([0, 0, 0]))
    speed, _ = road_of(env.unwrapped)
    assert speed == pytest.approx(np.hypot(*(np.array(env.unwrapped.car.hull.position) - before)) * FPS, rel=0.05)
    assert speed > 10


def test_bins_hold_as_many_steps_each_and_average_their_rates() -> None:
    values = np.random.default_rng(0).permutation(60).astype(float)
    centers, (rate, opposite) = binned(values, [values / 60, 1 - values / 60])
    np.testing.assert_allclose(centers, np.arange(60).reshape(6, 10).mean(axis=1))
    np.testing.assert_allclose(rate, centers / 60)
    np.testing.assert_allclose(rate + opposite, 1)


def test_predictions_are_those_of_m_step_by_step(finished: Path, one_thread: None) -> None:
    agent, weights = load_agent_and_weights(finished / "controller" / f"{SEARCH}.best.json")
    settings = RolloutSettings(env="car_racing", seed=0, num_episode=2, max_length=30)
    driven = drive(agent, weights, settings)
    assert [len(frames) for frames in driven.frames] == [30, 30]
    assert not driven.rewards[0][0]  # the first frame comes without a reward
    assert any(rewards.any() for rewards in driven.rewards)
    kernel, bias = agent.rnn.model.get_layer("mixture").get_weights()
    for i, rates in enumerate(predicted_rates(agent, driven)):
        h, c = np.zeros((2, 1, agent.sizes.h), np.float32)
        for t, rate in enumerate(rates):
            mu, _ = agent.vae.encode(driven.frames[i][t : t + 1], 16)
            x = np.concatenate([mu, driven.actions[i][[t]], driven.rewards[i][[t], None]], axis=1).astype(np.float32)
            h, c = agent.rnn.step(x, h, c)
            logit = (h @ kernel + bias)[0, agent.sizes.mixture_outputs]
            assert rate == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-3)


def test_the_figure_shows_a_perfect_model_on_the_observed_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rewards = [np.arange(61) % 2 == 1 for _ in range(2)]
    values = [rng.random(61) for _ in range(2)]
    empty = [np.zeros(61)] * 2
    driven = Drive(empty, empty, rewards, values, values)
    perfect = [of_episode[1:].astype(float) for of_episode in rewards]
    monkeypatch.setattr(calibration, "predicted_rates", lambda agent, driven: perfect)
    figure = calibration.draw_calibration(driven, {"M": None})
    for panel in figure.axes:
        observed, model = (line.get_ydata() for line in panel.get_lines())
        np.testing.assert_allclose(observed, model)


def test_an_earlier_agent_is_compared_with_this_folders_m(copy_of: object, finished: Path) -> None:
    """The report of a round: its M before, from the folder of --filename, and after, in this folder."""
    folder = copy_of("data", "vae/weights.h5", "vae/weights.json")
    run_script(folder, "04_train_rnn.py", "--new_model --steps 2 --batch_size 2 --checkpoint_steps 2 --seed 1")
    flags = f"dream --num_episode 1 --filename {finished}/controller/{SEARCH}.best.json"
    done = run_script(folder, "experiments/report.py", flags)
    assert "report/dream_calibration.png\n" in done.stdout
