"""Waiting without blocking: MPI's blocking calls spin a core, handle no signals, and wait for a lost host forever."""

import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 1e-3


def wait(ready: Callable[[], Any]) -> None:
    """Sleep until `ready()` is true, polling every POLL_SECONDS so that signals are handled."""
    while not ready():
        time.sleep(POLL_SECONDS)
