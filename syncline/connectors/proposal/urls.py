"""URLs of systems as people give them: read, and written to files without passwords."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from syncline.engine.errors import InvalidUrl
from syncline.stores.databases.backends import BACKENDS

from .names import safe_name

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_SHORT_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET_OPTIONS = ("password", "passwd", "sslpassword", "secret", "token")


class GivenUrl(NamedTuple):
    """``text`` as it was given, and the ``url`` that it means; either may have a password."""

    text: str
    url: sa.URL

    @property
    def has_password(self) -> bool:
        """Whether a password stands in the text itself; one in a variable does not."""
        if _VARIABLE.fullmatch(self.text):
            return False
        try:
            parsed = sa.make_url(self.text)
        except (ArgumentError, ValueError):
            return "@" in self.text or "password" in self.text.casefold()
        secrets = [parsed.password or ""]
        for option, value in parsed.query.items():
            if option.casefold() in _SECRET_OPTIONS:
                secrets += [value] if isinstance(value, str) else value
        return any(secret and not _VARIABLE.fullmatch(secret) for secret in secrets)

    def system_name(self, taken: Collection[str] = ()) -> str:
        """A name for the system: that of its variable or of its database."""
        variable = _VARIABLE.fullmatch(self.text)
        if variable:
            name = re.sub(r"(_DATABASE)?_(URL|URI|DSN)$", "", variable[1], flags=re.IGNORECASE)
        elif self.url.get_backend_name() == "sqlite":
            name = Path(self.url.database or "").stem
        else:
            name = self.url.database or ""
        return safe_name(name, self.url.get_backend_name(), taken)

    def variable(self, system: str) -> str | None:
        """The variable to set because the file cannot have the URL, or None."""
        if not self.has_password:
            return None
        name = system.upper().replace("-", "_")
        return f"{name}_URL" if not name[0].isdigit() else f"DB_{name}_URL"

    def written(self, system: str) -> str:
        """What the file says as the URL."""
        variable = self.variable(system)
        return self.text if variable is None else f"${{{variable}}}"


def read_url(text: str, environment: Mapping[str, str]) -> GivenUrl:
    """The URL of a database, in which ``${NAME}`` is that variable; or the path of a SQLite file.
    Raises InvalidUrl, whose message has nothing of the text: a password may be in it."""
    text = text.strip()
    if _SHORT_VARIABLE.fullmatch(text):
        text = f"${{{text[1:]}}}"
    if "://" not in text and not _VARIABLE.search(text) and Path(text).is_file():
        text = f"sqlite:///{text.replace('${', '$${')}"
    elif text.startswith("~") and (file := Path(text).expanduser()).is_file():
        text = f"sqlite:///{str(file).replace('${', '$${')}"
    for name in _VARIABLE.findall(text):
        if not environment.get(name):
            raise InvalidUrl(
                f"The environment variable {name} is not set.",
                hint=f"Set {name} to a URL such as postgresql://user@host/database.",
            )
    full = _VARIABLE.sub(lambda found: environment[found[1]], text).replace("$${", "${")
    hint = (
        "Give a URL such as postgresql://user@host/crm, mariadb://user@host/crm or sqlite:///a.db."
    )
    try:
        url = sa.make_url(full)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise InvalidUrl("This is no URL of a database, and no file.", hint=hint) from None
    if backend not in BACKENDS:
        raise InvalidUrl(f"Databases of the kind {backend!r} cannot take part.", hint=hint)
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise InvalidUrl("The URL names no file.", hint="Give a URL such as sqlite:///a.db.")
    return GivenUrl(text, url)
