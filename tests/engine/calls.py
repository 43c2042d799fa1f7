"""Counting what code does, which is the same on every machine, where its time is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls_of(edit: Callable[..., Any], *arguments: Any) -> int:
    """How many functions ``edit(*arguments)`` calls, those of Python and native ones."""
    count = 0

    def counting(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counting)
    try:
        edit(*arguments)
    finally:
        sys.setprofile(None)
    return count
