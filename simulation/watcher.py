"""The watcher: the parent process of a rank, which says why a run ends, and ends it on all hosts.

The launcher (mpirun, srun) starts the watcher, and the watcher forks the rank. A launcher that ends a run kills all
ranks at once and names an arbitrary one, or waits for a host that is lost. The watcher does not use MPI, so it can act
where its rank has been killed, is stopped, or does not return from MPI_Init. The rank tells it over a pipe how far it
is, and may ask for the end of the run.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from pipeline import cli
from simulation import shared_memory
from simulation.processes import (
    STOP_SIGNALS,
    children_of,
    die_of_signals,
    die_with,
    handle_signals,
    name_of,
    parent_of,
    send,
)

RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
START_FACTOR = 5  # MPI_Init may take so many times the seconds after which a silent rank is lost: hosts start unevenly
TICK_SECONDS = 0.25
FLUSH_SECONDS = 0.5  # time for the launcher to read what was printed: it drops the rest when it ends the ranks
SPEAK_SECONDS = 2.0  # so much later than rank 0 the other ranks report what all of them see
END_SECONDS = 2.0  # time for the launcher to end a watcher that has asked for it
STARTING, CONNECTED, ENDING = "starting", "connected", "ending"

_pipe: int | None = None  # of a rank: where it writes to its watcher


def watch_rank(seconds: float) -> None:
    """Fork; return in the child, which becomes the rank, and never in the parent, which becomes its watcher.

    Args:
        seconds: time in which MPI must end; to start, START_FACTOR times as long.
    """
    global _pipe
    die_with(os.getppid())  # mpirun's proxy: if it is killed, mpirun waits until its children have ended
    shared_memory.remove_stale()
    sys.stdout.flush()  # before the fork: buffered output would be printed twice
    watcher, (reader, _pipe) = os.getpid(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        die_with(watcher)
        die_of_signals()
        return
    os.close(_pipe)
    _watch(child, reader, seconds)


def tell_watcher(stage: str) -> None:
    """Tell the watcher how far this rank is: CONNECTED or ENDING."""
    _write({"stage": stage})


def end_run(message: str, status: int) -> NoReturn:
    """End the run on all hosts, from a rank: print a message and exit with a status.

    The watcher does it, also while another thread of this process is in an MPI call.
    """
    if _pipe is None:  # there is no watcher
        print(message, file=sys.stderr, flush=True)
    else:
        _write({"message": message, "status": status})
        time.sleep(END_SECONDS + FLUSH_SECONDS)  # the watcher stops this process, but Slurm continues it
    os._exit(status)


def rank_of_launcher() -> str:
    """This process's rank, as its launcher has set it in a variable; "?" if it has not."""
    return next((os.environ[name] for name in RANK_VARIABLES if name in os.environ), "?")


def let_rank_0_speak() -> None:
    """Wait, on all other ranks, so long that rank 0 has reported what all see, and the launcher has ended the run."""
    if rank_of_launcher() != "0":
        time.sleep(SPEAK_SECONDS)


def _write(message: dict[str, Any]) -> None:
    if _pipe is not None:
        os.write(_pipe, json.dumps(message).encode() + b"\n")


def _watch(child: int, reader: int, seconds: float) -> NoReturn:
    """Follow the rank to its end, and end the run if it must not go on.

    Only waking up counts as time: a computer that sleeps, or a run that is stopped as a whole, loses no rank.
    """
    stopped: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        stopped.append(number)
        send(number, [child])

    handle_signals(pass_on)
    stage, waited, received = STARTING, 0.0, b""
    while True:
        if select.select([reader], [], [], TICK_SECONDS)[0]:
            part = os.read(reader, 65536)
            received += part
            while b"\n" in received:
                line, _, received = received.partition(b"\n")
                message = json.loads(line)
                if "status" in message:
                    # Not killed before the others are: their MPI fails where a connection breaks, and says so.
                    send(signal.SIGSTOP, [child])
                    _end(message["message"], message["status"], child)
                stage, waited = message["stage"], 0.0
            if not part:  # the rank has ended
                _finish(child, stage, stopped)
        waited += TICK_SECONDS
        limit = {STARTING: START_FACTOR * seconds, CONNECTED: float("inf"), ENDING: seconds}[stage]
        if waited > limit:
            let_rank_0_speak()
            send(signal.SIGKILL, [child])
            _end(_too_long(stage, limit), 1)


def _too_long(stage: str, limit: float) -> str:
    here = f"{sys.argv[0]}: error: rank {rank_of_launcher()} on {socket.gethostname()}"
    if stage == STARTING:
        remedy = "see that all hosts run and reach each other, or raise --lost_host_seconds"
        return f"{here}: MPI has not connected the ranks within {limit:g} s: {remedy}"
    return f"{here}: MPI has not ended within {limit:g} s, because a host is lost; all results are saved"


def _finish(child: int, stage: str, stopped: list[int]) -> NoReturn:
    """Exit as the rank did; if it was killed, but the run was not stopped by signals, say so and end the run."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if -status in STOP_SIGNALS:
        let_rank_0_speak()
        all_stopped = bool(stopped) and rank_of_launcher() != "0"  # by the launcher, of which rank 0 speaks
        _end("" if all_stopped else cli.stop_message(KeyboardInterrupt(-status)), 128 - status)
    if -status == signal.SIGSEGV:  # of MPICH, when it sends to a rank that has ended; what ended that one is the reason
        time.sleep(SPEAK_SECONDS)
    if status < 0 and not stopped:
        reason = signal.Signals(-status).name
        what = f"rank {rank_of_launcher()} = pid {child} died ({reason}), and with it the run"
        _end(f"{sys.argv[0]}: error: {what}", 128 - status)
    if status > 0 and stage != ENDING:
        let_rank_0_speak()
        _end("", status)
    os._exit(status if status >= 0 else 128 - status)


def _end(message: str, status: int, stopped: int | None = None) -> NoReturn:
    """Print a message, make the launcher end the run, and kill the stopped rank, if it has not done so."""
    if message:
        print(message, file=sys.stderr, flush=True)
    time.sleep(FLUSH_SECONDS)
    _end_ssh()
    if "PMI_FD" in os.environ:  # Hydra's and Slurm's connection to their ranks; other launchers go by the exit status
        os.write(int(os.environ["PMI_FD"]), f"cmd=abort exitcode={status}\n".encode())
        time.sleep(END_SECONDS)
    if stopped:
        send(signal.SIGKILL, [stopped])
        os.waitpid(stopped, 0)
    os._exit(status)


def _end_ssh() -> None:
    """End the ssh by which mpirun has started the other hosts: one to a lost host would stay, and wait for it."""
    proxy = os.getppid()
    mpirun = parent_of(proxy)
    if name_of(proxy).startswith("hydra_pmi") and name_of(mpirun).startswith(("mpirun", "mpiexec")):
        send(signal.SIGTERM, [child for child in children_of(mpirun) if not name_of(child).startswith("hydra_pmi")])
