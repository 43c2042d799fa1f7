"""``syncline duplicates``: rows that may be the same twice, named for review."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.pipeline_files import (
    ONE_WAY,
    TWO_WAY,
    Commands,
    contents,
    execute,
    make_contacts,
    make_shop,
)


@pytest.fixture
def syncline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Commands:
    monkeypatch.chdir(tmp_path)
    return Commands(monkeypatch, capsys)


@pytest.mark.slow
def test_records_that_may_be_the_same_twice(syncline: Commands) -> None:
    make_contacts()
    Path("c.toml").write_text(TWO_WAY.replace("ACCOUNTING", "sqlite:///accounting.db"))
    execute(
        "crm.db",
        "INSERT INTO contacts (first_name, last_name, phone, email)"
        " VALUES ('Jané', 'DOE', '+1 650 253 0000', 'jane.@x.org')",
    )
    before = contents("crm.db", "accounting.db")
    assert syncline.done("duplicates", "c.toml") == (
        "100.0  contact 1 and 4 of crm\n"
        "       name: Jane Doe | Jané DOE\n"
        "       email: jane@x.org | jane.@x.org\n"
        "       phone: +16502530000\n"
        "1 pair to look at.\n"
    )
    (pair,) = syncline("duplicates", "c.toml", "contact", "--json").json["pairs"]
    assert pair["keys"] == ["1", "4"]
    assert pair["agree"] == ["name", "email", "phone"]
    assert contents("crm.db", "accounting.db") == before
    assert syncline("duplicates", "c.toml", "contacts").code == 1
    assert syncline("duplicates", "c.toml", "--threshold", "0").code == 2


def test_rows_of_a_one_way_pipeline(syncline: Commands) -> None:
    make_shop()
    Path("r.toml").write_text(ONE_WAY)
    assert "Run syncline sync" in syncline("duplicates", "r.toml").err
    execute("shop.db", "INSERT INTO Customer VALUES (4, 'JANE', '+16502530000')")
    syncline.done("sync", "r.toml")
    assert syncline.done("duplicates", "r.toml") == (
        "100.0  customers 1 and 4 of destination\n"
        "       Name: Jane | JANE\n"
        "       Phone: +16502530000\n"
        "1 pair to look at.\n"
    )
    assert syncline("duplicates", "r.toml", "Employee").code == 1
