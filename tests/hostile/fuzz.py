"""Throws documents at a relay's log that nobody's editor makes. A program of its own, because what
it finds may hang or crash it:

    python -m tests.hostile.fuzz SEED COUNT [--open]

COUNT documents of some updates each. Whatever comes, the log answers with an acknowledgement or a
refusal, readers can parse what it stored, in parts and as a whole, and a well-behaved document
beside it is written on. ``--open`` opens each document, in processes that may die, and counts how
that ends. Frames of all three protocols are mutated beside. Prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress

from syncline.engine.document.document import Document, merge_updates
from syncline.engine.errors import InvalidUpdate, MalformedFrame, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.codec import decode
from syncline.engine.protocol.messages import Entry
from syncline.engine.updates.parse import DEFAULT_LIMITS, parse_update
from syncline.engine.yjs import hocuspocus, y_websocket
from syncline.relay.log.ledger import Ledger
from syncline.relay.log.submission import Settled, Submission
from syncline.stores import MemoryStore
from tests.hostile.grammar import Grammar, Writer, frame
from tests.relay.clients import Author

OPENING_SECONDS = 5
GOOD = Address("good", "note")
_ANSWERS = {"invalid-update", "missing-dependencies", "epoch-changed"}


def fuzz(seed: int, count: int, *, opens: bool) -> dict[str, int]:
    """Returns what happened, and how often. Raises AssertionError with what went wrong."""
    store = MemoryStore()
    store.open()
    ledger, author, found = Ledger(store), Author(), Counter[str]()
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        address = Address("fuzz", f"{number}")
        source = Grammar(rng) if rng.random() < 0.6 else Writer(rng)
        for _ in range(rng.randrange(2, 8)):
            made = source.update()
            read_frame(*frame(rng, made))
            good = Entry(GOOD, author.type("x"))
            told = commit(ledger, Entry(address, made), good, f"{seed} {number}")
            found.update(told)
            if told == ["taken"]:
                source.taken()
        stored = store.load("crm", address)
        if stored is not None:
            found["stored documents"] += 1
            whole = merge_updates(stored.updates)
            parse_update(whole, DEFAULT_LIMITS)
            if opens:
                found[f"opening: {opened(stored.updates)}"] += 1
        if number % 500 == 499:  # so that what is stored of the good one stays short
            check_good(store, author)
    check_good(store, author)
    return dict(found)


def commit(ledger: Ledger, bad: Entry, good: Entry, where: str) -> list[str]:
    """Offer a bad update together with a good one; what came of the bad one."""
    both = [Submission("crm", "mallory", (bad,)), Submission("crm", "ada", (good,))]
    (outcome, beside), committed = ledger.commit(both)
    assert isinstance(beside, Settled), where
    assert not beside.refusals, where
    assert isinstance(outcome, Settled), where
    for stretch in committed:
        for entry in stretch.entries:
            parse_update(entry.update, DEFAULT_LIMITS)
    codes = [refusal.code for refusal in outcome.refusals]
    assert set(codes) <= _ANSWERS, where
    return codes or ["taken"]


def read_frame(protocol: str, data: bytes) -> None:
    """Decode a frame, which may be refused as malformed only."""
    with suppress(MalformedFrame):
        match protocol:
            case "y-websocket":
                y_websocket.decode(data)
            case "hocuspocus":
                _, reader = hocuspocus.read_address(data)
                hocuspocus.read_message(reader)
            case _:
                with suppress(UnicodeDecodeError):  # the websocket refuses such a text frame
                    decode(data if data[:1] < b"\x20" else data.decode())


def check_good(store: MemoryStore, author: Author) -> None:
    stored = store.load("crm", GOOD)
    assert stored is not None
    document = Document(1, stored.updates)
    assert document.text("body").content() == author.text()


def opened(updates: tuple[bytes, ...]) -> str:
    """How opening a document ends, in a process of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(OPENING_SECONDS)  # its default is to end the process
        try:
            made = Document(1, updates)
            made.text("body").content()
            made.diff({})
        except SynclineError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "hung" if os.WTERMSIG(status) == signal.SIGALRM else "crashed"
    return "refused" if os.WEXITSTATUS(status) else "fine"


if __name__ == "__main__":
    assert InvalidUpdate.code in _ANSWERS
    counts = fuzz(int(sys.argv[1]), int(sys.argv[2]), opens="--open" in sys.argv)
    sys.stdout.write(json.dumps(counts) + "\n")
