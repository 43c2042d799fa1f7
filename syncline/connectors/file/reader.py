"""Reading the tables of a parsed file with checks, keeping what is wrong instead of raising."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar, cast

from syncline.cleaning import FieldCleaner, InvalidRules, parse_rules
from syncline.engine.problems import Problems
from syncline.engine.suggestions import did_you_mean
from syncline.stores.databases.backends import BACKENDS

from .spec import Capture, Compare, Cursor, Limit, SystemSpec, Triggers
from .text import duration, limit

T = TypeVar("T")

MAX_NAME = 40
"""Characters that the name of a pipeline, system, record or field may have."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PLACES = re.compile(r"(\[\d+\])+$")


class Reader:
    """Takes values out of tables. ``unset`` are keys that have a problem already, such as a
    missing variable: nothing more is said of them."""

    def __init__(self, unset: Collection[str] = ()) -> None:
        self.problems = Problems()
        self.unset = frozenset(unset)
        self._lists = {_PLACES.sub("", key) for key in self.unset}

    def problem(self, key: str, message: str, hint: str) -> None:
        if key not in self.unset and key not in self._lists:
            self.problems.add(key, message, hint)

    def table(
        self, spec: Mapping[str, Any], key: str, where: str, hint: str | None = None
    ) -> dict[str, Any]:
        """A table in ``spec``, empty if there is none."""
        value = spec.get(key, {})
        if not isinstance(value, dict):
            # The number of a table in an array is not written in the file.
            header = re.sub(r"\[\d+\]", "", f"{where}{key}")
            self.problem(f"{where}{key}", "It has to be a table.", hint or f"Write [{header}].")
            return {}
        return cast("dict[str, Any]", value)

    def array(self, spec: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
        """The tables of the array ``key``, each with where it stands."""
        value: Any = spec.get(key, [])
        items: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [None]
        if not all(isinstance(item, dict) for item in items):
            self.problem(key, "It has to be an array of tables.", f"Write [[{key}]].")
            return []
        return [(f"{key}[{place}]", item) for place, item in enumerate(items)]

    def known(self, spec: Mapping[str, Any], keys: Collection[str], where: str) -> None:
        """Complain about all keys but ``keys``."""
        for key in spec:
            if key not in keys:
                place = f"{where}.{key}" if where else key
                self.problem(place, f"There is no key {key!r:.60}.", did_you_mean(key, keys))

    def name(self, value: str, where: str) -> bool:
        if _NAME.fullmatch(value) and len(value) <= MAX_NAME:
            return True
        self.problem(
            where,
            f"{value!r:.60} is not a name.",
            f"Names have letters, digits, - and _, at most {MAX_NAME} of them.",
        )
        return False

    def names(self, names: Iterable[str], known: Collection[str], what: str, where: str) -> None:
        """Complain about all ``names`` but those that are ``known``."""
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) if known else f"There is no {what} at all."
                self.problem(where, f"There is no {what} {name!r:.60}.", hint)

    def text(
        self, spec: Mapping[str, Any], key: str, where: str, default: str | None = None
    ) -> str:
        """A text; one that is required if there is no ``default``."""
        value = spec.get(key, default)
        if isinstance(value, str) and (value.strip() or default == value):
            return value
        place = f"{where}.{key}"
        if value is None:
            self.problem(place, "It is missing.", f'Write {key} = "…".')
        elif isinstance(value, str):
            self.problem(place, "It is empty.", f'Write {key} = "…".')
        else:
            self.problem(place, "It has to be a text.", f'Write {key} = "…".')
        return ""

    def texts(
        self, spec: Mapping[str, Any], key: str, where: str, default: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """A list of texts, or one alone."""
        value = spec.get(key, list(default))
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if all(isinstance(item, str) and item.strip() for item in items):
            return tuple(items)
        self.problem(f"{where}.{key}", "It has to be a list of texts.", f'Write {key} = ["…"].')
        return default

    def choice(
        self, spec: Mapping[str, Any], key: str, where: str, choices: Collection[T], default: T
    ) -> T:
        """One of ``choices``."""
        value = spec.get(key, default)
        if value in choices:
            return cast("T", value)
        known = [str(each) for each in choices]
        self.problem(
            f"{where}.{key}", f"It cannot be {value!r:.60}.", did_you_mean(str(value), known)
        )
        return default

    def flag(self, spec: Mapping[str, Any], key: str, where: str) -> bool:
        value = spec.get(key, False)
        if not isinstance(value, bool):
            self.problem(f"{where}.{key}", "It takes true or false.", f"Write {key} = true.")
        return value is True

    def seconds(self, spec: Mapping[str, Any], key: str, where: str, default: str) -> float:
        value = spec.get(key, default)
        found = duration(value) if isinstance(value, str) else None
        if found is None:
            message = f"{value!r:.40} is no duration."
            hint = f'Write {key} = "30s", with ms, s, m, h or d; a year at most.'
            self.problem(f"{where}.{key}", message, hint)
            return 1.0
        return found

    def limit(
        self, spec: Mapping[str, Any], key: str, where: str, default: Limit | None
    ) -> Limit | None:
        if key not in spec:
            return default
        found = limit(spec[key])
        if found is None:
            message = f"{spec[key]!r:.40} is no limit."
            self.problem(f"{where}.{key}", message, f'Write {key} = 100 or {key} = "5%".')
        return found

    def system(self, spec: Mapping[str, Any], name: str, where: str) -> SystemSpec:
        """A system, whose URL is never in a message."""
        import sqlalchemy as sa

        url = self.text(spec, "url", where)
        place = f"{where}.url"
        if url:
            try:
                parsed = sa.make_url(url)
                backend = parsed.get_backend_name()
            except Exception:  # noqa: BLE001 - whatever it was, it may quote the URL
                hint = 'Write "sqlite:///file.db" or "postgresql://user@host/database".'
                self.problem(place, "It is not a database URL.", hint)
                return SystemSpec(name, "sqlite:///")
            if backend not in BACKENDS:
                hint = f"Use one of {', '.join(BACKENDS)}."
                self.problem(place, "There is no connector for this kind of database.", hint)
            elif backend != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
                # What follows the first @ would be connected to, and named in messages.
                message = "Its password has characters that end it too early."
                self.problem(place, message, "Write %40 for @, and %2F for /, in the password.")
            elif backend == "sqlite" and parsed.database in (None, "", ":memory:"):
                self.problem(place, "It names no file.", 'Write "sqlite:///folder/file.db".')
        return SystemSpec(name, url)

    def capture(self, spec: Mapping[str, Any], where: str) -> Capture:
        value = spec.get("capture", "triggers")
        if value == "triggers":
            return Triggers()
        if value == "compare":
            return Compare()
        place = f"{where}.capture"
        if isinstance(value, dict) and "cursor" in value:
            cursor = cast("dict[str, Any]", value)
            self.known(cursor, ("cursor", "overlap", "compare_every"), place)
            return Cursor(
                self.text(cursor, "cursor", place),
                self.seconds(cursor, "overlap", place, "5m"),
                self.seconds(cursor, "compare_every", place, "1h"),
            )
        hint = 'Write "triggers", "compare" or { cursor = "updated_at" }.'
        self.problem(place, "It is no way to find changes.", hint)
        return Triggers()

    def cleaner(
        self, spec: Mapping[str, Any], where: str, other_keys: Collection[str]
    ) -> FieldCleaner:
        try:
            return parse_rules(spec, where, other_keys=other_keys)
        except InvalidRules as error:
            for found in error.problems:
                inside = (f"{found.key}.", f"{found.key}[")
                # A rule that is made of a value that is missing.
                if found.key == where or not any(key.startswith(inside) for key in self.unset):
                    self.problem(found.key, found.message, found.hint)
            return FieldCleaner([])
