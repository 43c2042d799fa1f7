"""The order in which things that refer to each other can be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping


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
