"""Tests of experiments/results.py: recorded results, and the tables rendered from them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import SEARCH

from experiments import results, tables
from experiments.scores import Scores
from pipeline.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for docs/results, empty at first."""
    monkeypatch.setattr(tables, "RESULTS_DIR", tmp_path / "results")
    return tmp_path / "results"


@pytest.mark.parametrize(("path", "section"), tables.PLACES)
def test_the_tables_are_current(path: Path, section: str) -> None:
    assert path.read_text() == tables.rendered(path, section), "run python experiments/results.py --render"


def test_a_table_without_results(folder: Path) -> None:
    rows = tables.results_table().splitlines()
    assert rows[2:] == [
        "| `make demo` | not measured yet | | | |",
        "| `make train` | see [results](docs/results.md) | | | |",
        "| pretrained | not measured yet | | | |",
        tables.PAPER,
    ]


def test_a_table_of_results(folder: Path) -> None:
    """One result shows mean ± std; several seeds show the median of their means and the worst minimum."""
    for seed, scores, minutes in ((0, [700.0, 900.0], 10.0), (1, [850.0, 870.0], 30.0), (2, [100.0, 1100.0], 20.0)):
        results.record(f"demo_seed{seed}", "make demo", seed, minutes, scores=scores)
    results.record("pretrained", "a command", scores=[920.0, 930.0, 940.0])
    demo, train, pretrained, paper = tables.results_table().splitlines()[2:]
    cores = json.loads((folder / "demo_seed0.json").read_text())["cores"]
    assert demo == f"| `make demo` | 800.0 (median of 3 seeds) | 100.0 | 2 each | 20 minutes on {cores} cores |"
    assert pretrained.startswith("| pretrained | 930.0 ± 8.2 | 920.0 | 3 | shipped")
    assert "docs/results.md" in train and "906 ± 21" in paper
    results.record("train", "make train", 0, 90.4, scores=[1.0, 3.0])
    train = tables.results_table().splitlines()[3]
    assert train == f"| `make train` | 2.0 ± 1.0 | 1.0 | 2 | 90 minutes on {cores} cores |"


def test_a_record_says_what_was_measured_and_where(folder: Path) -> None:
    scores = [900.5, 930.25, 880.0]
    path = results.record("demo", "make demo SEED=3", 3, 14.5, 27.0, scores, steps=[300, 280, 310])
    kept = json.loads(path.read_text())
    assert path == folder / "demo.json"
    assert kept["scores"] == scores and kept["tracks"] == 3 and kept["steps"] == [300, 280, 310]
    assert (kept["mean"], kept["std"], kept["min"]) == (np.mean(scores), np.std(scores), 880.0)
    assert (kept["command"], kept["tracks_seed"], kept["wall_minutes"], kept["processor_minutes"]) == (
        *("make demo SEED=3", 3),
        *(14.5, 27.0),
    )
    assert kept["packages"]["numpy"] == np.__version__
    assert kept["processor"] and kept["cores"] >= 1 and kept["python"].startswith("3.")


def test_the_revision_is_none_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert results.revision() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert results.revision() is None


def test_a_file_without_markers_and_a_damaged_result_are_refused(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n<!-- results:start -->\n")
    with pytest.raises(UserError, match="lacks the lines <!-- results:start --> and <!-- results:end -->"):
        tables.render(readme, "results")
    folder.mkdir()
    (folder / "demo.json").write_text('{"scores": [1.0]}')
    with pytest.raises(UserError, match="is not a result with scores"):
        tables.results_table()


def test_rendering_replaces_the_section_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results:start -->\nold\n<!-- results:end -->\nafter\n")
    for _ in range(2):
        tables.render(readme, "results")
        table = tables.results_table()
        assert readme.read_text() == f"before\n<!-- results:start -->\n{table}\n<!-- results:end -->\nafter\n"


def test_recorded_speeds_become_a_table(folder: Path) -> None:
    row = {"work": "step", "ours": "2 steps/s", "against": "other", "theirs": "1 steps/s", "ratio": 2.0, "low": 1.5}
    row |= {"high": 2.5, "required": 3.0, "goal": 4.0, "bound": "the solver"}
    results.record("speed", "make bench", wall_minutes=9.6, rows=[row], notes=["A note."])
    text = tables.speed_table()
    assert "10 minutes of `make bench`" in text and text.endswith("A note.")
    assert (
        "| step | 2 steps/s | other | 1 steps/s | **2.00×** (1.50 … 2.50) | ≥ 3.00×, goal 4.00× — not reached |" in text
    )
    assert "* step, other: the solver." in text


@pytest.mark.usefixtures("one_thread")
def test_the_score_command_records_what_the_agent_scored(
    folder: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Its scores are those of the project's own function; with --run the cost is that of the command."""
    monkeypatch.setattr(results, "ROOT", folder.parent)
    shutil.copytree(finished, folder.parent / "run")
    filename = folder.parent / "run/controller" / f"{SEARCH}.best.json"
    command = f"{sys.executable} -c 'import pathlib; pathlib.Path(\"done\").touch(); sum(range(10**7))'"
    for more in ([], ["--run", command]):
        arguments = ["score", "demo", "--filename", str(filename), "--num_episode", "2", "--seed", "5", *more]
        monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
        results.main()
        printed = capsys.readouterr().out
        kept = json.loads((folder / "demo.json").read_text())
        for index, score in enumerate(kept["scores"]):
            assert f"track {index:3d}: {score:7.1f}" in printed
        assert kept["tracks"] == 2 and kept["tracks_seed"] == 5
        assert kept["controller"]["file"] == f"run/controller/{SEARCH}.best.json"
        if more:
            assert kept["command"] == command and (folder.parent / "done").exists()
            assert 0 < kept["processor_minutes"] < 1
        else:
            assert kept["command"].startswith("python experiments/results.py score demo --filename run/controller/")
            assert 0 < kept["wall_minutes"] < 5 and kept["processor_minutes"] > 0
    assert results.score_controller(filename, results.rollout_settings(5, 2)) == kept["scores"]


def test_random_actions_and_a_baselines_scores_are_recorded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the environment that they are of; a baseline's scores are taken as they are."""
    settings = results.rollout_settings(4, 3, "snake")
    found = []
    for _ in range(2):
        arguments = ["score", "snake_random", "--explore", "snake", "--num_episode", "3", "--seed", "4"]
        monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
        monkeypatch.setattr(results, "ROOT", folder.parent)
        results.main()
        found.append(json.loads((folder / "snake_random.json").read_text()))
    assert found[0]["scores"] == found[1]["scores"] and found[0]["rollout"]["env"] == "snake"
    assert found[0]["command"].endswith("score snake_random --explore snake --num_episode 3 --seed 4")
    kept = tmp_path / "dqn.scores.json"
    Scores(settings=settings, scores=[1.0, -1.0, 3.0], metadata={}, agent_steps=70).write(kept)
    monkeypatch.setattr(sys, "argv", ["results.py", "score", "snake_dqn", "--scores", str(kept)])
    results.main()
    dqn = json.loads((folder / "snake_dqn.json").read_text())
    assert (dqn["scores"], dqn["tracks_seed"], dqn["agent_steps"]) == ([1.0, -1.0, 3.0], 4, 70)
    rows = tables.games_table().splitlines()[2:]
    assert rows[0].startswith("| Snake | Deep Q-Learning | 1.0 ± 1.6 | -1.0 | 3 | ")
    assert rows[1].startswith("| Snake | random | ") and rows[1].endswith(" | 3 | — |")


def test_steps_survived_by_temperature_are_the_last_evaluations(folder: Path) -> None:
    """Beside the paper's, where the paper has that temperature."""
    command = "python experiments/studies/transfer.py"
    assert command in tables.temperature_table()
    first, last = {"mean": 1.0, "std": 2.0}, {"mean": 918.2, "std": 546.4}
    searches = [{"temperature": t, "seed": 1, "dream": [first, last], "real": [first, first]} for t in (0.7, 1.15)]
    results.record("doom_temperature", command, searches=searches)
    assert tables.temperature_table().splitlines()[2:] == [
        "| 0.7 | 918 ± 546 | 1 ± 2 | — | — |",
        "| 1.15 | 918 ± 546 | 1 ± 2 | 918 ± 546 | 1092 ± 556 |",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --render or score NAME"),
        (["--render", "score", "a", "--filename", "b"], "give either --render or score NAME"),
        (["score", "../a", "--filename", "b"], "'../a' is not made of a-z, 0-9 and _"),
        (["score", "a"], "one of the arguments --filename --explore --scores is required"),
        (["score", "a", "--explore", "no_game"], "unknown environment 'no_game'"),
        (["score", "a", "--filename", "b", "--minutes", "3"], "unrecognized arguments: --minutes 3"),
    ],
)
def test_command_lines_that_make_no_sense(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
    with pytest.raises(SystemExit) as end:
        results.parse_args()
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_command_that_fails_leaves_no_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["score", "demo", "--filename", "a.json", "--run", "false"]
    monkeypatch.setattr(sys, "argv", ["results.py", *arguments])
    with pytest.raises(UserError, match="'false' failed: nothing is recorded"):
        results.main()
    assert not folder.exists()
