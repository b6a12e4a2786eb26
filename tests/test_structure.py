"""The tree and its texts: the entries of the root, the import rule, tracked sources, and the documentation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.scripts import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TACH = Path(sys.executable).with_name("tach")
# Where a forbidden import is planted, and how: upwards, sideways, lazily, for type checkers alone.
PLANTED = {
    "upwards": ("pipeline/errors.py", "import simulation.rollout"),
    "sideways": ("vae/conv.py", "from rnn import arch"),
    "sideways at the bottom": ("es.py", "import config"),
    "lazily": ("display/play.py", "def later():\n    import model"),
    "for type checkers": (
        "controller/arch.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from simulation.agent import Agent",
    ),
}


def git_files(*patterns: str) -> list[str]:
    """Tracked files; the test that needs them skips outside a git checkout."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_the_root_stays_small() -> None:
    entries = {name.split("/")[0] for name in git_files() if not name.startswith(".")}
    assert len(entries) <= 28, sorted(entries)
    assert len([name for name in entries if name.endswith(".py")]) <= 8


def test_every_source_file_is_tracked() -> None:
    """An ignore rule must never leave a new source file out of a commit."""
    tracked = set(git_files("*.py"))
    sources = [path.relative_to(ROOT) for path in ROOT.rglob("*.py")]
    found = {str(path) for path in sources if not path.parts[0].startswith(".") and path.parts[0] != "build"}
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *sorted(found)], cwd=ROOT, capture_output=True, text=True
    )
    assert ignored.stdout == ""
    assert found - tracked == set()


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources alone, in a folder of their own."""
    folder = tmp_path_factory.mktemp("sources")
    for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
        shutil.copy(path, folder)
    for package in ("custom_envs", "pipeline", "vae", "rnn", "controller", "simulation", "display", "experiments"):
        shutil.copytree(ROOT / package, folder / package, ignore=lambda _, names: [n for n in names if "." in n[:-3]])
    return folder


def check_imports(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([TACH, "check"], cwd=folder, capture_output=True, text=True)


def test_imports_go_downwards(copied: Path) -> None:
    done = check_imports(copied)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("how", PLANTED)
def test_a_forbidden_import_is_found(copied: Path, how: str) -> None:
    name, lines = PLANTED[how]
    path = copied / name
    clean = path.read_text()
    path.write_text(f"{clean}\n\n{lines}\n")
    try:
        done = check_imports(copied)
    finally:
        path.write_text(clean)
    assert done.returncode == 1
    assert name in done.stdout + done.stderr


IGNORE = "# type:" + " ignore"


def test_every_ignored_type_error_has_a_code_and_a_reason() -> None:
    lines = [line for name in git_files("*.py") for line in (ROOT / name).read_text().splitlines()]
    ignores = [line.partition(IGNORE)[2] for line in lines if IGNORE in line]
    assert [rest for rest in ignores if not re.match(r"\[[a-z-]+\]  # \w", rest)] == []
    assert len(ignores) <= 3


# --- texts ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 160
    assert len(text.split()) <= 1300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_table_cell_has_more_than_40_words(page: Path) -> None:
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    long = [cell for row in rows for cell in re.split(r"(?<!\\)\|", row) if len(cell.split()) > 40]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"https?://", target):
            assert (page.parent / target).exists(), target
