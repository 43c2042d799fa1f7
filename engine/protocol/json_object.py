"""The members of a JSON object from a stranger, taken one by one, each checked.

Every failure is a MalformedFrame that names the message and the field.
"""

from __future__ import annotations

import base64
import re
from typing import Any, cast

from syncline.engine.errors import InvalidName, MalformedFrame
from syncline.engine.lib0 import MAX_UINT
from syncline.engine.names import Address, check_workspace

from .messages import (
    DIGEST_BYTES,
    MAX_RETRY_SECONDS,
    MAX_STATE_VECTOR,
    MAX_TEXT,
    MAX_TOKEN,
    MAX_VERSIONS,
)

HINT = "The peer does not speak this version of the protocol, or the frame was damaged on the way."

_MAX_BASE64 = 4 * ((MAX_STATE_VECTOR + 2) // 3)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_CODE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
# What has no place in a sentence that may be shown in a terminal: controls, line and paragraph
# separators, marks that turn the direction of text, and halves of characters.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` as it may travel for people to read: one line, at most MAX_TEXT characters."""
    text = _UNPRINTABLE.sub(" ", text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def is_token(text: str) -> bool:
    """Whether ``text`` may be the token of a hello."""
    return 0 < len(text) <= MAX_TOKEN and _UNPRINTABLE.search(text) is None


class JsonObject:
    """One JSON object of a ``message``, at ``path`` in it (empty, or ending in a dot)."""

    def __init__(self, message: str, path: str, value: object) -> None:
        self._message = message
        self._path = path
        if not isinstance(value, dict):
            raise self._malformed(path.rstrip("."), "is no object")
        self._members = cast("dict[str, Any]", value)

    def _take(self, name: str) -> Any:
        try:
            return self._members.pop(name)
        except KeyError:
            raise self._malformed(self._path + name, "is missing") from None

    def uint(self, name: str, least: int = 0, most: int = MAX_UINT) -> int:
        value = self._take(name)
        # Not isinstance: in Python a bool is an int.
        if type(value) is not int or not least <= value <= most:
            raise self._malformed(self._path + name, f"is no integer of {least} to {most}")
        return value

    def seconds(self, name: str) -> float | None:
        value = self._take(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 <= value <= MAX_RETRY_SECONDS:
            raise self._malformed(
                self._path + name, f"is neither null nor 0 to {MAX_RETRY_SECONDS:.0f} seconds"
            )
        return float(value)

    def text(self, name: str) -> str:
        value = self._string(name)
        if len(value) > MAX_TEXT or _UNPRINTABLE.search(value):
            raise self._malformed(
                self._path + name, f"is no line of at most {MAX_TEXT} printable characters"
            )
        return value

    def code(self, name: str) -> str:
        return self._matching(_CODE, name, self._string(name))

    def id(self, name: str) -> str:
        return self._matching(_ID, name, self._string(name))

    def ids(self, name: str, most: int) -> tuple[str, ...]:
        """Left out if there are none."""
        if name not in self._members:
            return ()
        return tuple(self._matching(_ID, name, each) for each in self.array(name, most, 1))

    def id_or_null(self, name: str) -> str | None:
        value = self._take(name)
        return None if value is None else self._matching(_ID, name, value)

    def token_or_null(self, name: str) -> str | None:
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not is_token(value):
            raise self._malformed(
                self._path + name, f"is no line of 1 to {MAX_TOKEN} printable characters"
            )
        return value

    def workspace(self, name: str) -> str:
        value = self._string(name)
        try:
            return check_workspace(value)
        except InvalidName as error:
            raise self._malformed(self._path + name, f"is refused: {error.message}") from None

    def address(self, name: str) -> Address:
        value = self._string(name)
        try:
            return Address.parse(value)
        except InvalidName as error:
            raise self._malformed(self._path + name, f"is no address: {error.message}") from None

    def address_or_null(self, name: str) -> Address | None:
        if self._members.get(name, "") is not None:
            return self.address(name)
        self._take(name)
        return None

    def base64(self, name: str) -> bytes:
        return self._base64(name, self._take(name))

    def base64_or_null(self, name: str) -> bytes | None:
        value = self._take(name)
        return None if value is None else self._base64(name, value)

    def digest(self, name: str) -> bytes:
        data = self.base64(name)
        if len(data) != DIGEST_BYTES:
            raise self._malformed(self._path + name, f"is no digest of {DIGEST_BYTES} bytes")
        return data

    def array(self, name: str, most: int, least: int = 0) -> list[Any]:
        values: list[Any] = self._take(name)
        if type(values) is not list or not least <= len(values) <= most:
            raise self._malformed(self._path + name, f"is no array of {least} to {most}")
        return values

    def versions(self, name: str) -> tuple[int, ...]:
        values = self.array(name, MAX_VERSIONS)
        if not values or any(type(value) is not int or value < 1 for value in values):
            raise self._malformed(self._path + name, "is no array of versions, 1 and up")
        return tuple(values)

    def member(self, name: str) -> JsonObject:
        return JsonObject(self._message, f"{self._path}{name}.", self._take(name))

    def items(self, name: str, most: int, least: int = 0) -> list[JsonObject]:
        return [
            JsonObject(self._message, f"{self._path}{name}[{i}].", value)
            for i, value in enumerate(self.array(name, most, least))
        ]

    def ignore_rest(self) -> None:
        """Accept whatever has not been taken."""
        self._members.clear()

    def end(self) -> None:
        """Refuse whatever has not been taken."""
        if self._members:
            name = clean(min(self._members))[:40]
            raise self._malformed(self._path + name, "is unknown")

    def _string(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str):
            raise self._malformed(self._path + name, "is no string")
        return value

    def _matching(self, pattern: re.Pattern[str], name: str, value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._malformed(self._path + name, f"does not match {pattern.pattern}")
        return value

    def _base64(self, name: str, value: object) -> bytes:
        if isinstance(value, str) and len(value) <= _MAX_BASE64:
            try:
                data = base64.b64decode(value, validate=True)
            except ValueError:
                data = b""
            # Only one text stands for the same bytes: spare bits must be zero.
            if len(data) <= MAX_STATE_VECTOR and base64.b64encode(data).decode() == value:
                return data
        raise self._malformed(
            self._path + name,
            f"is no base64 (RFC 4648, padded) of at most {MAX_STATE_VECTOR} bytes",
        )

    def _malformed(self, field: str, problem: str) -> MalformedFrame:
        return MalformedFrame(
            f'In a message "{self._message}", the field "{field}" {problem.rstrip(".")}.', hint=HINT
        )
