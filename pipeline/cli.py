"""What the command lines of all stages share: number types that refuse nonsense, one way to run and to fail."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

import config
from pipeline.errors import UserError, first_line
from pipeline.seeds import MAX_SEED

MAX_EPISODES = 2**16  # episodes at once: far more than anybody waits for, and far from where their seeds end


def positive_int(text: str) -> int:
    """An argparse type: a whole number above zero."""
    return _int_from(text, 1)


def episode_count(text: str) -> int:
    """An argparse type: a number of episodes to drive at once."""
    number = _int_from(text, 1)
    if number > MAX_EPISODES:
        raise argparse.ArgumentTypeError(f"must be at most {MAX_EPISODES}, not {number}")
    return number


def count(text: str) -> int:
    """An argparse type: a whole number, zero allowed."""
    return _int_from(text, 0)


def seed(text: str) -> int:
    """An argparse type: a run seed."""
    number = _int_from(text, 0)
    if number >= MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be below {MAX_SEED}, not {number}")
    return number


def positive_float(text: str) -> float:
    """An argparse type: a finite number above zero."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above zero, not {text}")
    return number


def share(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, not {text}")
    return number


def _int_from(text: str, low: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
    if number < low:
        raise argparse.ArgumentTypeError(f"must be at least {low}, not {number}")
    if number >= 2**31:  # twice as many bits, as in epochs x steps, are still a whole number everywhere
        raise argparse.ArgumentTypeError(f"must be below {2**31}, not {number}")
    return number


def parser(doc: str) -> argparse.ArgumentParser:
    """An argument parser whose --help is the script's docstring and every default."""
    summary, _, rest = doc.strip().partition("\n")

    class Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
        pass

    class Parser(argparse.ArgumentParser):
        def parse_args(self, *args: object) -> argparse.Namespace:
            """Python takes `--N=--` for no value at all, and no type is asked what it thinks of that."""
            values = super().parse_args(*args)
            for name in (name for name, value in vars(values).items() if value == []):
                self.error(f"argument --{name}: '--' is no value")
            return values

    return Parser(description=summary, epilog=rest, formatter_class=Help, allow_abbrev=False)


def cores() -> int:
    """Cores that this process may use; all of the machine's where the system does not say (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def progress(total: int, unit: str, desc: str | None = None) -> tqdm:
    """A progress bar with ETA; where no person watches, a line every half minute."""
    interval = 0.1 if sys.stderr.isatty() else 30
    return tqdm(total=total, unit=unit, desc=desc, unit_scale=total > 10_000, smoothing=0.05, mininterval=interval)


def check_environment(parser: argparse.ArgumentParser, name: str) -> None:
    """Refuse a name that config.py does not know, with argparse's own status 2."""
    if name not in config.ENVIRONMENTS:
        parser.error(f"unknown environment '{name}': config.py knows {', '.join(config.ENVIRONMENTS)}")


def parse_training(parser: argparse.ArgumentParser, weights: Path) -> argparse.Namespace:
    """Parse the command line of a training that writes `weights`: its own flags, and those that 02 and 04 share."""
    parser.add_argument("--start_batch", type=count, default=0, help="first batch to learn from")
    parser.add_argument("--max_batch", type=count, help="last batch to learn from; all there are when not given")
    parser.add_argument("--N", type=positive_int, help="learn from this many episodes; from all when not given")
    parser.add_argument("--new_model", action="store_true", help="start from scratch; what was trained before is lost")
    parser.add_argument("--init_weights", type=Path, help="start from these weights, learned earlier, not random ones")
    parser.add_argument("--seed", type=seed, default=0, help="of the initial weights, the batch order and the noise")
    args = parser.parse_args()
    if args.init_weights and args.init_weights.resolve() == weights.resolve():
        parser.error(f"--init_weights {args.init_weights} would be overwritten: copy it to another name")
    return args


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Where memory ends within, say what to do about it: a context, or the decorator of a main."""
    try:
        yield
    except MemoryError as error:
        raise UserError(f"not enough memory: {remedy} ({first_line(error)})") from None


def run(main: Callable[[], None], resumable: bool = True) -> None:
    """Run a script: a person's mistake is one line and status 2, Ctrl-C is status 130, neither is a stack trace."""
    try:
        main()
    except UserError as error:
        print(f"{sys.argv[0]}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        hint = "; the same command, without --new_model, goes on after what is finished" if resumable else ""
        print(f"\n{sys.argv[0]}: stopped{hint}", file=sys.stderr)
        sys.exit(130)
