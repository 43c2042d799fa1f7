"""Rows that wait for others: written after these, in however many pages all of them came."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.connectors.bookkeeping.quarantine import Quarantine
from syncline.connectors.database.order import in_circles, parents_first
from syncline.connectors.database.rows import KEYS_AT_ONCE, Key, batches
from syncline.connectors.report import Pass

from .plan import PlannedRow, TablePlan
from .references import Node
from .systems import OneWaySystems
from .target import SOURCE
from .writing import writing_tables


class WaitingRows:
    """Tries the rows again that the destination refused. ``everything``: all that wait for a
    parent, not only those that were not tried for longest: something has been written."""

    def __init__(self, systems: OneWaySystems, current: Pass, *, everything: bool) -> None:
        self._systems = systems
        self._current = current
        self._everything = everything

    def try_again(self) -> None:
        """Until no more of them can be written. Rows of which each waits for the other are written
        without what they refer to, where that can be empty, and filled in then."""
        before = self._count()
        while before:
            for plan in self._systems.plans:
                self._try(plan, self._keys(plan))
            after = self._count()
            if after == before and not self._break_circles():
                return
            before = self._count()

    def _count(self) -> int:
        with self._systems.destination() as state:
            return Quarantine(state.connection, self._systems.pipeline.name).count()

    def _keys(self, plan: TablePlan) -> list[Key]:
        with self._systems.destination() as state:
            quarantine = Quarantine(state.connection, self._systems.pipeline.name)
            keys = quarantine.keys(SOURCE, plan.name, transient=True)
            if self._everything:
                keys = list(dict.fromkeys([*keys, *quarantine.waiting(SOURCE, plan.name)]))
        return parents_first(keys, self._parents(plan, keys))

    def _parents(self, plan: TablePlan, keys: Sequence[Key]) -> dict[Key, list[Key]]:
        """The rows of the same table that these refer to, by the keys at the source."""
        sources = {to: name for name, to in plan.columns.items()}
        own = [
            [sources[name] for name in key.columns]
            for key in plan.target.foreign_keys
            if key.table == plan.target.name
            and [sources.get(name) for name in key.referred] == list(plan.source.key)
            and all(name in sources for name in key.columns)
        ]
        parents: dict[Key, list[Key]] = {}
        for batch in batches(keys if own else ()):
            with self._systems.source() as source:
                rows = plan.rows.by_keys(source, batch)
            for key, row in rows.items():
                parents[key] = [tuple(row[name] for name in names) for names in own]
        return parents

    def _try(self, plan: TablePlan, keys: Sequence[Key]) -> None:
        """Write rows in this order."""
        for batch in batches(keys, KEYS_AT_ONCE):
            with writing_tables(self._systems, self._current, again=True) as (_, tables):
                planned = self._planned(plan, batch)
                tables[plan.name].write(planned)
                there = {row.source_key for row in planned}
                tables[plan.name].remove([key for key in batch if key not in there])

    def _planned(self, plan: TablePlan, keys: Sequence[Key]) -> list[PlannedRow]:
        with self._systems.source() as source:
            rows = plan.rows.by_keys(source, keys)
        return [plan.read(rows[key]) for key in keys if key in rows]

    def _break_circles(self) -> int:
        """Write rows that wait for each other without what they refer to; return how many."""
        keys = {plan.name: self._keys(plan) for plan in self._systems.plans}
        parents: dict[Node, list[Node]] = {}
        for plan in self._systems.plans:
            for batch in batches(keys[plan.name], KEYS_AT_ONCE):
                with writing_tables(self._systems, self._current, again=True) as (_, tables):
                    for row, key, values in tables[plan.name].missing(self._planned(plan, batch)):
                        named = parents.setdefault((plan.target.name, row.key), [])
                        named.append((key.table, values))
        circles = in_circles(parents)
        written = 0
        for plan in self._systems.plans if circles else ():
            for batch in batches(keys[plan.name], KEYS_AT_ONCE):
                with writing_tables(self._systems, self._current, again=True) as (_, tables):
                    rows = self._planned(plan, batch)
                    among = [row for row in rows if (plan.target.name, row.key) in circles]
                    written += tables[plan.name].write_emptied(among, circles)
        return written
