"""Pipelines that keep going: changes go on by themselves, and others are told of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.connectors import open_run
from syncline.connectors.file.load import parse_pipeline
from syncline.connectors.file.spec import Notify, OneWay, TwoWay
from syncline.connectors.report import Change, PassReport
from syncline.connectors.running.notifier import CHANGES_AT_ONCE, Notifier
from syncline.connectors.running.run import PipelineRun
from syncline.connectors.running.runner import PipelineRunner

from .two_sides import Side, empty, shared_contacts, two_sides
from .webhooks import PATIENCE, Webhook, webhook

AN_HOUR = 3600.0
"""Passes that come of themselves come too late for any test."""


class Going:
    """A pipeline that keeps going in a thread, and what it said."""

    def __init__(self, run: PipelineRun) -> None:
        self.run = run
        self.stop = threading.Event()
        self.reports: queue.Queue[PassReport] = queue.Queue()
        self.failures: queue.Queue[str] = queue.Queue()
        self.changes: queue.Queue[Change] = queue.Queue()
        self.runner = PipelineRunner(
            run,
            reported=self.reports.put,
            failed=self.failures.put,
            changed=self.changes.put,
        )

    def report(self) -> PassReport:
        return self.reports.get(timeout=PATIENCE)


@contextmanager
def going(pipeline: OneWay | TwoWay) -> Generator[Going]:
    run = open_run(pipeline)
    kept = Going(run)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(kept.runner.keep_going, kept.stop)
        try:
            yield kept
        finally:
            kept.stop.set()
            working.result(PATIENCE)
            run.close()


@pytest.fixture
def sides(tmp_path: Path) -> Generator[tuple[Side, Side]]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        yield both


def jane(crm: Side) -> None:
    crm.execute(
        "INSERT INTO contacts (first_name, last_name, phone, email)"
        " VALUES ('Jane', 'Doe', '+16502530000', 'jane@x.org')"
    )


def rename(crm: Side, name: str) -> None:
    crm.execute("UPDATE contacts SET first_name = :name", name=name)


def names(accounting: Side) -> list[str]:
    return [row[0] for row in accounting.execute("SELECT full_name FROM customers")]


@pytest.mark.slow
def test_a_change_goes_on_before_its_time_comes(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    jane(crm)
    with going(replace(shared_contacts(crm, accounting), every=AN_HOUR)) as kept:
        kept.report()
        assert names(accounting) == ["Jane Doe"]
        rename(crm, "Joan")
        assert kept.report().changed == 1
        assert names(accounting) == ["Joan Doe"]
        change = kept.changes.get(timeout=PATIENCE)
    assert change == Change("crm", "contact", "1", "updated", {"name": "Joan Doe"}, change.at)
    # What was there before the pipeline is no change.
    assert kept.changes.empty()


def test_without_triggers_passes_come_when_it_is_time(tmp_path: Path) -> None:
    with empty("sqlite", tmp_path, "a") as source, empty("sqlite", tmp_path, "b") as target:
        side = Side("source", "sqlite", source)
        side.create("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        pipeline = one_way(source, target, 'capture = "compare"')
        with going(replace(pipeline, every=0.05)) as kept:
            kept.report()
            side.execute("INSERT INTO notes VALUES (1, 'new')")
            while not kept.report().changed:
                pass
        side.close()


def one_way(source: str, target: str, capture: str = "", notify: str = "") -> OneWay:
    text = f"""
        [pipeline]
        name = "copy"
        mode = "one-way"
        [source]
        url = "{source}"
        {capture}
        [destination]
        url = "{target}"
        {notify}
    """
    pipeline = parse_pipeline(text, "copy.toml", {})
    assert isinstance(pipeline, OneWay)
    return pipeline


@pytest.mark.slow
def test_a_system_that_is_down_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.running.runner.FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr("syncline.connectors.database.system.LOCK_SECONDS", 0)
    with two_sides("sqlite", "sqlite", tmp_path) as (crm, accounting):
        jane(crm)
        with going(replace(shared_contacts(crm, accounting), every=AN_HOUR)) as kept:
            kept.report()
            with accounting.engine.connect() as busy:
                busy.exec_driver_sql("DELETE FROM customers WHERE number < 0")  # holds the lock
                rename(crm, "Joan")
                while not kept.report().waiting:
                    pass
            while not kept.report().changed:
                pass
            assert names(accounting) == ["Joan Doe"]


@pytest.mark.slow
def test_what_stops_a_pass_is_told_and_the_next_one_comes(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.running.runner.FIRST_RETRY_SECONDS", 0.05)
    crm, accounting = sides
    jane(crm)
    with going(replace(shared_contacts(crm, accounting), every=AN_HOUR)) as kept:
        kept.report()
        accounting.execute("ALTER TABLE customers RENAME TO clients")
        rename(crm, "Joan")
        assert "customers" in kept.failures.get(timeout=PATIENCE)
        accounting.execute("ALTER TABLE clients RENAME TO customers")
        while not kept.report().changed:
            pass
    assert names(accounting) == ["Joan Doe"]


# Webhooks


def notified(pipeline: TwoWay, hook: Webhook, **wanted: Any) -> TwoWay:
    return replace(pipeline, notify=(Notify(hook.url, **wanted),), every=AN_HOUR)


@pytest.mark.slow
def test_a_webhook_is_told_of_what_a_user_changed(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    jane(crm)
    with webhook() as hook:
        fields = frozenset({"phone"})
        with going(notified(shared_contacts(crm, accounting), hook, fields=fields)) as kept:
            kept.report()
            rename(crm, "Joan")  # nobody asked for names
            kept.report()
            accounting.execute("UPDATE customers SET tel = '+16502530001'")
            request = hook.requests.get(timeout=PATIENCE)
    (change,) = request["changes"]
    assert request["pipeline"] == "crm-accounting"
    assert change == {
        "system": "accounting",
        "name": "contact",
        "key": "1",
        "kind": "updated",
        "fields": {"phone": "+16502530001"},
        "at": change["at"],
    }
    assert hook.requests.empty()


@pytest.mark.slow
def test_what_a_webhook_did_not_take_is_told_again(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncline.connectors.running.notifier.FIRST_RETRY_SECONDS", 0.05)
    crm, accounting = sides
    jane(crm)
    with webhook() as hook:
        hook.status = 503
        with going(notified(shared_contacts(crm, accounting), hook)) as kept:
            kept.report()
            rename(crm, "Joan")
            failure = kept.failures.get(timeout=PATIENCE)
            assert "answered 503" in failure
            assert "s3cret" not in failure
            first = hook.told()
            hook.status = 200
            assert hook.told() == first


@pytest.mark.slow
def test_changes_wait_in_the_database_for_a_webhook(sides: tuple[Side, Side]) -> None:
    """The process dies after a pass: another one tells of what it did."""
    crm, accounting = sides
    jane(crm)
    with webhook() as hook:
        pipeline = notified(shared_contacts(crm, accounting), hook)
        for name in ("Jane", "Joan"):
            rename(crm, name)
            run = open_run(pipeline)
            run.sync()
            run.close()
        run = open_run(pipeline)
        assert Notifier(run).deliver() == []
        (change,) = hook.told()
        assert change["fields"] == {"name": "Joan Doe"}
        assert Notifier(run).deliver() == []
        assert hook.requests.empty()
        run.close()


@pytest.mark.slow
def test_many_changes_are_told_in_order_and_in_parts(tmp_path: Path) -> None:
    with (
        webhook() as hook,
        empty("sqlite", tmp_path, "a") as source,
        empty("sqlite", tmp_path, "b") as target,
    ):
        side = Side("source", "sqlite", source)
        side.create("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, raw BLOB)")
        side.execute("INSERT INTO notes VALUES (0, 'old', NULL)")
        text = f'[[notify]]\nurl = "{hook.url}"'
        run = open_run(one_way(source, target, notify=text))
        run.sync()
        many = CHANGES_AT_ONCE + 20
        for number in range(1, many + 1):
            side.execute("INSERT INTO notes VALUES (:id, 'new', x'00ff')", id=number)
        run.sync()
        assert Notifier(run).deliver() == []
        told = [*hook.told(), *hook.told()]
        run.close()
        side.close()
    assert [change["key"] for change in told] == [str(number) for number in range(1, many + 1)]
    assert told[0]["fields"] == {"id": 1, "body": "new", "raw": "00ff"}
    assert {change["kind"] for change in told} == {"created"}


def test_nobody_listens(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    jane(crm)
    pipeline = replace(
        shared_contacts(crm, accounting), notify=(Notify("http://127.0.0.1:9/s3cret"),)
    )
    run = open_run(pipeline)
    run.sync()
    rename(crm, "Joan")
    run.sync()
    (failure,) = Notifier(run).deliver()
    run.close()
    assert failure.startswith("The webhook http://127.0.0.1 was not told of changes: ")
    assert "s3cret" not in failure
