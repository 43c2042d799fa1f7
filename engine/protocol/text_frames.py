"""Text frames: the control messages, in JSON.

A message is one object with its ``type`` and exactly the members of the type. What a sentence about
a bad one quotes is at most a name, never content: errors reach logs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, cast

import orjson

from syncline.engine.errors import MalformedFrame

from .handshake import choose_version
from .json_object import HINT, JsonObject, clean
from .messages import (
    MAX_FORMER,
    MAX_PUSH_ENTRIES,
    MAX_RANGES,
    VERSIONS,
    Ack,
    Advance,
    CaughtUp,
    Compare,
    Digests,
    Enumerate,
    Error,
    Expected,
    Fetch,
    Hello,
    Limits,
    Ping,
    Pong,
    Range,
    Refusal,
    Resume,
    TextMessage,
    Welcome,
)


def encode_text(message: TextMessage) -> str:
    """Return the frame that carries ``message``. Sentences in it are cleaned and cut."""
    members: dict[str, Any] = {"type": message.name}
    for field in message.__slots__:
        members[field] = getattr(message, field)
    if isinstance(message, Hello) and not message.former:
        del members["former"]
    elif isinstance(message, Error):
        members |= {"message": clean(message.message), "hint": clean(message.hint)}
    elif isinstance(message, Ack):
        members["refused"] = [
            {
                "address": refusal.address,
                "code": refusal.code,
                "message": clean(refusal.message),
                "hint": clean(refusal.hint),
                "state_vector": refusal.state_vector,
            }
            for refusal in message.refused
        ]
    elif isinstance(message, Digests):
        members["ranges"] = [item._asdict() for item in message.ranges]
    return orjson.dumps(members, default=_json).decode()


def _json(value: object) -> str:
    """What JSON does not know: addresses and bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


def decode_text(data: bytes) -> TextMessage:
    """Return the message in ``data``, UTF-8. Raises MalformedFrame and VersionMismatch."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedFrame(f"The text frame is no JSON: {error.msg}.", hint=HINT) from None
    if not isinstance(value, dict):
        raise MalformedFrame("The text frame is no JSON object.", hint=HINT)
    members = cast("dict[str, Any]", value)
    name = members.pop("type", None)
    decoder = _DECODERS.get(name) if isinstance(name, str) else None
    if decoder is None:
        what = repr(clean(name)[:40]) if isinstance(name, str) else "that is no string"
        raise MalformedFrame(f"The text frame has the unknown type {what}.", hint=HINT)
    fields = JsonObject(name, "", members)
    message = decoder(fields)
    fields.end()
    return message


def _hello(fields: JsonObject) -> Hello:
    versions = fields.versions("versions")
    choose_version(versions)  # or this raises: what follows may be of a form that we do not know
    hello = Hello(
        versions,
        fields.workspace("workspace"),
        fields.id("replica"),
        fields.uint("client_id"),
        fields.uint("cursor"),
        fields.uint("acknowledged"),
        fields.id_or_null("relay"),
        fields.token_or_null("token"),
        fields.ids("former", MAX_FORMER),
    )
    if max(versions) > max(VERSIONS):
        fields.ignore_rest()  # of a newer version, in which we do not talk
    return hello


def _welcome(fields: JsonObject) -> Welcome:
    return Welcome(
        fields.uint("version", 1),
        fields.id("relay"),
        fields.uint("head"),
        fields.uint("batch"),
        fields.uint("time"),
        _limits(fields.member("limits")),
    )


def _limits(fields: JsonObject) -> Limits:
    limits = Limits(
        fields.uint("max_frame", 1), fields.uint("max_update", 1), fields.uint("window", 1)
    )
    fields.end()
    return limits


def _ack(fields: JsonObject) -> Ack:
    refused = fields.items("refused", MAX_PUSH_ENTRIES)
    return Ack(fields.uint("batch", 1), fields.uint("seq"), tuple(map(_refusal, refused)))


def _refusal(fields: JsonObject) -> Refusal:
    refusal = Refusal(
        fields.address("address"),
        fields.code("code"),
        fields.text("message"),
        fields.text("hint"),
        fields.base64_or_null("state_vector"),
    )
    fields.end()
    return refusal


def _pong(fields: JsonObject) -> Pong:
    return Pong(
        fields.uint("id"),
        fields.uint("position"),
        fields.uint("head"),
        fields.uint("received"),
        fields.uint("committed"),
    )


def _advance(fields: JsonObject) -> Advance:
    since = fields.uint("since")
    return Advance(since, fields.uint("cursor", since + 1))


def _digests(fields: JsonObject) -> Digests:
    ranges = fields.items("ranges", MAX_RANGES, 1)
    return Digests(fields.address_or_null("after"), tuple(map(_range, ranges)))


def _range(fields: JsonObject) -> Range:
    item = Range(fields.address_or_null("until"), fields.digest("digest"))
    fields.end()
    return item


def _error(fields: JsonObject) -> Error:
    return Error(
        fields.code("code"),
        fields.text("message"),
        fields.text("hint"),
        fields.seconds("retry_after"),
    )


_DECODERS: dict[str, Callable[[JsonObject], TextMessage]] = {
    Hello.name: _hello,
    Welcome.name: _welcome,
    Ack.name: _ack,
    Expected.name: lambda fields: Expected(fields.uint("batch", 1)),
    Ping.name: lambda fields: Ping(fields.uint("id")),
    Pong.name: _pong,
    Advance.name: _advance,
    CaughtUp.name: lambda fields: CaughtUp(fields.uint("cursor")),
    Resume.name: lambda fields: Resume(fields.uint("cursor")),
    Fetch.name: lambda fields: Fetch(
        fields.address("address"), fields.uint("epoch"), fields.base64("state_vector")
    ),
    Compare.name: lambda fields: Compare(fields.address_or_null("after")),
    Digests.name: _digests,
    Enumerate.name: lambda fields: Enumerate(
        fields.address_or_null("after"), fields.address_or_null("until")
    ),
    Error.name: _error,
}
