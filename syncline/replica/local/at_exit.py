"""What replicas that were never closed have not written when their program ends.

A REPL, a notebook and a script that forgets ``async with`` leave in this way. A ``kill -9`` does
not come here: then what was not flushed is lost, as docs/guarantees.md says.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from weakref import WeakKeyDictionary

from syncline.engine.errors import SynclineError

from .journal import Journal

logger = logging.getLogger("syncline.replica")

_JOURNALS: WeakKeyDictionary[Journal, tuple[int, threading.Thread]] = WeakKeyDictionary()
"""Those that are open, with the process and the thread that opened them. Of the process as its end
is."""


def save_at_exit(journal: Journal) -> None:
    """Save ``journal`` when the interpreter exits, until ``forget`` or until nobody holds it."""
    _JOURNALS[journal] = os.getpid(), threading.current_thread()


def forget(journal: Journal) -> None:
    """Its replica has been closed."""
    _JOURNALS.pop(journal, None)


def _save() -> None:
    for journal, (process, thread) in list(_JOURNALS.items()):
        if process != os.getpid() or journal.saved:
            continue  # a fork leaves it to the program that it comes from
        try:
            if thread.is_alive() and thread is not threading.current_thread():
                logger.error(
                    "changes are lost: the replica was not closed, and its thread %r still runs",
                    thread.name,
                )
            else:
                journal.save()
        except SynclineError as error:
            logger.error("changes are lost: the replica was not closed, and %s", error)


atexit.register(_save)
