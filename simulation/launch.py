"""Start of a run's ranks: mpirun or another launcher, and thread counts."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import cli
from pipeline.errors import UserError
from simulation import shared_memory
from simulation.processes import exit_on_signals
from simulation.supervisor import supervise
from simulation.watcher import watch_rank

LOST_SECONDS = 60.0  # the default of --lost_host_seconds
# Ranks and workers share the cores, one each. Results depend on it: a matrix product on two threads rounds differently.
# TensorFlow takes its number of threads from pipeline.networks.use_one_cpu_thread.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Unbuffered output, so that log lines appear as they are printed. Open MPI by default refuses to run as root (as in
# containers) and to start more ranks than cores.
LAUNCH_DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# The ranks that this project starts are all on this host. Within a Slurm job mpirun would start them by srun, on all of
# its hosts; within a step that would wait for the step itself to end.
THIS_HOST = {"HYDRA_LAUNCHER": "fork", "HYDRA_RMK": "user", "OMPI_MCA_plm": "rsh", "OMPI_MCA_ras": "simulator"}
# An mpirun sets one of these (Hydra and Intel MPI, Open MPI, MVAPICH), however many processes it makes.
MPIRUN_VARIABLES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
# Launchers set one of these to the number of processes or the rank (Hydra and Intel MPI, PMIx, Open MPI, MVAPICH).
# SLURM_PROCID is not one of them: Slurm sets it in a batch shell too, where no MPI launcher runs.
LAUNCHER_VARIABLES = ("PMI_SIZE", "PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
LAUNCHER_PREFIXES = ("PMI_", "PMI2_", "PMIX_")  # of the variables that connect a process to a launcher


def launch(num_ranks: int, lost_seconds: float = LOST_SECONDS, saved: Callable[[], str] | None = None) -> None:
    """Restart this command as `num_ranks` single-threaded processes, if it does not run as such already.

    Call it once, after argument parsing and before slow imports: libraries read the thread count when they load, hence
    the restart. Under mpirun or another launcher the number of processes is the launcher's.

    Args:
        lost_seconds: see simulation/watcher.py.
        saved: says what is saved and how to go on, once the ranks were stopped by a signal.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    if under_launcher():
        exit_on_signals()
    elif num_ranks > 1:
        shared_memory.check(num_ranks)
        mpirun = [_find_mpirun(), "-np", str(num_ranks)]
        environment = LAUNCH_DEFAULTS | _without_launcher() | ONE_THREAD | THIS_HOST
        sys.exit(supervise(mpirun + command, environment, saved))
    if not ONE_THREAD.items() <= os.environ.items():
        sys.stdout.flush()
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
    if under_launcher():
        watch_rank(lost_seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a stage that runs on several hosts."""
    add = parser.add_argument_group("several hosts").add_argument
    lost = "end the run when no sign of a rank has arrived for so many seconds; the start may take five times as long"
    add("--lost_host_seconds", type=cli.positive_float, default=LOST_SECONDS, help=lost)
    identical = "refuse hosts that differ in code, libraries or kind of processor; else they are named"
    add("--identical_hosts", action="store_true", help=identical)


def under_launcher() -> bool:
    """Whether an MPI launcher started this process; UserError under a plain srun, whose tasks do not use MPI."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if not has_launcher() and tasks != "1":
        raise UserError(f"srun made {tasks} processes without an MPI connection: use srun --mpi=pmi2, or mpirun")
    return has_launcher()


def has_launcher() -> bool:
    """Whether this process can connect to the others that an MPI launcher started."""
    return any(name in os.environ for name in LAUNCHER_VARIABLES) and not _in_step_of_one_task()


def _in_step_of_one_task() -> bool:
    """Whether a batch system made this process alone, as the shell of `srun --pty bash`, and connected it to PMI."""
    if any(name in os.environ for name in MPIRUN_VARIABLES):
        return False
    if os.environ.get("PMI_RANK") == "0" and os.environ.get("PMI_SIZE") == "1":
        return True
    of_slurm = os.environ.get("PMIX_NAMESPACE", "").startswith("slurm")
    return of_slurm and os.environ.get("SLURM_STEP_NUM_TASKS", "1") == "1" and os.environ.get("PMIX_RANK") == "0"


def _without_launcher() -> dict[str, str]:
    """The environment, without what would connect a process to the launcher of a step of one task."""
    return {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHER_PREFIXES)}


def _find_mpirun() -> str:
    """The mpirun that was installed with this Python's packages, else the one on the PATH."""
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise UserError("no mpirun found: pip install mpich mpi4py, or load your cluster's MPI, or use --num_worker 1")
    return found
