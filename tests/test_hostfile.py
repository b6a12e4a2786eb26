"""recipes/cluster/hostfile.sh, and openmpi.sh, on three hosts, which are namespaces, by a host file and ssh."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.clusters import RECIPES, SEARCH_FLAGS, needs, results
from helpers.hosts import Hosts, environment_of_hosts, three_hosts
from helpers.scripts import LIMIT

HOSTFILES = {"hostfile.sh": "a:1\nb:2\nc:1\n", "openmpi.sh": "a slots=1\nb slots=2\nc slots=1\n"}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


def run(hosts: Hosts, recipe: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a recipe on host a, in a folder, by ssh with the hosts' own key."""
    variables = {
        "ARGS": SEARCH_FLAGS,
        "HOSTFILE": "my_hosts",
        "HYDRA_LAUNCHER_EXEC": str(hosts.folder / "ssh"),
        "MPIRUN": "mpirun.openmpi",
        "MPIRUN_ARGS": "--allow-run-as-root",
        "OMPI_MCA_plm_rsh_agent": str(hosts.folder / "ssh"),
    }
    return subprocess.run(
        hosts["a"].inside("sh", RECIPES / recipe, folder=folder),
        env=environment_of_hosts(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )


@pytest.mark.parametrize("recipe", ["hostfile.sh", pytest.param("openmpi.sh", marks=needs("mpirun.openmpi"))])
def test_a_search_on_three_hosts_has_the_numbers_of_one(
    hosts: Hosts, copy_of: Callable[..., Path], unbroken: Path, recipe: str
) -> None:
    """Hosts b and c do not have the files."""
    folder = copy_of("data", "vae", "rnn")
    (folder / "my_hosts").write_text(HOSTFILES[recipe])
    for name in ("b", "c"):
        hosts[name].hide(folder)
    done = run(hosts, recipe, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for rank, name in enumerate("abbc"):
        assert re.search(rf"^rank {rank} = pid \d+ on {name}$", done.stdout, re.MULTILINE)
    assert results(folder) == results(unbroken)


def test_a_missing_host_file_is_named(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, "hostfile.sh", tmp_path)
    assert done.returncode == 2
    assert "error: there is no my_hosts: write it, a line such as node1:16 for each host" in done.stderr
