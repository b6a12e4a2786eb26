"""Tests of the notebook docs/tour.ipynb: its pair docs/tour.py, its committed outputs, and that it runs."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from helpers.scripts import LIMIT, ROOT
from nbclient import NotebookClient

NOTEBOOK, PAIR = ROOT / "docs/tour.ipynb", ROOT / "docs/tour.py"
REMEDY = "jupytext --to ipynb docs/tour.py && jupyter execute --inplace docs/tour.ipynb"


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check_outputs(notebook: nbformat.NotebookNode) -> None:
    """No error, a figure for each section on V and M and for the dream, the video, and a lap's score."""
    found = outputs(notebook)
    kinds = [kind for output in found for kind in output.get("data", {})]
    assert not [output for output in found if output.output_type == "error" or output.get("name") == "stderr"]
    assert kinds.count("image/png") == 5
    assert sum('type="video/mp4"' in output.get("data", {}).get("text/html", "") for output in found) == 1
    printed = "".join(output.get("text", "") for output in found)
    [score] = re.findall(r"^score (\S+) in \d+ steps", printed, re.MULTILINE)
    assert float(score) > 850
    assert len(re.findall(r"^python 0\d_", printed, re.MULTILINE)) == 5 and "score of the tiny agent" in printed


@pytest.fixture(scope="module")
def committed() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_pair_has_the_same_cells(committed: nbformat.NotebookNode) -> None:
    cells, paired = ([(c.cell_type, c.source) for c in n.cells] for n in (committed, jupytext.read(PAIR)))
    assert cells == paired, REMEDY


def test_the_outputs_are_committed_and_of_one_run(committed: nbformat.NotebookNode) -> None:
    check_outputs(committed)
    counts = [cell.execution_count for cell in committed.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), REMEDY
    assert NOTEBOOK.stat().st_size < 3e6
    assert not re.search(r"/(home|root|tmp)/", "".join(output.get("text", "") for output in outputs(committed)))


def test_it_runs_from_top_to_bottom(committed: nbformat.NotebookNode, tmp_path: Path) -> None:
    notebook = nbformat.from_dict(committed)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(notebook, timeout=2 * LIMIT, resources={"metadata": {"path": str(tmp_path)}})
    check_outputs(client.execute())
    assert list(tmp_path.iterdir()) == []
