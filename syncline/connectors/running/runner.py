"""The runner: keeps a pipeline going."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic

from syncline.connectors.report import Change, PassReport, Progress
from syncline.engine.errors import ConnectorError

from .notifier import Notifier
from .run import PipelineRun

POLL_SECONDS = 0.25
"""How often the notes of triggers are looked for, between passes."""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
"""When a pass is tried again that failed; the time doubles with each failure in a row."""


class _Stopping(BaseException):
    """Leaves a pass between two of its transactions."""


class PipelineRunner:
    """Makes passes: at once when a trigger has noted a change, and at the latest after the time
    that the file gives as ``every``. A pass that fails is tried again, less and less often.

    ``reported`` is told of every pass, ``failed`` of what went wrong, ``changed`` of every change
    that was committed; all of them in the thread of ``keep_going``, but for what goes wrong with
    webhooks, which have a thread of their own: data does not wait for them, nor they for data.
    """

    def __init__(
        self,
        run: PipelineRun,
        *,
        reported: Callable[[PassReport], None],
        failed: Callable[[str], None],
        changed: Callable[[Change], None] | None = None,
    ) -> None:
        self._run = run
        self._reported = reported
        self._failed = failed
        self._changed = changed
        self._notifier = Notifier(run, failed)
        self._every = run.pipeline.every

    def keep_going(self, stop: threading.Event) -> None:
        """Go on until ``stop`` is set; a pass that runs is left between two transactions. Raises
        what is no ConnectorError: that is a defect."""

        def progress(what: str, done: int, total: int | None) -> None:
            if stop.is_set():
                raise _Stopping

        with self._notifier.working():
            self._make_passes(stop, progress)

    def _make_passes(self, stop: threading.Event, progress: Progress) -> None:
        failures = 0
        while not stop.is_set():
            self._notifier.check()
            try:
                report = self._run.sync(progress=progress, changed=self._tell)
                wrong = bool(report.waiting)
                self._reported(report)
            except _Stopping:
                return
            except ConnectorError as error:
                wrong = True
                self._failed(str(error))
            failures = failures + 1 if wrong else 0
            # What a pass could not take is no reason for another one.
            left = self._run.pending() if wrong else {}
            self._wait(stop, failures, left)

    def _tell(self, change: Change) -> None:
        self._notifier.tell_news()
        if self._changed is not None:
            self._changed(change)

    def _wait(self, stop: threading.Event, failures: int, left: Mapping[str, int]) -> None:
        """Until the next pass: until more changes wait than were ``left``, or the time has come."""
        seconds = self._every
        if failures:
            retry = FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16)
            seconds = min(retry, LAST_RETRY_SECONDS)
        until = monotonic() + seconds
        while (rest := until - monotonic()) > 0 and not stop.wait(min(rest, POLL_SECONDS)):
            if any(count > left.get(name, 0) for name, count in self._run.pending().items()):
                return
