"""Fault injection: kills the five stages repeatedly, resumes them, and compares with an uninterrupted run.

    python tests/faults/harness.py --kills 100             # of each stage, some seconds per kill; also: make faults
    python tests/faults/harness.py --kills 20 --stages 02 04 --seed 1

A kill happens just before or after a change of the visible files (see sitecustomize.py), or at a random time, and hits
one process of the command or all of them. When a stage has completed, its files must equal those of the uninterrupted
run bit for bit except for wall times; it then starts again from scratch.
"""

import random
import re
import shutil
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import tagged
from stages import STAGES as KINDS
from stages import Stage, best, check_visible, committed, content, files, same

from pipeline import cli
from tests.helpers.scripts import LIMIT, STAGES, command, environment, run_script

HERE = Path(__file__).parent
STOP_LIMIT = 10  # seconds within which a command must end after one of its processes was killed


@dataclass(frozen=True)
class Kill:
    """A point of sitecustomize.py or a time (seconds after the start), and whether all processes are killed or one."""

    when: str | float
    all_processes: bool


class InterruptedStage:
    """One stage in one folder, killed and resumed until it is complete.

    Args:
        name: a key of stages.STAGES.
        folder: working directory; gets a copy of the files that the stage reads.
        uninterrupted: a folder in which all stages have run without a kill.
    """

    def __init__(self, name: str, folder: Path, uninterrupted: Path, seed: int = 0):
        self.stage: Stage = KINDS[name]
        self.folder, self.uninterrupted, self.rng = folder, uninterrupted, random.Random(seed)
        folder.mkdir(exist_ok=True)
        for file, path in files(uninterrupted).items():
            if re.match(self.stage.reads, file):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / file)
        self.expected = committed(uninterrupted, self.stage)
        self.best = best(folder, self.stage)
        self.trace: list[str] = []  # of the last run

    @property
    def is_complete(self) -> bool:
        """Whether everything that the uninterrupted run committed is committed."""
        return committed(self.folder, self.stage).keys() == self.expected.keys()

    def run(self, kill: Kill | None = None) -> bool:
        """Start or resume the command; returns whether it was killed (it may end before the kill is reached).

        Raises:
            AssertionError: a result was lost, repeated or damaged, or a process is still running.
        """
        before = committed(self.folder, self.stage)
        killed, status, output = self._run(kill)
        assert killed or status == 0, f"status {status}: {output}"
        after = committed(self.folder, self.stage)
        assert before.items() <= after.items(), f"{before.keys() - after.keys()} lost or changed"
        assert after.items() <= self.expected.items(), "differs from the uninterrupted run"
        began, ended = (sum(self._is_commit(line, which) for line in self.trace) for which in ("before", "after"))
        assert ended <= len(after) - len(before) <= began, f"{began} commits, but {len(before)} became {len(after)}"
        check_visible(self.folder, self.uninterrupted, self.stage)
        scores = best(self.folder, self.stage)
        worse = [name for name in scores if scores[name] < self.best.get(name, scores[name])]
        assert not worse, f"{worse}: the best weights were overwritten by worse ones"
        self.best |= scores
        if status == 0:
            self.check_end()
        return killed

    def _run(self, kill: Kill | None) -> tuple[bool, int, str]:
        """Run the command to its end; returns whether it was killed, its status, and its output."""
        arguments = STAGES[self.stage.script]
        if "state" in self.stage.commits and committed(self.folder, self.stage):
            arguments = arguments.replace("--new_model", "")  # resume what is committed
        tag, at = uuid.uuid4().hex, kill and kill.when
        with TemporaryDirectory() as logs, open(Path(logs, "output"), "w+") as output:
            trace = Path(logs, "trace")
            trace.touch()
            variables = {"PYTHONPATH": str(HERE), tagged.VARIABLE: tag, "FAULTS_TRACE": str(trace)}
            if isinstance(at, str):
                variables["FAULTS_KILL"] = f"{at} {'all' if kill.all_processes else 'one'}"
            process = subprocess.Popen(
                command(self.stage.script, arguments),
                cwd=self.folder,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                killed = isinstance(at, float) and self._kill_after(process, tag, kill)
                gone = tagged.all_gone(tag, STOP_LIMIT if killed else LIMIT)
            finally:
                tagged.kill_all(tag)
                process.wait()
            self.trace = trace.read_text().splitlines()
            output.seek(0)
            text = output.read()
            assert gone, f"processes are still running: {text}\n{Path(f'{trace}.hangs').read_text()}"
            return killed or at in self.trace, process.returncode, text

    def _kill_after(self, process: subprocess.Popen, tag: str, kill: Kill) -> bool:
        """Wait until the time of the kill, and kill; returns whether any process was still running."""
        try:
            process.wait(kill.when)
            return False
        except subprocess.TimeoutExpired:
            victims = tagged.processes(tag)
        if kill.all_processes:
            tagged.kill_all(tag)
        elif victims:
            tagged.kill(self.rng.choice(victims))
        return bool(victims)

    def check_end(self) -> None:
        """Assert that the folder holds the files of the uninterrupted run, and no others."""
        expected = {
            name: content(path)
            for name, path in files(self.uninterrupted).items()
            if re.match(f"{self.stage.reads}|{self.stage.writes}", name)
        }
        found = {name: content(path) for name, path in files(self.folder).items()}
        assert found.keys() == expected.keys()
        different = [name for name in expected if not same(found[name], expected[name])]
        assert not different, f"differ from the uninterrupted run: {different}"

    def _is_commit(self, line: str, which: str) -> bool:
        return bool(re.fullmatch(rf"{which} replace {self.stage.commits} \d+", line))


# --- the long run -----------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Counts of kills and completed runs."""

    kills: int = 0
    completed: int = 0
    by: dict[str, int] = field(default_factory=dict)

    def count(self, kill: Kill) -> None:
        self.kills += 1
        when = "at a random time" if isinstance(kill.when, float) else " ".join(kill.when.split()[:2])
        what = f"{when}, {'all processes' if kill.all_processes else 'one process'}"
        self.by[what] = self.by.get(what, 0) + 1


def inject_faults(name: str, uninterrupted: Path, work: Path, kills: int, seed: int) -> Tally:
    """Kill one stage so many times, starting from scratch whenever it is complete."""
    rng, tally = random.Random(f"{seed} {name}"), Tally()
    started = time.monotonic()
    stage = InterruptedStage(name, work / f"{name} uninterrupted", uninterrupted)
    stage.run()
    seconds, points = time.monotonic() - started, stage.trace
    while tally.kills < kills:
        stage = InterruptedStage(name, work / f"{name} {tally.completed}", uninterrupted, rng.randrange(2**32))
        # Half the time go on after the last commit, because files are written after it.
        while not stage.is_complete or (tally.kills < kills and rng.random() < 0.5):
            when = rng.choice(points) if rng.random() < 0.5 else rng.uniform(0, seconds)
            kill = Kill(when, rng.random() < 0.5)
            try:
                if stage.run(kill if tally.kills < kills else None):
                    tally.count(kill)
            except Exception:
                print(f"lost: stage {name}, {kill}, after {tally.kills} kills", file=sys.stderr)
                raise
        stage.run()
        tally.completed += 1
        shutil.rmtree(stage.folder)
    return tally


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100, help="kills of each stage")
    parser.add_argument("--stages", nargs="+", choices=KINDS, default=list(KINDS), help="stages to run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the kills")
    args = parser.parse_args()
    with TemporaryDirectory() as work:
        uninterrupted = Path(work, "uninterrupted")
        uninterrupted.mkdir()
        for script, arguments in STAGES.items():
            run_script(uninterrupted, script, arguments)
        total = 0
        for name in args.stages:
            started = time.monotonic()
            tally = inject_faults(name, uninterrupted, Path(work), args.kills, args.seed)
            total += tally.kills
            seconds = time.monotonic() - started
            print(f"{KINDS[name].script}: {tally.kills} kills, {tally.completed} runs completed, {seconds:.0f} s")
            print("".join(f"{count:8} {what}\n" for what, count in sorted(tally.by.items())), end="", flush=True)
    print(f"kills {total}, lost 0")


if __name__ == "__main__":
    main()
