"""What pipelines of both modes have in their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .reader import Reader
from .spec import Limit, MappedRecord, Notify, SystemSpec
from .text import is_url

PIPELINE_KEYS = ("name", "purpose", "mode", "every", "stop_if_over")
"""The keys of the table [pipeline]."""
HALF = Limit(percent=50)
"""The limit of deletions where the file has none."""


def read_common(head: Mapping[str, Any], read: Reader) -> dict[str, Any]:
    """The fields of every Pipeline that stand in [pipeline]."""
    name = read.text(head, "name", "pipeline")
    if name:
        read.name(name, "pipeline.name")
    return {
        "name": name,
        "purpose": read.text(head, "purpose", "pipeline", ""),
        "every": read.seconds(head, "every", "pipeline", "30s"),
        "stop_if_over": read.limit(head, "stop_if_over", "pipeline", None),
    }


def check_urls(systems: Mapping[str, tuple[SystemSpec, str]], read: Reader) -> None:
    """Complain about systems that are the same database. Each has its place in the file."""
    seen: dict[str, str] = {}
    for spec, where in systems.values():
        other = seen.setdefault(spec.url, where)
        if spec.url and other != where:
            message = f"It is the same database as {other}."
            read.problem(f"{where}.url", message, "Name two databases.")


def read_notify(
    spec: Mapping[str, Any], records: Mapping[str, MappedRecord] | None, read: Reader
) -> tuple[Notify, ...]:
    """The webhooks; with ``records`` their names are checked, too."""
    found: list[Notify] = []
    for where, each in read.array(spec, "notify"):
        read.known(each, ("url", "on", "fields"), where)
        url = read.text(each, "url", where)
        if url and not is_url(url, ("http", "https")):
            read.problem(f"{where}.url", "It is no http or https URL.", "Write https://….")
        on = read.texts(each, "on", where)
        fields = read.texts(each, "fields", where)
        if records is not None:
            read.names(on, records, "record", f"{where}.on")
            known = [records[name] for name in on if name in records] or records.values()
            names = dict.fromkeys(field for record in known for field in record.fields)
            read.names(fields, names, "field", f"{where}.fields")
        found.append(Notify(url, frozenset(on), frozenset(fields)))
    return tuple(found)
