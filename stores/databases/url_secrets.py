"""What of a store's URL may not appear in errors: its password, and the values of parameters."""

from __future__ import annotations

import re

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from syncline.engine.errors import StoreError

_HIDDEN = "***"


class UrlSecrets:
    """Hides them where a driver or a server repeats them, as it does with what it cannot use."""

    def __init__(self, url: URL) -> None:
        values = [value for values in url.normalized_query.values() for value in values]
        if url.password is not None:
            values.append(str(url.password))
        found = sorted({value for value in values if value}, key=len, reverse=True)
        # Whole words: the 1 of one parameter is not the 1 of an address.
        words = "|".join(map(re.escape, found))
        self._pattern = re.compile(rf"(?<!\w)(?<!\w\.)(?:{words})(?!\.?\w)") if found else None

    def shown_by(self, error: StoreError) -> bool:
        """Whether ``error``, or what caused it, shows one: only while connecting."""
        cause = error.__cause__
        return (
            self._pattern is not None
            and isinstance(cause, DBAPIError)
            and cause.statement is None
            and self._pattern.search(f"{cause} {error.message}") is not None
        )

    def hidden(self, error: StoreError, name: str) -> StoreError:
        """The same without them, and without its cause. ``name``, in its sentence, stays."""
        before, name, after = error.message.partition(name)
        return type(error)(
            self._hide(before) + name + self._hide(after),
            hint=error.hint,
            retry_after=error.retry_after,
        )

    def _hide(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(_HIDDEN, text)


def without_secrets(url: URL) -> str:
    """The URL of a file for people to read: no user, and of parameters the names only."""
    host = f"{_HIDDEN}@{url.host or ''}" if url.username is not None else url.host or ""
    path = f"/{url.database}" if url.database else ""
    names = "&".join(f"{name}={_HIDDEN}" for name in url.query)
    return f"{url.drivername}://{host}{path}" + (f"?{names}" if names else "")
