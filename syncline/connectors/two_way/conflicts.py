"""Conflicts: fields that systems have changed at the same time, for people."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.connectors.report import MergedField

from .record_document import RecordDocument, time_of


def describe_conflict(
    document: RecordDocument, name: str, label: str, authors: Mapping[int, str]
) -> MergedField:
    """A conflict of the field ``name``: the values by system, and which one is shown. ``label`` is
    what people call the record, ``authors`` are the systems by client id."""
    spec = document.record.fields[name]
    cells = document.conflicting(name)
    values = {authors.get(cell.writer, "relay"): cell.value for cell in reversed(cells)}
    times = {authors.get(cell.writer, "relay"): time_of(cell.stamp) for cell in reversed(cells)}
    policy = spec.conflict if isinstance(spec.conflict, str) else "prefer"
    chosen = None if policy == "surface" else document.value(spec, authors)
    kind, rid = document.record.name, document.rid
    return MergedField(kind, rid, label, name, values, chosen, policy, times)
