"""``syncline init``, as a dialogue and in scripts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from syncline.cli.pipelines.init import init
from syncline.connectors.file.load import load_pipeline
from syncline.connectors.file.spec import OneWay, TwoWay
from syncline.engine.errors import InvalidPipeline, SynclineError
from tests.stores.servers import database


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two SQLite databases in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for name, table in (("crm", "contacts"), ("accounting", "customers")):
        with closing(sqlite3.connect(f"{name}.db")) as connection:
            connection.execute(
                f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, email TEXT)"
            )
            connection.execute(
                f"INSERT INTO {table} (name, email) VALUES ('Ada Lovelace', 'ada@example.com')"
            )
            connection.commit()


def run(*arguments: str, answers: Sequence[str] = ()) -> Result:
    app = typer.Typer()
    app.command()(init)
    return CliRunner().invoke(app, list(arguments), input="".join(f"{each}\n" for each in answers))


def refused(*arguments: str, answers: Sequence[str] = ()) -> SynclineError:
    """The error that ends the command, which ``main`` prints."""
    error = run(*arguments, answers=answers).exception
    assert isinstance(error, SynclineError), error
    return error


def test_the_dialogue() -> None:
    Path("no-database.txt").write_text("Dear diary, this is longer than a header. " * 9)
    result = run(
        answers=[
            "Sales and finance see the same customers",
            "sqlite:///missing.db",
            "crm.db",
            "nothing",
            "./crm.db",
            "no-database.txt",
            "sqlite:///accounting.db",
            "both-ways",
            "two-way",
            "no spaces",
            "",
        ]
    )
    assert result.exit_code == 0, result.output
    assert "there is no file missing.db" in result.output
    assert "This is no URL of a database, and no file." in result.output
    assert "Both URLs name the same database." in result.output
    assert "no_database (sqlite) refused: file is not a database." in result.output
    assert "There is no mode 'both-ways'." in result.output
    assert "A pipeline cannot be called 'no spaces'." in result.output
    assert result.output.endswith(
        "Wrote pipeline.toml.\n"
        "  contact: crm.contacts and accounting.customers, the same by email; fields name, email.\n"
        "Read the file, then:\n"
        "  syncline check pipeline.toml\n"
        "  syncline sync pipeline.toml --dry-run\n"
    )
    pipeline = load_pipeline(Path("pipeline.toml"))
    assert isinstance(pipeline, TwoWay)
    assert pipeline.name == "crm-accounting"
    assert pipeline.purpose == "Sales and finance see the same customers"
    assert pipeline.records["contact"].match == ("email",)


def test_a_script_gives_everything_as_options(tmp_path: Path) -> None:
    options = ("--purpose", "Report", "--from", "crm.db", "--to", "sqlite:///accounting.db")
    result = run("my.toml", *options, "--mode", "one-way", "--name", "nightly", "--yes")
    assert result.exit_code == 0, result.output
    assert "1 table will be copied from crm." in result.output
    pipeline = load_pipeline(Path("my.toml"))
    assert isinstance(pipeline, OneWay)
    assert (pipeline.name, pipeline.purpose, list(pipeline.tables)) == (
        *("nightly", "Report"),
        ["contacts"],
    )
    assert [each.name for each in tmp_path.glob("*.toml*")] == ["my.toml"]


def test_yes_takes_the_defaults_and_asks_for_nothing() -> None:
    assert run("--from", "crm.db", "--to", "accounting.db", "--yes").exit_code == 0
    pipeline = load_pipeline(Path("pipeline.toml"))
    assert isinstance(pipeline, OneWay)
    assert (pipeline.name, pipeline.purpose) == ("crm-accounting", "Keep two databases in sync")
    assert refused("new.toml", "--yes", "--to", "crm.db").message == (
        "--from is missing, and --yes asks nothing."
    )


def test_a_file_is_not_replaced_unasked() -> None:
    file = Path("pipeline.toml")
    file.write_text("mine")
    options = ("--purpose", "p", "--from", "crm.db", "--to", "accounting.db", "--mode", "one-way")
    result = run(*options, "--name", "n", answers=["n"])
    assert (result.exit_code, file.read_text()) == (1, "mine")
    assert "Nothing was written." in result.output
    assert refused(*options, "--yes").message == "pipeline.toml exists already."
    assert file.read_text() == "mine"
    assert run(*options, "--name", "n", answers=["y"]).exit_code == 0
    assert load_pipeline(file).name == "n"
    assert refused("no/such/file.toml", *options).message.startswith("There is no folder ")
    assert refused(".", *options).message == ". exists already."


def test_a_server_that_does_not_answer_is_not_said_to_be_tried_again() -> None:
    error = refused("--purpose", "p", "--from", "postgresql://ada:pw-1234@127.0.0.1:1/crm")
    assert error.code == "system-unavailable"
    assert error.hint == (
        "Check that it runs. Check the host, port, database, user and password in the URL."
    )
    assert "pw-1234" not in error.message


def test_a_database_without_tables_cannot_share_any() -> None:
    Path("empty.db").touch()
    options = ("--from", "crm.db", "--to", "empty.db", "--yes")
    result = run(*options, "--mode", "two-way")
    assert result.exit_code == 0, result.output
    assert "There are no tables in empty. Two-way pipelines make none" in result.output
    assert "The file has no record yet. Complete it, then:\n" in result.output
    with pytest.raises(InvalidPipeline, match="There is no record"):
        load_pipeline(Path("pipeline.toml"))
    assert "Read the file, then:\n" in run("copy.toml", *options).output
    assert isinstance(load_pipeline(Path("copy.toml")), OneWay)


def test_a_file_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("--from", "~/crm.db", "--to", "accounting.db", "--yes").exit_code == 0
    text = Path("pipeline.toml").read_text()
    assert f'url = "sqlite:///{tmp_path}/crm.db"' in text
    relative = "# The path starts from the folder in which syncline runs:\nurl = "
    assert text.count(relative) == text.count(f'{relative}"sqlite:///accounting.db"') == 1


def test_wrong_options_end_it() -> None:
    assert refused("--purpose", "p", "--from", "nothing").code == "invalid-url"
    assert refused("--purpose", "p", "--from", "crm.db", "--to", "./crm.db").message == (
        "Both URLs name the same database."
    )
    both = ("--purpose", "p", "--from", "crm.db", "--to", "accounting.db", "--mode", "one-way")
    assert refused(*both, "--name", "no spaces").code == "invalid-name"
    assert run("--mode", "both").exit_code == 2
    assert not Path("pipeline.toml").exists()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_password_goes_nowhere(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with database(kind) as made:
        made.execute("CREATE TABLE customers (id INT PRIMARY KEY, email VARCHAR(80))")
        user = "syncline_init_" + made.url.rpartition("_")[2][:10]
        if kind == "postgresql":
            made.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'pw-1234'")
            made.execute(f"GRANT SELECT ON customers TO {user}")
        else:
            made.execute(f"CREATE USER {user}@'%%' IDENTIFIED BY 'pw-1234'")
            made.execute(f"GRANT ALL ON {made.url.rpartition('/')[2]}.* TO {user}@'%%'")
        try:
            head, at, tail = made.url.partition("@")
            url = f"{head.partition('://')[0]}://{user}:pw-1234{at}{tail}"
            name = tail.rpartition("/")[2][:40]
            options = ("--from", "crm.db", "--to", url, "--mode", "one-way", "--yes")
            result = run(*options)
            assert result.exit_code == 0, result.output
            text = Path("pipeline.toml").read_text()
            assert "pw-1234" not in text + result.output + result.stderr
            assert f'url = "${{{name.upper()}_URL}}"' in text
            assert f"Set the environment variable {name.upper()}_URL to the URL" in result.output
            monkeypatch.setenv(f"{name.upper()}_URL", url)
            assert load_pipeline(Path("pipeline.toml")).systems["destination"].url == url
            wrong = refused(
                "x.toml", "--from", "crm.db", "--to", url.replace("/syn", "/no"), "--yes"
            )
            assert "pw-1234" not in wrong.message + wrong.hint
        finally:
            if kind == "postgresql":
                made.execute(f"DROP OWNED BY {user}", f"DROP ROLE {user}")
            else:
                made.execute(f"DROP USER {user}@'%%'")
