"""model.py --status as text: the stages of a folder and of those below it, what comes next, and how long it takes."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import chdir, suppress
from pathlib import Path

import config
from controller.files import best_controllers
from display.status import DAMAGED, NOTHING, PARTIAL, READY, STAGES, Status, records, stages
from pipeline.batches import HELD_OUT, recorded_in
from pipeline.entries import are_variants
from pipeline.errors import UserError, first_line
from pipeline.files import read_json

CAR = "car_racing"
ROOT = Path(config.__file__).parent
RESULTS = ROOT / "docs" / "results"
LAST_ROUND = 3  # of `make train`; those after it are of `make more`
DEPTH = 3  # of the folders below the working directory: train/seed0/round1
NO_RUNS = {"data", "vae", "rnn", "controller", "log", "videos", "report", "pretrained", "tests", "docs"}


def report() -> str:
    """The status of the working directory and of every folder below it that holds a stage."""
    found = {}
    for folder in (Path().absolute(), *sorted(folders_below(Path().absolute(), DEPTH))):
        with suppress(OSError), chdir(folder):  # one that may not be entered holds no run of this person
            statuses = stages()
            if any(status.state != NOTHING or status.running for status in statuses.values()):
                found[folder] = "\n".join([str(folder), *lines(statuses), *next_step(folder, statuses)])
    empty = f"{Path().absolute()}: no stage has been run here\n  next: {command('01')}\n        {estimate('01')}"
    return "\n\n".join(found.values()) or empty


def folders_below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders below one that may hold a run; links are not followed."""
    with suppress(OSError):  # a folder that may not be read
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name[0] != "." and path.name not in NO_RUNS:
                yield path
                if depth > 1:
                    yield from folders_below(path, depth - 1)


def lines(found: dict[str, Status]) -> list[str]:
    """The stages in words, a line each and one for every further fact."""
    written = []
    for stage, status in found.items():
        state = f"running: {status.running}" if status.running else status.state
        first, *more = status.lines or ("",)
        written.append(f"  {stage} {STAGES[stage][0]:<8}{state}{'; ' if first else ''}{first}")
        written += [f"             {line}" for line in more]
    return written


# --- what comes next --------------------------------------------------------------------------------------------------
def next_step(folder: Path, found: dict[str, Status]) -> list[str]:
    """What comes next in the working directory, the command for it, and how long it takes."""
    running = max((stage for stage, status in found.items() if status.running), default="")
    damaged = [stage for stage, status in found.items() if status.state == DAMAGED and not status.running]
    when = f"next, when {running} has ended" if running else "next"
    if damaged:
        return [f"  next: repair what is damaged in {', '.join(damaged)}, as its message says"]
    if recipe := recipe_of(folder):
        target, flags = recipe
        when = "next, if it is stopped" if running else "next"
        return [f"  {when}: make -C {os.path.relpath(ROOT)} {target} {flags}, which goes on here", *cost_of(target)]
    todo = [stage for stage, status in found.items() if (stage > running if running else status.state != READY)]
    if not todo:
        return [f"  {when}: {python('model.py')} {score_flags()}", "        scores 100 unseen tracks"]
    stage, status = todo[0], found[todo[0]]
    if stage == "05" and status.state == PARTIAL and not (running or status.new_model):
        return [f"  {when}: the same command of 05 as before, which goes on until the first evaluation"]
    return [f"  {when}: {command(stage)}{' --new_model' if status.new_model else ''}", f"        {estimate(stage)}"]


def python(script: str) -> str:
    """The command that starts a script of the project from the working directory."""
    return f"python {os.path.relpath(ROOT / script)}"


def command(stage: str) -> str:
    """The command of a stage with its defaults."""
    [script] = ROOT.glob(f"{stage}_*.py")
    return python(script.name) + (f" {recorded_in() or CAR}" if stage in ("01", "05") else "")


def score_flags() -> str:
    newest = max(best_controllers(Path()), key=os.path.getmtime, default=None)
    return f"--filename {newest} --final_mode" if newest else "--final_mode"


def recipe_of(folder: Path) -> tuple[str, str] | None:
    """The make target that works in a folder below demo/ or train/ of the project, and its flags."""
    parts = folder.relative_to(ROOT).parts if folder.is_relative_to(ROOT) else ()
    found = re.fullmatch(r"(demo|train)/seed(\d+)(?:/(round|dream)(\d+))?", "/".join(parts))
    if not found:
        return None
    target, seed, kind, number = found.groups()
    if target == "demo" and kind:
        return None
    if kind == "dream":
        return "dream", f"SEED={seed}"
    if kind == "round" and int(number) > LAST_ROUND:
        return "more", f"SEED={seed} ROUND={number}"
    return target, f"SEED={seed}"


# --- how long it takes ------------------------------------------------------------------------------------------------
def cost_of(target: str) -> list[str]:
    """What a recipe says that it costs."""
    with suppress(OSError):
        text = (ROOT / "recipes" / f"{target}.sh").read_text(encoding="utf-8")
        return [f"        the whole of it c{cost[1:]}" for cost in re.findall(r"^# (Costs .*?\.) ", text, re.MULTILINE)]
    return []


def estimate(stage: str) -> str:
    """How long the command of a stage takes at the speed that `make bench` measured, which is of two cores."""
    pattern, count, unit = WORK[stage]
    if stage in ("01", "05") and not are_variants(CAR, recorded_in() or CAR):
        return "how long it takes is unknown: docs/results/speed.json is of the car"
    try:
        rows = read_json(RESULTS / "speed.json")["rows"]
        [number] = {found[1] for row in rows if (found := re.match(pattern, f"{row['work']}: {row['ours']}"))}
        speed = float(number.replace(",", ""))
        amount = count()
    except (UserError, KeyError, TypeError, ValueError) as error:
        return f"how long it takes is unknown ({first_line(error)})"
    seconds = amount * speed / 1000 if "ms" in pattern else amount / speed
    return f"about {duration(seconds)} on two cores: {amount:,} {unit}, by docs/results/speed.json"


def recorded_frames() -> int:
    return sum(record.episodes * record.time_steps for record in records("obs").values())


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


# stage -> its speed as speed.json words it, how much there is to do with the defaults of the command, and in what unit
WORK: dict[str, tuple[str, Callable[[], int], str]] = {
    "01": (
        r"environment step, two cores, resets included: ([\d,.]+) steps/s",
        lambda: 200 * 300,
        "frames, besides writing them",
    ),
    "02": (
        r"02: time between two log lines, per gradient step: ([\d,.]+) ms",
        lambda: 10 * (int((1 - HELD_OUT) * recorded_frames()) // 100),
        "gradient steps, 10 epochs",
    ),
    "03": (r"encoding frames \(03\): ([\d,.]+) per second", recorded_frames, "frames"),
    "04": (r"04: time between two log lines, per gradient step: ([\d,.]+) ms", lambda: 4000, "gradient steps"),
    "05": (
        r"a generation of 05, 64 × 2 episodes: ([\d,.]+) agent-steps/s",
        lambda: 10 * 64 * 2 * 1000,
        "agent-steps at most until the first evaluation, after 10 generations",
    ),
}
