"""Rows whose key has changed: they are the records that they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncline.connectors.database.rows import Key, Row
from syncline.engine.document.values import encode_value

from .mapping import TableMapping
from .shadows import Shadow, Shadows


def follow_keys(
    rows: Mapping[Key, Row], shadows: dict[Key, Shadow], mapping: TableMapping, stored: Shadows
) -> None:
    """A row that came, equal to one that went in all that was agreed on about it, is that row under
    another key, if there is one of each. ``shadows`` are what is known of the ``rows``, and of
    those that went; they are changed, and ``stored``."""
    went: dict[bytes, list[Shadow]] = {}
    for key, shadow in shadows.items():
        if key not in rows and shadow.agreed is not None:
            went.setdefault(_content(shadow.agreed.columns), []).append(shadow)
    came: dict[bytes, list[Key]] = {}
    for key, row in rows.items() if went else ():
        if key not in shadows:
            came.setdefault(_content(mapping.columns_of(row)), []).append(key)
    table = mapping.table.name
    for content, keys in came.items():
        found = went.get(content, [])
        if len(keys) == len(found) == 1:
            (key,), (shadow,) = keys, found
            stored.delete(table, [shadow.key])
            del shadows[shadow.key]
            shadows[key] = shadow._replace(key=key)
            stored.save(table, [shadows[key]])


def _content(columns: Mapping[str, Any]) -> bytes:
    """What is equal for rows with equal columns."""
    return encode_value([list(each) for each in sorted(columns.items())], where="a row")
