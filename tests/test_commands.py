"""Every command that README.md and docs/ give between markers, run in the order of the stages at tiny sizes.

The commands are taken from the text. What a test adds comes last on the command line, where it overrides the sizes.
"""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers.scripts import LIMIT, ROOT, environment

FEWEST = 14
BLOCK = re.compile(r"<!-- commands:start -->\n(.*?)<!-- commands:end -->", re.DOTALL)
COMMAND = re.compile(r"^(?:python|xvfb-run|mpirun) .*?(?=\s+#|$)", re.MULTILINE)
SCREEN = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24"]

# Script -> the flags that make it tiny, in the order in which the scripts are run. Ten batches, as the commands name
# batches 0 to 9; the population, and with it the name of the search, stays.
TINY = {
    "01_generate_data.py": "--total_episodes 20 --batch_size 2 --time_steps 12 --num_worker 2",
    "02_train_vae.py": "--N 20 --epochs 1 --steps 2 --batch_size 20",
    "03_generate_rnn_data.py": "",
    "04_train_rnn.py": "--epochs 1 --steps 2 --batch_size 4",
    "05_train_controller.py": "--max_length 6 --eval_steps 1 --eval_episode 1 --subspace 4 --generations 1",
    "model.py": "--max_length 15 --num_episode 2",
    "experiments/report.py": "--num_episode 1",
    "experiments/baselines/random_car_racing.py": "--num_episode 1 --max_length 15",
    "experiments/baselines/dqn_cartpole.py": "--episodes 2 --eval_steps 2 --eval_episode 1 --num_episode 1",
    "experiments/baselines/dqn_car_racing.py": "--episodes 1 --eval_steps 1 --eval_episode 1 --max_length 12",
    "experiments/baselines/ga_car_racing.py": "--population 4 --generations 1 --eval_episode 1 --max_length 12",
}
RESUMED = ("05_train_controller.py", "04_train_rnn.py", "02_train_vae.py")  # each would refuse new weights before it


def script_of(command: str) -> str:
    """The script that a command line runs."""
    return next(word.removeprefix("./") for word in command.split() if word.endswith(".py"))


@cache
def documented() -> tuple[str, ...]:
    """All commands between markers, by stage, and within a stage in the order of the text."""
    texts = [(ROOT / "README.md").read_text(), *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
    found = [command for text in texts for block in BLOCK.findall(text) for command in COMMAND.findall(block)]
    return tuple(sorted(found, key=lambda command: list(TINY).index(script_of(command))))


def tiny(command: str) -> list[str]:
    """The words of a command, with the script's path, this Python, fewer ranks, and the flags that make it tiny."""
    command = command.replace("-np 17", "-np 3").replace("-np 64", "-np 3")
    command = re.sub(r"\bpython\b", sys.executable, command, count=1)
    script = script_of(command)
    words = re.findall(r'"[^"]*"|\S+', f"{command} {TINY[script]}")
    words = [str(ROOT / script) if word.removeprefix("./") == script else word.strip('"') for word in words]
    if words[0] == "mpirun":
        words[0] = str(Path(sys.executable).with_name("mpirun"))
    shows = any(flag in words for flag in ("--render_mode", "--play"))
    return [*SCREEN, *words] if shows and words[0] != "xvfb-run" else words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder in which all commands are run, one after the other."""
    return tmp_path_factory.mktemp("commands")


def run(words: list[str], folder: Path) -> str:
    if words[0] == "xvfb-run" and not shutil.which("xvfb-run"):
        pytest.skip("xvfb-run is not installed")
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_there_are_enough_commands() -> None:
    """And the five stages, model.py, the report and a baseline are among them."""
    assert len(documented()) >= FEWEST
    assert {script_of(command) for command in documented()} >= set(list(TINY)[:8])
    assert any(command.startswith("xvfb-run") for command in documented())
    assert any(command.startswith("mpirun") for command in documented())


@pytest.mark.parametrize("index", range(len(documented())))
def test_a_documented_command_runs(folder: Path, index: int) -> None:
    run(tiny(documented()[index]), folder)


@pytest.mark.parametrize("script", RESUMED)
def test_the_same_command_without_new_model_resumes(folder: Path, script: str) -> None:
    """The last of each of these stages, to one step or generation more."""
    command = [command for command in documented() if script_of(command) == script][-1].replace(" --new_model", "")
    further = "--generations 3" if script.startswith("05") else "--steps 3 --epochs 3"
    printed = run([*tiny(command), *further.split()], folder)
    assert "starting from scratch" not in printed
    if script.startswith("05"):
        assert "resuming controller/" in printed
