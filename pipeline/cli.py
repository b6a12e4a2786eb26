"""Command-line types, the shared argument parser, and the exit statuses of all scripts."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

import config
from pipeline.errors import UserError, first_line, is_lack_of_memory
from pipeline.new_model import how_to_start_again
from pipeline.seeds import MAX_SEED

# Scripts import this module first, so that a missing package is one line (see their `except ImportError`), and so is a
# module of other work that PYTHONPATH puts before one of this project's.
if Path(config.__file__).parent != Path(__file__).parents[1]:
    raise ImportError(f"{config.__file__} hides this project's config.py")
for package in ("cma", "cv2", "gymnasium", "keras", "numpy"):
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named '{package}'")

NEW_MODEL = "start from scratch; the earlier model is lost when the new one has saved its first state"
MAX_EPISODES = 2**16  # of one evaluation: keeps the indices of environment seeds far below their limit, 2**32


def positive_int(text: str) -> int:
    """An argparse type: an integer above zero."""
    return _int_from(text, 1)


def episode_count(text: str) -> int:
    """An argparse type: a number of episodes, from 1 to MAX_EPISODES."""
    number = _int_from(text, 1)
    if number > MAX_EPISODES:
        raise argparse.ArgumentTypeError(f"must be at most {MAX_EPISODES}, not {number}")
    return number


def max_length(text: str) -> int | None:
    """An argparse type: a number of steps above zero, or -1, as in the tutorial, for the environment's (None)."""
    return None if text.strip() == "-1" else _int_from(text, 1)


def count(text: str) -> int:
    """An argparse type: an integer of at least zero."""
    return _int_from(text, 0)


def seed(text: str) -> int:
    """An argparse type: a run seed, from 0 to MAX_SEED - 1."""
    number = _int_from(text, 0)
    if number >= MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be below {MAX_SEED}, not {number}")
    return number


def positive_float(text: str) -> float:
    """An argparse type: a finite number above zero."""
    number = _float_from(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above zero, not {text}")
    return number


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    number = _float_from(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, not {text}")
    return number


def _float_from(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def _int_from(text: str, minimum: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer") from None
    if number < minimum:
        raise argparse.ArgumentTypeError(f"must be at least {minimum}, not {number}")
    if number >= 2**31:  # the product of two such numbers, as in epochs x steps, still fits into 64 bits
        raise argparse.ArgumentTypeError(f"must be below {2**31}, not {number}")
    return number


def parser(doc: str | None) -> argparse.ArgumentParser:
    """An argument parser whose --help shows the script's docstring and the default of every flag."""
    summary, _, rest = (doc or "").strip().partition("\n")  # python -OO removes docstrings

    class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str | None:
            """Append the default unless it is None, which the help text then explains."""
            return action.help if action.default is None else super()._get_help_string(action)

    class Parser(argparse.ArgumentParser):
        def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
            """Refuse `--N=--`, which argparse parses as an empty list without calling the flag's type."""
            values, rest = super().parse_known_args(args, namespace)
            for name in (name for name, value in vars(values).items() if value == []):
                self.error(f"argument --{name}: '--' is no value")
            return values, rest

    return Parser(description=summary, epilog=rest, formatter_class=Help, allow_abbrev=False)


def cores() -> int:
    """Number of cores that this process may use; all cores where the system has no CPU affinity (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm  # which is generic in its stubs alone


class Lines(Bar):
    """A progress bar where no terminal is, as in a log file: a line on stderr every half minute and at the end."""

    def __init__(self, desc: str | None = None, **kwargs: Any) -> None:
        self.shown = kwargs["initial"]  # the count in the last line
        form = "{desc}{n_fmt} of {total_fmt} {unit}s, {rate_fmt}, {remaining} left{postfix}"
        label = f"{desc}: " if desc else None
        super().__init__(desc=label, bar_format=form, mininterval=30, maxinterval=30, miniters=1, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if self.n > self.shown:
            self.shown = self.n
            print(msg or self, file=self.fp, flush=True)

    def clear(self, nolock: bool = False) -> None:
        """Nothing: tqdm.write clears bars before its text."""

    def close(self) -> None:
        if not self.disable:
            self.disable = True
            self.display()


def progress(total: int, unit: str, desc: str | None = None, initial: int = 0) -> Bar:
    """A progress bar with rate and ETA; without a terminal, `Lines`."""
    bar: type[Bar] = tqdm if sys.stderr.isatty() else Lines
    return bar(total=total, initial=initial, unit=unit, desc=desc, unit_scale=total > 10_000, smoothing=0.05)


def check_environment(parser: argparse.ArgumentParser, name: str) -> None:
    """Exit with argparse's status 2 if config.ENVIRONMENTS has no such name."""
    if name not in config.ENVIRONMENTS:
        parser.error(f"unknown environment '{name}': config.py lists {', '.join(config.ENVIRONMENTS)}")


def add_time_steps(parser: argparse.ArgumentParser) -> None:
    """Add the tutorial's flag --time_steps of 02 and 03 (pipeline.batches.check_time_steps)."""
    repeated = "steps per episode, as 01 --time_steps: only checked, since the batches record it"
    parser.add_argument("--time_steps", type=positive_int, help=repeated)


def parse_training(parser: argparse.ArgumentParser, weights: Path, checkpoint_steps: int) -> argparse.Namespace:
    """Parse the command line of 02 or 04, which write `weights`: the flags of `parser` and those that both share.

    Args:
        checkpoint_steps: the default of the flag.
    """
    parser.add_argument("--start_batch", type=count, default=0, help="first batch file to train on")
    parser.add_argument("--max_batch", type=count, help="last batch file to train on (inclusive); default: all")
    parser.add_argument("--N", type=positive_int, help="train on this many episodes at most; default: all")
    parser.add_argument("--new_model", action="store_true", help=NEW_MODEL)
    checkpoint = "gradient steps between checkpoints: a validation, a row of log.csv and a saved state"
    parser.add_argument("--checkpoint_steps", type=positive_int, default=checkpoint_steps, help=checkpoint)
    parser.add_argument("--init_weights", type=Path, help="initial weights (.h5); default: random ones")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the initial weights, batch order and noise")
    distribute = "share every batch among all GPUs, or all logical CPU devices; default: one device"
    parser.add_argument("--distribute", choices=("mirrored",), help=distribute)
    args = parser.parse_args()
    if args.N == 1:
        parser.error("argument --N: must be at least 2, one episode to train on and one for validation")
    if args.init_weights and args.init_weights.resolve() == weights.resolve():
        parser.error(f"--init_weights {args.init_weights} would be overwritten: copy it to another name")
    return args


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turn a lack of memory into a UserError that names the remedy: a context, or the decorator of a main."""
    try:
        yield
    except Exception as error:
        if is_lack_of_memory(error):
            raise UserError(f"not enough memory: {remedy} ({first_line(error)})") from None
        raise


def run(main: Callable[[], None], resumable: bool = True) -> None:
    """Run a script without stack traces for expected ends.

    A UserError is one line and status 2. Ctrl-C, SIGTERM and SIGHUP (a closed terminal) are one line and status
    128 + signal, and the end of who reads the output, as of `head`, is silent and status 128 + SIGPIPE: each unwinds
    the program, which removes its unfinished files.
    """
    _open_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _stop)
    try:
        with enough_memory("end other programs, or raise a limit such as that of `ulimit -v`"):
            main()
        sys.stdout.flush()
    except UserError as error:
        _say(f"{sys.argv[0]}: error: {error}")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        _say(stop_message(stop) if resumable else f"\n{sys.argv[0]}: stopped")
        sys.exit(stop_status(stop))
    except BrokenPipeError:
        with open(os.devnull, "w") as null:  # for what is still buffered
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
        sys.exit(128 + signal.SIGPIPE)


def stop_message(stop: KeyboardInterrupt) -> str:
    """What a script says when a signal has stopped it: the hint is a note of pipeline.new_model."""
    return f"\n{sys.argv[0]}: stopped; {getattr(stop, '__notes__', [_early_hint()])[0]}"


def stop_status(stop: KeyboardInterrupt) -> int:
    """The exit status after a signal: 128 + its number, which is the argument; without one it was Ctrl-C."""
    return 128 + int(stop.args[0] if stop.args else signal.SIGINT)


def _early_hint() -> str:
    """How to go on after a stop before the training began, or in a script that has no --new_model."""
    return how_to_start_again(True) if "--new_model" in sys.argv else "run the same command again"


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal is closed
        print(line, file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Connect closed streams to /dev/null, and let a stream replace the characters that it cannot encode.

    In place of a closed stream the next file that is opened would get its number, and the output of libraries.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
