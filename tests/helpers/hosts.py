"""Several hosts on one machine: namespaces with a network card, a file system for /dev/shm and an ssh server each.

They share the machine's files, except where `hide` gives a host an empty folder. A bridge in a namespace of its own
connects their cards, so nothing outside is changed, and all ends with the processes that keep the namespaces.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.scripts import environment
from simulation.processes import descendants_of, is_running

NAMES = ("a", "b", "c")
NAMESPACES = ("--net", "--uts", "--ipc", "--pid", "--mount")
TOOLS = ("unshare", "nsenter", "ip", "ssh", "ssh-keygen", "/usr/sbin/sshd")
MPIRUN = Path(sys.executable).with_name("mpirun")
INIT = """
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd
hostname {name}
mount --bind {folder}/hosts /etc/hosts
touch {folder}/{name}.ready
exec sleep infinity
"""
SSHD_CONFIG = """
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
"""
SSH = """#!/bin/sh
exec ssh -F none -i {folder}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"
"""


def need_namespaces() -> None:
    """Skip a test where namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("namespaces need root")
    if shutil.which("unshare") is None or subprocess.run(["unshare", *NAMESPACES, "--fork", "true"]).returncode:
        pytest.skip("no namespaces on this machine")


class Host:
    """A host, by the process that keeps its namespaces."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name, self.address = name, address
        script = INIT.format(name=name, folder=folder)
        self.keeper = subprocess.Popen(["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", script])
        wait_for(lambda: (folder / f"{name}.ready").exists())
        [self.pid] = descendants_of(self.keeper.pid)

    def inside(self, *command: object, folder: Path = Path("/")) -> list[str]:
        """A command line that runs a command on this host, in a folder."""
        return ["nsenter", f"--target={self.pid}", "--all", f"--wd={folder}", *map(str, command)]

    def run(self, *command: object) -> str:
        """Run a command on this host; returns what it prints."""
        return subprocess.run(self.inside(*command), check=True, capture_output=True, text=True).stdout

    def reaches(self, name: str) -> bool:
        """Whether this host reaches the ssh server of another one."""
        return (
            subprocess.run(self.inside("bash", "-c", f": < /dev/tcp/{name}/22"), stderr=subprocess.DEVNULL).returncode
            == 0
        )

    def hide(self, folder: Path) -> None:
        """Give this host an empty folder in the place of one that it shares."""
        self.run("mount", "-t", "tmpfs", "tmpfs", folder)

    def pretend(self, path: Path, text: str, folder: Path) -> None:
        """Give this host a file of its own in the place of one that it shares."""
        own = folder / f"{self.name}.{path.name}"
        own.write_text(text)
        self.run("mount", "--bind", own, path)

    def processes(self) -> list[int]:
        """The processes of a run on this host: Python, mpirun, its proxies and ssh."""
        lines = self.run("ps", "-eo", "pid=,stat=,comm=").splitlines()
        found = [line.split() for line in lines]
        runs = ("python", "mpirun", "hydra_pmi_proxy", "ssh")
        return [int(pid) for pid, stat, comm in found if comm.startswith(runs) and comm != "sshd" and "Z" not in stat]


class Hosts:
    """Connected hosts, in the order of NAMES, and what is needed to run MPI on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
        addresses = {name: f"10.77.0.{i}" for i, name in enumerate(NAMES, 1)}
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        (folder / "hosts").write_text("\n".join(lines) + "\n")
        (folder / "sshd_config").write_text(SSHD_CONFIG.format(folder=folder))
        (folder / "ssh").write_text(SSH.format(folder=folder))
        (folder / "ssh").chmod(0o755)
        self.switch = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        wait_for(lambda: os.readlink(f"/proc/{self.switch.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        self._ip("link", "add", "bridge", "type", "bridge")
        self._ip("link", "set", "bridge", "up")
        self.hosts = {name: Host(name, address, folder) for name, address in addresses.items()}
        for host in self.hosts.values():
            self._connect(host)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def cut(self, name: str) -> None:
        """Cut a host off the others."""
        self._ip("link", "set", f"to-{name}", "down")

    def join(self) -> None:
        """Undo `cut`, and wait until all hosts reach each other's ssh server."""
        for host in self.hosts.values():
            self._ip("link", "set", f"to-{host.name}", "up")
            host.run("ip", "neighbor", "flush", "dev", "eth0")  # it remembers that others could not be reached
        wait_for(lambda: all(host.reaches(name) for host in self.hosts.values() for name in NAMES))

    def kill_all(self) -> None:
        """Kill what is left of runs."""
        for name, pids in self.processes().items():
            subprocess.run(self[name].inside("kill", "-9", *pids), stderr=subprocess.DEVNULL)  # some may have ended

    def mpirun(self, hosts: str, ranks: int, *command: object, folder: Path) -> list[str]:
        """The command line of an mpirun on host a that starts ranks in a folder on several hosts, "a,b" say."""
        launcher = ("-launcher", "ssh", "-launcher-exec", self.folder / "ssh")
        return self["a"].inside(MPIRUN, *launcher, "-hosts", hosts, "-n", ranks, *command, folder=folder)

    def processes(self) -> dict[str, list[int]]:
        """The processes of a run on each host that has some."""
        return {name: found for name, host in self.hosts.items() if (found := host.processes())}

    def close(self) -> None:
        """End all processes, and with them the namespaces."""
        for process in (*(host.keeper for host in self.hosts.values()), self.switch):
            process.kill()
            process.wait()
        wait_for(lambda: not any(is_running(host.pid) for host in self.hosts.values()))

    def _ip(self, *arguments: object) -> None:
        in_switch = ("nsenter", f"--target={self.switch.pid}", "--net")
        subprocess.run([*in_switch, "ip", *map(str, arguments)], check=True)

    def _connect(self, host: Host) -> None:
        """Connect a host's card to the bridge, and start its ssh server."""
        card, namespace = f"to-{host.name}", f"/proc/{host.pid}/ns/net"
        self._ip("link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._ip("link", "set", card, "master", "bridge", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        for card in ("lo", "eth0"):
            host.run("ip", "link", "set", card, "up")
        host.run("/usr/sbin/sshd", "-f", self.folder / "sshd_config")


@contextmanager
def three_hosts(folder: Path) -> Iterator[Hosts]:
    """Connected hosts; the test that needs them skips where they cannot be made."""
    need_namespaces()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    hosts = Hosts(folder)
    try:
        yield hosts
    finally:
        hosts.close()


def environment_of_hosts(**changes: str) -> dict[str, str]:
    """The environment of a run on several hosts."""
    return environment(PYTHONUNBUFFERED="1", **changes)


def wait_for(condition: object, seconds: float = 30) -> None:
    """Wait until `condition()` is true; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.05)
