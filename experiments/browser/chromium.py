"""A headless Chromium, steered through its DevTools protocol over a pipe: for the tests and benchmarks of the page."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = "chromium"
LIMIT = 120.0  # seconds after which an answer is taken to be missing
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
)
DOMAINS = ("Page", "Runtime", "Network", "Log")


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


class Chromium:
    """One page of a headless Chromium; a context manager, which ends the program.

    Attributes:
        events: all events of the page so far, {"method": ..., "params": ...} each.

    Args:
        width, height: of the page, in pixels.
        features: media features that the page is to see, such as {"prefers-reduced-motion": "reduce"}.
    """

    def __init__(self, width: int = 1280, height: int = 900, features: dict[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._number, self._received, self._session = 0, b"", ""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._start()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in DOMAINS:
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        media = [{"name": name, "value": value} for name, value in (features or {}).items()]
        self.send("Emulation.setEmulatedMedia", features=media)

    def _start(self) -> None:
        """Start the program, which reads commands from descriptor 3 and writes answers to 4."""
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Duplicates far above 4, of which the shell overwrites none; bash, because sh names descriptors by one digit.
        high = [fcntl.fcntl(number, fcntl.F_DUPFD, 20) for number in (commands, answers)]
        shell = f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}'
        command = ["bash", "-c", shell, PROGRAM, *FLAGS.split(), f"--user-data-dir={self._profile.name}"]
        quiet = subprocess.DEVNULL
        self._program = subprocess.Popen(command, pass_fds=high, stdin=quiet, stdout=quiet, stderr=quiet)
        for number in (commands, answers, *high):
            os.close(number)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; meanwhile events are collected.

        Raises:
            RuntimeError: the command failed, or no answer came.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + LIMIT
        while True:
            answer = self._receive(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self, end: float) -> dict[str, Any]:
        """The next message, which ends with a zero byte."""
        while b"\0" not in self._received:
            if not select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]:
                raise RuntimeError(f"{PROGRAM} did not answer within {LIMIT:.0f} seconds")
            received = os.read(self._answers, 2**20)
            if not received:
                raise RuntimeError(f"{PROGRAM} has ended")
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.send("Page.navigate", url=path.absolute().as_uri())
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of the promise that it returns.

        Raises:
            RuntimeError: it threw an exception.
        """
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true.

        Raises:
            RuntimeError: it is still false after LIMIT seconds.
        """
        end = time.monotonic() + LIMIT
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise RuntimeError(f"still not true: {condition}")
            time.sleep(0.02)

    def close(self) -> None:
        self._program.terminate()
        self._program.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._profile.cleanup()

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
