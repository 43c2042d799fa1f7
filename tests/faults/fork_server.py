"""A process that imports Syncline once and forks a relay or a client at each order, to be killed.

A fresh interpreter takes a second to start and a fork some milliseconds: with a thousand kills that
is the difference. Orders come as JSON lines on standard input, one child at a time; what children
and server say goes, as JSON lines, to standard output. A child ends when the server does, so that
none outlives the tests.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import uvloop

from syncline import Record, Relay, Replica
from syncline.relay.log.committer import Committer
from syncline.relay.log.place import Place
from syncline.relay.log.submission import Settled, Submission, nobody
from syncline.relay.log.transaction import Draft
from syncline.stores import Write
from tests.faults.models import Note


def say(*words: str | int) -> None:
    """Unbuffered, so that a killed process has said what it said."""
    os.write(1, orjson.dumps(words) + b"\n")


async def run_relay(store: str, port: int, plant: str | None) -> None:
    """Serve until killed."""
    if plant is not None:
        PLANTS[plant]()
    async with Relay(store, port=port) as relay:
        say("ready", relay.url)
        await asyncio.Event().wait()


async def run_client(store: str, relay: str, first: int, syncs: bool) -> None:
    """Write notes for ever; say which are flushed and which are synced."""
    models: list[type[Record]] = [Note]
    async with Replica.open(Path(store), models=models, relay=relay) as replica:
        notes = replica.collection(Note)
        say("ready", replica.status.pending)
        number = first
        while True:
            notes.create(key=str(number), title=f"note {number}")
            await replica.flushed()
            say("flushed", number)
            if syncs and number % 5 == 4:
                await replica.synced()
                say("synced", number)
            number += 1


# Bugs to be found


def acknowledged_before_commit() -> None:
    submit = Committer.submit

    async def acknowledge_and_submit(self: Committer, submission: Submission) -> None:
        submission.settle(Settled(1))
        await submit(self, replace(submission, settle=nobody))

    Committer.submit = acknowledge_and_submit  # type: ignore[method-assign]


def no_receipts() -> None:
    write = Draft.write

    def without_receipt(
        self: Draft, vectors: Mapping[Place, bytes], owners: Mapping[str, str]
    ) -> Write:
        return replace(write(self, vectors, owners), receipt=None)

    Draft.write = without_receipt  # type: ignore[method-assign]


def shown_before_commit() -> None:
    """Readers are told first, and the commit is made then."""
    from tests.simulation.planted import shown_before_commit as plant

    class Patch:
        setattr = staticmethod(setattr)

    plant(Patch())  # type: ignore[arg-type]


PLANTS = {
    plant.__name__: plant
    for plant in (acknowledged_before_commit, no_receipts, shown_before_commit)
}
ROLES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "relay": run_relay,
    "client": run_client,
}


# The server


def child(order: dict[str, Any], server_lives: int) -> None:
    async def main(work: Coroutine[Any, Any, None]) -> None:
        asyncio.get_running_loop().add_reader(server_lives, os._exit, 1)
        await work

    try:
        uvloop.run(main(ROLES[order.pop("role")](**order)))
    except Exception as error:  # noqa: BLE001  # whoever ordered is to know
        say("failed", f"{type(error).__name__}: {error}")


def main() -> None:
    server_lives, lifeline = os.pipe()  # nothing is written; it ends with the server
    say("up")
    for line in iter(sys.stdin.buffer.readline, b""):
        pid = os.fork()
        if pid == 0:
            os.close(lifeline)
            child(orjson.loads(line), server_lives)
            os._exit(0)
        say("started", pid)
        os.waitpid(pid, 0)
        say("ended", pid)


if __name__ == "__main__":
    main()
