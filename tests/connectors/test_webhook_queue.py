"""Changes that wait for webhooks: they go when their webhook has left the file, and only then."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from syncline.connectors import open_run
from syncline.connectors.bookkeeping.webhook_queue import target_of
from syncline.connectors.file.load import parse_pipeline
from syncline.connectors.file.spec import Notify, OneWay, TwoWay
from syncline.engine.errors import SystemUnavailable

from .two_sides import Side, empty, shared_contacts, two_sides

STAYS = Notify("http://127.0.0.1:9/stays")
LEAVES = Notify("http://127.0.0.1:9/leaves?key=s3cret")
BOTH = (LEAVES, STAYS)
ONE_WAY = """
[pipeline]
name = "shop-reporting"
mode = "one-way"
[source]
url = "${SOURCE}"
[destination]
url = "${DESTINATION}"
"""


@pytest.fixture
def sides(tmp_path: Path) -> Generator[tuple[Side, Side]]:
    with two_sides("sqlite", "sqlite", tmp_path) as both:
        crm, accounting = both
        crm.execute("INSERT INTO contacts (first_name, email) VALUES ('Jane', 'jane@x.org')")
        yield crm, accounting


def sync(pipeline: OneWay | TwoWay, *notify: Notify, **options: Any) -> None:
    """Another process makes a pass, with these webhooks in the file."""
    run = open_run(replace(pipeline, notify=notify))
    report = run.sync(**options)
    assert not report.waiting
    run.close()


def rename(crm: Side, name: str) -> None:
    crm.execute("UPDATE contacts SET first_name = :name", name=name)


def waiting(side: Side, pipeline: str = "crm-accounting") -> list[str]:
    """The targets of the changes that wait, in their order."""
    found = side.execute(
        "SELECT target FROM _syncline_outbox WHERE pipeline = :pipeline ORDER BY seq",
        pipeline=pipeline,
    )
    return [row[0] for row in found]


def targets(*notify: Notify) -> list[str]:
    return [target_of(each) for each in notify]


def test_what_waits_for_a_webhook_that_left_the_file_goes(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    sync(pipeline, *BOTH)
    rename(crm, "Joan")
    accounting.execute("UPDATE customers SET tel = '+16502530001'")
    sync(pipeline, *BOTH)
    assert waiting(crm) == waiting(accounting) == targets(*BOTH)
    sync(pipeline, STAYS)
    assert waiting(crm) == waiting(accounting) == targets(STAYS)
    sync(pipeline)
    assert waiting(crm) == waiting(accounting) == []


@pytest.mark.slow
def test_what_waits_for_a_webhook_of_the_file_stays(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    sync(pipeline, *BOTH)
    rename(crm, "Joan")
    sync(pipeline, *BOTH)
    narrower = replace(LEAVES, on=frozenset({"contact"}), fields=frozenset({"phone"}))
    sync(pipeline, STAYS, narrower)  # it is to be told of other changes from now on
    assert waiting(crm) == targets(*BOTH)


def test_looking_and_dry_runs_take_nothing_away(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    sync(pipeline, *BOTH)
    rename(crm, "Joan")
    sync(pipeline, *BOTH)
    sync(pipeline, dry_run=True)
    run = open_run(pipeline)
    run.prepare()
    for look in (run.pending, run.check, run.quarantine, run.conflicts, run.verify):
        look()
    run.close()
    assert waiting(crm) == targets(*BOTH)


@pytest.mark.slow
def test_other_pipelines_keep_theirs(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    other = replace(pipeline, name="another")
    for each in (pipeline, other):
        sync(each, LEAVES)
    rename(crm, "Joan")
    for each in (pipeline, other):
        sync(each, LEAVES)
    sync(pipeline)
    assert waiting(crm) == []
    assert waiting(crm, "another") == targets(LEAVES)


def test_a_system_that_is_away_is_tidied_when_it_is_back(sides: tuple[Side, Side]) -> None:
    crm, accounting = sides
    pipeline = shared_contacts(crm, accounting)
    sync(pipeline, LEAVES)
    rename(crm, "Joan")
    sync(pipeline, LEAVES)
    run = open_run(pipeline)
    away = SystemUnavailable("crm is away.", hint="Wait.", retry_after=1.0)
    with patch.object(run.systems["crm"], "reading", side_effect=away):
        assert "crm" in run.sync().waiting
    assert waiting(crm) == targets(LEAVES)
    assert not run.sync().waiting
    assert waiting(crm) == []
    run.close()


def test_at_the_destination_of_a_one_way_pipeline(tmp_path: Path) -> None:
    with empty("sqlite", tmp_path, "a") as source, empty("sqlite", tmp_path, "b") as target:
        side, there = Side("source", "sqlite", source), Side("destination", "sqlite", target)
        side.create("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        pipeline = parse_pipeline(ONE_WAY, "shop.toml", {"SOURCE": source, "DESTINATION": target})
        sync(pipeline, *BOTH)
        side.execute("INSERT INTO notes VALUES (1, 'new')")
        sync(pipeline, *BOTH)
        assert waiting(there, "shop-reporting") == targets(*BOTH)
        sync(pipeline, STAYS, dry_run=True)
        assert waiting(there, "shop-reporting") == targets(*BOTH)
        sync(pipeline, STAYS)
        assert waiting(there, "shop-reporting") == targets(STAYS)
        side.close()
        there.close()
