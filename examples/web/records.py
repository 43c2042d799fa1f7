"""The contacts of the page as Python records: seeds a few, prints every change as it comes, and
edits one now and then.

    python examples/web/records.py --relay ws://127.0.0.1:8765/demo
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Callable

from syncline import Collection, Counter, Record, Replica, SetOf, SharedDocument, Text


class Contact(Record, collection="contacts"):
    name: str = ""
    phone: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]


PEOPLE = {
    "ada": ("Ada Lovelace", "+44 20 7946 0958", "Prefers to be called in the morning.", "math"),
    "grace": ("Grace Hopper", "+1 202 555 0143", "Sends nanoseconds by post.", "compilers"),
    "katherine": ("Katherine Johnson", "+1 757 555 0112", "Checks every number twice.", "orbits"),
}

SCRIPT = '''\
def greet(name: str) -> str:
    """Everyone here can edit this at once."""
    return f"Hello, {name}!"


print(greet("world"))
'''


def person(name: str, phone: str, note: str, tag: str) -> Callable[[Contact], None]:
    def fill(contact: Contact) -> None:
        contact.name = name
        contact.phone = phone
        contact.notes.append(note)
        contact.tags.add(tag)

    return fill


def seed(replica: Replica) -> None:
    """Put in what everyone begins with. A seed is there once, however many replicas bring it."""

    def index(page: SharedDocument) -> None:
        for key in PEOPLE:
            page.map("contacts")[key] = True

    for key, details in PEOPLE.items():
        replica.seed(f"contacts/{key}", person(*details))
    replica.seed("pages/contacts", index)
    replica.seed("pages/script", lambda page: page.text("body").append(SCRIPT))


async def watch(replica: Replica, contacts: Collection[Contact]) -> None:
    """Print what happens, and list in ``pages/contacts`` each contact that the page could not
    find otherwise: Yjs clients open documents by name, and cannot ask which there are."""
    index = replica.document("pages/contacts").map("contacts")
    async for change in contacts.changes():
        if change.kind == "deleted":
            print(f"{change.record.key} deleted")
            continue
        contact = change.record
        if contact.key not in index:
            index[contact.key] = True
        where = "here" if change.origin == "local" else "elsewhere"
        print(f"{contact.name or contact.key} {change.kind} {where}: {', '.join(change.fields)}")


async def edit(contacts: Collection[Contact], pause: float) -> None:
    """Change one contact after the other, ``pause`` seconds apart."""
    for turn in itertools.count():
        await asyncio.sleep(pause)
        everyone = list(contacts)
        if everyone:
            contact = everyone[turn % len(everyone)]
            contact.visits += 1
            if int(contact.visits) % 3 == 0:
                contact.tags.add("regular")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relay", default="ws://127.0.0.1:8765/demo")
    parser.add_argument("--store", default="records.db", help="where this replica keeps its copy")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two edits")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    async with Replica.open(options.store, models=[Contact], relay=options.relay) as replica:
        seed(replica)
        contacts = replica.collection(Contact)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(replica, contacts))
            tasks.create_task(edit(contacts, options.every))


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("Stopped; everything is kept.")
