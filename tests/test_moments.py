"""Tests of short dreams, which start at recorded moments: where they start, and the search that uses them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import run_script

from pipeline.batches import open_batches
from pipeline.errors import UserError
from simulation.agent import Agent
from simulation.dream import ROWS
from simulation.moments import ContinuedDreams, Moments, recorded_moments

pytestmark = pytest.mark.usefixtures("one_thread")
SEARCH = "car_racing -n 1 -t 4 -e 2 --subspace 4 --eval_steps 1 --eval_episode 1 --max_length 30 --dream_mode 1"
CONTROLLER, NAME = "05_train_controller.py", "car_racing_dream.cma.2.4"
STATE = f"controller/{NAME}.es.npz"
EVALUATIONS = "coordinates/dream_evaluations"


@pytest.fixture
def trained(copy_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data, V and M of the small finished run."""
    folder = copy_of("data", "vae", "rnn")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def agent(trained: Path) -> Agent:
    agent = Agent()
    agent.load()
    return agent


def moments_of(agent: Agent, seed: int = 1) -> Moments:
    return recorded_moments("car_racing", agent.hashes["vae"], agent.rnn, seed)


def test_moments_are_steps_of_recorded_episodes_with_the_state_of_m(agent: Agent) -> None:
    """The state of M by single steps over an episode, and all steps but the padding, once each."""
    batches, moments = list(open_batches("rnn")), moments_of(agent)
    assert len(moments.mu) == sum(length - 1 for batch in batches for length in batch.lengths)
    assert len(np.unique(moments.mu, axis=0)) > 1
    for batch in batches:
        episode, length = 1, batch.lengths[1]
        h, c = np.zeros((2, 1, 256), np.float32)
        for t in range(length - 1):
            h, c = agent.rnn.step(batch["rnn_input"][episode : episode + 1, t], h, c)
        *mu, reward = batch["rnn_output"][episode, length - 2, :33]
        [found] = np.flatnonzero(np.isclose(moments.h, h, atol=1e-5).all(axis=1))
        np.testing.assert_array_equal(moments.mu[found], np.array(mu))
        np.testing.assert_array_equal(moments.log_var[found], batch["rnn_log_var"][episode, length - 1])
        np.testing.assert_allclose(moments.c[found], c[0], atol=1e-5)
        assert moments.modeled_reward[found] == reward


def test_the_seed_decides_the_moments(agent: Agent) -> None:
    first, again, other = (moments_of(agent, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.h, again.h)
    assert not np.array_equal(first.h, other.h)


def test_series_of_another_vae_are_refused(agent: Agent) -> None:
    with pytest.raises(UserError, match=r"03_generate_rnn_data\.py"):
        recorded_moments("car_racing", "0123456789abcdef", agent.rnn, 1)


def test_a_dream_continues_a_moment(agent: Agent) -> None:
    moments = moments_of(agent)
    dreams, started = ContinuedDreams(agent.rnn, moments, 1.0), set()
    for seed in range(ROWS):
        dreams.reset(seed, seed)
        same = (moments.mu == dreams.seen_z[seed]).all(axis=1) & (moments.h == dreams.h[seed]).all(axis=1)
        [moment] = np.flatnonzero(same)
        started.add(int(moment))
        np.testing.assert_array_equal(dreams.c[seed], moments.c[moment])
        assert dreams.modeled_reward[seed] == moments.modeled_reward[moment]
        deviation = (dreams.z[seed] - moments.mu[moment]) / np.exp(moments.log_var[moment] / 2)
        assert 0 < np.abs(deviation).max() < 6
    assert len(started) > len(moments.mu) // 2


def test_a_search_in_short_dreams(trained: Path) -> None:
    """Its dreams are as long as the flag says; a resumed search equals an uninterrupted one."""
    search = f"{SEARCH} --dream_length 12"
    run_script(trained, CONTROLLER, f"{search} --generations 2")
    once = (trained / STATE).read_bytes()
    rows = json.loads((trained / "log" / f"{NAME}.hist.json").read_text())
    assert [row["max steps"] for row in rows] == [12, 12]
    run_script(trained, CONTROLLER, f"{search} --generations 1 --new_model")
    run_script(trained, CONTROLLER, f"{search} --generations 2")
    with np.load(trained / STATE) as resumed, np.load(io.BytesIO(once)) as uninterrupted:
        np.testing.assert_array_equal(resumed["fitness"], uninterrupted["fitness"])
        np.testing.assert_array_equal(resumed[EVALUATIONS], uninterrupted[EVALUATIONS])


def test_a_search_in_short_dreams_goes_on_with_its_own_data(trained: Path) -> None:
    search = f"{SEARCH} --dream_length 12 --generations"
    run_script(trained, CONTROLLER, f"{search} 1")
    run_script(trained, "01_generate_data.py", "car_racing --total_episodes 2 --start_batch 2 --time_steps 12 --seed 9")
    run_script(trained, "03_generate_rnn_data.py", "")
    refused = run_script(trained, CONTROLLER, f"{search} 2", ok=False)
    assert refused.returncode == 2 and "initial_z" in refused.stderr
