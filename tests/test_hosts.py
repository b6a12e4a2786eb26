"""Tests of runs on several hosts, which are namespaces: a host that is lost, hosts that differ, hosts without files."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.hosts import Hosts, environment_of_hosts, three_hosts, wait_for
from helpers.scripts import LIMIT, ROOT, SEARCH, STAGES, command, run_script, snapshot

PROGRAMS = Path(__file__).parent / "mpi_programs"
LOST = 5  # seconds of silence after which a rank is lost
END = LOST + 10  # seconds in which a run must then have ended on every host
CONTROLLER = "05_train_controller.py"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with three_hosts(tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


class Run:
    """A run on several hosts, whose output is collected in a file."""

    def __init__(self, command_line: list[str], folder: Path) -> None:
        self.output = folder / "output"
        with open(self.output, "w") as file:
            self.process = subprocess.Popen(
                command_line,
                **{"cwd": folder, "env": environment_of_hosts(), "start_new_session": True},
                **{"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT},
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str) -> None:
        """Wait for a text in the output."""
        wait_for(lambda: text in self.text or self.process.poll() is not None, LIMIT)
        assert text in self.text, self.text


Start = Callable[..., Run]


@pytest.fixture
def start(hosts: Hosts, tmp_path: Path) -> Iterator[Start]:
    """Starts mpirun on host a; afterwards all hosts are connected, and nothing of the run is left."""
    started = []

    def start(on: str, ranks: int, *command_line: object, folder: Path = tmp_path) -> Run:
        started.append(Run(hosts.mpirun(on, ranks, *command_line, folder=folder), folder))
        return started[-1]

    yield start
    hosts.kill_all()
    for run in started:
        run.process.wait(LIMIT)
    hosts.join()


def long_work(*arguments: object) -> list[object]:
    return [sys.executable, PROGRAMS / "long_work.py", 3, LOST, *arguments]


def error(run: Run) -> str:
    """The project's own error line, of which there must be one."""
    lines = [line for line in run.text.splitlines() if ": error: " in line]
    assert len(lines) == 1, run.text
    return lines[0]


def ends_everywhere(hosts: Hosts, since: float) -> bool:
    """Whether all processes of the run end in time on every host."""
    while hosts.processes() and time.monotonic() < since + END:
        time.sleep(0.1)
    return not hosts.processes()


# --- a host that is lost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "cut", "lost"),
    [
        ("a,b,c", "c", r"ranks 2, 5 on c"),
        ("b,a,c", "b", r"ranks 0, 3 on b|rank 0 on b"),
        ("a,b,c", "a", r"ranks 1, 4 on b and ranks 2, 5 on c"),
    ],
    ids=["a host of other ranks", "the host of rank 0", "the host of rank 0 and mpirun"],
)
def test_a_cut_link_ends_the_run_on_both_sides(hosts: Hosts, start: Start, on: str, cut: str, lost: str) -> None:
    """mpirun runs on host a; rank 0 on the first host."""
    run = start(on, 6, *long_work())
    run.wait_for("working")
    since = time.monotonic()
    hosts.cut(cut)
    assert ends_everywhere(hosts, since), hosts.processes()
    assert run.process.wait(LIMIT) != 0
    line = error(run)
    assert re.search(rf"no heartbeat of ({lost}) for {LOST} s", line), line
    assert "run the same command on the other hosts to resume" in line


def test_a_host_whose_processes_are_killed_ends_the_run(hosts: Hosts, start: Start) -> None:
    run = start("a,b,c", 6, *long_work())
    run.wait_for("working")
    since = time.monotonic()
    hosts["c"].run("kill", "-9", *hosts["c"].processes())
    assert ends_everywhere(hosts, since), hosts.processes()
    assert run.process.wait(LIMIT) != 0


def test_a_killed_mpirun_ends_the_run_on_every_host(hosts: Hosts, start: Start) -> None:
    run = start("a,b,c", 6, *long_work())
    run.wait_for("working")
    since = time.monotonic()
    hosts["a"].run("pkill", "-9", "-x", "mpirun")
    assert ends_everywhere(hosts, since), hosts.processes()


def test_without_ssh_the_run_goes_on(hosts: Hosts, start: Start) -> None:
    """ssh only starts the other hosts."""
    run = start("a,b,c", 6, *long_work(5))
    run.wait_for("working")
    hosts["a"].run("pkill", "-9", "-x", "ssh")
    run.wait_for("done")
    assert ends_everywhere(hosts, time.monotonic()), hosts.processes()
    assert run.process.wait(LIMIT) == 0


def test_a_host_that_does_not_connect_ends_the_start(hosts: Hosts, start: Start) -> None:
    """A cut link during MPI_Init; the start may take five times as long as a silence."""
    run = start("a,b,c", 3, sys.executable, PROGRAMS / "long_work.py", 3, 1, 5, 60)
    wait_for(lambda: len(hosts["c"].processes()) > 1)
    time.sleep(2)  # rank 1, on b, is late, so the others wait for it in MPI_Init
    hosts.cut("c")
    assert ends_everywhere(hosts, time.monotonic()), hosts.processes()
    assert run.process.wait(LIMIT) == 1
    line = error(run)
    assert "rank 0 on a: MPI has not connected the ranks within 5 s" in line


# --- searches ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def search_folder(hosts: Hosts, finished: Path, copy_of: Callable[..., Path]) -> Path:
    """A folder with the files of a search, which hosts b and c do not have."""
    folder = copy_of("data", "vae", "rnn")
    for name in ("b", "c"):
        hosts[name].hide(folder)
    return folder


def search(*arguments: object) -> list[str]:
    return command(
        CONTROLLER, STAGES[CONTROLLER].replace("--generations 3", ""), "--lost_host_seconds", LOST, *arguments
    )


def test_a_search_that_has_lost_a_host_resumes_on_fewer(
    hosts: Hosts, start: Start, search_folder: Path, finished: Path
) -> None:
    """Number for number. Only rank 0 needs files, and only it writes some."""
    run = start("a,b,c", 3, *search(), folder=search_folder)
    run.wait_for("car_racing (1,")
    since = time.monotonic()
    hosts.cut("c")
    assert ends_everywhere(hosts, since), hosts.processes()
    line = error(run)
    assert f"no heartbeat of rank 2 on c for {LOST} s" in line
    generations = int(re.findall(r"car_racing \((\d+),", run.text)[-1])

    again = start("a,b", 2, *search("--generations", generations + 1), folder=search_folder)
    assert again.process.wait(LIMIT) == 0, again.text
    assert f"resuming controller/{SEARCH}.es.npz after generation" in again.text
    for name in ("b", "c"):
        assert hosts[name].run("find", search_folder, "-mindepth", 1) == ""
    unbroken = search_folder / "unbroken"
    unbroken.mkdir()
    for name in ("data", "vae", "rnn"):
        (unbroken / name).symlink_to(search_folder / name)
    subprocess.run(
        search("--generations", generations + 1), cwd=unbroken, env=environment_of_hosts(), check=True, timeout=LIMIT
    )
    ours, theirs = snapshot(search_folder / "controller"), snapshot(unbroken / "controller")
    assert {name: ours[name] for name in theirs if name.endswith(".json")} == {
        name: digest for name, digest in theirs.items() if name.endswith(".json")
    }


# --- data -------------------------------------------------------------------------------------------------------------

GENERATE = "01_generate_data.py"
WORK = "car_racing --total_episodes 40 --batch_size 1 --time_steps 40"  # 40 batches


def test_data_that_has_lost_a_host_resumes_on_fewer(hosts: Hosts, start: Start, tmp_path: Path) -> None:
    run = start("a,b,c", 3, *command(GENERATE, WORK, "--lost_host_seconds", LOST))
    wait_for(lambda: any(tmp_path.glob("data/obs_*.json")), LIMIT)
    since = time.monotonic()
    hosts.cut("c")
    assert ends_everywhere(hosts, since), hosts.processes()
    line = error(run)
    assert f"no heartbeat of rank 2 on c for {LOST} s" in line
    again = start("a,b", 2, *command(GENERATE, WORK))
    assert again.process.wait(LIMIT) == 0, again.text
    one = tmp_path / "one"
    one.mkdir()
    run_script(one, GENERATE, WORK, "--num_worker 1")
    without_parts = {name: digest for name, digest in snapshot(tmp_path / "data").items() if ".part-" not in name}
    assert without_parts == snapshot(one / "data")


def test_a_folder_that_a_host_does_not_share_is_refused(hosts: Hosts, start: Start, tmp_path: Path) -> None:
    hosts["c"].hide(tmp_path)
    run = start("a,b,c", 5, *command(GENERATE, WORK))
    assert run.process.wait(LIMIT) == 2
    line = error(run)
    assert f"rank 2 on c does not see what rank 0 writes into {tmp_path}/data: " in line
    assert not list(tmp_path.glob("data/*"))


# --- signals and differences ------------------------------------------------------------------------------------------


def test_hosts_that_differ_are_named(hosts: Hosts, start: Start, tmp_path: Path) -> None:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    hosts["b"].pretend(Path("/proc/cpuinfo"), re.sub(r"model name\t: .*", "model name\t: Another", cpuinfo), tmp_path)
    hosts["c"].pretend(ROOT / "config.py", (ROOT / "config.py").read_text() + "# another version\n", tmp_path)
    try:
        run = start("a,b,c", 3, sys.executable, PROGRAMS / "same_hosts.py", 3)
        assert run.process.wait(LIMIT) == 0
        [of_b] = re.findall(r"rank 1 on b: .*", run.text)
        [of_c] = re.findall(r"rank 2 on c: .*", run.text)
        assert "other processor (Another with " in of_b and "last bits" in of_b
        assert "other code (" in of_c and "processor" not in of_c
        refused = start("a,b", 2, sys.executable, PROGRAMS / "same_hosts.py", 2, "identical")
        assert refused.process.wait(LIMIT) == 2
        line = error(refused)
        assert "--identical_hosts: rank 1 on b: other processor (Another with " in line
    finally:
        hosts["b"].run("umount", "/proc/cpuinfo")
        hosts["c"].run("umount", ROOT / "config.py")


def test_signals_reach_all_hosts(hosts: Hosts, start: Start) -> None:
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        run = start("b,c", 4, *long_work())
        run.wait_for("working")
        hosts["a"].run("pkill", f"-{number.value}", "-x", "mpirun")
        assert run.process.wait(LIMIT) == status
        assert "stopped; run the same command again" in run.text
        assert "BAD TERMINATION" not in run.text
        assert ends_everywhere(hosts, time.monotonic()), hosts.processes()
