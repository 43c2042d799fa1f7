"""Capture: what users changed in the rows of one table goes into the records' documents.

A row is compared with what was agreed on last, field by field, and only fields that differ are
written, as of the time when the change was noted. So what a pass itself has written is no change
(no echo), and two systems that change different fields of one record both keep their change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from syncline.connectors.database.rows import Key, Row, show_key
from syncline.connectors.report import RowRefusal
from syncline.engine.document.values import same_value
from syncline.engine.errors import PipelineStopped

from .awaited import RowBeside, orphans_of
from .mapping import MISSING, Agreed, Reading, TableMapping
from .mass_deletes import check_deletes
from .moved_keys import follow_keys
from .record_document import RecordDocument, match_key, stamp_at
from .record_table import StoredRecord
from .shadows import Shadow
from .transaction import OpenRow, SystemTransaction

_INITIAL_MAX = 1_000
"""Stamps below are of values of which nobody knows when they were written: those that were there
when the pipeline began. The systems of the file are preferred in its order."""
SAME_MOMENT_MS = 5_000
"""A user who enters a row before, or so long after, a pass inserts one with the same match fields
has not seen it: both are the same."""

PARTED = "$parted"
"""Begins the key of the shadow of a record that has no row here any more, and is to get none."""


class Noted(NamedTuple):
    """What notes say of a row: when it was changed last, in milliseconds since the epoch, if that
    is known, and whether a row with its key went."""

    at: int | None
    gone: bool


UNNOTED = Noted(None, False)


class Capture:
    """The first half of a transaction, for one table. ``rank`` is the place of the system in the
    file."""

    def __init__(self, transaction: SystemTransaction, mapping: TableMapping, rank: int) -> None:
        self._transaction = transaction
        self._mapping = mapping
        self._record = mapping.record
        self._table = mapping.table.name
        self._rank = rank

    def run(
        self,
        noted: Mapping[Key, Noted],
        incoming: Sequence[StoredRecord] = (),
        *,
        allow_deletes: bool = True,
    ) -> None:
        """Look at the rows that were noted, and lock and open them; likewise those that
        ``incoming`` records of peers are about."""
        transaction = self._transaction
        arriving = [each.rid for each in incoming if each.kind == self._record.name]
        linked = transaction.shadows.by_records(self._table, arriving)
        looked_at = {shadow.key: UNNOTED for shadow in linked.values() if shadow.agreed}
        looked_at |= dict(noted)
        times = {key: each.at for key, each in looked_at.items()}
        rows = self._mapping.rows.by_keys(transaction.connection, times, lock=True)
        for key in transaction.take_locked(self._mapping, times.keys() - rows.keys()):
            del times[key], looked_at[key]
        shadows = transaction.shadows.by_keys(self._table, times)
        transaction.open(shadow.rid for shadow in shadows.values())
        transaction.report.looked_at += len(times)
        for key in [key for key, each in looked_at.items() if each.gone and key in rows]:
            if key not in shadows:
                continue
            if self._is_another(shadows[key], rows[key]):
                self._deleted(shadows.pop(key), times[key], follow=False)
            elif document := transaction.documents.get(shadows[key].rid):
                # It was made again, whoever deleted it elsewhere before that.
                document.set_live(True, self._stamp(times[key]))
        follow_keys(rows, shadows, self._mapping, transaction.shadows)
        gone = [shadow for key, shadow in shadows.items() if key not in rows and shadow.agreed]
        if not allow_deletes:
            self._check_deletes(len(gone))
        for shadow in gone:
            self._deleted(shadow, times[shadow.key])
        new: dict[Key, Row] = {}
        for key, row in rows.items():
            known = shadows.get(key)
            if known is None or known.agreed is None:
                new[key] = row
            else:
                self._known(known, known.agreed, row, times[key])
        self._appeared(new, shadows, times, [each for each in incoming if each.rid in arriving])
        transaction.release(self._table, [key for key in times if key not in rows])

    # Rows that went

    def _check_deletes(self, number: int) -> None:
        total = self._transaction.shadows.count(self._table)
        check_deletes(self._record, self._transaction.system, self._table, number, total)

    def _is_another(self, shadow: Shadow, row: Row) -> bool:
        """Whether a row of which the key went, and came again, is another record: databases give
        the key of a deleted row to a new one, and programs replace rows by deleting them first."""
        document = self._transaction.documents.get(shadow.rid)
        if shadow.agreed is None or document is None:
            return False
        values = self._mapping.read(row).clean
        if self._record.match:
            before = document.match_key(self._transaction.authors)
            return match_key(self._record, values) != before
        agreed = shadow.agreed.fields
        return not any(
            value is not None and same_value(value, agreed.get(name))
            for name, value in values.items()
        )

    def _deleted(self, shadow: Shadow, at: int | None, *, follow: bool = True) -> None:
        """``follow``: if the row comes again, it is this record again."""
        transaction = self._transaction
        document = transaction.documents.get(shadow.rid)
        if self._record.on_delete == "ignore" or document is None:
            transaction.shadows.delete(self._table, [shadow.key])
            key = shadow.key if follow else (PARTED, shadow.rid)
            transaction.shadows.save(self._table, [Shadow(key, shadow.rid, None)])
            return
        transaction.shadows.delete(self._table, [shadow.key])
        if document.live:
            document.set_live(False, self._stamp(at))
            transaction.note_change(self._record.name, shadow, "deleted", {})

    # Rows that are known

    def _known(self, shadow: Shadow, agreed: Agreed, row: Row, at: int | None) -> None:
        transaction, mapping = self._transaction, self._mapping
        document = transaction.documents.get(shadow.rid)
        if document is None:
            return
        opened = OpenRow(shadow.key, row, shadow.rid, agreed)
        transaction.rows[(self._table, shadow.rid)] = opened
        changed = mapping.changed_fields(row, agreed)
        if not changed:
            transaction.release(self._table, [shadow.key])
            return
        reading = self._read(row)
        # What counts for nothing is put back, whatever it is.
        opened.forced |= (anothers := {name for name in changed if self._is_anothers(name)})
        taken = changed - anothers
        refused = [each for each in reading.refusals if each.field in taken]
        if refused:
            self._refuse(shadow.key, reading, refused)
            if any(self._is_quarantined_for(each) for each in refused):
                opened.pending = changed
                return
        else:
            transaction.release(self._table, [shadow.key])
        opened.kept = taken & reading.kept
        fields = dict(agreed.fields)
        captured: dict[str, Any] = {}
        for name in sorted(taken - reading.kept):
            value = reading.clean[name]
            self._count_cleaned(reading, name, opened)
            if not same_value(value, fields.get(name, MISSING)):
                known = any(each in agreed.columns for each in mapping.columns[name])
                stamp = self._stamp(at) if known else self._initial(name)
                document.put(name, value, stamp)
                captured[name] = fields[name] = value
        opened.agreed, opened.moved = Agreed(opened.agreed_columns(mapping), fields), True
        if captured:
            transaction.note_change(self._record.name, shadow, "updated", captured)

    def _is_anothers(self, name: str) -> bool:
        owner = self._mapping.fields[name].owner
        return owner is not None and owner != self._transaction.system

    def _count_cleaned(self, reading: Reading, name: str, opened: OpenRow) -> None:
        """A value that the rules changed is written back, too."""
        spec = self._mapping.fields[name]
        if spec.ref or same_value(reading.clean[name], reading.raw.get(name, MISSING)):
            return
        opened.forced.add(name)
        rules = spec.cleaner.rules
        typed = [rule.name for rule in rules if rule.stage == "type"]
        self._transaction.report.cleaned[(typed or ["text"])[0]] += 1

    # Rows that came

    def _appeared(
        self,
        rows: Mapping[Key, Row],
        shadows: Mapping[Key, Shadow],
        times: Mapping[Key, int | None],
        incoming: Sequence[StoredRecord],
    ) -> None:
        transaction, record = self._transaction, self._record
        readings: dict[Key, Reading] = {}
        for key, row in rows.items():
            reading = self._read(row, among=rows)
            if not any(self._is_quarantined_for(each) for each in reading.refusals):
                readings[key] = reading
            if reading.refusals:
                self._refuse(key, reading, reading.refusals)
            else:
                transaction.release(self._table, [key])
        for key, names in orphans_of(
            {key: reading.clean for key, reading in readings.items()}
        ).items():
            orphan = readings.pop(key)
            self._refuse(key, orphan, [self._no_parent(e, orphan.clean[e].key[0]) for e in names])
        documents: dict[Key, RecordDocument] = {}
        keys = {key: match_key(record, each.clean) for key, each in readings.items()}
        wanted = {match for match in keys.values() if match}
        free, taken = self._candidates(wanted, incoming)
        transaction.open(min(rids) for rids in free.values())
        for key in readings:
            match = keys[key]
            candidates = free.get(match, []) if match else []
            gone = shadows.get(key)
            # Several are of several systems, and will be united: rows of one are told apart.
            rid = min(candidates, default=None)
            if gone is not None:
                rid = gone.rid
            transaction.open([rid] if rid else [])
            document = transaction.documents.get(rid) if rid else None
            if document is None:
                document = transaction.create(record.name, rid)
            if match:
                if rid is None and match in taken:
                    if twin := self._inserted_meanwhile(match, times[key]):
                        document.close()
                        del transaction.documents[document.rid]
                        document = twin
                    else:
                        document.put("$distinct", True, 1)
                taken.add(match)
                free.pop(match, None)
                transaction.matches.setdefault(match, []).append(document.rid)
            documents[key] = document
            transaction.joined[(self._table, key)] = document.rid
        for key, document in documents.items():  # they may refer to each other
            reading = readings[key]
            for name, value in reading.clean.items():
                if isinstance(value, RowBeside):
                    reading.clean[name] = documents[value.key].rid
            self._join(key, rows[key], reading, document, times[key])

    def _inserted_meanwhile(self, match: str, at: int | None) -> RecordDocument | None:
        """The record with this match key that a pass gave a row here at the moment when a user
        entered one, at ``at``, without seeing it. Its row, which nobody has changed, is deleted:
        the user's is it from now on.

        None if there is no such record, or if the database keeps the row, because others refer to
        it already.
        """
        transaction = self._transaction
        if at is None:
            return None
        rids = transaction.records.by_match([match]).get(match, [])
        linked = transaction.shadows.by_records(self._table, rids)
        made = [
            shadow
            for shadow in linked.values()
            if shadow.agreed is not None
            and shadow.agreed.made is not None
            and at <= shadow.agreed.made + SAME_MOMENT_MS
        ]
        if len(made) != 1:
            return None
        (shadow,) = made
        transaction.open([shadow.rid])
        twin = transaction.documents.get(shadow.rid)
        if twin is None or not twin.live or not twin.joinable:
            return None
        rows = self._mapping.rows
        refused = transaction.attempt(lambda: rows.delete(transaction.connection, [shadow.key]))
        if refused is not None:
            return None
        transaction.shadows.delete(self._table, [shadow.key])
        transaction.rows.pop((self._table, shadow.rid), None)
        return twin

    def _candidates(
        self, wanted: Iterable[str], incoming: Sequence[StoredRecord]
    ) -> tuple[dict[str, list[str]], set[str]]:
        """Records with these match keys that no row here is, and the keys of which a row is."""
        transaction = self._transaction
        free: dict[str, list[str]] = {}
        taken = {match for match in wanted if match in transaction.matches}
        known = transaction.records.by_match(wanted)
        rids = [rid for each in known.values() for rid in each]
        linked = transaction.shadows.by_records(self._table, rids)
        for match, each in known.items():
            unlinked = [rid for rid in each if rid not in linked]
            if len(unlinked) < len(each):
                taken.add(match)
            if unlinked:
                free[match] = unlinked
        wanted = set(wanted)
        stored = set(rids)
        for record in incoming if wanted else ():
            if record.rid in stored or record.rid in transaction.documents:
                continue
            peeked = RecordDocument(self._record, record.rid, 0, record.document)
            found = peeked.match_key(transaction.authors)
            if found in wanted and peeked.joinable:
                same = free.setdefault(str(found), [])
                if record.rid not in same:  # several peers may have it
                    same.append(record.rid)
            peeked.close()
        return free, taken

    def _join(
        self, key: Key, row: Row, reading: Reading, document: RecordDocument, at: int | None
    ) -> None:
        """Let the row be the record of ``document``."""
        transaction, mapping = self._transaction, self._mapping
        opened = OpenRow(key, row, document.rid, Agreed({}, {}), moved=True)
        before = document.values(transaction.authors)
        fields: dict[str, Any] = {}
        captured: dict[str, Any] = {}
        for name, value in reading.clean.items():
            self._count_cleaned(reading, name, opened)
            known = before.get(name, MISSING)
            if self._is_anothers(name) and known is not MISSING:
                opened.forced.add(name)
            elif not same_value(value, known) and (value is not None or known is not MISSING):
                stamp = self._stamp(at) if at is not None else self._initial(name)
                document.put(name, value, stamp)
                captured[name] = value
            fields[name] = value
        for name in reading.kept:
            fields[name] = before.get(name)
        opened.kept = set(reading.kept)
        if not document.live:
            document.set_live(True, self._stamp(at) if at is not None else self._initial(""))
        opened.agreed = Agreed(opened.agreed_columns(mapping), fields)
        transaction.rows[(self._table, document.rid)] = opened
        # What was there before the pipeline is no change.
        told = at is not None
        transaction.note_change(self._record.name, opened, "created", captured, told=told)

    # What both need

    def _read(self, row: Row, among: Collection[Key] = ()) -> Reading:
        """``among`` are rows that become records together with this one."""
        reading = self._mapping.read(row)
        if reading.stop:
            first = reading.refusals[0]
            key = show_key(self._mapping.rows.key_of(row))
            where = f"{self._transaction.system} {self._table} {key}"
            raise PipelineStopped(
                f"{where}: {first.message} (on_invalid is stop)",
                hint=first.hint,
            )
        for name, spec in self._mapping.fields.items():
            local = reading.clean.get(name)
            if spec.ref is None or local is None:
                continue
            parent = (row[self._mapping.columns[name][0]],)
            rid = self._transaction.link(spec.ref, parent)
            if rid is not None:
                reading.clean[name] = rid
            elif self._is_beside(name, parent, among):
                reading.clean[name] = RowBeside(parent)
            else:
                reading.refusals.append(self._no_parent(name, local))
                del reading.clean[name]
        return reading

    def _is_beside(self, name: str, parent: Key, among: Collection[Key]) -> bool:
        own = self._mapping.fields[name].ref == self._record.name
        return own and name not in self._record.match and parent in among

    def _no_parent(self, name: str, local: Any) -> RowRefusal:
        kind = self._mapping.fields[name].ref
        message = f"It refers to {kind} {local}, which is not there or in quarantine."
        return RowRefusal(name, "parent", message, "It goes on as soon as that row does.", local)

    def _is_quarantined_for(self, refusal: RowRefusal) -> bool:
        if refusal.rule == "parent":
            return True
        return self._mapping.fields[refusal.field].cleaner.on_invalid == "quarantine"

    def _refuse(self, key: Key, reading: Reading, refusals: Iterable[RowRefusal]) -> None:
        self._transaction.refuse(self._table, key, refusals)

    def _stamp(self, at: int | None) -> int:
        now = self._transaction.now
        return stamp_at(now if at is None else min(at, now))

    def _initial(self, name: str) -> int:
        spec = self._mapping.fields.get(name)
        owned = spec is not None and spec.owner == self._transaction.system
        return _INITIAL_MAX if owned else _INITIAL_MAX - 1 - self._rank
