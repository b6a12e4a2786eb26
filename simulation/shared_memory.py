"""What MPICH leaves in /dev/shm.

MPICH connects the ranks of a host by a file /dev/shm/mpich_shm_JOB_HOST, which it removes when the run ends normally.
A killed run left it behind. Its name follows from the job: under Slurm a requeued job has the same number, so its ranks
found the file of the run before, took it for their own, and waited in MPI_Init forever. Hence two rules. A rank removes
the file's name as soon as MPI is connected: all ranks of the host have it open then, and the system frees it with the
last of them. And a rank removes, before it connects, the files that were left by a kill before that moment.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.errors import UserError
from simulation.processes import start_time

FOLDER = Path("/dev/shm")
SEGMENT = re.compile(rf"{FOLDER}/mpich_(shm|vci)_\w+$")
BYTES_PER_RANK = 2**18  # MPICH needs 140 kB with the settings of simulation/mpi.py


def check(ranks: int) -> None:
    """Check that so many ranks of this host find room; UserError names the remedy."""
    if sys.platform != "linux":
        return
    if not os.access(FOLDER, os.W_OK):
        raise UserError(f"cannot write into {FOLDER}, which MPI needs: mount a tmpfs there, or use --num_worker 1")
    status = os.statvfs(FOLDER)
    free, needed = status.f_bavail * status.f_frsize, ranks * BYTES_PER_RANK
    if free < needed:
        found = f"{FOLDER} has {free / 1e6:.1f} MB free, {ranks} ranks need {needed / 1e6:.1f} MB"
        raise UserError(f"{found}: remove what is left there, or make it larger (docker run --shm-size=256m)")


def unlink_own() -> None:
    """Remove the names of the segments that this process has mapped, once all ranks of the host have them open."""
    for path in _mapped_by("self"):
        path.unlink(missing_ok=True)


def remove_stale(before: float | None = None) -> None:
    """Remove this user's segments that no process has mapped.

    Args:
        before: and that are older than this, in seconds since 1970. None: than the parent of this process, the
            launcher's process on this host, which is older than what the other ranks of this run have made.
    """
    if before is None:
        before = start_time(os.getppid())
    stale = [path for path in FOLDER.glob("mpich_*") if SEGMENT.match(str(path)) and _is_older(path, before)]
    if not stale:
        return
    mapped = {path for process in Path("/proc").glob("[0-9]*") for path in _mapped_by(process.name)}
    for path in stale:
        if path not in mapped:
            path.unlink(missing_ok=True)


def _is_older(path: Path, before: float) -> bool:
    with suppress(OSError):
        status = path.stat()
        return status.st_uid == os.geteuid() and status.st_mtime < before
    return False


def _mapped_by(process: str) -> Iterator[Path]:
    """The segments that a process has mapped, of those that may be looked at."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            if found := SEGMENT.search(line):
                yield Path(found[0])
