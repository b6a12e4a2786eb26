"""Slurm on this machine: a controller and two nodes, with folders, ports and a key of their own, and no systemd."""

import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from helpers.clusters import needs
from helpers.hosts import wait_for
from helpers.scripts import LIMIT, ROOT, environment

needs_slurm = needs("slurmctld", "slurmd", "sbatch", "srun", "munged", root=True)
NODES = ("node1", "node2")
# Short times: a requeued job waits until its credential has expired; a step has KillWait seconds to end by SIGTERM.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
KillWait=5
JobRequeue=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=8000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=8000
PartitionName=work Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2
"""


class Slurm:
    """Slurm's daemons, whose files are all in one folder, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.daemons = folder, list[subprocess.Popen]()
        for name in ("state", *NODES):
            (folder / name).mkdir()
        config = CONFIG.format(folder=folder, host=socket.gethostname().split(".")[0], ports=free_ports(3))
        (folder / "slurm.conf").write_text(config)
        key = folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))

    def start(self) -> None:
        """Start the daemons, and wait for the nodes."""
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self._start("munged", "--foreground", "--force", *options)
        wait_for((self.folder / "munge.socket").exists)
        self._start("slurmctld", "-D")
        for node in NODES:
            self._start("slurmd", "-D", "-N", node)
        wait_for(lambda: self.call("sinfo", "--noheader", "--format=%D %T", ok=False).split()[:2] == ["2", "idle"])

    def call(self, *command: object, ok: bool = True, folder: Path | None = None, **variables: object) -> str:
        """Run a command of Slurm; returns what it prints."""
        variables = {"SLURM_CONF": self.folder / "slurm.conf", "PROJECT": ROOT, **variables}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=environment(**{name: str(value) for name, value in variables.items()}),
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, *arguments: object, folder: Path, **variables: object) -> str:
        """Submit a job in a folder; returns its number."""
        return self.call("sbatch", "--parsable", *arguments, folder=folder, **variables).strip()

    def state(self, job: str) -> str:
        """RUNNING, PENDING, COMPLETED, ..."""
        return self.call("squeue", "--noheader", "--states=all", "--format=%T", "--job", job).strip()

    def wait_until_ended(self, job: str) -> str:
        """Wait until a job has ended; returns its state."""
        wait_for(lambda: self.state(job) in ("CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT"), LIMIT)
        return self.state(job)

    def close(self) -> None:
        """End all jobs and daemons."""
        try:
            if len(self.daemons) > 1:
                self.call("scancel", "--user=root", ok=False)
                wait_for(lambda: not self.call("squeue", "--noheader", ok=False))
        finally:
            for daemon in reversed(self.daemons):
                daemon.terminate()
                daemon.wait(LIMIT)

    def _start(self, *command: str) -> None:
        with open(self.folder / "daemons.out", "a") as output:
            self.daemons.append(
                subprocess.Popen(
                    command,
                    env=environment(SLURM_CONF=str(self.folder / "slurm.conf")),
                    **{"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, "start_new_session": True},
                )
            )


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Slurm in a folder; it ends with its jobs."""
    slurm = Slurm(folder)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.close()
