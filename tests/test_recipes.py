"""Recipes and Makefile: their commands, the folders they work in, what they refuse, and what cleaning leaves.

The recipes are run by a real shell. A stand-in for Python records each command and leaves the files that the next one
asks for. The flags are checked against each script's --help.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers.scripts import ROOT, run_script

STAND_IN = f"""#!{sys.executable}
import json, os, pathlib, sys
root = pathlib.Path(__file__).parents[2]
script = os.path.relpath(sys.argv[1], root)
with open(root / "commands.jsonl", "a") as file:
    file.write(json.dumps([os.path.relpath(os.getcwd(), root), script, *sys.argv[2:]]) + "\\n")
flags = dict(zip(sys.argv, sys.argv[1:]))
if script == "01_generate_data.py":
    first, size = int(flags.get("--start_batch", 0)), int(flags.get("--batch_size", 200))
    pathlib.Path("data").mkdir(exist_ok=True)
    for b in range(first, first + int(flags.get("--total_episodes", 200)) // size):
        for name in (f"obs_data_{{b}}.npy", f"obs_{{b}}.json"):
            pathlib.Path("data", name).touch()
for folder in ("vae", "rnn", "controller"):
    if script[:2] in ("02", "04", "05") and folder[0] == {{"02": "v", "04": "r", "05": "c"}}[script[:2]]:
        pathlib.Path(folder).mkdir(exist_ok=True)
        pathlib.Path(folder, "weights.h5").touch()
        pathlib.Path(folder, "car_racing.cma.4.64.best.json").touch()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Recipes and Makefile in a folder whose path has a space, and whose .venv has the stand-in for Python."""
    project = tmp_path / "a project"
    shutil.copytree(ROOT / "recipes", project / "recipes")
    shutil.copy(ROOT / "Makefile", project)
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    set_free_disk(project, 100)
    return project


def set_free_disk(project: Path, gigabytes: int) -> None:
    """A stand-in for df in the project's .venv: the tests do not depend on the disk that they run on."""
    df = project / ".venv/bin/df"
    df.write_text(f"#!/bin/sh\necho header; echo disk 9 9 {gigabytes * 1048576} 9% /\n")
    df.chmod(0o755)


def run(project: Path, recipe: str, *, ok: bool = True, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if name not in ("SEED", "ROUND", "CONFIRM", "QUALITY")}
    command = ["sh", f"recipes/{recipe}.sh"]
    done = subprocess.run(command, cwd=project, env=clean | environment, capture_output=True, text=True)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def commands(project: Path) -> list[list[str]]:
    """[folder, script, arguments …] of each command since the last call."""
    path = project / "commands.jsonl"
    lines = path.read_text().splitlines()
    path.unlink()
    return [json.loads(line) for line in lines]


@cache
def flags_of(script: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?\w+", run_script(ROOT, script, "--help").stdout))


@pytest.mark.parametrize(
    ("recipes", "folders"),
    [
        (("demo",), ["demo/seed7"]),
        (("pendulum", "snake"), ["games/pendulum/seed7", "games/snake/seed7"]),
        (("doom",), ["games/doom_take_cover/seed7/round1", "games/doom_take_cover/seed7/round2"]),
        (("train", "more"), ["train/seed7/round1", "train/seed7/round2", "train/seed7/round3", "train/seed7/round4"]),
        (
            ("train", "dream"),
            [*(f"train/seed7/{name}" for name in ("round1", "round2", "round3", "dream0", "dream1", "dream2"))],
        ),
    ],
)
def test_a_recipe_runs_the_stages_in_order_and_the_same_again(
    project: Path, recipes: tuple[str, ...], folders: list[str]
) -> None:
    for recipe in recipes:
        run(project, recipe, SEED="7")
    first = commands(project)
    assert list(dict.fromkeys(folder for folder, *_ in first)) == folders
    for folder in folders:
        stages = [script for where, script, *_ in first if where == folder]
        assert stages == sorted(stages, key=lambda name: (not name[0].isdigit(), name[:2] if name[0].isdigit() else ""))
    for recipe in recipes:
        run(project, recipe, SEED="7")
    assert commands(project) == first  # the scripts resume by themselves, under the same commands
    for _, script, *arguments in first:
        used = {word for word in arguments if word.startswith("-") and not word[1:2].isdigit()}
        assert used <= flags_of(script), script
        assert "--new_model" not in used


def test_later_rounds_hold_the_batches_of_earlier_ones_as_links(project: Path) -> None:
    for recipe in ("train", "more"):
        run(project, recipe, SEED="7")
    for number, own in ((3, range(10, 15)), (4, range(15, 20))):
        data = project / f"train/seed7/round{number}/data"
        assert {int(path.stem[4:]) for path in data.glob("obs_*.json")} == set(range(own.stop))
        for path in data.iterdir():
            assert path.exists()  # no link leads nowhere
            assert path.is_symlink() == (int(re.findall(r"\d+", path.name)[0]) not in own)
    shutil.move(project / "train/seed7", project / "elsewhere")
    assert all(path.exists() for path in (project / "elsewhere/round4/data").iterdir())  # a copied folder is whole


def test_the_quality_of_the_demo_is_a_number_of_generations(project: Path) -> None:
    found = []
    for environment in ({}, {"QUALITY": "900"}):
        run(project, "demo", **environment)
        found.append(commands(project))
    differences = [(one, two) for one, two in zip(*found, strict=True) if one != two]
    [(one, two)] = differences
    assert (one[1], one[0], two[0]) == ("05_train_controller.py", "demo/seed0", "demo/seed0")
    assert [pair for pair in zip(one, two, strict=True) if len(set(pair)) == 2] == [("48", "64")]
    done = run(project, "demo", ok=False, QUALITY="950")
    assert (done.returncode, done.stderr) == (2, "recipes/demo.sh: error: QUALITY=950: leave it out, or set 900\n")


def test_every_round_searches_with_a_seed_of_its_own(project: Path) -> None:
    run(project, "train", SEED="7")
    for number in ("4", "5"):
        run(project, "more", SEED="7", ROUND=number)
    searches = [words for words in commands(project) if words[1].startswith("05") and "round" in words[0]]
    assert [words[words.index("-s") + 1] for words in searches[-2:]] == ["74", "75"]


@pytest.mark.parametrize(
    ("recipe", "missing"), [("more", "round3 holds no controller"), ("dream", "round2 holds no V and M")]
)
def test_what_needs_an_earlier_recipe_says_so(project: Path, recipe: str, missing: str) -> None:
    done = run(project, recipe, ok=False)
    assert done.returncode == 2
    assert f"train/seed0/{missing}: run make train SEED=0 first" in done.stderr
    assert not (project / "commands.jsonl").exists()


@pytest.mark.parametrize("recipe", ["demo", "train"])
def test_a_recipe_says_what_disk_it_needs_and_refuses_what_is_not_there(project: Path, recipe: str) -> None:
    assert re.search(r"needs about \d+ GB of disk; it holds 0 GB, and 100 GB are free", run(project, recipe).stdout)
    (project / "commands.jsonl").unlink()
    set_free_disk(project, 1)
    done = run(project, recipe, ok=False)
    assert done.returncode == 2
    assert "error: not enough disk for " in done.stderr
    assert not (project / "commands.jsonl").exists()


def make(project: Path, *words: str) -> str:
    return subprocess.run(["make", *words], cwd=project, capture_output=True, text=True, check=True).stdout


def test_make_lists_its_targets(project: Path) -> None:
    assert make(project) == make(project, "help")
    listed = re.findall(r"^make (\S+) +\S.*$", make(project), re.MULTILINE)
    targets = re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (project / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "train", "more", "dream", "drive", "check", "test", "clean"} <= set(listed)
    assert set(targets) - set(listed) == set()


def test_cleaning_keeps_what_was_trained(project: Path) -> None:
    kept = [project / name for name in ("data/obs_0.json", "vae/weights.h5", "controller/a.json", "demo/seed0/x")]
    for path in (*kept, project / "report/index.html", project / "pipeline/__pycache__/a.pyc"):
        path.parent.mkdir(parents=True)
        path.touch()
    make(project, "clean")
    assert all(path.exists() for path in kept)
    assert not (project / "report").exists() and not (project / "pipeline/__pycache__").exists()


def test_demo_and_train_are_removed_only_when_confirmed(project: Path) -> None:
    for name in ("demo", "train"):
        assert f"there is no {name}/" in make(project, f"clean-{name}")
        (project / name / "seed3").mkdir(parents=True)
        assert re.search(rf"\d+K  last changed \d{{4}}-\d\d-\d\d .*{name}/seed3/", make(project, f"clean-{name}"))
        assert (project / name).exists()
        make(project, f"clean-{name}", "CONFIRM=1")
        assert not (project / name).exists()
