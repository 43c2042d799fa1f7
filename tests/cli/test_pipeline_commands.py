"""The commands of a two-way pipeline: what they print, what they leave alone, how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.pipeline_files import AWAY, TWO_WAY, Commands, contents, execute, make_contacts
from tests.cli.processes import run

FILE = "contacts.toml"
BOTH = ("crm.db", "accounting.db")
FIRST = """\
cleaned in crm      2 contacts, 2 fields   (2 phone numbers reformatted)
crm -> accounting   1 contact              (new)
accounting -> crm   1 contact              (new)
quarantined         1   crm contacts 3: phone "n/a" is not a phone number
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_contacts()
    write("sqlite:///accounting.db")


@pytest.fixture
def syncline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)


def write(accounting: str, text: str = TWO_WAY) -> None:
    Path(FILE).write_text(text.replace("ACCOUNTING", accounting))


def edit_both_names() -> None:
    execute("crm.db", "UPDATE contacts SET first_name = 'Lee' WHERE id = 2")
    execute("crm.db", "UPDATE _syncline_dirty SET at = at - 1000")  # a second earlier
    execute("accounting.db", "UPDATE customers SET full_name = 'Li Xi' WHERE full_name = 'Li Wei'")


# sync


@pytest.mark.slow
def test_a_dry_run_says_what_the_pass_then_does(syncline: Commands) -> None:
    before = contents(*BOTH)
    assert syncline.done("sync", FILE, "--dry-run") == f"{FIRST}Nothing was written.\n"
    assert contents(*BOTH) == before
    assert syncline.done("sync", FILE) == f"{FIRST}Wrote 4 rows.\n"
    assert execute("accounting.db", "SELECT tel FROM customers ORDER BY tel") == [
        ("+16502530000",),
        ("+16502530001",),
        ("+16502530009",),
    ]
    assert syncline.done("sync", FILE) == "Nothing had changed.\n"
    assert syncline.done("sync", FILE, "--dry-run") == "Nothing to do.\n"


@pytest.mark.slow
def test_changes_of_one_record_are_merged_by_field(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute("crm.db", "UPDATE contacts SET email = 'jane@y.org' WHERE id = 1")
    execute("accounting.db", "UPDATE customers SET tel = '+16502530077' WHERE number = 1")
    edit_both_names()
    lines = syncline.done("sync", FILE).splitlines()
    assert lines[0] == "crm -> accounting   1 contact, 1 field"
    assert lines[1] == "accounting -> crm   2 contacts, 2 fields"
    assert lines[2] == "merged by field     1   Jane Doe: email from crm, phone from accounting"
    assert re.sub(r"\d\d:\d\d:\d\d", "T", lines[3]) == (
        "conflict            1   Li Xi / name: crm Lee Wei T, accounting Li Xi T -> undecided"
    )
    assert lines[4:] == ["Wrote 3 rows."]


def test_a_report_as_json(syncline: Commands) -> None:
    report = syncline("sync", FILE, "--json").json
    assert list(report) == [
        *("pipeline", "dry_run", "changed", "looked_at", "flows", "cleaned"),
        *("merged_count", "merged", "conflict_count", "conflicts"),
        *("quarantined_count", "quarantined", "notices", "waiting", "left_out", "more"),
    ]
    assert (report["pipeline"], report["dry_run"], report["changed"]) == (
        "crm-accounting",
        False,
        4,
    )
    assert report["flows"][1] == {
        "from": "crm",
        "to": "accounting",
        "inserted": 1,
        "updated": 0,
        "deleted": 0,
        "fields": 0,
    }
    assert report["cleaned"] == {"E164": 2}
    (refused,) = report["quarantined"]
    assert (refused["system"], refused["key"], refused["original"]) == ("crm", "3", "n/a")
    edit_both_names()
    (conflict,) = syncline("sync", FILE, "--json").json["conflicts"]
    assert conflict["values"] == {"crm": "Lee Wei", "accounting": "Li Xi"}
    assert all(re.fullmatch(r"20\d\d-.*T.*Z", at) for at in conflict["at"].values())


@pytest.mark.slow
def test_more_deletions_than_the_limit_end_with_4(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute("crm.db", "DELETE FROM contacts")
    before = contents(*BOTH)
    for options in ([], ["--dry-run"], ["--json"]):
        code, out, err = syncline("sync", FILE, *options)
        assert (code, out) == (4, "")
        assert err.startswith("Error (pipeline-stopped): 3 of 3 rows of crm.contacts are gone")
        assert "\nHint: " in err
        assert "--allow-deletes" in err
    assert contents(*BOTH) == before
    assert syncline.done("sync", FILE, "--allow-deletes") == (
        "crm -> accounting   3 contacts   (deleted)\nWrote 3 rows.\n"
    )


def test_what_rows_hold_is_no_command_to_the_terminal(syncline: Commands) -> None:
    execute("crm.db", "UPDATE contacts SET phone = char(27, 10) || '[31m[bold]x' WHERE id = 3")
    outputs = [syncline.done(command, FILE) for command in ("sync", "quarantine")]
    for out in outputs:
        assert "\x1b" not in out
        assert "[31m[bold]x" in out
    assert len(outputs[1].splitlines()) == 4


# A system that is away


@pytest.mark.slow
def test_a_system_that_is_away_ends_with_5(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute("crm.db", "UPDATE contacts SET first_name = 'June' WHERE id = 1")
    write(AWAY)
    before = contents("crm.db")
    for options in (["--dry-run"], [], ["--json"]):
        ended = syncline("sync", FILE, *options)
        assert (ended.code, ended.err) == (5, "")
        assert "accounting (postgresql) cannot be used at the moment" in ended.out
        assert "s3cret" not in ended.out
    assert list(syncline("sync", FILE, "--json").json["waiting"]) == ["accounting"]
    code, out, err = syncline("status", FILE)
    assert (code, err) == (5, "")
    assert re.search(r"^crm +\d+ changes? waits?$", out, re.MULTILINE)
    assert "s3cret" not in out
    assert syncline("status", FILE, "--json").json["quarantined"] is None
    code, out, _ = syncline("quarantine", FILE)
    assert code == 5
    assert "1 row in quarantine.\nIts rows are not listed: accounting (postgresql)" in out
    for arguments in (["conflicts", FILE], ["verify", FILE], ["resync", FILE, "contacts"]):
        code, out, err = syncline(*arguments)
        assert (code, out) == (5, "")
        assert err.startswith("Error (system-unavailable): accounting (postgresql) cannot be used")
        assert "s3cret" not in err
    write("sqlite:///accounting.db")
    assert "crm -> accounting" in syncline.done("sync", FILE)
    assert before != contents("crm.db")


# check and status


def test_check_finds_what_does_not_fit(syncline: Commands) -> None:
    before = contents(*BOTH)
    assert syncline.done("check", FILE) == (
        f"{FILE} fits its databases. Next: syncline sync {FILE} --dry-run\n"
    )
    assert syncline("check", FILE, "--json").json == {"ok": True, "findings": []}
    write("sqlite:///accounting.db", TWO_WAY.replace('"tel"', '"telephone"'))
    code, out, err = syncline("check", FILE)
    assert (code, err) == (3, "")
    assert "telephone" in out
    assert out.endswith(f"1 problem in {FILE}.\n")
    write(AWAY)
    code, out, _ = syncline("check", FILE)
    assert code == 5
    assert "Check that it runs, and the host, port, database, user and password" in out
    assert "s3cret" not in out
    assert contents(*BOTH) == before


def test_check_finds_all_that_is_wrong_in_the_file_alone(syncline: Commands) -> None:
    write("oracle://x:s3cret@y/z", TWO_WAY.replace('"two-way"', '"both"'))
    code, out, err = syncline("check", FILE)
    assert (code, err) == (3, "")
    assert out.startswith("line 4, pipeline.mode: There is no mode 'both'.\n  Write mode = ")
    assert "s3cret" not in out
    (finding, *_) = syncline("check", FILE, "--json").json["findings"]
    assert (finding["problem"], finding["where"], finding["line"]) == (True, "pipeline.mode", 4)
    code, out, err = syncline("sync", FILE)
    assert (code, out) == (1, "")
    assert err.startswith(f"Error (invalid-pipeline): {FILE} has ")
    code, out, err = syncline("sync", "missing.toml")
    assert (code, out) == (2, "")
    assert "missing.toml" in err


def test_status_before_and_after_the_first_pass(syncline: Commands) -> None:
    title = "crm-accounting (two-way): Sales and finance see the same customers\n"
    assert syncline.done("status", FILE) == (
        f"{title}crm          can be reached\naccounting   can be reached\n"
        f"It has not run yet. Begin with: syncline sync {FILE} --dry-run\n"
    )
    syncline.done("sync", FILE)
    execute("crm.db", "UPDATE contacts SET first_name = 'June' WHERE id = 1")
    assert syncline.done("status", FILE) == (
        f"{title}crm          1 change waits\naccounting   0 changes wait\n"
        f"quarantine   1 row   (syncline quarantine {FILE})\nconflicts    0 fields\n"
    )
    status = syncline("status", FILE, "--json").json
    assert (status["begun"], status["quarantined"], status["conflicts"]) == (True, 1, 0)
    assert status["systems"][0] == {
        "name": "crm",
        "database": "sqlite",
        "available": True,
        "reason": None,
        "begun": True,
        "pending": 1,
    }


def test_status_shows_what_waits_for_webhooks(syncline: Commands) -> None:
    path = Path(FILE)
    path.write_text(f'{path.read_text()}\n[[notify]]\nurl = "http://127.0.0.1:9/s3cret"\n')
    syncline.done("sync", FILE)
    assert "webhook      0 changes wait for http://127.0.0.1\n" in syncline.done("status", FILE)
    execute("crm.db", "UPDATE contacts SET first_name = 'June' WHERE id = 1")
    assert "The webhook http://127.0.0.1 was not told" in syncline.done("sync", FILE)
    out = syncline.done("status", FILE)
    assert "webhook      1 change waits for http://127.0.0.1: [Errno " in out
    assert "(1 try, last at " in out
    assert "s3cret" not in out
    (webhook,) = syncline("status", FILE, "--json").json["webhooks"]
    assert (webhook["url"], webhook["waiting"], webhook["tries"]) == ("http://127.0.0.1", 1, 1)


# conflicts


@pytest.mark.slow
def test_a_conflict_is_listed_and_decided(syncline: Commands) -> None:
    code, _, err = syncline("conflicts", FILE)
    assert code == 1
    assert "has not run yet in crm" in err
    syncline.done("sync", FILE)
    assert syncline.done("conflicts", FILE) == "There are no conflicts.\n"
    edit_both_names()
    syncline.done("sync", FILE)
    (conflict,) = syncline("conflicts", FILE, "--json").json["conflicts"]
    rid = conflict["rid"]
    assert conflict["policy"] == "surface"
    assert conflict["chosen"] is None
    out = re.sub(r"\d\d:\d\d:\d\d", "T", syncline.done("conflicts", FILE))
    command = f"conflicts {FILE} --resolve {rid[:8]} name --take crm"
    assert out == (
        f"{rid[:8]}  contact Li Xi / name: undecided\n"
        "    crm: Lee Wei   (T)\n"
        "  * accounting: Li Xi   (T)\n"
        "1 conflict; * is the value in use. To decide one:\n"
        f"  syncline {command}\n"
    )
    assert syncline.done(*command.split()) == (
        "contact Li Xi / name is Lee Wei of crm.\n"
        f"The next pass takes it to the others: syncline sync {FILE}\n"
    )
    assert syncline.done("conflicts", FILE) == "There are no conflicts.\n"
    syncline.done("sync", FILE)
    assert ("Lee Wei",) in execute("accounting.db", "SELECT full_name FROM customers")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--resolve", "ff", "name", "--take", "crm"), 1, "There is no conflict of 'name'"),
        (("--resolve", "", "email", "--take", "crm"), 1, "There is no conflict of 'email'"),
        (("--resolve", "", "name", "--take", "crmm"), 1, "Take that of accounting or crm."),
        (("--resolve", "", "name"), 2, "belong together"),
        (("--take", "crm"), 2, "belong together"),
    ],
)
def test_a_decision_that_is_none(
    arguments: tuple[str, ...], code: int, says: str, syncline: Commands
) -> None:
    syncline.done("sync", FILE)
    edit_both_names()
    syncline.done("sync", FILE)
    ended = syncline("conflicts", FILE, *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err
    assert len(syncline("conflicts", FILE, "--json").json["conflicts"]) == 1


@pytest.mark.slow
def test_a_beginning_that_two_records_have_is_not_enough(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    for table, database in (("contacts", "crm.db"), ("customers", "accounting.db")):
        column = "first_name" if table == "contacts" else "full_name"
        execute(database, f"UPDATE {table} SET {column} = '{table} ' || {column}")
    syncline.done("sync", FILE)
    listed = syncline.done("conflicts", FILE)
    assert "3 conflicts; * is the value in use." in listed
    names = re.findall(r"^(\S+)  contact", listed, re.MULTILINE)
    assert len(set(names)) == 3
    code, _, err = syncline("conflicts", FILE, "--resolve", "", "name", "--take", "crm")
    assert code == 1
    assert "3 records with such a conflict begin with ''." in err
    for name in names:
        syncline.done("conflicts", FILE, "--resolve", name, "name", "--take", "crm")
    assert syncline.done("conflicts", FILE) == "There are no conflicts.\n"


# verify and resync


@pytest.mark.slow
def test_verify_says_what_differs(syncline: Commands) -> None:
    code, _, err = syncline("verify", FILE)
    assert code == 1
    assert "has not run yet" in err
    syncline.done("sync", FILE)
    equal = (
        "Rows compared: contact 3.\n"
        f"1 row in quarantine left out: syncline quarantine {FILE}\nEqual.\n"
    )
    assert syncline.done("verify", FILE) == equal
    execute("crm.db", "UPDATE contacts SET email = 'j@x.org' WHERE id = 1")
    code, out, err = syncline("verify", FILE)
    assert (code, err) == (3, "")
    lines = out.splitlines()
    assert lines[0] == ("contact crm 1, accounting 1: email crm j@x.org, accounting jane@x.org")
    assert lines[-2:] == [
        f"1 change of crm waits: syncline sync {FILE}",
        "Not equal: 1 difference.",
    ]
    code, out, _ = syncline("verify", FILE, "--json")
    assert code == 3
    found = json.loads(out)
    assert (found["equal"], found["difference_count"], found["pending"]["crm"]) == (False, 1, 1)
    assert found["differences"] == [
        {
            "name": "contact",
            "keys": {"crm": "1", "accounting": "1"},
            "missing_in": None,
            "fields": {"email": {"crm": "j@x.org", "accounting": "jane@x.org"}},
        }
    ]
    syncline.done("sync", FILE)
    assert syncline.done("verify", FILE) == equal
    code, out, err = syncline("verify", "missing.toml")
    assert (code, out) == (2, "")
    assert "There is no file missing.toml." in err


@pytest.mark.slow
def test_resync_compares_what_went_by_unseen(syncline: Commands) -> None:
    syncline.done("sync", FILE)
    execute(
        "crm.db",
        "CREATE TABLE x AS SELECT * FROM _syncline_dirty;"
        "UPDATE contacts SET first_name = 'June' WHERE id = 1;"
        "DELETE FROM _syncline_dirty; DROP TABLE x;",
    )
    assert syncline.done("sync", FILE) == "Nothing had changed.\n"
    assert syncline("verify", FILE).code == 3
    assert syncline.done("resync", FILE, "contacts") == (
        f"The next pass compares all rows of contacts: syncline sync {FILE}\n"
    )
    assert "crm -> accounting   1 contact, 1 field" in syncline.done("sync", FILE)
    assert syncline("verify", FILE).code == 0
    code, out, err = syncline("resync", FILE, "invoices")
    assert (code, out) == (1, "")
    assert "Hint: Its tables are contacts, customers." in err


# As processes


@pytest.fixture
def without_a_variable() -> None:
    """The file takes a URL from a variable that nobody set."""
    write("${SYNCLINE_TEST_UNSET}")


@pytest.mark.slow
@pytest.mark.usefixtures("without_a_variable")
async def test_an_error_ends_the_process() -> None:
    code, out, err = await run("sync", FILE)
    assert (code, out) == (1, "")
    assert "system.accounting.url" in err


@pytest.mark.slow
async def test_the_process() -> None:
    assert await run("sync", FILE) == (0, f"{FIRST}Wrote 4 rows.\n", "")
    code, out, _ = await run("--help")
    assert code == 0
    for command in ("init", "check", "sync", "status", "conflicts", "quarantine", "resync"):
        assert f"│ {command} " in out
