"""Records whose content tells how often each change took effect."""

from __future__ import annotations

from syncline import Counter, Record, SetOf, Text


class Tally(Record, collection="tallies"):
    """One record that everybody changes."""

    count: Counter
    marks: SetOf[str]
    words: Text
    last: str = ""


class Note(Record, collection="notes"):
    """A record of its own for each change."""

    title: str


MODELS: list[type[Record]] = [Tally, Note]
