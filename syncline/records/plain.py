"""Plain values: what a record's fields are outside of it, for Python or for JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from syncline.engine.document.foreign import ForeignMember
from syncline.engine.document.frozen import thaw
from syncline.engine.fields import FieldView


def plain_value(value: Any) -> Any:
    """The content of a view, and lists and dicts that the caller may change."""
    return thaw(value.to_plain() if isinstance(value, FieldView) else value)


def json_value(value: Any) -> Any:
    """``plain_value`` in what ``json.dumps`` takes: decimals in digits, dates and times in ISO
    8601, bytes in base64, durations in seconds, members of an Enum by value, UUIDs as text."""
    if isinstance(value, FieldView):
        value = value.to_plain()
    if isinstance(value, Enum | ForeignMember):
        value = value.value
    if isinstance(value, list):
        return [json_value(item) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, Decimal | UUID) else value
