"""The change feed: a pipeline that runs, as an asynchronous iterator of its changes."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from syncline.connectors.file.load import load_pipeline
from syncline.connectors.report import Change, PassReport

from .open import open_run
from .run import PipelineRun
from .runner import PipelineRunner

CHANGES_AHEAD = 1_000
"""Changes that wait for the reader. Then the pipeline waits, too: none is dropped."""

_log = logging.getLogger(__name__)


async def watch(
    path: str | Path, environ: Mapping[str, str] = os.environ
) -> AsyncGenerator[Change]:
    """Run the pipeline in a file, as ``syncline run`` does, and give every change that a user
    makes, once it is committed:

        async for change in watch("accounts.toml"):
            if change.fields.get("status") == "taken over":
                ...

    Closing the generator stops the pipeline between two transactions. A change that is committed
    while the process dies is not given again; ``[[notify]]`` in the file is for what must not be
    missed. Systems that are down are waited for; that is logged. Raises InvalidPipeline,
    SystemRefused.
    """
    run = open_run(load_pipeline(path, environ))
    stop = threading.Event()
    loop = asyncio.get_running_loop()
    changes: asyncio.Queue[Change] = asyncio.Queue(CHANGES_AHEAD)

    def put(change: Change) -> None:
        if not stop.is_set():
            asyncio.run_coroutine_threadsafe(changes.put(change), loop).result()

    runner = PipelineRunner(run, reported=_log_waiting, failed=_log.warning, changed=put)
    working = asyncio.create_task(asyncio.to_thread(_work, runner, run, stop))
    getting: asyncio.Task[Change] | None = None
    try:
        while not working.done() or not changes.empty():
            getting = asyncio.create_task(changes.get())
            await asyncio.wait({getting, working}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                yield getting.result()
        await working
    finally:
        stop.set()
        if getting is not None:
            getting.cancel()
        while not working.done():
            while not changes.empty():  # the pipeline may be waiting for room
                changes.get_nowait()
            await asyncio.wait({working}, timeout=0.05)


def _work(runner: PipelineRunner, run: PipelineRun, stop: threading.Event) -> None:
    try:
        runner.keep_going(stop)
    finally:
        run.close()


def _log_waiting(report: PassReport) -> None:
    for reason in report.waiting.values():
        _log.warning("%s", reason)
