"""Errors that a person can mend, and how they are worded."""


class UserError(Exception):
    """A person's mistake, or a file's: one line that says what was wrong, where, and what to do. Exit status 2."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
