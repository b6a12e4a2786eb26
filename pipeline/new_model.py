"""--new_model: the earlier state is set aside until the new one is saved, and a stopped run says how to go on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError, first_line


def how_to_start_again(new_model: bool) -> str:
    """What a run says that is stopped before it has saved a state."""
    return f"nothing is saved yet; run the same command{', with --new_model,' if new_model else ''} to start again"


def how_to_go_on(state: Path, new_model: bool, saved: Callable[[Path], str] | None = None, since: float = 0.0) -> str:
    """What a run says that is stopped: what is saved, and how to go on.

    Args:
        saved: describes the saved state.
        since: with `new_model`, when the run began, in seconds since 1970: an older state is that of the earlier model.
    """
    if not state.exists() or (new_model and state.stat().st_mtime < since):
        return how_to_start_again(new_model)
    what = f"{saved(state)}; " if saved else ""
    return f"{what}run the same command{', without --new_model,' if new_model else ''} to resume"


def previous(state: Path) -> Path:
    """The name under which --new_model sets the earlier state aside."""
    return state.with_name(f"{state.name}.previous")


def forget_previous(state: Path) -> None:
    """Remove the state that was set aside: the new one is saved."""
    previous(state).unlink(missing_ok=True)


def check_not_set_aside(state: Path) -> None:
    """Refuse to begin without --new_model where a new model was stopped before its first state; UserError says so."""
    if previous(state).exists():
        what = f"--new_model was stopped before it saved a state, and {previous(state)} is the earlier one"
        raise UserError(
            f"{what}: --new_model starts again, `mv {previous(state)} {state}` goes back to the earlier one"
        )


@contextmanager
def until_saved(state: Path, new_model: bool, saved: Callable[[Path], str] | None = None) -> Iterator[None]:
    """Train in this context, which calls `forget_previous` once `state` is saved.

    With `new_model` the state of an earlier model is renamed, so that no run takes it for that of the new model; all
    else of the earlier model stays as it is. An error before the first save renames it back. To a KeyboardInterrupt a
    note is added, which pipeline.cli.run prints: `how_to_go_on`.

    Raises:
        UserError: the earlier state cannot be renamed.
    """
    if new_model and state.exists():
        try:
            os.replace(state, previous(state))
        except OSError as error:
            raise UserError(f"cannot rename {state}: {first_line(error)}") from None
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(how_to_go_on(state, new_model, saved))
        raise
    except Exception:  # a full disk, say: nothing of the new model exists
        if previous(state).exists() and not state.exists():
            os.replace(previous(state), state)
        raise
