"""Quarantine: rows that do not go on, with the reason, until they are corrected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from syncline.cleaning import OnInvalid
from syncline.connectors.database.rows import (
    MAX_KEY_LENGTH,
    UNUSABLE,
    Key,
    batches,
    decode_key,
    encode_key,
    show_key,
)
from syncline.connectors.database.values import NotOfKind, Unreadable, canonical
from syncline.connectors.report import RowRefusal

from .schema import QUARANTINE

KEY_RULE = "key"
"""The rule of rows whose key is unusable; they are here under what stands for it."""
TRANSIENT_RULES = ("parent", "database")
"""Refusals that may end without the row being changed: these are tried again in every pass."""
MAX_RETRIED = 1_000
"""Rows that one pass tries again."""
_Q = QUARANTINE.c
_UNUSABLE_KEYS = f'["{UNUSABLE}",%'
_KEYS = (
    sa.select(_Q.pk)
    .where(
        _Q.pipeline == sa.bindparam("of"),
        _Q.system == sa.bindparam("in"),
        _Q.tbl == sa.bindparam("from"),
        _Q.pk.not_like(_UNUSABLE_KEYS),
    )
    .group_by(_Q.pk)
    .order_by(sa.func.min(_Q.last_seen))
    .limit(sa.bindparam("most"))
)
_TRANSIENT_KEYS = _KEYS.where(_Q.rule.in_(TRANSIENT_RULES))


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One field of a row in quarantine; ``field`` is "" when it is the row as a whole. The values
    are as text, ``key`` is for people, ``pk`` the key encoded."""

    pipeline: str
    system: str
    table: str
    pk: str
    field: str
    rule: str
    message: str
    hint: str
    original: str | None
    suggested: str | None
    first_seen: datetime
    last_seen: datetime
    tries: int

    @property
    def key(self) -> str:
        return show_key(decode_key(self.pk))


class Quarantine:
    """The quarantine of one pipeline in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline

    def put(
        self, system: str, table: str, refused: Mapping[Key, Sequence[RowRefusal]], now: int
    ) -> list[tuple[Key, RowRefusal]]:
        """Keep rows here for these reasons, and no longer for others. ``now`` is in milliseconds.
        Returns the reasons that are new."""
        before = {
            (entry.pk, entry.field): entry
            for batch in batches(refused)
            for entry in self._entries(self._rows(system, table, batch))
        }
        self.release(system, table, refused)
        rows: list[dict[str, Any]] = []
        new: list[tuple[Key, RowRefusal]] = []
        for key, refusals in refused.items():
            pk = encode_key(key)
            for refusal in {each.field: each for each in refusals}.values():
                known = before.get((pk, refusal.field))
                if known is None or known.rule != refusal.rule:
                    new.append((key, refusal))
                rows.append(
                    {
                        "pipeline": self._pipeline,
                        "system": system,
                        "tbl": table,
                        "pk": pk,
                        "field": refusal.field,
                        "rule": refusal.rule,
                        "message": refusal.message,
                        "hint": refusal.hint,
                        "original": _as_text(refusal.original),
                        "suggested": _as_text(refusal.suggested),
                        "first_seen": _milliseconds(known.first_seen) if known else now,
                        "last_seen": now,
                        "tries": known.tries + 1 if known else 1,
                    }
                )
        for batch in batches(rows):
            self._connection.execute(sa.insert(QUARANTINE), batch)
        return new

    def release(self, system: str, table: str, keys: Iterable[Key]) -> None:
        """Let rows go, as far as they are here."""
        for batch in batches(keys):
            self._connection.execute(sa.delete(QUARANTINE).where(self._rows(system, table, batch)))

    def _rows(self, system: str, table: str, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
        return sa.and_(
            _Q.pipeline == self._pipeline,
            _Q.system == system,
            _Q.tbl == table,
            _Q.pk.in_([encode_key(key) for key in keys]),
        )

    def entries(self) -> list[Quarantined]:
        """Everything that is here, by system, table and key."""
        return self._entries(_Q.pipeline == self._pipeline)

    def _entries(self, condition: sa.ColumnElement[bool]) -> list[Quarantined]:
        statement = (
            sa.select(QUARANTINE).where(condition).order_by(_Q.system, _Q.tbl, _Q.pk, _Q.field)
        )
        return [
            Quarantined(
                row["pipeline"],
                row["system"],
                row["tbl"],
                row["pk"],
                row["field"],
                row["rule"],
                row["message"],
                row["hint"],
                row["original"],
                row["suggested"],
                _instant(row["first_seen"]),
                _instant(row["last_seen"]),
                row["tries"],
            )
            for row in self._connection.execute(statement).mappings()
        ]

    def keys(self, system: str, table: str, *, transient: bool = False) -> list[Key]:
        """The keys of the rows of a table that are here, at most MAX_RETRIED of those that were not
        tried for longest; with ``transient`` only those whose reason may end by itself."""
        found = self._connection.execute(
            _TRANSIENT_KEYS if transient else _KEYS,
            {"of": self._pipeline, "in": system, "from": table, "most": MAX_RETRIED},
        )
        return [decode_key(pk) for pk in found.scalars()]

    def all_keys(self, system: str, table: str) -> list[Key]:
        """The keys of all rows of a table that are here, but for unusable ones."""
        return list(self.reasons(system, table))

    def reasons(self, system: str, table: str) -> dict[Key, dict[str, str]]:
        """Why these rows are here: rules by field."""
        statement = sa.select(_Q.pk, _Q.field, _Q.rule).where(
            *self._of(system, table), _Q.pk.not_like(_UNUSABLE_KEYS)
        )
        found: dict[Key, dict[str, str]] = {}
        for pk, field, rule in self._connection.execute(statement):
            found.setdefault(decode_key(pk), {})[field] = rule
        return found

    def waiting(self, system: str, table: str) -> list[Key]:
        """The keys of all rows of a table that wait for a parent."""
        statement = sa.select(_Q.pk).where(*self._of(system, table), _Q.rule == "parent").distinct()
        return [decode_key(pk) for pk in self._connection.execute(statement).scalars()]

    def awaited(self, system: str) -> list[tuple[str, Key, str, str]]:
        """All rows that wait for a parent: table, key, field, and what it refers to."""
        statement = sa.select(_Q.tbl, _Q.pk, _Q.field, _Q.original).where(
            _Q.pipeline == self._pipeline, _Q.system == system, _Q.rule == "parent"
        )
        return [
            (table, decode_key(pk), field, original or "")
            for table, pk, field, original in self._connection.execute(statement)
        ]

    def release_unusable(self, system: str, table: str) -> None:
        """Let go all rows of a table whose key is unusable: they are looked at anew."""
        condition = (*self._of(system, table), _Q.pk.like(_UNUSABLE_KEYS))
        self._connection.execute(sa.delete(QUARANTINE).where(*condition))

    def _of(self, system: str, table: str) -> tuple[sa.ColumnElement[bool], ...]:
        return (_Q.pipeline == self._pipeline, _Q.system == system, _Q.tbl == table)

    def count(self) -> int:
        """How many rows are here."""
        rows = sa.select(_Q.system, _Q.tbl, _Q.pk).where(_Q.pipeline == self._pipeline).distinct()
        counted = sa.select(sa.func.count()).select_from(rows.subquery())
        return int(self._connection.execute(counted).scalar_one())


def split_reasons(
    reasons: Mapping[Key, Mapping[str, str]], policy: Callable[[str], OnInvalid]
) -> tuple[dict[Key, str], dict[Key, set[str]]]:
    """Of rows in quarantine those that are held as a whole, with the rule, and of others, which go
    on, the fields that stay as they were. ``policy`` is what becomes of a field that is refused."""
    held: dict[Key, str] = {}
    partly: dict[Key, set[str]] = {}
    for key, rules in reasons.items():
        whole = [
            rule
            for field, rule in rules.items()
            if rule in TRANSIENT_RULES or policy(field) in ("quarantine", "stop")
        ]
        if whole:
            held[key] = whole[0]
        else:
            partly[key] = {field for field in rules if policy(field) == "keep-old"}
    return held, partly


def unusable_key(key: Key) -> RowRefusal:
    """Why a row with such a key does not go on."""
    why = (
        "is empty, or not of its column's type"
        if any(part is None or isinstance(part, Unreadable) for part in key)
        else f"has more than {MAX_KEY_LENGTH} characters"
    )
    return RowRefusal("", KEY_RULE, f"Its primary key {why}.", "Give the row another key.")


def _as_text(value: Any) -> str | None:
    """Whatever it is: what cannot be written down must not stop the others."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    try:
        text = str(canonical(value, "text"))
    except NotOfKind:
        text = str(value)
    # PostgreSQL has no text with NUL, and no database has lone surrogates.
    text = text.encode(errors="replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
