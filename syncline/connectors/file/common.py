"""What pipelines of both modes have in their files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from .reader import Reader
from .spec import Limit, MappedRecord, Notify, SystemSpec
from .text import is_url

PIPELINE_KEYS = ("name", "purpose", "mode", "every", "stop_if_over")
"""The keys of the table [pipeline]."""
_NOTIFY_KEYS = ("url", "on", "fields", "headers", "secret")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_OWN_HEADERS = {"host", "connection", "content-length", "content-type", "transfer-encoding"}
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
        read.known(each, _NOTIFY_KEYS, where)
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
        secret = read.text(each, "secret", where) if "secret" in each else None
        notify = Notify(
            url, frozenset(on), frozenset(fields), _read_headers(each, where, read), secret
        )
        for other in found:
            if url and other.url == url and _sender(other) != _sender(notify):
                message = "Another webhook with this URL has other headers or another secret."
                read.problem(where, message, "Let both have the same: they are told in one.")
        found.append(notify)
    return tuple(found)


def _sender(notify: Notify) -> tuple[Mapping[str, str], str | None]:
    return notify.headers, notify.secret


def _read_headers(spec: Mapping[str, Any], where: str, read: Reader) -> dict[str, str]:
    """Headers of a request, none of which is one that Syncline gives."""
    value, place = spec.get("headers", {}), f"{where}.headers"
    if not isinstance(value, dict):
        read.problem(place, "It has to be a table.", 'Write headers = { Name = "…" }.')
        return {}
    headers: dict[str, str] = {}
    for name, text in cast("dict[str, Any]", value).items():
        lower = name.lower()
        if not _HEADER.fullmatch(name) or lower in _OWN_HEADERS or lower.startswith("syncline-"):
            message = f"{name!r:.60} is none that can be given here."
            read.problem(place, message, "Others than Host, Content-* and Syncline-* can.")
        elif not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            message = f"The header {name!r:.60} is no line of Latin letters."
            read.problem(f"{place}.{name}", message, 'Write headers = { Name = "…" }.')
        else:
            headers[name] = text
    return headers
