"""Refusals as they stand in a receipt, so that a repeated batch gets the same answer."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import orjson

from syncline.engine.names import Address
from syncline.engine.protocol.messages import Refusal


def pack_refusals(refusals: Iterable[Refusal]) -> bytes:
    """JSON for the receipt; empty bytes for no refusals."""
    rows = [
        [
            str(refusal.address),
            refusal.code,
            refusal.message,
            refusal.hint,
            None
            if refusal.state_vector is None
            else base64.b64encode(refusal.state_vector).decode(),
        ]
        for refusal in refusals
    ]
    return orjson.dumps(rows) if rows else b""


def unpack_refusals(packed: bytes) -> tuple[Refusal, ...]:
    """What ``pack_refusals`` packed."""
    rows: list[list[Any]] = orjson.loads(packed) if packed else []
    return tuple(
        Refusal(
            Address.parse(address),
            code,
            message,
            hint,
            None if state_vector is None else base64.b64decode(state_vector),
        )
        for address, code, message, hint, state_vector in rows
    )
