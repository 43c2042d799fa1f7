"""Writers: raw pycrdt documents edited at random, with every kind of content that pycrdt writes."""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple

import pycrdt
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from syncline.engine.updates.parse import StateVector, decode_state_vector

WORDS = ["a", "bc", "é", "😀", "words "]
CLIENT_IDS = [1, 200, 1 << 31, (1 << 52) + 12_345]  # one to eight bytes long


class Made(NamedTuple):
    """An update, and what its writer knew before making it."""

    update: bytes
    before: StateVector


class Writer:
    """One replica of one document, writing under ``client_id``. ``made`` are its own updates."""

    def __init__(self, client_id: int) -> None:
        self.made: list[Made] = []
        self._doc: Doc[Any] = Doc(client_id=client_id)
        self._map: Map[Any] = self._doc.get("map", type=Map)
        self._text = self._doc.get("text", type=Text)
        self._array: Array[Any] = self._doc.get("array", type=Array)
        self._xml = self._doc.get("xml", type=XmlFragment)
        self._recording = True
        self._subscription = self._doc.observe(self._on_transaction)

    def _on_transaction(self, event: Any) -> None:  # pycrdt's types leave out before_state
        if self._recording:
            self.made.append(Made(event.update, decode_state_vector(event.before_state)))

    def apply(self, update: bytes) -> None:
        self._recording = False
        self._doc.apply_update(update)
        self._recording = True

    def state_vector(self) -> StateVector:
        return decode_state_vector(self._doc.get_state())

    def update_since(self, state: bytes | None = None) -> bytes:
        return self._doc.get_update(state)

    def learn_from(self, other: Writer) -> None:
        self.apply(other.update_since(self._doc.get_state()))

    def content(self) -> str:
        """All that the document shows, in a form that is equal on equal documents."""
        shown = (self._map.to_py(), self._text.diff(), self._array.to_py(), str(self._xml))
        return json.dumps(shown, sort_keys=True, default=str)

    def edit(self, random: Random) -> None:
        """Make one random change, or none where there is nothing to change."""
        random.choice(
            (
                self._set,
                self._unset,
                self._type,
                self._type,
                self._erase,
                self._format,
                self._embed,
                self._insert,
                self._remove,
                self._nest,
                self._grow_tree,
                self._change_several,
            )
        )(random)

    def _set(self, random: Random) -> None:
        values: list[object] = [
            1,
            -(2**40),
            0.5,
            1e300,
            True,
            None,
            "é",
            b"bytes",
            [[2]],
            {"k": {}},
        ]
        self._map[random.choice("abc")] = random.choice(values)

    def _unset(self, random: Random) -> None:
        if len(self._map):
            del self._map[random.choice(sorted(self._map.keys()))]

    def _places(self) -> list[int]:
        """The offsets between the characters of the text: pycrdt counts UTF-8 bytes."""
        places = [0]
        for chunk, _ in self._text.diff():
            for size in [len(c.encode()) for c in chunk] if isinstance(chunk, str) else [1]:
                places.append(places[-1] + size)
        return places

    def _type(self, random: Random) -> None:
        self._text.insert(random.choice(self._places()), random.choice(WORDS))

    def _span(self, random: Random) -> tuple[int, int] | None:
        places = self._places()
        start, stop = sorted((random.choice(places), random.choice(places)))
        return (start, stop) if start < stop else None

    def _erase(self, random: Random) -> None:
        if span := self._span(random):
            del self._text[span[0] : span[1]]

    def _format(self, random: Random) -> None:
        if span := self._span(random):
            self._text.format(*span, {random.choice(["bold", "link"]): random.choice([True, "u"])})

    def _embed(self, random: Random) -> None:
        self._text.insert_embed(random.choice(self._places()), {"image": [1, {"w": 2}]})

    def _insert(self, random: Random) -> None:
        value = random.choice([1, "z", None, [1, 2]])
        self._array.insert(random.randrange(len(self._array) + 1), value)

    def _remove(self, random: Random) -> None:
        if len(self._array):
            del self._array[random.randrange(len(self._array))]

    def _nest(self, random: Random) -> None:
        place = random.randrange(len(self._array) + 1)
        self._array.insert(place, random.choice([Map({"k": 1}), Array([1, "b"]), Text("inner")]))

    def _grow_tree(self, random: Random) -> None:
        children = self._xml.children
        if len(children) > 3:
            del children[random.randrange(len(children))]
            return
        element = XmlElement("p", {"class": "c"})
        children.insert(random.randrange(len(children) + 1), element)
        element.children.append(XmlText("leaf"))

    def _change_several(self, random: Random) -> None:
        with self._doc.transaction():
            for _ in range(3):
                random.choice((self._set, self._type, self._erase, self._remove))(random)


def history(random: Random, *, writers: int = 3, edits: int = 30) -> list[Writer]:
    """Writers that edited one document concurrently, now and then learning from each other."""
    group = [Writer(CLIENT_IDS[number]) for number in range(writers)]
    for _ in range(edits):
        writer = random.choice(group)
        if random.random() < 0.2:
            writer.learn_from(random.choice(group))
        else:
            writer.edit(random)
    return group


def merge(updates: list[bytes]) -> bytes:
    return pycrdt.merge_updates(*updates)
