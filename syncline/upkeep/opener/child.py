"""The opener's process: answers requests on its standard input until there are no more."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

from syncline.engine.errors import SynclineError

from .outcomes import DEFECT, DONE, PART, READY, REFUSED
from .pipe import PipeEnded, read_message, write_message
from .tasks import tasks


def limit(memory: int) -> None:
    """Hold this process to its memory. What dies of that leaves no dump of anybody's documents."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(ValueError):  # it is held to less already
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def serve(requests: BinaryIO, answers: BinaryIO, patience: float) -> None:
    """Answer requests. The process dies if one takes longer than ``patience`` seconds: the default
    action of that signal needs no help from Python, whose lock the CRDT library may hold."""
    known = tasks(lambda part: write_message(answers, [PART, part]))
    write_message(answers, [READY])
    while True:
        try:
            task, *parts = read_message(requests)
        except PipeEnded:
            return
        _alarm(patience)
        try:
            answer = [DONE, *known[task](parts)]
        except SynclineError as error:
            answer = [REFUSED, error.message.encode()]
        except MemoryError:
            os._exit(1)
        except Exception as error:  # noqa: BLE001 - whoever asked is to hear of it
            answer = [DEFECT, f"{type(error).__name__}: {error}".encode()[:1000]]
        _alarm(0)
        write_message(answers, answer)


def _alarm(seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this
    limit(int(sys.argv[1]))
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[2]))
