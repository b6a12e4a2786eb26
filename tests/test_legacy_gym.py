"""Tests of the environments in gym 0.26, if it is installed; LEGACY_GYM names its folder.

pip install --target legacy-gym --no-deps gym==0.26.2 gym-notices==0.0.8 cloudpickle==3.1.2
LEGACY_GYM=$PWD/legacy-gym python -m pytest tests/test_legacy_gym.py
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.scripts import LIMIT, ROOT, environment

PROGRAM = Path(__file__).with_name("helpers") / "legacy_gym_program.py"


def test_gym_makes_the_same_environments() -> None:
    folder = os.environ.get("LEGACY_GYM")
    if not folder and not find_spec("gym"):
        pytest.skip("install gym 0.26.2, or set LEGACY_GYM to its folder")
    path = os.pathsep.join((str(ROOT), *([folder] if folder else [])))
    done = subprocess.run(
        [sys.executable, PROGRAM], env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["gym"] == "0.26.2"
    assert found["is a gym.Env"]
    assert found["samples"]
    assert found["spaces"][0] == "Box(0, 255, (64, 64, 3), uint8)"
    assert found["same"]
    assert found["moves"]
    assert not found["checker"]


def test_gym_is_not_imported_unless_it_is_used() -> None:
    program = (
        "import sys, custom_envs; assert 'gym' not in sys.modules; assert 'custom_envs.for_gym' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(PYTHONPATH=str(ROOT)), check=True, timeout=LIMIT)
