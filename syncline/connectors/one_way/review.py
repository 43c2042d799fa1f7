"""What people ask about a one-way pipeline, and decide: quarantine, equality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from syncline.connectors import verification
from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.bookkeeping.quarantine import (
    KEY_RULE,
    Quarantine,
    Quarantined,
    split_reasons,
)
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.database.pages import is_key, pages
from syncline.connectors.database.rows import Key, encode_key
from syncline.connectors.database.tables import Table, cannot_be_made, names_of, reflect
from syncline.connectors.database.values import Unreadable
from syncline.connectors.file.spec import Cursor
from syncline.connectors.report import Finding, MergedField
from syncline.connectors.verification import ComparedRow, Side, Verification, compare_sides
from syncline.engine.errors import SystemRefused, SystemUnavailable, UsageError

from .plan import DELETED_AT, TablePlan, shaped
from .systems import OneWaySystems
from .tables import COPIED, compare_again, source_tables, spec_of
from .target import DESTINATION, SOURCE, expected


class OneWayReview:
    """Answers about the pipeline, each from its databases as they are."""

    def __init__(self, systems: OneWaySystems) -> None:
        self._systems = systems
        self._pipeline = systems.pipeline

    def pending(self) -> dict[str, int]:
        """How many changes wait at the source, if it can be reached."""
        try:
            with self._systems.source() as source:
                if not has_state(source):
                    return {SOURCE: 0}
                notes = Notes(source, self._pipeline.name)
                return {SOURCE: notes.count(notes.tables())}
        except SystemUnavailable:
            return {}

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        findings: list[Finding] = []
        try:
            with self._systems.source() as source:
                tables, findings = source_tables(self._pipeline, source)
        except (SystemUnavailable, SystemRefused) as error:
            findings.append(Finding(True, SOURCE, error.message, error.hint))
            tables = {}
        try:
            with self._systems.destination() as state:
                names = names_of(state.connection)
                for name, table in tables.items():
                    spec = spec_of(self._pipeline, name)
                    wanted = shaped(spec, table)
                    if spec.target not in names:
                        targets = {*names, *self._targets(tables)}
                        findings += self._findings_of_new(name, wanted, targets)
                        continue
                    there = reflect(state.connection, spec.target)
                    plan = TablePlan(spec, table, there, self._systems.dialects)
                    findings += [
                        Finding(
                            False,
                            f"table {name}",
                            f"{spec.target}.{to} is of the type {there.columns[to].kind}, and "
                            f"{name} has {wanted.columns[to].kind}: values that do not fit go to "
                            "quarantine.",
                            "Change the column, or give the field a rule that reads it.",
                        )
                        for to in plan.columns.values()
                        if there.columns[to].kind != wanted.columns[to].kind
                    ]
        except (SystemUnavailable, SystemRefused) as error:
            findings.append(Finding(True, DESTINATION, error.message, error.hint))
        return findings

    def _targets(self, tables: Iterable[str]) -> set[str]:
        return {spec_of(self._pipeline, name).target for name in tables}

    def _findings_of_new(self, name: str, wanted: Table, names: Iterable[str]) -> list[Finding]:
        """Why a table cannot be made at the destination."""
        dialect = self._systems.dialects[1]
        reason = cannot_be_made(wanted, dialect)
        folded = wanted.name.casefold()
        alike = [each for each in names if each != wanted.name and each.casefold() == folded]
        if dialect == "sqlite" and alike:
            reason = f"SQLite takes {wanted.name} and {alike[0]} for one name"
        if reason is None:
            return []
        message = f"The destination cannot have {wanted.name}: {reason}."
        hint = "Leave it out, or give it another name or key there."
        return [Finding(True, f"table {name}", message, hint)]

    def conflicts(self) -> list[MergedField]:
        """None: the destination never writes back."""
        return []

    def resolve(self, rid: str, field: str, *, take: str) -> None:
        """Raises UsageError: there are no conflicts."""
        raise UsageError(
            f"{self._pipeline.name} is one-way, so it has no conflicts.",
            hint="syncline quarantine FILE lists rows that do not go on.",
        )

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine."""
        with self._systems.destination() as state:
            if not has_state(state.connection):
                return []
            return Quarantine(state.connection, self._pipeline.name).entries()

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        rows = {(entry.table, entry.pk) for entry in self.quarantine()}
        if not rows:
            return 0
        if self._systems.watches:
            with self._systems.source(writing=True) as source:
                Notes(source, self._pipeline.name).add(rows)
        elif isinstance(self._pipeline.capture, Cursor):
            with self._systems.destination(writing=True) as state:
                for table in {table for table, _ in rows}:
                    state.set_meta(f"{COPIED}{table}", "")
        return len(rows)

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table anew. Raises UsageError if it is not one of
        the pipeline's."""
        self._systems.prepare()
        plans = [plan for plan in self._systems.plans if table in (plan.name, plan.target.name)]
        if not plans:
            raise UsageError(
                f"{self._pipeline.name} has no table {table!r}.",
                hint=f"Its tables are {', '.join(plan.name for plan in self._systems.plans)}.",
            )
        with self._systems.destination(writing=True) as state:
            compare_again(state, (plan.name for plan in plans))

    # Verification

    def verify(self) -> Verification:
        """Compare all rows of all tables with what they are to be at the destination. Raises
        SystemUnavailable."""
        with self._systems.destination() as state:
            if not has_state(state.connection):
                raise UsageError(
                    f"{self._pipeline.name} has not run yet, so there is nothing to verify.",
                    hint="Run syncline sync FILE first.",
                )
        result = Verification(self._pipeline.name, waiting=self.pending())
        with self._systems.dry_run():
            self._systems.prepare(dry_run=True)
            result.left_out.update(self._systems.left_out)
            for plan in self._systems.plans:
                self._verify(plan, result)
        return result

    def _verify(self, plan: TablePlan, result: Verification) -> None:
        with self._systems.destination() as state:
            reasons = Quarantine(state.connection, self._pipeline.name).reasons(SOURCE, plan.name)
        held, partly = split_reasons(reasons, plan.policy)
        first = Side(
            SOURCE,
            partial(self._ours, plan, held, partly),
            partial(self._our_values, plan),
            partial(self._count, plan),
        )
        second = Side(
            DESTINATION,
            partial(self._theirs, plan, held, partly),
            partial(self._their_values, plan),
            partial(self._count_theirs, plan),
        )
        columns = list(plan.columns.values())
        allowed = plan.spec.on_delete == "ignore"
        compare_sides(plan.name, first, second, columns, result, more_allowed=allowed)
        ours = result.sides[-2]
        result.quarantined += ours.held.total() + ours.partly

    def _ours(
        self, plan: TablePlan, held: Mapping[Key, str], partly: Mapping[Key, set[str]]
    ) -> Iterator[ComparedRow]:
        """The rows of the source as they are to be at the destination."""
        with self._systems.source() as source:
            for page in pages(plan.rows, source, verification.PAGE):
                for row in page:
                    key = plan.rows.key_of(row)
                    if not is_key(key):
                        yield ComparedRow("", key, [], held=KEY_RULE)
                        continue
                    planned = plan.read(row)
                    reason = held.get(key, "")
                    if planned.quarantined:
                        reason = reason or planned.refusals[0].rule
                    values = [] if reason else _masked(plan, expected(plan, planned), partly, key)
                    name = "" if reason else encode_key(planned.key)
                    yield ComparedRow(name, key, values, held=reason, partly=key in partly)

    def _theirs(
        self, plan: TablePlan, held: Mapping[Key, str], partly: Mapping[Key, set[str]]
    ) -> Iterator[ComparedRow]:
        if not self._systems.exists[plan.name]:
            return
        rows = plan.target_rows
        sources = {
            target: key
            for key in (*held, *partly)
            if (target := plan.target_key(key)) is not None and plan.source_key(target) == key
        }
        with self._systems.destination() as state:
            for page in pages(rows, state.connection, verification.PAGE):
                for number, row in enumerate(page):
                    key = rows.key_of(row)
                    gone = row.get(DELETED_AT) is not None
                    name = encode_key(key) if is_key(key) else f"{number} {key!r}"
                    source = sources.get(key, ()) if is_key(key) else ()
                    values = _masked(plan, _shown(plan, row), partly, source)
                    reason = held.get(source, "")
                    kept = source in partly
                    yield ComparedRow(name, key, values, reason, ignored=gone, partly=kept)

    def _count(self, plan: TablePlan) -> int:
        with self._systems.source() as source:
            return plan.rows.count(source)

    def _count_theirs(self, plan: TablePlan) -> int:
        if not self._systems.exists[plan.name]:
            return 0
        with self._systems.destination() as state:
            return plan.target_rows.count(state.connection)

    def _our_values(self, plan: TablePlan, key: Key) -> list[Any] | None:
        with self._systems.source() as source:
            row = plan.rows.by_keys(source, [key]).get(key)
        return None if row is None else expected(plan, plan.read(row))

    def _their_values(self, plan: TablePlan, key: Key) -> list[Any] | None:
        with self._systems.destination() as state:
            row = plan.target_rows.by_keys(state.connection, [key]).get(key)
        return None if row is None else _shown(plan, row)


def _masked(
    plan: TablePlan, values: list[Any], partly: Mapping[Key, set[str]], key: Key
) -> list[Any]:
    """The values of a row, without those of fields that are held while the others go on."""
    masked = partly.get(key)
    if not masked:
        return values
    names = plan.columns.values()
    return [None if name in masked else value for name, value in zip(names, values, strict=True)]


def _shown(plan: TablePlan, row: dict[str, Any]) -> list[Any]:
    return [
        str(value.original) if isinstance(value := row[name], Unreadable) else value
        for name in plan.columns.values()
    ]
