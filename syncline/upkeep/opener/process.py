"""The opener, seen from the process that it works for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from .outcomes import DEFECT, DONE, PART, READY
from .pipe import PipeEnded, read_message, write_message

MEMORY_BYTES = 2 << 30
"""Address space of an opener. A document takes up to 70 times its bytes."""
START_SECONDS = 30.0
"""How long an opener may take until it answers for the first time."""


class OpenerEnded(Exception):
    """The opener died of a request, or was ended because it took too long. ``parts`` is what it had
    answered."""

    def __init__(self, why: str, parts: list[bytes]) -> None:
        super().__init__(why)
        self.parts = parts


class OpenerUnavailable(Exception):
    """There is no opener to be had: that is not the fault of any document."""


class OpenerRefused(Exception):
    """What the opener says against a request."""


class Opener:
    """Asks a process, which starts with the first request and again after each end.

    Blocking; requests come from one thread at a time. A request takes at most ``patience`` seconds,
    and the process at most ``memory`` bytes. ``kill`` may be called from any thread.
    """

    def __init__(self, patience: float, memory: int = MEMORY_BYTES) -> None:
        self._patience = patience
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()  # so that ``kill`` misses no process
        self.starts = 0
        """How often it was started: what it knew is forgotten with each."""

    @property
    def running(self) -> bool:
        """Whether the process is there, as far as one can tell."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process if there is none. Raises OpenerUnavailable."""
        if self.running:
            return
        self.kill()
        self.starts += 1
        # Without the working directory on its path, where anything may lie.
        command = (sys.executable, "-P", "-m", "syncline.upkeep.opener.child")
        try:
            with self._starting:
                process = self._process = subprocess.Popen(  # noqa: S603 - of this program alone
                    (*command, str(self._memory), str(self._patience)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    # The CRDT library writes there of what it fails on.
                    stderr=subprocess.DEVNULL,
                )
            with _ending(process, START_SECONDS):
                answer = read_message(_pipes(process)[1])
        except (OSError, ValueError, PipeEnded) as error:
            self.kill()
            raise OpenerUnavailable(f"it does not start ({type(error).__name__})") from error
        if answer != [READY]:
            self.kill()
            raise OpenerUnavailable("it does not answer")

    def ask(self, task: bytes, *parts: bytes) -> list[bytes]:
        """The answer to a request. Raises OpenerEnded, OpenerUnavailable and OpenerRefused."""
        self.start()
        process = self._process
        if process is None:
            raise OpenerUnavailable("it was ended")
        came: list[bytes] = []
        try:
            with _limited(process, self._patience):
                outcome, answer = self._converse(process, (task, *parts), came)
        except (OSError, ValueError, PipeEnded) as error:
            code = process.wait()
            self.kill()
            why = (
                f"it takes more than {self._patience:g} seconds"
                if code == _LATE
                else "the process that opens the document ended on it"
            )
            raise OpenerEnded(why, came) from error
        except BaseException:
            self.kill()  # interrupted in the middle of a conversation
            raise
        if outcome == DONE:
            return came + answer
        message = answer[0].decode("utf-8", "replace")
        if outcome == DEFECT:
            raise OpenerUnavailable(f"it has a defect ({message})")
        raise OpenerRefused(message)

    @staticmethod
    def _converse(
        process: subprocess.Popen[bytes], request: tuple[bytes, ...], came: list[bytes]
    ) -> tuple[bytes, list[bytes]]:
        requests, answers = _pipes(process)
        write_message(requests, request)
        while True:
            outcome, *answer = read_message(answers)
            if outcome != PART:
                return outcome, answer
            came += answer

    def kill(self) -> None:
        """End the process; it has nothing to lose."""
        with self._starting:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in _pipes(process):
            with suppress(OSError):  # what was not written yet
                pipe.close()


@contextmanager
def _ending(process: subprocess.Popen[bytes], seconds: float) -> Generator[None]:
    """Ends ``process`` when that time is over."""
    end = threading.Timer(seconds, process.kill)
    end.daemon = True
    end.start()
    try:
        yield
    finally:
        end.cancel()


if sys.platform == "win32":
    _LATE = 1
    _limited = _ending
else:
    _LATE = -signal.SIGALRM

    @contextmanager
    def _limited(_process: subprocess.Popen[bytes], _seconds: float) -> Generator[None]:
        """The process sees to the time by itself (child.py): a thread for each request would cost
        more than most requests."""
        yield


def _pipes(process: subprocess.Popen[bytes]) -> tuple[BinaryIO, BinaryIO]:
    requests, answers = process.stdin, process.stdout
    if requests is None or answers is None:
        raise AssertionError("both are pipes")
    return requests, answers  # type: ignore[return-value]
