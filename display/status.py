"""What of the five stages a folder holds, with scores, and which of them run: for model.py --status.

Only reads, and imports no TensorFlow. The functions look into the working directory. Of data, records and the sizes of
arrays are checked, since their hashes take a second per gigabyte; states, weights and searches are checked wholly.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import config
from controller import files as controller_files
from controller.generation import seconds_per_generation
from controller.saved_search import load_search
from controller.search import ROW
from controller.settings import SearchSettings
from pipeline.array_file import open_array
from pipeline.batches import Batch, Record, RNNSettings, array_path, array_shape, existing_record, record_path
from pipeline.errors import first_line
from pipeline.files import file_hash, is_locked
from pipeline.new_model import previous
from pipeline.settings import read_settings
from pipeline.training_state import read_state
from pipeline.weights import read_metadata, training_settings

MEAN = ROW.index("mean")
NOTHING, PARTIAL, READY, DAMAGED = "nothing yet", "not complete", "ready", "damaged"


@dataclass(frozen=True)
class Status:
    """What a folder holds of one stage.

    Attributes:
        state: NOTHING, PARTIAL, READY or DAMAGED.
        lines: what is there, in words.
        new_model: whether what is there belongs to an earlier V or M, so that the stage needs --new_model.
        running: what processes are at work on, "" for none.
    """

    state: str
    lines: tuple[str, ...] = ()
    new_model: bool = False
    running: str = ""


def changed(path: Path) -> str:
    """When a file was last changed."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


def checked(look: Callable[[], Status]) -> Status:
    """What `look` finds; an error of any type, as damaged files raise, is a status too."""
    try:
        return look()
    except Exception as error:
        return Status(DAMAGED, (first_line(error),))


# --- batches: 01 and 03 -----------------------------------------------------------------------------------------------
def records(kind: str) -> dict[int, Record]:
    """The records of all batches; UserError if one is damaged, or an array has not the recorded shape."""
    names = (path.stem.removeprefix(f"{kind}_") for path in config.DATA_DIR.glob(f"{kind}_*.json"))
    found = {b: existing_record(kind, b) for b in sorted(int(name) for name in names if name.isdecimal())}
    for b, record in found.items():
        for name, (dtype, *_) in record.settings.arrays.items():
            shape = array_shape(record.settings, name, record.episodes, record.time_steps)
            open_array(array_path(name, b), dtype, shape)
    return found


def frames() -> Status:
    """Stage 01. How many batches there are to be, no file says."""
    found = records("obs")
    if not found:
        return Status(NOTHING)
    environments = ", ".join(sorted({record.settings.env for record in found.values()}))
    steps = " or ".join(sorted({str(record.time_steps) for record in found.values()}))
    episodes = sum(record.episodes for record in found.values())
    last = max(changed(record_path("obs", b)) for b in found)
    text = f"{len(found)} batches, {episodes} episodes of {steps} steps in {environments}, saved {last}"
    return Status(READY, (text,))


def series() -> Status:
    """Stage 03. A batch counts if the present V has encoded the present frames."""
    found, obs, vae = records("rnn"), records("obs"), config.VAE_DIR / "weights.h5"
    vae_hash = file_hash(vae) if vae.exists() else None
    if not found:
        return Status(NOTHING)
    encoded = []
    for b, record in found.items():
        settings = record.settings
        assert isinstance(settings, RNNSettings)
        if settings.vae_hash == vae_hash and (b not in obs or settings.obs == Batch(b, obs[b], {}).hash):
            encoded.append(b)
    total = len(found | obs)
    last = max(changed(record_path("rnn", b)) for b in found)
    text = f"{len(encoded)} of {total} batches are encoded by this V, saved {last}"
    return Status(READY if len(encoded) == total else PARTIAL, (text,))


def batches_at_work(kind: str) -> str:
    """The numbers of the batches that processes hold."""
    numbers = [path.stem.rpartition("_")[2] for path in config.DATA_DIR.glob(f".{kind}_*.lock") if is_locked(path)]
    return ", ".join(f"batch {b}" for b in sorted(numbers, key=lambda b: (len(b), b)))


# --- networks: 02 and 04 ----------------------------------------------------------------------------------------------
def network(folder: Path) -> Status:
    """Stage 02 or 04. How many steps there are to be, no file says."""
    state, weights = folder / "state.h5", folder / "weights.h5"
    has_state = os.path.lexists(state)  # unlike exists(), true for a link that leads nowhere, which is damage
    if previous(state).exists() and not has_state:
        what = f"--new_model was stopped before it saved a state, and {previous(state)} is the earlier one"
        return Status(PARTIAL, (what,), new_model=True)
    if not has_state and not weights.exists():
        return Status(NOTHING)
    settings, row = training_settings(weights), read_metadata(weights).get("losses", {})
    lines = [f"best val_loss {row['val_loss']:.4g} at step {row['step']}"] if "step" in row else []
    if has_state:
        last = read_state(state, "--new_model starts over")[0]["history"][-1]
        position = ", ".join(f"{name} {last[name]:g}" for name in ("step", "epoch") if name in last)
        lines.insert(0, f"{position}, saved {changed(state)}")
    if settings and settings.vae_hash and settings.vae_hash != file_hash(config.VAE_DIR / "weights.h5"):
        return Status(PARTIAL, (*lines, "trained on another V"), new_model=True)
    return Status(READY, tuple(lines))


def training_at_work(folder: Path) -> str:
    return "training" if is_locked(folder / ".training.lock") else ""


# --- controllers: 05 --------------------------------------------------------------------------------------------------
def searches() -> Status:
    """Stage 05: all searches of the folder and, where there is none, its controllers."""
    found = [checked(partial(search, path)) for path in sorted(config.CONTROLLER_DIR.glob("*.es.npz"))]
    if not found:
        found = [checked(partial(controller, path)) for path in controller_files.best_controllers(Path())]
    states = [status.state for status in found]
    state = next((state for state in (DAMAGED, READY, PARTIAL) if state in states), NOTHING)
    new_model = state == PARTIAL and all(status.new_model for status in found)
    return Status(state, tuple(line for status in found for line in status.lines), new_model)


def search(path: Path) -> Status:
    """One search. Until when it is to run, no file says; it is ready as soon as its mean has been evaluated."""
    saved = load_search(path)
    settings = read_settings(SearchSettings, saved.settings, str(path), "--new_model starts over")
    rows, evaluations = saved.coordinates["rows"], saved.coordinates["evaluations"]
    pace = f", {seconds_per_generation(rows):.1f} s each" if len(rows) else ""
    lines = [f"{path.name.removesuffix('.es.npz')}: generation {len(rows)}{pace}, saved {changed(path)}"]
    if len(evaluations):
        generation, mean, std, least = evaluations[evaluations[:, 1].argmax()]
        score = f"{mean:.1f} ± {std:.1f}, min {least:.1f}, over {settings.eval_episode} unseen tracks"
        lines.append(f"best mean, of generation {generation:.0f}: {score}")
    elif len(rows):
        lines.append(f"not evaluated yet; the last population has a mean of {rows[-1, MEAN]:.1f}")
    networks = (settings.vae_hash, settings.rnn_hash)
    if networks != tuple(file_hash(folder / "weights.h5") for folder in (config.VAE_DIR, config.RNN_DIR)):
        return Status(PARTIAL, (*lines, "searched with another V or M"), new_model=True)
    return Status(READY if len(evaluations) else PARTIAL, tuple(lines))


def controller(path: Path) -> Status:
    """A controller file without a search."""
    _, score, _ = controller_files.load(path)
    return Status(READY, (f"{path.name}: score {score:.1f}",))


def searches_at_work() -> str:
    locks = sorted(path for path in config.CONTROLLER_DIR.glob(".*.lock") if is_locked(path))
    return ", ".join(path.name.removeprefix(".").removesuffix(".lock") for path in locks)


# --- all stages -------------------------------------------------------------------------------------------------------
# stage -> what it leaves, a function that looks at that, and one that names what processes are at work on
STAGES: dict[str, tuple[str, Callable[[], Status], Callable[[], str]]] = {
    "01": ("frames", frames, partial(batches_at_work, "obs")),
    "02": ("V", partial(network, config.VAE_DIR), partial(training_at_work, config.VAE_DIR)),
    "03": ("latents", series, partial(batches_at_work, "rnn")),
    "04": ("M", partial(network, config.RNN_DIR), partial(training_at_work, config.RNN_DIR)),
    "05": ("C", searches, searches_at_work),
}


def stages() -> dict[str, Status]:
    """The status of all stages in the working directory."""
    return {stage: replace(checked(look), running=at_work()) for stage, (_, look, at_work) in STAGES.items()}
