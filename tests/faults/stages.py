"""The files of the five stages: which results are committed, whether files are whole, and comparable contents."""

import hashlib
import json
import re
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from pipeline.batches import open_batch
from pipeline.files import file_hash
from tests.helpers.scripts import is_content


@dataclass(frozen=True)
class Stage:
    """Regular expressions of the files that a stage reads, that it writes, and whose renaming commits a result."""

    script: str
    reads: str
    writes: str
    commits: str


OBS, RNN = r"data/(obs|action|reward|done)_", r"data/(rnn_|initial_z)"
STAGES = {
    "01": Stage("01_generate_data.py", "$", OBS, r"data/obs_\d+\.json"),
    "02": Stage("02_train_vae.py", OBS, "vae/", r"vae/state\.h5"),
    "03": Stage("03_generate_rnn_data.py", f"{OBS}|vae/weights", RNN, r"data/rnn_\d+\.json"),
    "04": Stage("04_train_rnn.py", f"{RNN}|vae/weights", "rnn/", r"rnn/state\.h5"),
    "05": Stage("05_train_controller.py", f"{RNN}|(vae|rnn)/weights", "controller/|log/", r"controller/\w.*\.es\.npz"),
}


def files(folder: Path) -> dict[str, Path]:
    """Every file below a folder except locks and curves, by its relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_content(path))
    return {str(path.relative_to(folder)): path for path in found}


def committed(folder: Path, stage: Stage) -> dict[str, object]:
    """The committed batches, checkpoints, or generations and evaluations, by name; none of them may ever change."""
    found = {}
    for name, path in files(folder).items():
        if not re.fullmatch(stage.commits, name):
            continue
        if path.suffix == ".json":
            found[name] = json.loads(path.read_text())
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                rows = json.loads(file.attrs["about"])["history"]
            found |= {f"step {row['step']}": row for row in rows}
        else:
            arrays = content(path)
            found |= {f"generation {i + 1}": row for i, row in enumerate(arrays["coordinates/rows"].tolist())}
            found |= {f"evaluation {i + 1}": row for i, row in enumerate(arrays["coordinates/evaluations"].tolist())}
    return found


def content(path: Path) -> object:
    """The content of a file without wall times, in a comparable form; raises an error of any type if it is damaged."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            arrays = dict(file)
        if path.name.endswith(".es.npz"):
            arrays["coordinates/rows"] = np.delete(arrays["coordinates/rows"], 1, axis=1)
        return arrays
    if path.suffix == ".json":
        value = json.loads(path.read_text())
        return [row | {"seconds": None} for row in value] if path.name.endswith(".hist.json") else value
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            arrays = {}
            file.visititems(lambda name, item: arrays.update({name: item[()]} if hasattr(item, "dtype") else {}))
            return arrays | dict(file.attrs)
    if path.suffix == ".npy":
        np.load(path, mmap_mode="r", allow_pickle=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same(a: object, b: object) -> bool:
    """Whether two contents are equal bit for bit."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def check_visible(folder: Path, uninterrupted: Path, stage: Stage) -> None:
    """Assert that each file under its final name is whole, and that each table is a prefix of the uninterrupted one."""
    for name, path in files(folder).items():
        if path.name.startswith(".part-") or not re.match(stage.writes, name):
            continue
        value = content(path)
        if path.name == "weights.json":
            assert value["weights_sha256"] == file_hash(path.with_suffix(".h5")), f"{name} describes other weights"
        elif path.name.endswith((".hist.json", ".log.json")):
            assert value == content(uninterrupted / name)[: len(value)], f"{name} is not a prefix"
        elif path.suffix == ".csv":
            assert (uninterrupted / name).read_bytes().startswith(path.read_bytes()), f"{name} is not a prefix"
        elif batch := re.fullmatch(r"data/(obs|rnn)_(\d+)\.json", name):
            with chdir(folder):
                open_batch(batch[1], int(batch[2]))


def best(folder: Path, stage: Stage) -> dict[str, float]:
    """The scores of the best weights according to the visible files; higher is better."""
    scores = {}
    for name, path in files(folder).items():
        if re.match(stage.writes, name) and path.name == "weights.json":
            scores[name] = -json.loads(path.read_text())["losses"]["val_loss"]
        elif re.match(stage.writes, name) and name.endswith(".best.json") and not path.name.startswith(".part-"):
            scores[name] = json.loads(path.read_text())[1]
    return scores
