"""The error type for mistakes that a user can correct, and the wording of caught errors."""


class UserError(Exception):
    """A wrong input, file or setting: one line that says what is wrong, where, and what to do. Exit status 2."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
