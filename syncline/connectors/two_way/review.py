"""What people ask about a two-way pipeline, and decide: conflicts, quarantine, equality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from syncline.connectors.bookkeeping.quarantine import Quarantine, Quarantined
from syncline.connectors.bookkeeping.state import State, has_state
from syncline.connectors.database.rows import batches
from syncline.connectors.database.tables import names_of, reflect
from syncline.connectors.report import Finding, MergedField, PassReport
from syncline.connectors.verification import Verification
from syncline.engine.errors import RecordNotFound, SystemRefused, SystemUnavailable, UsageError
from syncline.engine.identity import Identity

from .comparison import ComparedSide, common_fields, compare
from .mapping import check_columns
from .record_document import RecordDocument, stamp_at
from .record_table import RecordTable, StoredRecord
from .relay import RELAY
from .replica import Incoming, describe_conflict
from .systems import TwoWaySystems


class TwoWayReview(TwoWaySystems):
    """Answers about the pipeline, each from its systems as they are."""

    def _pending(self, name: str) -> int:
        with self._reading(name) as connection:
            if not has_state(connection):
                return 0
            tables = [record.tables[name] for record in self._records if name in record.tables]
            return State(connection, self.pipeline.name).count_notes(tables)

    def pending(self) -> dict[str, int]:
        """How many changes wait in each system that can be reached."""
        found: dict[str, int] = {}
        for name in self.systems:
            try:
                found[name] = self._pending(name)
            except SystemUnavailable:
                continue
        if self._relay is not None:
            found[RELAY] = self._relay.pending
        return found

    def check(self) -> list[Finding]:
        """What does not fit between the file and the databases. Writes nothing."""
        findings: list[Finding] = []
        for name, system in self.systems.items():
            try:
                with system.reading() as connection:
                    tables = names_of(connection)
                    for record in self._records:
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
                self._open(self.systems)
            except (SystemUnavailable, SystemRefused) as error:
                findings.append(Finding(True, "record", error.message, error.hint))
        return findings

    def quarantine(self) -> list[Quarantined]:
        """Everything that is in quarantine, in every system that can be reached."""
        found: list[Quarantined] = []
        for name in self.systems:
            try:
                with self._reading(name) as connection:
                    if has_state(connection):
                        found += Quarantine(connection, self.pipeline.name).entries()
            except SystemUnavailable:
                continue
        return found

    def retry(self) -> int:
        """Let the next sync look again at every row in quarantine; returns how many rows."""
        rows = 0
        for name in self.systems:
            with self._writing(name) as connection:
                if has_state(connection):
                    held = {
                        (e.table, e.pk)
                        for e in Quarantine(connection, self.pipeline.name).entries()
                    }
                    State(connection, self.pipeline.name).note_rows(held)
                    rows += len(held)
        return rows

    def resync(self, table: str) -> None:
        """Let the next sync compare all rows of a table (or of a record's tables) anew. Raises
        UsageError if no record has such a table."""
        self._open(self.systems)
        found = False
        for name, replica in self._replicas.items():
            for mapping in replica.mappings.values():
                if table in (mapping.table.name, mapping.record.name):
                    found = True
                    with self._writing(name) as connection:
                        replica.state(connection).note_all(mapping.rows)
        if not found:
            names = sorted({each for record in self._records for each in record.tables.values()})
            raise UsageError(
                f"No record of {self.pipeline.name} has a table {table!r}.",
                hint=f"Its tables are {', '.join(names)}.",
            )

    def conflicts(self) -> list[MergedField]:
        """Every field that holds different concurrent values, whatever its policy shows."""
        self._open(self.systems)
        authors = self._remember(self.systems)
        found: list[MergedField] = []
        for document in self._in_conflict():
            values = document.values(authors)
            named = (str(values[each]) for each in document.record.fields if values.get(each))
            label = next(named, "")[:40]
            if document.live:
                found += [
                    describe_conflict(document, name, authors)._replace(label=label)
                    for name in document.conflicts
                ]
            document.close()
        return found

    def _in_conflict(self) -> Iterator[RecordDocument]:
        """The records that one of the systems has in conflict, with what all know of them: another
        may have been told what ends it. To be closed."""
        rids: set[str] = set()
        for name, replica in self._replicas.items():
            with self._reading(name) as connection:
                found = RecordTable(replica.state(connection)).in_conflict()
                rids.update(each.rid for each in found if each.kind in replica.mappings)
        for batch in batches(sorted(rids)):
            documents: dict[str, RecordDocument] = {}
            for stored in self._copies(batch):
                if stored.rid in documents:
                    documents[stored.rid].merge(stored.document)
                else:
                    record = self.pipeline.records[stored.kind]
                    documents[stored.rid] = RecordDocument(record, stored.rid, 0, stored.document)
            yield from documents.values()

    def _copies(self, rids: Sequence[str]) -> Iterator[StoredRecord]:
        """What each system has stored of these records."""
        for name, replica in self._replicas.items():
            with self._reading(name) as connection:
                yield from RecordTable(replica.state(connection)).load(rids).values()

    def verify(self) -> Verification:
        """Compare all rows of all systems. Raises SystemUnavailable."""
        self._open(self.systems)
        result = Verification(self.pipeline.name, waiting=self.pending())
        for first, second in combinations(self._replicas.values(), 2):
            with self._reading(first.name) as ours, self._reading(second.name) as theirs:
                if not (has_state(ours) and has_state(theirs)):
                    raise UsageError(
                        f"{self.pipeline.name} has not run yet, so there is nothing to verify.",
                        hint="Run syncline sync FILE first.",
                    )
                for kind in first.mappings.keys() & second.mappings.keys():
                    fields = common_fields(first.mappings[kind], second.mappings[kind])
                    compare(
                        ComparedSide(ours, first, kind, fields),
                        ComparedSide(theirs, second, kind, fields),
                        result,
                    )
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
        authors = self._remember(self.systems)
        client_id = Identity.draw(self._rng, "").client_id
        name, replica = next(
            (name, each)
            for name, each in self._replicas.items()
            if conflict.record in each.mappings
        )
        stored, *others = self._copies([rid])
        document = RecordDocument(
            self.pipeline.records[stored.kind], rid, client_id, stored.document
        )
        for other in others:
            document.merge(other.document)
        document.put(field, conflict.values[take], stamp_at(self._now()))
        resolved = stored._replace(document=document.dump())
        document.close()
        with self._writing(name) as connection:
            replica.state(connection).set_meta(f"author:{client_id}", take)
            report = PassReport(self.pipeline.name)
            replica.run(
                connection,
                [Incoming("resolved", 0, [resolved])],
                authors | {client_id: take},
                report,
                allow_deletes=False,
                retry=False,
            )
