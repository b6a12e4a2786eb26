"""What the hosts of a run have in common: the code, the libraries and the kind of processor."""

import hashlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("*.py", "custom_envs/*.py", "pipeline/*.py", "vae/*.py", "rnn/*.py", "controller/*.py", "simulation/*.py")
LIBRARIES = ("tensorflow", "numpy", "gymnasium", "box2d", "opencv-python-headless")
# Features by which libraries choose their kernels, the best first.
SIMD = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2", "avx", "sve", "asimd")


@dataclass(frozen=True)
class Host:
    """A process and what its numbers depend on; hosts that differ in that may compute others in the last bits."""

    pid: int
    name: str
    code: str  # a hash of the project's Python files
    libraries: str
    processor: str


def this_host() -> Host:
    """The description of this process."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return Host(os.getpid(), socket.gethostname(), code_hash(ROOT), libraries, processor())


def code_hash(root: Path) -> str:
    """A hash of the project's code below a folder, 8 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in root.glob(pattern)):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def processor() -> str:
    """The processor's model, and the best of its features by which libraries choose their kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return os.uname().machine
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    features = (fields.get("flags") or fields.get("Features", "")).split()
    best = next((feature for feature in SIMD if feature in features), os.uname().machine)
    return f"{fields.get('model name') or fields.get('CPU part')} with {best}"


def differences(hosts: Sequence[Host]) -> list[str]:
    """A line for every host whose code, libraries or processor are not those of rank 0; `hosts` are those of the ranks.

    Ranks of one host that differ in the same way share a line.
    """
    lines: dict[tuple[str, str], list[int]] = {}
    for rank, host in enumerate(hosts):
        if text := "; ".join(_difference(what, host, hosts[0]) for what in _differing(host, hosts[0])):
            lines.setdefault((host.name, text), []).append(rank)
    return [f"{ranks_text(ranks)} on {name}: {text}" for (name, text), ranks in lines.items()]


def ranks_text(ranks: Sequence[int]) -> str:
    """The words for ranks: "rank 3", "ranks 3, 4"."""
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"


def where(ranks: Sequence[int], hosts: Sequence[Host]) -> str:
    """The words for ranks and their hosts, "ranks 2, 5 on c and rank 3 on b"; `hosts` are those of all ranks."""
    by_host: dict[str, list[int]] = {}
    for rank in ranks:
        by_host.setdefault(hosts[rank].name, []).append(rank)
    return " and ".join(f"{ranks_text(ranks)} on {name}" for name, ranks in by_host.items())


def _differing(host: Host, first: Host) -> list[str]:
    return [what for what in ("code", "libraries", "processor") if getattr(host, what) != getattr(first, what)]


def _difference(what: str, host: Host, first: Host) -> str:
    return f"other {what} ({getattr(host, what)}) than rank 0 ({getattr(first, what)})"
