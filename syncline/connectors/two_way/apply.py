"""Apply: what peers changed in records becomes rows of one table.

Written are only the fields whose value is another than the one that was written last, in rows that
are locked and whose own changes were captured before: so nothing that a user did goes under.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from syncline.connectors.database.order import parents_first
from syncline.connectors.database.rows import Key, encode_key
from syncline.connectors.database.system import refusal_of
from syncline.connectors.database.values import NotOfKind
from syncline.connectors.report import RowRefusal
from syncline.engine.document.values import same_value

from .capture import PARTED, UNNOTED, Capture
from .exchange import Clash, exchange, exchanging
from .mapping import MISSING, Agreed, TableMapping
from .record_document import RecordDocument, stamp_at
from .shadows import Shadow
from .transaction import NEW, OpenRow, SystemTransaction


class Apply:
    """The second half of a transaction, for one table."""

    def __init__(
        self, transaction: SystemTransaction, mapping: TableMapping, capture: Capture
    ) -> None:
        self._transaction = transaction
        self._mapping = mapping
        self._table = mapping.table.name
        self._record = mapping.record
        self._capture = capture
        self._written: dict[Key, OpenRow] = {}
        columns = mapping.table.columns
        self._clashes: list[Clash] = []
        self._generated = {name for name in mapping.mapped if columns[name].computed}
        self._coming: set[Any] = set()
        """Records that are to be inserted: the present one, and those after it."""

    def run(self, documents: Sequence[RecordDocument], *, inserts: bool) -> set[Key]:
        """Write these records to their rows; return the keys of the rows that were written.

        Without ``inserts`` a record that has no row, and of which no row is a twin, is noted: it
        gets one when all rows of the table have been captured, of which one may be it.
        """
        transaction = self._transaction
        for document in documents:  # first of all: the row of such a record is another's
            if (merged_into := document.merged_into) is not None:
                opened = transaction.rows.get((self._table, document.rid))
                self._follow(document, merged_into, opened)
        links = transaction.shadows.by_records(self._table, [each.rid for each in documents])
        without_row = {
            each.rid
            for each in documents
            if each.live
            and each.rid not in links
            and (self._table, each.rid) not in transaction.rows
        }
        self._look_up_twins([each for each in documents if each.rid in without_row])
        self._coming = set(without_row) if inserts else set()
        incomplete: list[RecordDocument] = []
        later: list[str] = []
        for document in self._parents_first(documents):
            opened = transaction.rows.get((self._table, document.rid))
            if document.merged_into is not None:
                continue
            if opened is not None:
                self._write(document, opened)
            elif document.live and document.rid in without_row and not self._is_united(document):
                if not inserts:
                    later.append(document.rid)
                elif self._insert(document):
                    incomplete.append(document)
            self._coming.discard(document.rid)
        self._fill_in(incomplete)
        self._settle_clashes()
        transaction.notes.add(
            ((self._table, encode_key((NEW, rid))) for rid in later), of_records=True
        )
        self._read_back()
        return set(self._written)

    def _is_united(self, document: RecordDocument) -> bool:
        """Whether a row is there that is this record, and has become so."""
        twin = self._twin(document)
        if twin is not None:
            self._unite(document, twin)
        return twin is not None

    def _fill_in(self, documents: Sequence[RecordDocument]) -> None:
        """Write what could not be written when these were inserted."""
        for document in documents:
            opened = self._transaction.rows.get((self._table, document.rid))
            if opened is not None:
                self._write(document, opened)

    def delete(self, documents: Sequence[RecordDocument]) -> set[Key]:
        """Delete the rows of these records, if they have ended; return the keys."""
        deleted: set[Key] = set()
        for document in documents:
            opened = self._transaction.rows.get((self._table, document.rid))
            if opened is None or document.live or self._record.on_delete != "apply":
                continue
            if self._try(opened.key, partial(self._delete, opened.key)):
                del self._transaction.rows[(self._table, document.rid)]
                self._transaction.shadows.delete(self._table, [opened.key])
                self._flow(document, "$live").deleted += 1
                deleted.add(opened.key)
        return deleted

    def _delete(self, key: Key) -> None:
        self._mapping.rows.delete(self._transaction.connection, [key])

    # Records that have a row

    def _write(self, document: RecordDocument, opened: OpenRow) -> None:
        if not document.live:
            return
        values = document.values(self._transaction.authors)
        fields: dict[str, Any] = {}
        changes: dict[str, Any] = {}
        for name, spec in self._mapping.fields.items():
            value = values.get(name)
            known = opened.agreed.fields.get(name, MISSING)
            same = same_value(value, known)
            if name in opened.pending or (same and name not in opened.forced):
                continue
            if name not in values and name not in opened.forced:
                continue
            local = self._local(spec.ref, value)
            if local is MISSING:
                self._transaction.refuse(
                    self._table, opened.key, [_no_parent(name, spec.ref or "", value)]
                )
                return
            fields[name] = value
            opened.kept.discard(name)
            if spec.ref is not None or not self._shows(opened, name, value):
                changes.update(self._mapping.split(name, local))
        if not fields:
            return
        if changes:
            refusal = self._refusal(lambda: self._update(opened.key, changes))
            if refusal is not None:
                self._clashes.append(Clash(document, opened, fields, changes, refusal))
                return
            self._count_update(document, opened, fields)
        self._agree(opened, fields)

    def _update(self, key: Key, changes: dict[str, Any]) -> None:
        self._mapping.rows.update(self._transaction.connection, key, changes)

    def _count_update(
        self, document: RecordDocument, opened: OpenRow, fields: dict[str, Any]
    ) -> None:
        self._written[opened.key] = opened
        flow = self._flow(document, *fields)
        flow.updated += 1
        flow.fields += len(fields)

    def _agree(self, opened: OpenRow, fields: dict[str, Any]) -> None:
        opened.agreed = Agreed(opened.agreed.columns, opened.agreed.fields | fields)
        opened.moved = True

    def _settle_clashes(self) -> None:
        """Try changes again that the database refused: another row may have had the value then; and
        those of rows that exchange values, all at once."""
        waiting, self._clashes = self._clashes, []
        while waiting:
            left = [each for each in waiting if not self._goes_on([each])]
            if len(left) == len(waiting):
                circle = exchanging(waiting)
                if not circle or not self._goes_on(circle):
                    break
                left = [each for each in waiting if each not in circle]
            waiting = left
        for clash in waiting:
            self._transaction.refuse(self._table, clash.opened.key, [clash.refusal])

    def _goes_on(self, clashes: Sequence[Clash]) -> bool:
        """Write these changes together, if the database takes them by now."""
        connection = self._transaction.connection
        one = clashes[0]
        change = partial(exchange, connection, self._mapping, clashes)
        if len(clashes) == 1:
            change = partial(self._update, one.opened.key, one.changes)
        if self._refusal(change) is not None:
            return False
        for document, opened, fields, *_ in clashes:
            self._count_update(document, opened, fields)
            self._agree(opened, fields)
        return True

    def _shows(self, opened: OpenRow, name: str, value: Any) -> bool:
        """Whether the row has the value already."""
        try:
            shown = self._mapping.join(name, opened.row)
        except NotOfKind:
            return False
        return same_value(shown, value)

    def _local(self, ref: str | None, value: Any) -> Any:
        """The value as the columns have it; MISSING if it refers to a record without a row."""
        if ref is None or value is None:
            return value
        key = self._transaction.linked_key(ref, value)
        return MISSING if key is None else key[0]

    # Records that have none

    def _parents_first(self, documents: Sequence[RecordDocument]) -> Sequence[RecordDocument]:
        """Each after those of its own kind that it refers to, as far as that is no circle."""
        own = [name for name, spec in self._mapping.fields.items() if spec.ref == self._record.name]
        if not own:
            return documents
        by_rid = {document.rid: document for document in documents}
        values = {rid: each.values(self._transaction.authors) for rid, each in by_rid.items()}
        parents = {rid: [of[name] for name in own if of.get(name)] for rid, of in values.items()}
        return [by_rid[rid] for rid in parents_first(by_rid, parents)]

    def _insert(self, document: RecordDocument) -> bool:
        """Returns whether fields are left to be filled in."""
        values = document.values(self._transaction.authors)
        nowhere: Key = (NEW, document.rid)
        row: dict[str, Any] = self._mapping.new_key(document.rid)
        left: set[str] = set()
        for name, spec in self._mapping.fields.items():
            value = values.get(name)
            local = self._local(spec.ref, value)
            if local is MISSING and value in self._coming and self._can_be_empty(name):
                left.add(name)
            elif local is MISSING:
                self._transaction.refuse(
                    self._table, nowhere, [_no_parent(name, spec.ref or "", value)]
                )
                return False
            else:
                row.update(self._mapping.split(name, local))
        columns = self._mapping.table.columns
        row = {
            name: value
            for name, value in row.items()
            if (value is not None or columns[name].nullable) and not columns[name].computed
        }
        made: list[Key] = []
        insert = self._mapping.rows.insert
        if not self._try(nowhere, lambda: made.append(insert(self._transaction.connection, row))):
            return False
        self._transaction.release(self._table, [nowhere])
        fields = {name: values.get(name) for name in self._mapping.fields if name not in left}
        agreed = Agreed({}, fields, self._transaction.now)
        opened = OpenRow(made[0], {}, document.rid, agreed, moved=True)
        self._transaction.rows[(self._table, document.rid)] = self._written[made[0]] = opened
        self._transaction.joined[(self._table, made[0])] = document.rid
        match = self._match_key(document)
        if match is not None:  # the next record may be a twin of it
            self._transaction.matches.setdefault(match, []).append(document.rid)
        self._flow(document, *fields).inserted += 1
        return bool(left)

    def _can_be_empty(self, name: str) -> bool:
        columns = self._mapping.table.columns
        return all(columns[column].nullable for column in self._mapping.columns[name])

    def _look_up_twins(self, documents: Sequence[RecordDocument]) -> None:
        """Have at hand what ``_twin`` asks of each, in a few statements for all."""
        transaction = self._transaction
        matches = [self._match_key(each) for each in documents]
        stored = transaction.records.by_match([match for match in matches if match is not None])
        rids = [rid for each in stored.values() for rid in each]
        linked = transaction.shadows.by_records(self._table, rids)
        transaction.open(rid for rid, shadow in linked.items() if shadow.agreed is not None)

    def _match_key(self, document: RecordDocument) -> str | None:
        return document.match_key(self._transaction.authors) if document.joinable else None

    def _twin(self, document: RecordDocument) -> RecordDocument | None:
        """The one record that is the same by the match rule and has a row here, opened."""
        transaction = self._transaction
        match = self._match_key(document)
        if match is None:
            return None
        stored = transaction.records.by_match([match]).get(match, [])
        rids = {*stored, *transaction.matches.get(match, [])} - {document.rid}
        linked = transaction.shadows.by_records(self._table, rids)
        present = {rid for rid in rids if (self._table, rid) in transaction.rows}
        present |= {
            # It may have become another record's in this transaction.
            transaction.joined.get((self._table, shadow.key), rid)
            for rid, shadow in linked.items()
            if shadow.agreed is not None
        }
        if len(present) != 1:
            return None
        (rid,) = present
        if (self._table, rid) not in transaction.rows:
            self._capture.run({linked[rid].key: UNNOTED})
        transaction.open([rid])
        twin = transaction.documents.get(rid)
        if twin is None or twin.deleted or not twin.joinable:
            return None
        return twin if (self._table, rid) in transaction.rows else None

    def _unite(self, document: RecordDocument, twin: RecordDocument) -> None:
        """Two systems made the same record: the older id stays, whoever finds it first."""
        survivor, loser = sorted((document, twin), key=lambda each: each.rid)
        survivor.take_over(loser, stamp_at(self._transaction.now))
        self._move(self._transaction.rows.pop((self._table, twin.rid)), survivor)

    def _follow(self, document: RecordDocument, survivor_id: str, opened: OpenRow | None) -> None:
        """A peer found that ``document`` is the same as another record."""
        transaction = self._transaction
        transaction.open([survivor_id])
        survivor = transaction.documents.get(survivor_id)
        if survivor is None:
            survivor = transaction.create(self._record.name, survivor_id)
        survivor.take_over(document, stamp_at(transaction.now))
        if opened is None:
            return
        del transaction.rows[(self._table, document.rid)]
        linked = transaction.shadows.by_records(self._table, [survivor_id]).get(survivor_id)
        if (self._table, survivor_id) in transaction.rows or (linked and linked.agreed):
            # Two rows here are one record elsewhere: this one is left alone from now on.
            transaction.shadows.save(self._table, [Shadow(opened.key, document.rid, None)])
        else:
            self._move(opened, survivor)

    def _move(self, opened: OpenRow, survivor: RecordDocument) -> None:
        opened.rid, opened.moved = survivor.rid, True
        self._transaction.rows[(self._table, survivor.rid)] = opened
        self._transaction.joined[(self._table, opened.key)] = survivor.rid
        self._write(survivor, opened)

    # What all need

    def _try(self, key: Key, change: Callable[[], Any]) -> bool:
        """Make a change by itself: what the database does not take goes to quarantine, the
        others go on."""
        refusal = self._refusal(change)
        if refusal is not None:
            self._transaction.refuse(self._table, key, [refusal])
        return refusal is None

    def _refusal(self, change: Callable[[], Any]) -> RowRefusal | None:
        """Make a change by itself; why the database does not take it: then nothing of it is
        there."""
        try:
            refused = self._transaction.attempt(change)
        except NotOfKind as error:
            message = f"{error}".capitalize() + "."
            hint = "Let the rules of the field give what its columns take."
            return RowRefusal("", "type", message, hint)
        return None if refused is None else refusal_of(refused)

    def _flow(self, document: RecordDocument, *fields: str) -> Any:
        """The count of what goes here from the system that wrote the newest of ``fields``."""
        writer = document.newest_writer(fields)
        origin = self._transaction.authors.get(writer, "relay") if writer is not None else "relay"
        return self._transaction.report.flow(origin, self._transaction.system)

    def _read_back(self) -> None:
        """Agree on rows as they are after writing: the database may have changed what it took."""
        if not self._written:
            return
        rows = self._mapping.rows.by_keys(self._transaction.connection, self._written)
        for key, opened in self._written.items():
            if key in rows:
                opened.row = rows[key]
                columns = opened.agreed_columns(self._mapping)
                kept = {name: columns[name] for name in columns if name not in self._generated}
                opened.agreed = opened.agreed._replace(columns=kept)
        if self._generated:  # what the database made of the others is a change
            self._transaction.look_again += [(self._table, key) for key in rows]


def records_without_row(keys: Sequence[Key]) -> list[str]:
    """The records among the keys of rows in quarantine that have no row yet."""
    return [key[1] for key in keys if len(key) == 2 and key[0] == NEW]


def is_of_no_row(key: Key) -> bool:
    """Whether something is remembered under this key that is no row's."""
    return len(key) == 2 and key[0] in (NEW, PARTED)


def _no_parent(field: str, kind: str, rid: Any) -> RowRefusal:
    message = f"It refers to a record of {kind} that has no row here."
    return RowRefusal(field, "parent", message, "It goes on as soon as that one is there.", rid)
