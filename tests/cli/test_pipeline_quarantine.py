"""``syncline quarantine``, and the other commands of a one-way pipeline."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.pipeline_files import ONE_WAY, Commands, contents, execute, make_shop

FILE = "reporting.toml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_shop()
    Path(FILE).write_text(ONE_WAY)


@pytest.fixture
def syncline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)


def test_a_copy_and_what_is_held(syncline: Commands) -> None:
    before = contents("shop.db", "reporting.db")
    out = syncline.done("sync", FILE, "--dry-run")
    assert out.splitlines()[0].startswith("Customer -> customers   2 rows   (new; ")
    assert out.endswith("Nothing was written.\n")
    assert contents("shop.db", "reporting.db") == before
    out = syncline.done("sync", FILE)
    assert out.endswith("Wrote 2 rows.\n")
    assert '\nquarantined             1   source Customer 3: Phone "=n/a" is not a phone' in out
    lines = syncline.done("quarantine", FILE).splitlines()
    assert lines[0] == 'source Customer 3: Phone "=n/a" is not a phone number'
    assert lines[1] == "  Write it with + and the country code, or name its country in the region."
    assert lines[2].startswith("  since ")
    assert lines[2].endswith(", tried once")
    assert lines[3:] == ["1 row in quarantine."]
    found = syncline("quarantine", FILE, "--json").json
    assert (found["rows"], found["retried"], found["waiting"]) == (1, 0, {})
    (entry,) = found["quarantined"]
    assert (entry["original"], entry["rule"], entry["tries"]) == ("=n/a", "E164", 1)
    assert entry["first_seen"].endswith("Z")
    status = syncline.done("status", FILE)
    assert status.startswith("shop-reporting (one-way)\nsource        0 changes wait\n")
    assert f"quarantine    1 row   (syncline quarantine {FILE})" in status


@pytest.mark.slow
def test_a_row_goes_on_after_its_correction(syncline: Commands) -> None:
    assert syncline.done("quarantine", FILE) == "Nothing is in quarantine.\n"
    syncline.done("sync", FILE)
    assert syncline.done("quarantine", FILE, "--retry") == (
        f"The next pass looks at 1 row again: syncline sync {FILE}\n"
    )
    assert "quarantined" in syncline.done("sync", FILE)
    execute("shop.db", "UPDATE Customer SET Phone = '650 253 0002' WHERE Id = 3")
    assert "Customer -> customers   1 row" in syncline.done("sync", FILE)
    assert syncline.done("quarantine", FILE) == "Nothing is in quarantine.\n"
    assert syncline.done("verify", FILE) == "Rows compared: Customer 3.\nEqual.\n"


def test_no_cell_of_an_export_is_a_formula(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    Path("held.csv").write_text("what was there before")
    assert (
        syncline.done("quarantine", FILE, "--export", "held.csv") == "Wrote 1 line to held.csv.\n"
    )
    assert Path("held.csv").read_bytes().startswith(b"\xef\xbb\xbfpipeline,system,")
    with Path("held.csv").open(encoding="utf-8-sig", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert list(row) == [
        *("pipeline", "system", "table", "key", "field", "rule", "message", "hint"),
        *("original", "suggested", "first_seen", "last_seen", "tries"),
    ]
    assert (row["pipeline"], row["table"], row["key"]) == ("shop-reporting", "Customer", "3")
    assert row["original"] == "'=n/a"
    assert row["message"] == '"=n/a" is not a phone number.'
    code, out, err = syncline("quarantine", FILE, "--export", "no/such/folder.csv")
    assert (code, out) == (1, "")
    assert "no/such/folder.csv cannot be written: No such file or directory." in err
    assert sorted(path.name for path in Path().glob("*.csv*")) == ["held.csv"]


def test_too_many_refused_rows_end_with_4(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute("shop.db", "UPDATE Customer SET Phone = 'none'")
    before = contents("reporting.db")
    code, out, err = syncline("sync", FILE)
    assert (code, out) == (4, "")
    assert err.startswith("Error (pipeline-stopped): ")
    assert "stop_if_over = 1" in err
    assert contents("reporting.db") == before


@pytest.mark.slow
def test_verify_names_rows_and_what_sets_them_right(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute("reporting.db", "UPDATE customers SET Name = 'Joan' WHERE Id = 1")
    execute("reporting.db", "DELETE FROM customers WHERE Id = 2")
    code, out, _ = syncline("verify", FILE)
    assert code == 3
    assert out.splitlines() == [
        "Customer source 1, destination 1: Name source Jane, destination Joan",
        "Customer source 2: missing in destination",
        "Rows compared: Customer 2.",
        f"1 row in quarantine left out: syncline quarantine {FILE}",
        "Not equal: 2 differences.",
        f"To compare and write anew: syncline resync {FILE} Customer",
    ]
    syncline.done("resync", FILE, "Customer")
    syncline.done("sync", FILE)
    assert syncline.done("verify", FILE).endswith("Equal.\n")


def test_there_are_no_conflicts(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    assert syncline.done("conflicts", FILE) == "There are no conflicts.\n"
    code, _, err = syncline("conflicts", FILE, "--resolve", "1", "Name", "--take", "source")
    assert code == 1
    assert "shop-reporting is one-way, so it has no conflicts." in err
