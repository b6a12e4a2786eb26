"""Tests of what runs elsewhere and cannot be run here: the workflow of GitHub and the Docker image."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
from helpers.scripts import LIMIT, ROOT, environment

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
DOCKERFILE = ROOT / "recipes" / "docker" / "Dockerfile"


def supported(python: str) -> bool:
    """Whether pyproject.toml allows this version of Python, as "3.12"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    least, below = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    return int(least) <= int(python.removeprefix("3.")) < int(below)


def test_the_workflow_runs_ci_in_a_container_of_a_supported_python() -> None:
    """As root, since a container of this image has no other user; .ci/run installs a display only as root."""
    text = WORKFLOW.read_text()
    assert re.findall(r"^ +- run: (\S+)$", text, re.MULTILINE) == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    [version] = re.findall(r"^ +image: python:(3\.\d+)-\w+", text, re.MULTILINE)
    assert supported(version)
    assert "has not been run on GitHub" in text


def test_the_workflow_is_yaml_of_one_job() -> None:
    yaml = pytest.importorskip("yaml")  # comes with tach
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow[True] == ["push", "pull_request"]  # YAML 1.1 reads `on` as true
    [job] = workflow["jobs"].values()
    assert [step.get("uses", step.get("run")).split()[0] for step in job["steps"]] == [
        *("actions/checkout@v4", "git", ".ci/run")
    ]


def test_the_image_has_a_supported_python_and_runs_targets_that_exist() -> None:
    text = DOCKERFILE.read_text()
    [version] = re.findall(r"^FROM python:(3\.\d+)-slim", text, re.MULTILINE)
    assert supported(version)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [*re.findall(r"^RUN make (\S+)$", text, re.MULTILINE), *re.findall(r'^CMD \["make", "(\S+)"\]', text, re.M)]
    assert named == ["setup", "demo"] and set(named) <= targets
    assert f"--file {DOCKERFILE.relative_to(ROOT)} -" in text
    [packages] = re.findall(r"--no-install-recommends (.*?) \\", text)
    [documented] = re.findall(r"^apt install (xvfb .*)$", (ROOT / "docs" / "install.md").read_text(), re.MULTILINE)
    assert packages == f"make {documented}"
    assert "has not been built here" in text


def test_what_ci_installs_must_not_be_skipped() -> None:
    """Without programs, tests of files that .ci/run names fail; they are skipped elsewhere."""
    [names] = re.findall(r'export MUST_RUN="(.*)"', (ROOT / ".ci" / "run").read_text())
    assert all((ROOT / "tests" / f"{name}.py").exists() for name in names.split())
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "tests/test_openmpi.py"]
    for must_run, status, said in ((names, 1, "must run here"), ("", 0, "needs mpirun.openmpi")):
        variables = environment(PATH="", MUST_RUN=must_run)
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == status, done.stdout
        assert said in done.stdout
