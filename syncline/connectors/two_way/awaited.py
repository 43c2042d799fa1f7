"""What waits for what: which rows can go on when others have come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from syncline.connectors.database.order import in_circles
from syncline.connectors.database.rows import Key

Row = TypeVar("Row", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)


class RowBeside(NamedTuple):
    """In the place of a record: that of a row which becomes one together with this one."""

    key: Key


def orphans_of(rows: Mapping[Key, Mapping[str, Any]]) -> dict[Key, list[str]]:
    """The rows with fields that refer to rows beside them which are not among ``rows``, or are such
    orphans themselves; with these fields."""
    children: dict[Key, list[tuple[Key, str]]] = {}
    for key, fields in rows.items():
        for name, value in fields.items():
            if isinstance(value, RowBeside):
                children.setdefault(value.key, []).append((key, name))
    found: dict[Key, list[str]] = {}
    queue = deque(key for key in children if key not in rows)
    while queue:
        for key, name in children[queue.popleft()]:
            if key not in found and key in children:
                queue.append(key)
            found.setdefault(key, []).append(name)
    return found


def freed(
    come: Iterable[Name],
    waits: Mapping[Row, Collection[Name]],
    name_of: Callable[[Row], Name],
    newly: Collection[Row],
) -> list[Row]:
    """The rows that ``waits`` says to wait for names that have ``come``, then those that wait for
    these rows, and so on; and all that wait for each other in a circle since a row waits
    ``newly``: together they can go on."""
    waiters: dict[Name, list[Row]] = {}
    for row, names in waits.items():
        for name in names:
            waiters.setdefault(name, []).append(row)
    found: dict[Row, None] = {}
    queue = deque(come)
    while queue:
        for row in waiters.pop(queue.popleft(), ()):
            if row not in found:
                found[row] = None
                queue.append(name_of(row))
    circles = in_circles({name_of(row): names for row, names in waits.items()})
    if any(name_of(row) in circles for row in newly):
        found |= {row: None for row in waits if name_of(row) in circles}
    return list(found)
