"""Tests of the studies at tiny sizes: searches in folders of their own, stored scores, one table."""

import importlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.scripts import LIMIT, command, environment, run_script

from es import OPTIMIZERS
from pipeline.files import file_hash

study = importlib.import_module("experiments.studies.study")
SEARCH = "-n 1 -t 2 -e 1 --max_length 5 --eval_steps 1 --eval_episode 1 --subspace 4"


def run_study(folder: Path, script: str, flags: str) -> str:
    """Run a study in a folder; the search's flags are one argument, which `command` would split."""
    words = [*command(f"experiments/studies/{script}", f"--folder . {flags}"), f"--search={SEARCH}"]
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=2 * LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ablate(folder: Path) -> str:
    """Run the ablations in a folder."""
    return run_study(folder, "ablations.py", "--generations 1 --num_episode 1")


@pytest.fixture(scope="module")
def ablated(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the ablations ran, and their output."""
    folder = tmp_path_factory.mktemp("ablated")
    for part in ("data", "vae", "rnn"):
        (folder / part).symlink_to(finished / part)
    return folder, ablate(folder)


def test_each_agent_has_the_flags_of_its_name(ablated: tuple[Path, str], finished: Path) -> None:
    folder, printed = ablated
    agents = {path.name: path for path in (folder / "ablations").iterdir() if path.is_dir()}
    assert len(agents) == 5
    flags = {"z_alone": "z_only", "sampled_z_and_h": "sample_z"}
    flags["z_and_h_of_an_M_conditioned_on_the_previous_action"] = "previous_action"
    for name, path in agents.items():
        kept = json.loads((path / "log/car_racing.cma.1.2.json").read_text())
        assert [flag for flag in flags.values() if kept[flag]] == [flag for key, flag in flags.items() if key == name]
        same = file_hash(path / "rnn/weights.h5") == file_hash(finished / "rnn/weights.h5")
        assert same == ("untrained" not in name)
    assert (folder / "ablations/ABLATIONS.md").read_text() in printed


def test_nothing_is_scored_twice(ablated: tuple[Path, str]) -> None:
    folder, printed = ablated
    again = ablate(folder)
    assert "track " in printed and "track " not in again
    assert printed.split("| agent |")[1] == again.split("| agent |")[1]


def test_comparison_of_the_optimizers(copy_of: Callable[..., Path]) -> None:
    folder = copy_of("data", *(f"{network}/weights.{end}" for network in ("vae", "rnn") for end in ("h5", "json")))
    printed = run_study(folder, "optimizers.py", "--generations 1 --num_episode 1 --seeds 4")
    table = (folder / "optimizers/OPTIMIZERS.md").read_text()
    assert table in printed
    for name in OPTIMIZERS:
        assert (folder / f"optimizers/{name}.4/controller/car_racing.{name}.1.2.es.npz").exists()
        assert f"| {name} |" in table and f"| {name}, seed 4 |" in table


def test_dreams_of_several_temperatures_beside_the_real_environment(
    copy_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The study resumes its searches, and records the evaluations that its table shows."""
    folder = copy_of("data", *(f"{network}/weights.{end}" for network in ("vae", "rnn") for end in ("h5", "json")))
    flags = "--generations 2 --temperatures 2 0.5 --seeds 3"
    run_study(folder, "transfer.py", flags)
    transfer, tables = (importlib.import_module(f"experiments.{name}") for name in ("studies.transfer", "tables"))
    monkeypatch.setattr(tables, "RESULTS_DIR", folder)
    monkeypatch.setattr(
        "sys.argv", ["transfer.py", *f"--folder {folder} {flags} --record transfer".split(), f"--search={SEARCH}"]
    )
    transfer.main()
    printed = capsys.readouterr().out
    searches = json.loads((folder / "transfer.json").read_text())["searches"]
    assert [(row["temperature"], row["seed"]) for row in searches] == [(0.5, 3), (2, 3)]
    table = (folder / "transfer/TRANSFER.md").read_text()
    for row in searches:
        for world in ("dream", "real"):
            assert [evaluation["generation"] for evaluation in row[world]] == [1, 2]
            assert all(f"{evaluation['mean']:.0f}" in table for evaluation in row[world])
    assert table in printed
    assert [row.split(" | ")[:2] for row in table.splitlines()[2:]] == [["| 0.5", "3"], ["| 2", "3"]]
    for temperature in (0.5, 2):
        logs = folder / f"transfer/{temperature}.3/log"
        assert json.loads((logs / "car_racing_dream.cma.1.2.json").read_text())["temperature"] == temperature
        for log in ("log", "dream_log"):
            for row in json.loads((logs / f"car_racing_dream.cma.1.2.{log}.json").read_text()):
                assert f"{row['mean']:.0f}" in table
    assert (folder / "transfer/transfer.png").stat().st_size > 10_000


def test_the_comparison_takes_the_agents_that_are_there(tmp_path: Path) -> None:
    baselines = tmp_path / "baselines"
    baselines.mkdir()
    cost = {"parameters": 5, "agent_steps": 2_000_000, "seconds": 7200.0}
    kept = {"seed": 0, "scores": [-31.0, -29.0] * 50, "about": {}, **cost}
    (baselines / "random_car_racing.scores.json").write_text(json.dumps(kept))
    (baselines / "ga_car_racing.scores.json").write_text(json.dumps(kept | {"seed": 1}))
    (baselines / "dqn_car_racing.scores.json").write_text(json.dumps(kept | {"scores": [900.0]}))  # of one track
    (tmp_path / "round3/ablations/z_alone/controller").mkdir(parents=True)  # of a study that has just started
    (tmp_path / "round3/controller").mkdir()
    for number in (2, 4):  # an ambiguous folder
        (tmp_path / f"round3/controller/car_racing.cma.{number}.64.best.json").touch()
    printed = run_script(tmp_path, "experiments/studies/compare.py", "--folder", tmp_path).stdout
    assert "| random | -30.0 ± 1.0 | -31.0 | 5 | 2.0 million | 2.0 |" in printed
    assert "genetic algorithm is missing; to produce it: python experiments/baselines/ga_car_racing.py, then" in printed
    assert (
        f"World Models, z alone is missing; to produce it: python experiments/studies/ablations.py"
        f" --folder {tmp_path / 'round3'}\n" in printed
    )
    assert "Deep Q-Learning is missing" in printed
    assert "World Models is missing; to produce it: " in printed and "holds several controllers" in printed
    assert "World Models, trained in dreams is missing; to produce it: make train, make dream" in printed
    assert (tmp_path / "report/compare.png").stat().st_size > 10_000


def test_a_folder_without_networks_is_refused_and_unchanged(tmp_path: Path) -> None:
    for _ in range(2):
        done = run_script(tmp_path, "experiments/studies/ablations.py", "--folder nowhere", ok=False)
        assert done.returncode == 2
        assert "nowhere/data is not there: run the stages 01 to 04 in nowhere first" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_links_into_a_moved_folder_are_replaced(finished: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    for source in (finished, old):
        if source == old:
            shutil.copytree(finished / "vae", old / "vae")
        study.link(tmp_path / "work", source, Path("vae"))
        assert (tmp_path / "work/vae").resolve() == source / "vae"
    shutil.rmtree(old)
    study.link(tmp_path / "work", finished, Path("vae"))
    assert (tmp_path / "work/vae/weights.h5").exists()


def test_an_arm_varies_one_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    """Agents share all files of the stages before the arm's, and differ in its own; the record holds every seed."""
    variance = importlib.import_module("experiments.studies.variance")
    tables = importlib.import_module("experiments.tables")
    stages = {
        "data": ["01_generate_data.py car_racing --total_episodes 12 --time_steps 20 --seed {seed}"],
        "vae": ["02_train_vae.py --steps 1 --batch_size 4 --seed {seed}", "03_generate_rnn_data.py"],
        "rnn": ["04_train_rnn.py --steps 1 --batch_size 4 --seed {seed}"],
        "search": [f"05_train_controller.py car_racing {SEARCH} --generations 1 -s {{seed}}"],
    }
    assert {arm: len(commands) for arm, commands in variance.STAGES.items()} == {
        "data": 1,
        "vae": 2,
        "rnn": 1,
        "search": 1,
    }
    monkeypatch.setattr(variance, "STAGES", stages)
    monkeypatch.setattr(tables, "RESULTS_DIR", tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["variance.py", "--folder", str(tmp_path / "v"), *["--seeds", "3", "4", "--num_episode", "1"]]
    )
    variance.main()
    made = {
        "data": "data/obs_data_0.npy",
        "vae": "vae/weights.h5",
        "rnn": "rnn/weights.h5",
        "search": "log/*.hist.json",
    }
    for number, arm in enumerate(stages):
        for position, pattern in enumerate(made.values()):
            [own], [base] = ((tmp_path / "v" / name).glob(pattern) for name in (f"{arm}4", "seed3"))
            same = file_hash(own) == file_hash(base)
            assert same == (position < number), (arm, pattern)
    arms = json.loads((tmp_path / "variance.json").read_text())["arms"]
    assert {arm: [row["seed"] for row in rows] for arm, rows in arms.items()} == {arm: [3, 4] for arm in stages}
    assert capsys.readouterr().out.count("track ") == 5


def test_the_studies_have_the_flags_of_the_demo() -> None:
    """But for 20 generations of the search."""
    variance, parts = (importlib.import_module(f"experiments.studies.{name}") for name in ("variance", "parts"))
    recipe = (
        (Path(__file__).parents[1] / "recipes" / "demo.sh")
        .read_text()
        .replace("\\\n    ", "")
        .replace("$generations", "20")
    )
    stages = [words for commands in variance.STAGES.values() for words in commands]
    for words in (*stages, parts.SEARCH):
        script, flags = words.replace("{seed}", '"$SEED"').split(" ", 1) if " " in words else (words, "")
        assert f'python "$root/{script}" {flags}'.strip() in recipe


def test_robustness_scores_every_environment_with_other_pixels(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    robustness, tables = (importlib.import_module(f"experiments.{name}") for name in ("studies.robustness", "tables"))
    page = tmp_path / "results.md"
    page.write_text("<!-- robustness:start -->\n<!-- robustness:end -->\n")
    monkeypatch.setattr(tables, "RESULTS_DIR", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", page)
    filename = finished / "controller" / "car_racing.cma.1.4.best.json"
    monkeypatch.setattr("sys.argv", ["robustness.py", "--filename", str(filename), "--num_episode", "2"])
    robustness.main()
    scores = json.loads((tmp_path / "robustness.json").read_text())["scores_by_environment"]
    assert [len(row) for row in scores.values()] == [2] * 6
    assert len({tuple(row) for row in scores.values()}) > 1
    assert [line.split("`")[1] for line in page.read_text().splitlines()[3:9]] == list(scores)
    assert "655 ± 353" in page.read_text()


def test_parts_are_compared_by_seed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    """Each arm differs from the base in its flags alone, and the difference is that of the same seeds."""
    parts, tables = (importlib.import_module(f"experiments.{name}") for name in ("studies.parts", "tables"))
    for name in ("data", "vae", "rnn"):
        (tmp_path / name).symlink_to(finished / name)
    monkeypatch.setattr(tables, "RESULTS_DIR", tmp_path)
    monkeypatch.setattr(parts, "SEARCH", f"05_train_controller.py car_racing {SEARCH} --generations 1 -s {{seed}}")
    monkeypatch.setattr(
        "sys.argv",
        ["parts.py", "--folder", str(tmp_path), "--arms", "all weights", "--seeds", "3", "--num_episode", "1"],
    )
    parts.main()
    arms = json.loads((tmp_path / "parts.json").read_text())["arms"]
    assert {arm: [row["seed"] for row in rows] for arm, rows in arms.items()} == {
        name: [3] for name in (parts.BASE, "all weights")
    }
    settings = [
        json.loads(next((tmp_path / "parts" / arm / "seed3/log").glob("car_racing.cma.1.2.json")).read_text())
        for arm in ("as_in_the_demo", "all_weights")
    ]
    assert {key: [one[key] for one in settings] for key in settings[0] if settings[0][key] != settings[1][key]} == {
        "subspace": [4, 0]
    }


def test_the_difference_between_parts_is_paired() -> None:
    parts = importlib.import_module("experiments.studies.parts")
    rows = [[{"seed": seed, "mean": mean} for seed, mean in enumerate(means)] for means in ([1, 5, 9], [4, 6, 14])]
    assert parts.table(dict(zip((parts.BASE, "other"), rows, strict=True))).splitlines()[2:] == [
        "| as in the demo | 3 | 5.0 | 4.0 | 1.0 | — |",
        "| other | 3 | 8.0 | 5.3 | 4.0 | +3.0 ± 1.2 |",
    ]
