"""Rows that may be the same twice: found for a person to look at, never merged.

Comparing every two of 10,000 rows would be 50 million comparisons. Only rows that share a block are
compared: each field has one for the whole of it, and one for the beginning and the end of each
word. In a block of many rows, such as that of everyone called Smith, each row is compared with its
neighbours in the order of all fields, so a pair that differs early in its first field can be missed
there.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .rule import check_option, library

BLOCK_MAX = 100
"""Most rows of a block that are all compared with each other."""
NEIGHBOURS_MAX = 20
"""With how many of the rows after it each row of a larger block is compared."""

_AFFIX = 3
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class SimilarRows:
    """Two rows, by their places; ``score`` is from 0 to 100. The fields in ``agree`` are equal but
    for case, accents, punctuation and the order of words."""

    first: int
    second: int
    score: float
    agree: tuple[str, ...]


def similar(
    rows: Sequence[Mapping[str, Any]], fields: Sequence[str], threshold: float = 90.0
) -> list[SimilarRows]:
    """The pairs of ``rows`` that score at least ``threshold``, the most similar first.

    The score is the mean similarity of those of ``fields`` that both rows have; 100 is equal.
    Raises InvalidRule, MissingLibrary.
    """
    library("rapidfuzz", "similar")
    check_option(bool(fields), "similar", "has no fields", "Name those to compare.")
    check_option(
        0 < threshold <= 100, "similar", f"takes no threshold of {threshold}", "Give 1 to 100."
    )
    texts = [tuple(_text(row.get(name)) for name in fields) for row in rows]
    found: list[SimilarRows] = []
    for first, second in _candidates(texts):
        pair = _compared(texts[first], texts[second], threshold)
        if pair is not None:
            score, equal = pair
            agree = tuple(name for name, same in zip(fields, equal, strict=True) if same)
            found.append(SimilarRows(first, second, score, agree))
    return sorted(found, key=lambda pair: (-pair.score, pair.first, pair.second))


class _Text(NamedTuple):
    """The words of a value without case, accents and punctuation, as written and sorted."""

    written: str
    ordered: str


def _text(value: object) -> _Text:
    if value is None:
        return _Text("", "")
    plain = unicodedata.normalize("NFKD", str(value)).casefold()
    kept = (
        char if char.isalnum() else "" if unicodedata.combining(char) else " " for char in plain
    )
    words = "".join(kept).split()
    return _Text(" ".join(words), " ".join(sorted(words)))


def _candidates(texts: Sequence[tuple[_Text, ...]]) -> Iterator[tuple[int, int]]:
    """Each pair that shares a block, once."""
    blocks: defaultdict[tuple[int, str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(texts):
        for key in {key for number, text in enumerate(row) for key in _keys(number, text)}:
            blocks[key].append(place)
    # A pair is one number, first * len(texts) + second: a set of a million takes 60 MB as it is.
    pairs = {
        min(one, other) * len(texts) + max(one, other)
        for block in blocks.values()
        for one, other in _pairs(block, texts)
    }
    for pair in pairs:
        yield divmod(pair, len(texts))


def _keys(number: int, text: _Text) -> Iterator[tuple[int, str, str]]:
    if text.ordered:
        yield number, "is", text.ordered
    for word in text.ordered.split():
        yield number, "begins", word[:_AFFIX]
        yield number, "ends", word[-_AFFIX:]


def _pairs(block: list[int], texts: Sequence[tuple[_Text, ...]]) -> Iterable[tuple[int, int]]:
    reach = len(block)
    if reach > BLOCK_MAX:
        block = sorted(block, key=texts.__getitem__)
        reach = NEIGHBOURS_MAX + 1
    for place, one in enumerate(block):
        for other in block[place + 1 : place + reach]:
            yield one, other


def _compared(
    one: tuple[_Text, ...], other: tuple[_Text, ...], threshold: float
) -> tuple[float, list[bool]] | None:
    """The score of two rows and which fields are equal, or None below ``threshold``."""
    shared = sum(1 for a, b in zip(one, other, strict=True) if a.written and b.written)
    if not shared:
        return None
    # What the fields may still lose before the mean falls below the threshold.
    spare = shared * (100 - threshold)
    equal: list[bool] = []
    for a, b in zip(one, other, strict=True):
        both = bool(a.written and b.written)
        distance = _distance(a, b) if both else 0.0
        equal.append(both and distance == 0.0)
        spare -= 100 * distance
        if spare < -_ROUNDING:
            return None
    return round(threshold + spare / shared, 1), equal


def _distance(a: _Text, b: _Text) -> float:
    """From 0.0, equal, to 1.0. A typing error may move a word in the alphabet, so both orders
    count."""
    from rapidfuzz.distance import Indel

    if a.ordered == b.ordered:
        return 0.0
    return min(
        Indel.normalized_distance(a.written, b.written),
        Indel.normalized_distance(a.ordered, b.ordered),
    )
