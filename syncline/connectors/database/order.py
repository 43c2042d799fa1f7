"""The order in which things that refer to each other can be written."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def referred_first(references: Mapping[str, Collection[str]]) -> list[str]:
    """The names of ``references``, each after those that it refers to, as far as they do not go
    round in a circle. Names that are not among them, and a name's own, do not count."""
    ordered: list[str] = []
    rest = dict(references)
    while rest:
        free = [
            name
            for name, referred in rest.items()
            if not any(other in rest and other != name for other in referred)
        ]
        for name in free or [next(iter(rest))]:
            ordered.append(name)
            del rest[name]
    return ordered


def parents_first(keys: Iterable[T], parents: Mapping[T, Iterable[T]]) -> list[T]:
    """The keys, each after those of its ``parents`` that are among them. Those that go round in a
    circle come last."""
    known = list(keys)
    places = {key: place for place, key in enumerate(known)}
    children: dict[int, list[int]] = {}
    waits: dict[int, int] = {}
    for place, key in enumerate(known):
        for parent in parents.get(key, ()):
            if parent in places and parent != key:
                children.setdefault(places[parent], []).append(place)
                waits[place] = waits.get(place, 0) + 1
    return [known[place] for place in numbers_in_order(range(len(known)), children, waits)]


def in_circles(parents: Mapping[T, Iterable[T]]) -> set[T]:
    """The rows that wait for each other in a circle, or between two: all of what they wait for
    waits, too, and somebody of them waits for each."""
    children: dict[T, set[T]] = {}
    for child, named in parents.items():
        for parent in named:
            children.setdefault(parent, set()).add(child)
    left = set(parents)
    # Whoever waits for a row that nobody brings, and then whom nobody waits for.
    outer = deque(parent for parent in children if parent not in parents)
    while outer:
        for child in children.get(outer.popleft(), ()):
            if child in left:
                left.remove(child)
                outer.append(child)
    needed = {row: len(children.get(row, set()) & left) for row in left}
    outer = deque(row for row, number in needed.items() if not number)
    while outer:
        row = outer.popleft()
        left.discard(row)
        for parent in parents[row]:
            if parent in left:
                needed[parent] -= 1
                if not needed[parent]:
                    outer.append(parent)
    return left


def numbers_in_order(
    numbers: Iterable[int], children: Mapping[int, Sequence[int]], waits: Mapping[int, int]
) -> list[int]:
    left = dict(waits)
    every = list(numbers)
    ready = deque(number for number in every if not left.get(number))
    ordered: dict[int, None] = {}
    while ready:
        number = ready.popleft()
        ordered[number] = None
        for child in children.get(number, ()):
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    return [*ordered, *(number for number in every if number not in ordered)]


def with_descendants(roots: Iterable[int], children: Mapping[int, Sequence[int]]) -> list[int]:
    found = dict.fromkeys(roots)
    queue = deque(found)
    while queue:
        for child in children.get(queue.popleft(), ()):
            if child not in found:
                found[child] = None
                queue.append(child)
    return list(found)
