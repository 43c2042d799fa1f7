"""What is proposed for a pipeline between two systems that share records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .names import Meaning, meaning, record_name, safe_name
from .one_way import country_beside
from .pairs import FieldPair, RecordPair, pair_tables
from .rules import TEXT_RULES, SuggestedRule, suggest
from .samples import SystemSample, joined
from .text import Document, begin, count_of, toml_value

_SURE = 0.9
"""Score from which a pair of columns is not called a guess, or from so many values in common."""
_SURE_SHARED = 5


def write_two_way(
    name: str, purpose: str, first: SystemSample, second: SystemSample
) -> tuple[str, list[str]]:
    """The text of the pipeline file, and what was proposed, in sentences."""
    systems = (first, second)
    names = [system.name for system in systems]
    pairing = pair_tables(first, second)
    document = begin(name, purpose, "two-way")
    for system in systems:
        document.blank()
        document.header("system", system.name)
        document.url(system)
        document.put(
            "capture",
            "compare",
            "where triggers are not allowed; without it, by triggers",
            active=False,
        )
    document.blank()
    document.comment("A record may also have:")
    document.items(
        [
            'delete_vs_edit = "keep-edit" (or "delete-wins", as it is without it)',
            'max_deletes = "50%": with more of them it stops, and writes nothing',
        ]
    )
    document.comment("A field may also have:")
    document.items(
        [
            f'conflict = "newest" (or "surface", or {{ prefer = {toml_value(names)} }})',
            f'owner = "{first.name}", the only system whose changes count then',
            "required = true",
            f"clean = {toml_value(TEXT_RULES)}",
        ]
    )
    writer = _Writer(document, systems)
    for record in pairing.records:
        writer.record(record, active=True)
    for record in pairing.left_out:
        writer.record(record, active=False)
    writer.rest(pairing.alone)
    notes = [writer.note(record) for record in pairing.records]
    notes += [
        f"{record.name} is in the file as a comment ({_tables(systems, record)}): {record.trouble}."
        for record in pairing.left_out
    ]
    bare = [system.name for system in systems if not (system.tables or system.skipped)]
    if bare:
        notes.append(
            f"There are no tables in {' and '.join(bare)}. Two-way pipelines make none: make them "
            "first, or choose one-way, which makes those of its destination."
        )
    elif not pairing.records:
        notes.append(
            f"No tables of {first.name} and {second.name} are sure to hold the same records: "
            "write a [record.NAME] by hand, as the comments in the file say."
        )
    return str(document), notes


def _tables(systems: tuple[SystemSample, SystemSample], record: RecordPair) -> str:
    return " and ".join(f"{s.name}.{t}" for s, t in zip(systems, record.tables, strict=True))


def _columns(names: tuple[str, ...]) -> str | list[str]:
    first, *others = names
    return [first, *others] if others else first


class _Writer:
    """Writes records into a document."""

    def __init__(self, document: Document, systems: tuple[SystemSample, SystemSample]) -> None:
        self._document = document
        self._systems = systems

    def note(self, record: RecordPair) -> str:
        """One sentence about what was proposed."""
        match = f"the same by {' and '.join(record.match)}" if record.match else "none the same"
        fields = ", ".join(each.name for each in record.fields)
        return f"{record.name}: {_tables(self._systems, record)}, {match}; fields {fields}."

    def record(self, record: RecordPair, *, active: bool) -> None:
        document = self._document
        document.blank()
        counts = [
            f"{count_of(side.sample)} in {system.name}.{table}"
            for system, side, table in zip(self._systems, record.sides, record.tables, strict=True)
        ]
        document.comment(f"{' and '.join(counts)}.")
        if not active:
            document.comment(f"Left out, because {record.trouble}.")
        document.header("record", record.name, active=active)
        document.put("in", self._by_system(record.tables), active=active)
        self._match(record, active=active)
        document.put(
            "on_delete",
            "mark",
            'the other keeps its row; "apply" deletes it there too',
            active=active,
        )
        meanings = {each.name: self._meaning(record, each) for each in record.fields}
        for each in record.fields:
            self._field(record, each, meanings, active=active)
        self._unmapped(record)

    def _match(self, record: RecordPair, *, active: bool) -> None:
        if record.match:
            why = "rows in which this is equal are one record; unique in the sampled rows"
            if not all(side.sample.complete for side in record.sides):
                why = "equal in the rows of one record: unique in the first 200 of each table"
            self._document.put("match", list(record.match), why, active=active)
            return
        self._document.comment(
            "Rows in which all fields named in match are equal are one record. No field is sure to "
            "be unique: name the one by which people tell them apart. Without match, all rows of "
            "either system are new to the other."
        )
        self._document.put("match", [each.name for each in record.fields][:1], active=False)

    def _by_system(self, values: Sequence[Any]) -> dict[str, Any]:
        return {system.name: each for system, each in zip(self._systems, values, strict=True)}

    def _meaning(self, record: RecordPair, each: FieldPair) -> Meaning:
        """What a field means, by the first of its columns whose name says so."""
        if len(each.columns.first) != len(each.columns.second):
            return Meaning("full_name", frozenset())
        found = [
            meaning(columns[0], table)
            for columns, table in zip(each.sides, record.tables, strict=True)
        ]
        return next((one for one in found if one.concept), found[0])

    def _field(
        self, record: RecordPair, each: FieldPair, meanings: dict[str, Meaning], *, active: bool
    ) -> None:
        document = self._document
        document.blank()
        document.header("record", record.name, "field", each.name, active=active)
        one, two = _columns(each.columns.first), _columns(each.columns.second)
        same = one if one == two and isinstance(one, str) else self._by_system((one, two))
        why = ""
        if len(each.columns.first) != len(each.columns.second):
            why = "joined with a space, and split at the last one"
        elif each.columns.score < _SURE and each.columns.shared < _SURE_SHARED and not each.ref:
            why = "a guess"
        document.put("in", same, why, active=active)
        if each.ref:
            document.put("ref", each.ref, "the record that its key names", active=active)
            return
        self._kinds(record, each)
        rule = self._rule(record, each, meanings)
        if rule is not None:
            # A row that has lost what says which one it is would become another record.
            on_invalid = "quarantine" if each.name in record.match else "keep-old"
            used = active and rule.is_contact and not rule.doubt
            document.rule(rule, on_invalid, active=used)

    def _kinds(self, record: RecordPair, each: FieldPair) -> None:
        kinds = [
            side.sample.table.columns[columns[0]].kind
            for side, columns in zip(record.sides, each.sides, strict=True)
        ]
        if kinds[0] != kinds[1]:
            self._document.comment(
                f"The types differ, {kinds[0]} and {kinds[1]}: values that do not fit are refused."
            )

    def _rule(
        self, record: RecordPair, each: FieldPair, meanings: dict[str, Meaning]
    ) -> SuggestedRule | None:
        rows: list[dict[str, Any]] = [
            {one.name: joined(row, one.sides[place]) for one in record.fields}
            for place, side in enumerate(record.sides)
            for row in side.sample.rows
        ]
        country = country_beside(meanings[each.name], meanings)
        return suggest(meanings[each.name], [row[each.name] for row in rows], rows, country)

    def _unmapped(self, record: RecordPair) -> None:
        """The columns that are no fields, in comments."""
        found: list[str] = []
        for place, (system, side) in enumerate(zip(self._systems, record.sides, strict=True)):
            table = side.sample.table
            mapped = {column for each in record.fields for column in each.sides[place]}
            for name, column in table.columns.items():
                if name in mapped:
                    continue
                why = side.why_left_out(name)
                text = f"{system.name}.{table.name}.{name} ({column.kind})"
                if not column.nullable and not why.startswith("the "):
                    why = f"{why}; " * bool(why) + "NOT NULL, so new rows need its default"
                found.append(f"{text}: {why}" if why else text)
            for name, type_ in table.unsupported.items():
                text = f"{system.name}.{table.name}.{name} ({type_})"
                found.append(f"{text}: the type is not supported")
        if found:
            self._document.blank()
            self._document.comment(f"Columns that are no fields of {record.name}:")
            self._document.items(found)

    def rest(self, alone: tuple[list[str], list[str]]) -> None:
        """The tables that are no records, in comments."""
        document = self._document
        for system, names in zip(self._systems, alone, strict=True):
            if names:
                document.blank()
                document.comment(
                    f"Tables of {system.name} that nothing in the other is like: "
                    f"{', '.join(names)}."
                )
            if system.skipped:
                document.blank()
                document.comment(f"Tables of {system.name} that cannot take part:")
                document.items(system.skipped.values())
        if any(alone):
            document.blank()
            document.comment("To share one of them, name its tables and columns like this:")
            place = 0 if alone[0] else 1
            table = self._systems[place].tables[alone[place][0]].table
            column = next((each for each in table.columns if each not in table.key), table.key[0])
            record, field = record_name(table.name), safe_name(column, "field")
            tables, columns = (table.name, "ITS TABLE"), (column, "ITS COLUMN")
            order = slice(None, None, 1 if place == 0 else -1)
            document.header("record", record, active=False)
            document.put("in", self._by_system(tables[order]), active=False)
            document.put("match", [field], active=False)
            document.header("record", record, "field", field, active=False)
            document.put("in", self._by_system(columns[order]), active=False)
