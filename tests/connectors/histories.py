"""Random histories of two databases kept in step, with crashes at any statement."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from syncline.connectors import PipelineRun, open_run

from .two_sides import Side, shared_contacts

FIELDS = ("name", "phone")
_COLUMNS = {
    "crm": {"name": "first_name", "phone": "phone", "email": "email"},
    "accounting": {"name": "full_name", "phone": "tel", "email": "billing_email"},
}
_TABLES = {"crm": "contacts", "accounting": "customers"}
MAX_STATEMENTS = 160
"""About what a pass with a few changes takes."""


class Crash(BaseException):
    """The process dies here: what is not committed is lost."""


class History:
    """Two databases with the same few customers, their users, and a pipeline that may die."""

    def __init__(self, crm: Side, accounting: Side, seed: int = 0) -> None:
        self.sides = {"crm": crm, "accounting": accounting}
        self._pipeline = shared_contacts(crm, accounting)
        self._rng = random.Random(seed)
        self._numbers = count(1)
        self.written: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.superseded: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.deleted: set[str] = set()
        self._crash_at: int | None = None
        self._engines: list[sa.Engine] = []
        self.run = self._start()

    def _start(self) -> PipelineRun:
        run = open_run(self._pipeline, rng=self._rng)
        for system in run.systems.values():
            if not event.contains(system.engine, "before_cursor_execute", self._on_statement):
                event.listen(system.engine, "before_cursor_execute", self._on_statement)
                self._engines.append(system.engine)
        return run

    def _on_statement(self, *_: Any) -> None:
        if self._crash_at is not None:
            self._crash_at -= 1
            if self._crash_at < 0:
                raise Crash

    # What users do

    def write(self, side: str, email: str, field: str) -> None:
        """A user changes one field of a customer, or enters the customer."""
        value = self._new_value(field)
        seen = self._value(side, email, field)
        table, columns = _TABLES[side], _COLUMNS[side]
        if seen is None:
            names = {each: self._new_value(each) for each in FIELDS}
            self.sides[side].execute(
                f"INSERT INTO {table} ({columns['name']}, {columns['phone']}, {columns['email']})"
                " VALUES (:name, :phone, :email)",
                email=email,
                **names,
            )
            self.deleted.discard(email)
            for each, written in names.items():
                self.written[email, each].add(written)
            return
        self.sides[side].execute(
            f"UPDATE {table} SET {columns[field]} = :value WHERE {columns['email']} = :email",
            value=value,
            email=email,
        )
        self.superseded[email, field].add(seen)
        self.written[email, field].add(value)

    def delete(self, side: str, email: str) -> None:
        """A user deletes a customer."""
        if self._value(side, email, "name") is None:
            return
        for field in FIELDS:
            self.superseded[email, field].add(str(self._value(side, email, field)))
        self.sides[side].execute(
            f"DELETE FROM {_TABLES[side]} WHERE {_COLUMNS[side]['email']} = :email", email=email
        )
        self.deleted.add(email)

    def _new_value(self, field: str) -> str:
        number = next(self._numbers)
        return f"Name{number}" if field == "name" else f"+1650253{number:04}"

    def _value(self, side: str, email: str, field: str) -> str | None:
        columns = _COLUMNS[side]
        rows = self.sides[side].execute(
            f"SELECT {columns[field]} FROM {_TABLES[side]} WHERE {columns['email']} = :email",
            email=email,
        )
        return rows[0][0] if rows else None

    # What the pipeline does

    def sync(self) -> int:
        """A sync; returns how many rows it wrote."""
        return self.run.sync(allow_deletes=True).changed

    def sync_and_crash(self, statements: int) -> None:
        """A sync that dies after so many statements; another process goes on."""
        self._crash_at = statements
        try:
            self.run.sync(allow_deletes=True)
        except Crash:
            pass
        finally:
            self._crash_at = None
        self.run.close()
        self.run = self._start()

    # What must hold in the end

    def rows(self, side: str) -> dict[str, tuple[str, ...]]:
        columns = _COLUMNS[side]
        names = ", ".join(columns[each] for each in FIELDS)
        found = self.sides[side].execute(f"SELECT {columns['email']}, {names} FROM {_TABLES[side]}")
        emails = [row[0] for row in found]
        assert len(emails) == len(set(emails)), f"{side} has a customer twice: {found}"
        return {row[0]: tuple(row[1:]) for row in found}

    def check(self) -> None:
        """Both are equal, no edit is lost, and nothing goes to and fro."""
        self.sync()
        ours, theirs = self.rows("crm"), self.rows("accounting")
        assert ours == theirs
        assert self.sync() == 0, "a sync right after another one wrote rows"
        assert self.run.pending() == {"crm": 0, "accounting": 0}
        assert self.run.verify().equal
        for email in {each for each, _ in self.written} - self.deleted:
            assert email in ours, f"{email} is lost"
        for email, values in ours.items():
            for field, value in zip(FIELDS, values, strict=True):
                assert value in self.written[email, field]
                lost = self.written[email, field] - self.superseded[email, field]
                assert value in lost, f"{email}.{field} shows {value}, which was replaced: {lost}"

    def close(self) -> None:
        self.run.close()
        for engine in self._engines:
            event.remove(engine, "before_cursor_execute", self._on_statement)


Step = Callable[[History], None]


def tables_of_syncline(side: Side) -> list[str]:
    """The names of the tables that Syncline made."""
    names = sa.inspect(side.engine).get_table_names()
    return sorted(name for name in names if name.startswith("_syncline_"))
