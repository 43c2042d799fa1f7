"""What people ask about a two-way pipeline, and decide: conflicts, quarantine, equality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from syncline.connectors.bookkeeping.notes import Notes
from syncline.connectors.bookkeeping.quarantine import KEY_RULE, Quarantine, Quarantined
from syncline.connectors.bookkeeping.schema import has_state
from syncline.connectors.database.rows import batches, decode_key
from syncline.connectors.database.tables import names_of, reflect
from syncline.connectors.report import Finding, MergedField, PassReport
from syncline.connectors.verification import Verification
from syncline.engine.errors import RecordNotFound, SystemRefused, SystemUnavailable, UsageError
from syncline.engine.identity import Identity

from .apply import is_of_no_row
from .authors import Authors
from .comparison import ComparedSide, common_fields, compare
from .conflicts import describe_conflict
from .mapping import check_columns
from .record_document import RecordDocument, stamp_at
from .record_table import RecordTable, StoredRecord
from .relay import RELAY
from .replica import Incoming
from .systems import TwoWaySystems


class TwoWayReview:
    """Answers about the pipeline, each from its systems as they are."""

    def __init__(self, systems: TwoWaySystems, authors: Authors) -> None:
        self._systems = systems
        self._authors = authors
        self._pipeline = systems.pipeline

    def pending(self) -> dict[str, int]:
        """How many changes wait in each system that can be reached."""
        found: dict[str, int] = {}
        for name in self._systems.by_name:
            try:
                found[name] = self._systems.count_notes(name)
            except SystemUnavailable:
                continue
        if (relay := self._systems.relay) is not None:
            found[RELAY] = relay.pending
        return found

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        findings: list[Finding] = []
        for name, system in self._systems.by_name.items():
            try:
                with system.reading() as connection:
                    tables = names_of(connection)
                    for record in self._systems.records:
                        if record.tables.get(name) in tables:
                            table = reflect(connection, record.tables[name])
                            findings += check_columns(record, name, table)
                        elif name in record.tables:
                            where = f"record.{record.name}.in.{name}"
                            message = f"There is no table {record.tables[name]!r}."
                            hint = f"There are {', '.join(tables[:20]) or 'none'}."
                            findings.append(Finding(True, where, message, hint))
            except (SystemUnavailable, SystemRefused) as error:
                findings.append(Finding(True, f"system.{name}", error.message, error.hint))
        if not any(finding.problem for finding in findings):
            try:
                self._systems.learn(self._systems.by_name)
            except (SystemUnavailable, SystemRefused) as error:
                findings.append(Finding(True, "record", error.message, error.hint))
        return findings

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine, in every system that can be reached."""
        found: list[Quarantined] = []
        for name in self._systems.by_name:
            try:
                with self._systems.reading(name) as connection:
                    if has_state(connection):
                        found += Quarantine(connection, self._pipeline.name).entries()
            except SystemUnavailable:
                continue
        return found

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        rows = 0
        for name in self._systems.by_name:
            with self._systems.writing(name) as connection:
                if has_state(connection):
                    entries = Quarantine(connection, self._pipeline.name).entries()
                    quarantined = {(entry.table, entry.pk) for entry in entries}
                    records = {each for each in quarantined if is_of_no_row(decode_key(each[1]))}
                    notes = Notes(connection, self._pipeline.name)
                    notes.add(quarantined - records)
                    notes.add(records, of_records=True)
                    rows += len(quarantined)
        return rows

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table (or of a record's tables) anew. Raises
        UsageError if no record has such a table."""
        self._systems.learn(self._systems.by_name)
        found = False
        for name, replica in self._systems.replicas.items():
            for mapping in replica.mappings.values():
                if table in (mapping.table.name, mapping.record.name):
                    found = True
                    with self._systems.writing(name) as connection:
                        replica.notes(connection).add_all(mapping.rows)
        if not found:
            names = sorted(
                {each for record in self._systems.records for each in record.tables.values()}
            )
            raise UsageError(
                f"No record of {self._pipeline.name} has a table {table!r}.",
                hint=f"Its tables are {', '.join(names)}.",
            )

    def conflicts(self) -> list[MergedField]:
        """Every field that holds different concurrent values, whatever its policy shows."""
        self._systems.learn(self._systems.by_name)
        authors = self._authors.agree(self._systems.by_name)
        found: list[MergedField] = []
        for document in self._in_conflict():
            if document.live:
                label = document.label(authors)
                found += [
                    describe_conflict(document, name, label, authors) for name in document.conflicts
                ]
            document.close()
        return found

    def _in_conflict(self) -> Iterator[RecordDocument]:
        """The records that one of the systems has in conflict, with what all know of them: another
        may have been told what ends it. To be closed."""
        rids: set[str] = set()
        for name, replica in self._systems.replicas.items():
            with self._systems.reading(name) as connection:
                found = RecordTable(replica.state(connection)).in_conflict()
                rids.update(each.rid for each in found if each.kind in replica.mappings)
        for batch in batches(sorted(rids)):
            documents: dict[str, RecordDocument] = {}
            for stored in self._copies(batch):
                if stored.rid in documents:
                    documents[stored.rid].merge(stored.document)
                else:
                    record = self._pipeline.records[stored.kind]
                    documents[stored.rid] = RecordDocument(record, stored.rid, 0, stored.document)
            yield from documents.values()

    def _copies(self, rids: Sequence[str]) -> Iterator[StoredRecord]:
        """What each system has stored of these records."""
        for name, replica in self._systems.replicas.items():
            with self._systems.reading(name) as connection:
                yield from RecordTable(replica.state(connection)).load(rids).values()

    def verify(self) -> Verification:
        """Compare all rows of all systems. Raises SystemUnavailable."""
        self._systems.learn(self._systems.by_name)
        result = Verification(self._pipeline.name, waiting=self.pending())
        held: dict[tuple[str, str], int] = {}
        for first, second in combinations(self._systems.replicas.values(), 2):
            with (
                self._systems.reading(first.name) as ours,
                self._systems.reading(second.name) as theirs,
            ):
                if not (has_state(ours) and has_state(theirs)):
                    raise UsageError(
                        f"{self._pipeline.name} has not run yet, so there is nothing to verify.",
                        hint="Run syncline sync FILE first.",
                    )
                for kind in first.mappings.keys() & second.mappings.keys():
                    fields = common_fields(first.mappings[kind], second.mappings[kind])
                    sides = (
                        ComparedSide(ours, first, kind, fields),
                        ComparedSide(theirs, second, kind, fields),
                    )
                    compare(*sides, result)
                    for side, count in zip(sides, result.sides[-2:], strict=True):
                        held[kind, side.system] = side.quarantined + count.held[KEY_RULE]
        result.quarantined = sum(held.values())
        return result

    def resolve(self, rid: str, field: str, *, take: str) -> None:
        """End a conflict: the value of the system ``take`` is the one. The next sync takes it to
        the others. Raises RecordNotFound if there is no such conflict."""
        conflict = next(
            (each for each in self.conflicts() if (each.rid, each.field) == (rid, field)), None
        )
        if conflict is None or take not in conflict.values:
            raise RecordNotFound(
                f"There is no conflict of {field!r} in the record {rid} with a value of {take!r}.",
                hint="syncline conflicts FILE lists them.",
            )
        authors = self._authors.agree(self._systems.by_name)
        client_id = Identity.draw(self._systems.rng, "").client_id
        name, replica = next(
            (name, each)
            for name, each in self._systems.replicas.items()
            if conflict.record in each.mappings
        )
        stored, *others = self._copies([rid])
        document = RecordDocument(
            self._pipeline.records[stored.kind], rid, client_id, stored.document
        )
        for other in others:
            document.merge(other.document)
        document.put(field, conflict.values[take], stamp_at(self._systems.now()))
        resolved = stored._replace(document=document.dump())
        document.close()
        with self._systems.writing(name) as connection:
            replica.state(connection).set_meta(f"author:{client_id}", take)
            report = PassReport(self._pipeline.name)
            replica.run(
                connection,
                [Incoming("resolved", 0, [resolved])],
                authors | {client_id: take},
                report,
                allow_deletes=False,
                retry=False,
            )
