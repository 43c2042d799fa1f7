"""The notifier: posts changes to webhooks, oldest first, until they have answered."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.bookkeeping.webhook_queue import Posting, WebhookQueue, shown_url
from syncline.connectors.database.system import System
from syncline.connectors.file.spec import Notify
from syncline.engine.errors import ConnectorError
from syncline.environment import wall_clock

from .run import PipelineRun
from .webhook_request import Answer, post

CHANGES_AT_ONCE = 100
"""Changes in one request."""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
"""When changes are posted again that were not taken; the time doubles with each failure in a row,
whether or not there are new changes."""
RETRY_AFTER_SECONDS = 3600.0
"""For how long a webhook can ask to be left alone."""
STOP_SECONDS = 5.0
"""How long is waited for a database when the thread is to end; a webhook is not waited for."""


class _Failure(NamedTuple):
    message: str
    retry_after: float = 0.0


class Notifier:
    """Tells the webhooks of a pipeline, each by itself: no one waits for another.

    A request is a POST of ``{"pipeline": name, "changes": [...]}`` as JSON, each change with
    ``system``, ``name``, ``key``, ``kind``, ``fields`` and ``at``. What is answered with 2xx has
    been told; anything else is posted again later. A webhook may be told of a change twice, after
    a crash; then the header ``Syncline-Delivery`` is the same.

    ``failed`` is told what went wrong, in the notifier's thread.
    """

    def __init__(self, run: PipelineRun, failed: Callable[[str], None] | None = None) -> None:
        self._run = run
        self._failed = failed
        self._name = run.pipeline.name
        self._notify = list({each.url: each for each in run.pipeline.notify}.values())
        self._rng = random.SystemRandom()
        # Of its own: SQLite's connections are of one thread.
        self._systems: list[System] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = {each.url: asyncio.Event() for each in self._notify}
        self._defect: BaseException | None = None

    def deliver(self) -> list[str]:
        """Post what waits, once; returns what went wrong."""
        with self._connected():
            found = asyncio.run(self._deliver())
        return list(dict.fromkeys(failure.message for failure in found if failure))

    async def _deliver(self) -> list[_Failure | None]:
        return await asyncio.gather(*(self._tell(each) for each in self._notify))

    @contextmanager
    def working(self) -> Generator[None]:
        """Post in a thread of its own what waits and what comes, until the end. What is being
        posted then is posted again by the next process."""
        if not self._notify:
            yield
            return
        begun = threading.Event()
        thread = threading.Thread(target=self._work, args=(begun,), name="webhooks", daemon=True)
        thread.start()
        begun.wait()
        try:
            yield
        finally:
            if (loop := self._loop) is not None:
                with suppress(RuntimeError):  # it has ended by itself
                    loop.call_soon_threadsafe(self._stop)
            thread.join(STOP_SECONDS)
        self.check()

    def tell_news(self) -> None:
        """Changes have been committed. Of any thread."""
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake)

    def check(self) -> None:
        """Raise what ended the thread before its time: a defect."""
        if self._defect is not None:
            raise self._defect

    # In the thread

    def _work(self, begun: threading.Event) -> None:
        try:
            with self._connected(), suppress(asyncio.CancelledError):
                asyncio.run(self._keep_telling(begun))
        except BaseException as error:  # noqa: BLE001 (raised by whoever asks)
            self._defect = error
        finally:
            begun.set()

    @contextmanager
    def _connected(self) -> Generator[None]:
        self._systems = [System(spec) for spec in self._run.pipeline.systems.values()]
        try:
            yield
        finally:
            for system in self._systems:
                system.close()

    async def _keep_telling(self, begun: threading.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._keep_telling_one(e)) for e in self._notify]
            self._loop = asyncio.get_running_loop()
            begun.set()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _wake(self) -> None:
        for news in self._news.values():
            news.set()

    async def _keep_telling_one(self, notify: Notify) -> None:
        news, failures = self._news[notify.url], 0
        while True:
            news.clear()
            failure = await self._tell(notify)
            if failure is None:
                failures = 0
                await news.wait()
            else:
                failures += 1
                if self._failed is not None:
                    self._failed(failure.message)
                await asyncio.sleep(self._pause(failures, failure.retry_after))

    def _pause(self, failures: int, retry_after: float) -> float:
        """Never the same for all who were refused at one moment."""
        longest = min(FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 16), LAST_RETRY_SECONDS)
        pause = self._rng.uniform(longest / 2, longest)
        return max(pause, min(retry_after, RETRY_AFTER_SECONDS))

    async def _tell(self, notify: Notify) -> _Failure | None:
        """Post what waits in all systems. One that cannot be reached holds up no other."""
        failure: _Failure | None = None
        for system in self._systems:
            try:
                refused = await self._tell_of(system, notify)
            except ConnectorError as error:
                failure = _Failure(str(error))
            else:
                if refused is not None:
                    return refused
        return failure

    async def _tell_of(self, system: System, notify: Notify) -> _Failure | None:
        while postings := await asyncio.to_thread(self._take, system, notify):
            changes = b",".join(posting.change for posting in postings)
            body = b'{"pipeline":"' + self._name.encode() + b'","changes":[' + changes + b"]}"
            answer = await post(notify, body, wall_clock())
            await asyncio.to_thread(self._note, system, notify, postings, answer)
            if answer.failure is not None:
                shown = shown_url(notify)
                message = f"The webhook {shown} was not told of changes: {answer.failure}."
                return _Failure(message, answer.retry_after)
        return None

    # In the database

    def _take(self, system: System, notify: Notify) -> list[Posting]:
        self._run.settle_webhooks(system)
        with system.reading() as connection:
            queue = WebhookQueue(connection, self._name)
            if not has_state(connection) or not queue.count(notify):
                return []
        with system.writing() as connection:
            return WebhookQueue(connection, self._name).take(notify, CHANGES_AT_ONCE)

    def _note(
        self, system: System, notify: Notify, postings: list[Posting], answer: Answer
    ) -> None:
        with system.writing() as connection:
            queue = WebhookQueue(connection, self._name)
            if answer.failure is None:
                queue.told(notify, postings)
            else:
                queue.not_told(notify, answer.failure, wall_clock())
