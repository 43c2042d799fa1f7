"""Awareness that says for whom it is, because the relay says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import orjson

from syncline.engine.errors import MalformedFrame
from syncline.engine.yjs.messages import Client


def signed(clients: Iterable[Client], principal: str) -> tuple[Client, ...]:
    """The clients with the principal's name as the name of their ``user``; other fields of it, such
    as a colour, stay. Raises MalformedFrame."""
    return tuple(
        client if client.state is None else client._replace(state=_signed(client.state, principal))
        for client in clients
    )


def _signed(state: str, principal: str) -> str:
    try:
        said: Any = orjson.loads(state)
    except orjson.JSONDecodeError:
        raise MalformedFrame(
            "The awareness of a client is no JSON.", hint="Send what JSON.stringify gives."
        ) from None
    if not isinstance(said, dict):
        return state  # it names nobody
    fields = cast("dict[str, Any]", said)
    user: Any = fields.get("user")
    kept = cast("dict[str, Any]", user) if isinstance(user, dict) else {}
    fields["user"] = {**kept, "name": principal}
    return orjson.dumps(fields).decode()
