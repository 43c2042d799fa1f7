"""Two databases in step through random histories of edits, syncs and crashes: they end equal, no
edit is lost, and nothing goes to and fro (RELIABILITY I1 to I4, for connected databases)."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from syncline.connectors.bookkeeping.notes import Note, Notes
from syncline.connectors.database.system import System
from syncline.connectors.two_way.mapping import TableMapping
from syncline.connectors.two_way.replica import SystemReplica
from tests.profiles import few_quickly, scaled

from .histories import FIELDS, MAX_STATEMENTS, History
from .two_sides import CONTACTS, CUSTOMERS, Side, two_sides

EXAMPLES = 500
PARTS = 10
SERVERS = 30
STEPS = 10

sides = st.sampled_from(["crm", "accounting"])
emails = st.sampled_from(["a@x.org", "b@x.org"])


class Machine(RuleBasedStateMachine):
    """The users of both databases, and the pipeline between them."""

    both: tuple[Side, Side]

    def __init__(self) -> None:
        super().__init__()
        for side, table in zip(self.both, (CONTACTS, CUSTOMERS), strict=True):
            for name in sa.inspect(side.engine).get_table_names():
                side.execute(f"DROP TABLE {name}")
            side.create(table)
        self.history = History(*self.both)

    @rule(side=sides, email=emails, field=st.sampled_from(FIELDS))
    def write(self, side: str, email: str, field: str) -> None:
        self.history.write(side, email, field)

    @rule(side=sides, email=emails)
    def delete(self, side: str, email: str) -> None:
        self.history.delete(side, email)

    @rule()
    def sync(self) -> None:
        self.history.sync()

    @rule(statements=st.integers(0, MAX_STATEMENTS))
    def crash(self, statements: int) -> None:
        self.history.sync_and_crash(statements)

    def teardown(self) -> None:
        try:
            self.history.check()
        finally:
            self.history.close()


@contextmanager
def engines_kept() -> Generator[None]:
    """The same engines in all examples: each new one compiles all statements anew, which takes a
    third of the time."""
    engines: dict[sa.URL, sa.Engine] = {}
    make = System._engine  # pyright: ignore[reportPrivateUsage]

    def kept(self: System, url: sa.URL) -> sa.Engine:
        if url not in engines:
            engines[url] = make(self, url)
        return engines[url]

    with patch.object(System, "_engine", kept):
        yield


def run(examples: int, kinds: tuple[str, str] = ("sqlite", "sqlite"), **given: Any) -> None:
    """Try so many random histories of two databases, which are made once and emptied for each."""
    # In memory where that is possible: what is tried is the death of the process, not of the
    # machine, and a disk would only make it slow.
    memory = Path("/dev/shm")  # noqa: S108
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        engines_kept(),
        two_sides(*kinds, Path(folder)) as made,
    ):

        class Both(Machine):
            both = made

        run_state_machine_as_test(
            Both,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
                **given,
            ),
        )


@pytest.mark.scaled
@pytest.mark.parametrize("part", few_quickly(range(PARTS)))
def test_two_databases_stay_in_step(part: int) -> None:
    run(scaled(EXAMPLES // PARTS))


@pytest.mark.services
@pytest.mark.parametrize("kinds", [("postgresql", "mariadb"), ("mariadb", "postgresql")])
def test_servers_stay_in_step(kinds: tuple[str, str]) -> None:
    run(SERVERS // 2, kinds, phases=[Phase.generate])


@contextmanager
def applied_before_capture() -> Generator[None]:
    """The defect: what peers have is written first, and what users changed is looked at later."""
    unspoilt = SystemReplica._run  # pyright: ignore[reportPrivateUsage]

    def no_notes(*_: Any) -> list[Note]:
        return []

    def no_fields(*_: Any) -> set[str]:
        return set()

    def run_late(self: SystemReplica, opened: Any, incoming: Any, **options: Any) -> Any:
        with ExitStack() as stack:
            if incoming:
                stack.enter_context(patch.object(Notes, "oldest", no_notes))
                stack.enter_context(patch.object(TableMapping, "changed_fields", no_fields))
            return unspoilt(self, opened, incoming, **options)

    with patch.object(SystemReplica, "_run", run_late):
        yield


@pytest.mark.slow
def test_without_capture_before_apply_edits_are_lost() -> None:
    with applied_before_capture(), pytest.raises(AssertionError):
        run(200, phases=[Phase.generate])
