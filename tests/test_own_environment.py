"""Tests of adding an environment: the documentation's game through all five stages, and refused environments.

docs/your_environment.md is followed by the letter in a copy of the project, whose scripts are run. The environments
that are refused are changes of tests/helpers/dot.py.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.scripts import LIMIT, ROOT, run_script

PACKAGES = ("custom_envs", "pipeline", "vae", "rnn", "controller", "simulation", "display")
TEXT = (ROOT / "docs/your_environment.md").read_text()
DOT = """ENVIRONMENTS["dot"] = Environment(
    id="custom_envs.dot:WorldModels/Dot-v0",
    max_length=200,
    explore="custom_envs.exploration:explore_car_racing",
    squash="controller.arch:squash",
)
"""
TINY = {  # script -> what makes its command in the text tiny
    "01_generate_data.py": "--total_episodes 4 --batch_size 4 --time_steps 30",
    "02_train_vae.py": "--steps 2 --batch_size 10",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--steps 2 --batch_size 2",
    "05_train_controller.py": "-n 1 -t 4 -e 1 --eval_steps 1 --eval_episode 1 --generations 1 --subspace 4",
}


def documented_blocks() -> list[str]:
    """The Python blocks of docs/your_environment.md: the class in four parts, its registration, its entry."""
    return re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def documented_commands() -> list[list[str]]:
    """The words of the commands of docs/your_environment.md that train the agent."""
    [block] = re.findall(r"<!-- snake:start -->\n```\n(.*?)```\n<!-- snake:end -->", TEXT, re.DOTALL)
    return [line.replace("python $P/", "").split() for line in block.splitlines()]


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + "\n\n" + text)


def copy_project(folder: Path) -> Path:
    """Copy the project, and add the dot and the documented game to it."""
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.h5", "*.json", "*.npz"))
    shutil.copy(ROOT / "tests" / "helpers" / "dot.py", folder / "custom_envs")
    *parts, registration, entry = documented_blocks()
    (folder / "custom_envs" / "my_snake.py").write_text("\n".join(parts))
    append(folder / "custom_envs" / "__init__.py", registration)
    append(folder / "config.py", entry + DOT)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def test_the_text_builds_the_game_of_this_project(project: Path) -> None:
    """The same lines, but for the docstring at the top and a comment for the linter."""

    def lines(text: str) -> list[str]:
        return [line.partition("  # noqa")[0] for line in text.splitlines() if line]

    ours = (ROOT / "custom_envs" / "snake.py").read_text()
    assert lines((project / "custom_envs" / "my_snake.py").read_text()) == lines(ours)[1:]
    [check] = re.findall(r'^python -c "(.*)"$', TEXT, re.MULTILINE)
    subprocess.run([sys.executable, "-c", check], cwd=project, check=True, timeout=LIMIT)
    titles = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert titles[:7] == ["Init", "Step", "Reset", "Render", "Register", "Entry", "Five commands"]


def test_the_documented_game_runs_all_five_stages(project: Path, tmp_path: Path) -> None:
    def run(name: str, arguments: str) -> subprocess.CompletedProcess:
        return run_script(tmp_path, name, arguments, root=project)

    commands = documented_commands()
    assert [script for script, *_ in commands] == list(TINY)
    for script, *flags in commands:
        run(script, " ".join([*flags, TINY[script]]))
        if script.startswith("01"):
            frames = np.load(tmp_path / "data" / "obs_data_0.npy")
            assert frames.shape == (4, 30, 64, 64, 3)
            assert len(np.unique(frames.reshape(120, -1), axis=0)) > 20
    controller = "controller/my_snake.cma.1.4.best.json"
    out = run("model.py", f"my_snake --filename {controller} --final_mode --num_episode 2").stdout
    assert out.count("steps") >= 2
    assert "snake" in run("model.py", f"--filename {controller} --dream_mode --max_length 5 --record_video").stdout

    def refused(name: str, arguments: str) -> str:
        done = run_script(tmp_path, name, arguments, ok=False, root=project)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    for files in ("vae/weights.json", "rnn/weights.json", controller):
        assert '"my_snake"' in (tmp_path / files).read_text()
    found = refused("model.py", f"car_racing --filename {controller}")
    assert f"{controller} is of environment my_snake, not of car_racing: give that name" in found
    found = refused("05_train_controller.py", "car_racing -n 1 -t 4 --generations 1 --subspace 0")
    assert "rnn/weights.h5 is of environment my_snake, not of car_racing" in found
    run("01_generate_data.py", "car_racing --total_episodes 2 --time_steps 30 --start_batch 1")
    both = (
        "the batches are of environments my_snake and car_racing, not of one --run_all_envs command: choose batches by"
    )
    assert both in refused("02_train_vae.py", "--new_model")
    assert "vae/ is of environment my_snake, not of car_racing: leave batch 1 out by" in refused(
        "03_generate_rnn_data.py", "--start_batch 1"
    )
    run("03_generate_rnn_data.py", "--max_batch 0")


def test_run_all_envs_runs_all_five_stages(tmp_path: Path) -> None:
    """All environments share V and M; each has its own controller, whose subspace is fitted to its own series."""
    project = copy_project(tmp_path)
    append(project / "config.py", 'TRAIN_ENVS = ("car_racing", "dot")\n')

    def run(name: str, arguments: str) -> str:
        return run_script(tmp_path, name, arguments, root=project).stdout

    out = run(
        "01_generate_data.py",
        "car_racing --run_all_envs --total_episodes 4 --batch_size 2 --time_steps 20 --start_batch 3",
    )
    assert "batches 3..6 in data/" in out
    run("02_train_vae.py", "--new_model --epochs 1 --batch_size 20")
    run("03_generate_rnn_data.py", "")
    run("04_train_rnn.py", "--new_model --steps 2 --batch_size 2")
    directions = []
    for name in ("car_racing", "dot"):
        run(
            "05_train_controller.py",
            f"{name} -n 1 -t 4 -e 1 --max_length 10 --eval_steps 1 --eval_episode 1 --generations 1 --subspace 4",
        )
        with np.load(tmp_path / "controller" / f"{name}.cma.1.4.es.npz") as file:
            directions.append(file["coordinates/T"])
    assert not np.allclose(*directions)
    recorded = [json.loads((tmp_path / "data" / f"obs_{b}.json").read_text())["settings"]["env"] for b in range(3, 7)]
    assert recorded == ["car_racing", "car_racing", "dot", "dot"]


DAMAGES = {
    "frames of another size": (
        lambda code: code.replace("Box(0, 255, (64, 64, 3)", "Box(0, 255, (96, 96, 3)"),
        r"environment 'dot': frames are uint8 \(96, 96, 3\), need uint8 \(64, 64, 3\)",
    ),
    "float frames": (
        lambda code: code.replace("(64, 64, 3), np.uint8)\n    action", "(64, 64, 3), np.float32)\n    action"),
        r"environment 'dot': frames are float32 \(64, 64, 3\), need uint8",
    ),
    "frames that differ from the declared space": (
        lambda code: code.replace("frame = np.zeros((64, 64, 3)", "frame = np.zeros((64, 64, 1)"),
        r"environment 'dot': reset\(\) gives uint8 \(64, 64, 1\), need uint8 \(64, 64, 3\)",
    ),
    "two actions, and a policy of three": (
        lambda code: code.replace("[-1, 0, 0]", "[-1, 0]").replace("[1, 1, 1]", "[1, 1]"),
        r"environment 'dot': explore = '.*' in config.py gives actions \(3,\), need \(2,\)",
    ),
    "actions without bounds": (
        lambda code: code.replace("[-1, 0, 0]", "[-np.inf, 0, 0]"),
        r"environment 'dot': actions are Box\(.*\), need a Box of one dimension, of floats with finite bounds",
    ),
    "integers as actions": (
        lambda code: re.sub(r"action_space = .*", "action_space = gym.spaces.Box(-1, 1, (3,), np.int64)", code),
        r"environment 'dot': actions are Box\(.*\), need a Box",
    ),
    "actions of two dimensions": (
        lambda code: re.sub(r"action_space = .*", "action_space = gym.spaces.Box(-1, 1, (2, 3))", code),
        r"environment 'dot': actions are Box\(.*\), need a Box of one dimension",
    ),
    **{
        f"{kind} actions": (
            lambda code, kind=kind, space=space: re.sub(
                r"action_space = .*", f"action_space = gym.spaces.{space}", code
            ),
            rf"environment 'dot': actions are {kind}.*, need a Box of one dimension",
        )
        for kind, space in {
            "MultiDiscrete": "MultiDiscrete([2, 3])",
            "Dict": "Dict(a=gym.spaces.Discrete(2))",
            "Tuple": "Tuple([gym.spaces.Discrete(2)])",
        }.items()
    },
    "no action_space": (
        lambda code: re.sub(r"action_space = .*", "pass", code),
        r"environment 'dot' has no action_space",
    ),
    "no observation_space": (
        lambda code: re.sub(r"observation_space = .*", "pass", code),
        r"environment 'dot' has no observation_space",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_unsuitable_environment_is_refused(
    project: Path, tmp_path: Path, damage: str, request: pytest.FixtureRequest
) -> None:
    change: Callable[[str], str]
    change, message = DAMAGES[damage]
    path = project / "custom_envs" / "dot.py"
    code = path.read_text()
    request.addfinalizer(lambda: path.write_text(code))
    path.write_text(change(code))
    assert path.read_text() != code
    done = run_script(tmp_path, "01_generate_data.py", "dot --total_episodes 1", root=project, ok=False)
    assert done.returncode == 2
    assert re.search(f"error: {message}", done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
