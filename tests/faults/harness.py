"""Kills the five stages again and again, starts them again, and checks that nothing is lost, repeated or half written.

    python tests/faults/harness.py --kills 100             # of each stage, some seconds a kill; or: make faults
    python tests/faults/harness.py --kills 20 --stages 02 04 --seed 1

A kill comes just before or after a change of the visible files (see sitecustomize.py), or at a random moment, and takes
one process of the command or all of them. A stage that has come to its end must have left what an unbroken run leaves,
bit for bit but for the seconds; then it begins anew.
"""

import argparse
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

sys.path.extend(map(str, Path(__file__).parents[1:3]))

import machine
from conftest import LIMIT, STAGES, command, environment, run_script
from stages import STAGES as KINDS
from stages import Stage, best, check_visible, content, files, finished, same

HERE = Path(__file__).parent
SOON = 10  # seconds within which the rest of a command whose one process died must be over


@dataclass(frozen=True)
class Kill:
    """When (a point of sitecustomize.py, or seconds after the start), and whether all processes die or one."""

    when: str | float
    machine: bool


class Chain:
    """One stage in one folder, killed and started again until it comes to its end."""

    def __init__(self, name: str, folder: Path, unbroken: Path, seed: int = 0):
        """Takes what the stage reads from a folder in which all stages have run undisturbed."""
        self.stage: Stage = KINDS[name]
        self.folder, self.unbroken, self.rng = folder, unbroken, random.Random(seed)
        folder.mkdir(exist_ok=True)
        for file, path in files(unbroken).items():
            if re.match(self.stage.reads, file):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / file)
        self.expected = finished(unbroken, self.stage)
        self.best = best(folder, self.stage)
        self.trace: list[str] = []  # of the last run

    @property
    def over(self) -> bool:
        """Whether all that an unbroken run finishes is finished."""
        return finished(self.folder, self.stage).keys() == self.expected.keys()

    def run(self, kill: Kill | None = None) -> bool:
        """Start the command, or start it again; returns whether it was killed, for which the moment may come too late.

        Raises:
            AssertionError: something was lost, repeated, half written or left running.
        """
        before = finished(self.folder, self.stage)
        killed, status, output = self._run(kill)
        assert killed or status == 0, f"status {status}: {output}"
        after = finished(self.folder, self.stage)
        assert before.items() <= after.items(), f"{before.keys() - after.keys()} lost or changed"
        assert after.items() <= self.expected.items(), "other than undisturbed"
        began, ended = (sum(self._is_commit(line, which) for line in self.trace) for which in ("before", "after"))
        assert ended <= len(after) - len(before) <= began, f"{began} were made, but {len(before)} became {len(after)}"
        check_visible(self.folder, self.unbroken, self.stage)
        scores = best(self.folder, self.stage)
        worse = [name for name in scores if scores[name] < self.best.get(name, scores[name])]
        assert not worse, f"{worse}: the best was overwritten by a worse one"
        self.best |= scores
        if status == 0:
            self.check_end()
        return killed

    def _run(self, kill: Kill | None) -> tuple[bool, int, str]:
        """Run the command to its end, natural or not: whether it was killed, its status, what it said."""
        arguments = STAGES[self.stage.script]
        if "state" in self.stage.commits and finished(self.folder, self.stage):
            arguments = arguments.replace("--new_model", "")  # as long as there is nothing, that is how to start
        word, at = uuid.uuid4().hex, kill and kill.when
        with TemporaryDirectory() as notes, open(Path(notes, "output"), "w+") as output:
            trace = Path(notes, "trace")
            trace.touch()
            watch = {"PYTHONPATH": str(HERE), machine.MARK: word, "FAULTS_TRACE": str(trace)}
            if isinstance(at, str):
                watch["FAULTS_KILL"] = f"{at} {'machine' if kill.machine else 'one'}"
            process = subprocess.Popen(
                command(self.stage.script, arguments),
                cwd=self.folder,
                env=environment(**watch),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                killed = isinstance(at, float) and self._kill_after(process, word, kill)
                over = machine.all_gone(word, SOON if killed else LIMIT)
            finally:
                machine.kill_all(word)
                process.wait()
            self.trace = trace.read_text().splitlines()
            output.seek(0)
            said = output.read()
            assert over, f"processes are left: {said}\n{Path(f'{trace}.hangs').read_text()}"
            return killed or at in self.trace, process.returncode, said

    def _kill_after(self, process: subprocess.Popen, word: str, kill: Kill) -> bool:
        """Wait for the moment and kill; returns whether there was something to kill still."""
        try:
            process.wait(kill.when)
            return False
        except subprocess.TimeoutExpired:
            victims = machine.processes(word)
        if kill.machine:
            machine.kill_all(word)
        elif victims:
            machine.kill(self.rng.choice(victims))
        return bool(victims)

    def check_end(self) -> None:
        """Nothing but what an unbroken run leaves, and all of it."""
        wanted = {
            name: content(path)
            for name, path in files(self.unbroken).items()
            if re.match(f"{self.stage.reads}|{self.stage.leaves}", name)
        }
        found = {name: content(path) for name, path in files(self.folder).items()}
        assert found.keys() == wanted.keys()
        different = [name for name in wanted if not same(found[name], wanted[name])]
        assert not different, f"other than undisturbed: {different}"

    def _is_commit(self, line: str, which: str) -> bool:
        return bool(re.fullmatch(rf"{which} replace {self.stage.commits} \d+", line))


# --- the long run -----------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What was tried."""

    kills: int = 0
    finished: int = 0
    by: dict[str, int] = field(default_factory=dict)

    def count(self, kill: Kill) -> None:
        self.kills += 1
        when = "at a moment" if isinstance(kill.when, float) else " ".join(kill.when.split()[:2])
        what = f"{when}, {'all processes' if kill.machine else 'one process'}"
        self.by[what] = self.by.get(what, 0) + 1


def torment(name: str, unbroken: Path, work: Path, kills: int, seed: int) -> Tally:
    """Kill one stage so many times, beginning anew whenever it has come to its end."""
    rng, tally = random.Random(f"{seed} {name}"), Tally()
    started = time.monotonic()
    chain = Chain(name, work / f"{name} undisturbed", unbroken)
    chain.run()
    seconds, points = time.monotonic() - started, chain.trace
    while tally.kills < kills:
        chain = Chain(name, work / f"{name} {tally.finished}", unbroken, rng.randrange(2**32))
        while not chain.over or (tally.kills < kills and rng.random() < 0.5):  # files are written after the last commit
            when = rng.choice(points) if rng.random() < 0.5 else rng.uniform(0, seconds)
            kill = Kill(when, rng.random() < 0.5)
            try:
                if chain.run(kill if tally.kills < kills else None):
                    tally.count(kill)
            except Exception:
                print(f"lost: stage {name}, {kill}, after {tally.kills} kills", file=sys.stderr)
                raise
        chain.run()
        tally.finished += 1
        shutil.rmtree(chain.folder)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills a stage")
    parser.add_argument("--stages", nargs="+", choices=KINDS, default=list(KINDS), help="which stages")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other moments")
    args = parser.parse_args()
    with TemporaryDirectory() as work:
        unbroken = Path(work, "unbroken")
        unbroken.mkdir()
        for script, arguments in STAGES.items():
            run_script(unbroken, script, arguments)
        total = 0
        for name in args.stages:
            started = time.monotonic()
            tally = torment(name, unbroken, Path(work), args.kills, args.seed)
            total += tally.kills
            seconds = time.monotonic() - started
            print(f"{KINDS[name].script}: {tally.kills} kills, {tally.finished} times finished, {seconds:.0f} s")
            print("".join(f"{count:8} {what}\n" for what, count in sorted(tally.by.items())), end="", flush=True)
    print(f"kills {total}, lost 0")


if __name__ == "__main__":
    main()
