"""docs/first-pipeline.md, typed from top to bottom: every command prints what the page shows.
And every snippet of docs/data-sync.md."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from syncline import Relay
from syncline.connectors.bookkeeping.webhook_queue import as_json
from syncline.connectors.file.load import load_pipeline
from syncline.connectors.report import Change
from syncline.connectors.running.open import open_run
from tests.cli.processes import PATIENCE
from tests.connectors.two_sides import Side, empty, two_sides
from tests.connectors.two_way_cases import KINDS, customers, enter_contact, enter_customer
from tests.docs.test_examples import start

DOCS = Path(__file__).parents[2] / "docs"
TOUR = (DOCS / "first-pipeline.md").read_text(encoding="utf-8")
REST = (DOCS / "data-sync.md").read_text(encoding="utf-8")
SQL: list[tuple[str, str]] = list(
    zip(KINDS, re.findall(r"```sql\n(.*?)```", REST, re.DOTALL), strict=True)
)
BLOCKS = re.findall(r"```(sh|text|toml)\n(.*?)```", TOUR, re.DOTALL)
RECORD = re.compile(r"\b[0-9a-f]{8}\b")
TIME = re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b")


class Tour:
    """A person who reads the page in an empty folder, with a shell and an editor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shown: list[tuple[str, str]] = []
        """What the page says that commands print, and what they printed."""
        self._output = ""
        self._running: asyncio.subprocess.Process | None = None
        self._records: dict[str, str] = {}

    async def read(self) -> None:
        try:
            for kind, block in BLOCKS:
                match kind:
                    case "sh" if block.startswith("syncline run"):
                        await self._begin(block)
                    case "sh":
                        await self._type(block)
                    case "toml":
                        self._edit(block)
                    case _:
                        await self._compare(block)
        finally:
            if self._running is not None and self._running.returncode is None:
                self._running.kill()
                await self._running.wait()

    async def _shell(self, block: str) -> asyncio.subprocess.Process:
        for shown, real in self._records.items():
            block = block.replace(shown, real)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return await asyncio.create_subprocess_exec(
            *("bash", "-euc", block),
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _type(self, block: str) -> None:
        process = await self._shell(block)
        async with asyncio.timeout(3 * PATIENCE):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        self._output += output.decode()

    async def _begin(self, block: str) -> None:
        """A command that goes on; its first two lines say that it has begun."""
        assert block.count("\n") == 1
        self._running = await self._shell(f"exec {block}")
        self._output = await self._lines(2)

    async def _lines(self, number: int) -> str:
        assert self._running is not None
        assert self._running.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while len(lines) < number:
                lines.append((await self._running.stdout.readline()).decode())
                assert lines[-1], lines
        return "".join(lines)

    def _edit(self, block: str) -> None:
        """The part of the file that has the same head is replaced."""
        file = self.folder / "contacts.toml"
        head = block.partition("\n")[0]
        before, _, after = file.read_text(encoding="utf-8").partition(head)
        assert after, f"the proposed file has no {head}"
        rest = after.partition("\n\n")[2]
        file.write_text(f"{before}{block}\n{rest}", encoding="utf-8")

    async def _compare(self, block: str) -> None:
        if self._running is not None and self._running.returncode is None:
            self._output += await self._lines(block.count("\n") - self._output.count("\n") - 1)
            self._running.send_signal(signal.SIGINT)
            self._output += await self._lines(1)
            assert await self._running.wait() == 0
        self._records |= dict(
            zip(RECORD.findall(block), RECORD.findall(self._output), strict=False)
        )
        self.shown.append((block, self._output))
        self._output = ""


def timeless(text: str) -> str:
    """Without what is another in every run: times, and names of records."""
    return RECORD.sub("<record>", TIME.sub("<time>", text))


@pytest.mark.long
async def test_the_tour(tmp_path: Path) -> None:
    tour = Tour(tmp_path)
    await tour.read()
    assert len(tour.shown) > 5
    for stated, printed in tour.shown:
        assert timeless(printed) == timeless(stated)


def block(language: str, place: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", REST, re.DOTALL)
    return found[place]


def test_every_snippet_is_of_a_kind_that_is_run() -> None:
    numbers = {"toml": 3, "json": 1, "python": 2, "sql": len(KINDS)}
    assert {kind: REST.count(f"```{kind}\n") for kind in numbers} == numbers
    assert set(re.findall(r"```([a-z]*)\n", TOUR)) == {"console", "sh", "text", "toml", ""}
    assert set(re.findall(r"```([a-z]*)\n", REST)) == {"sql", "toml", "json", "python", ""}


def test_the_file_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "contacts.toml"
    file.write_text(block("toml"))
    with two_sides("sqlite", "sqlite", tmp_path) as (crm, accounting):
        enter_contact(crm, "ada@example.com", "Ada", "Lovelace", "+44 20 7946 0958")
        enter_customer(accounting, "grace@example.com", "Grace Hopper", "no")
        environ = {f"{side.name.upper()}_URL": side.spec.url for side in (crm, accounting)}
        run = open_run(load_pipeline(file, environ))
        assert run.check() == []
        run.sync()
        assert [entry.original for entry in run.quarantine()] == ["no"]
        assert customers(accounting)[0] == ("Ada Lovelace", "+442079460958", "ada@example.com")
        assert run.verify().equal
        run.close()


def accounts(folder: Path, *, hook: bool) -> dict[str, str]:
    """A portal with an account, the page's file about it, and the variables that the file needs."""
    with closing(sqlite3.connect(folder / "portal.db")) as portal:
        portal.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, status TEXT)")
        portal.execute("INSERT INTO account VALUES (7, 'fine')")
        portal.commit()
    (folder / "support.db").touch()
    text = block("toml", 1)
    (folder / "accounts.toml").write_text(text if hook else text.partition("[[notify]]")[0])
    return {
        name: f"sqlite:///{folder}/{name[:-4].lower()}.db" for name in ("PORTAL_URL", "SUPPORT_URL")
    }


def test_the_webhook(tmp_path: Path) -> None:
    environ = accounts(tmp_path, hook=True)
    pipeline = load_pipeline(tmp_path / "accounts.toml", environ)
    run = open_run(pipeline)
    run.sync()
    with closing(sqlite3.connect(tmp_path / "portal.db")) as portal:
        portal.execute("UPDATE account SET status = 'taken over'")
        portal.commit()
    changes: list[Change] = []
    run.sync(changed=changes.append)
    run.close()
    stated = block("json").strip()
    at = re.search(r'"at":([0-9]+)', stated)
    assert at is not None
    told = ",".join(as_json(each._replace(at=int(at[1]))) for each in changes)
    assert stated == f'{{"pipeline":"{pipeline.name}","changes":[{told}]}}'
    with closing(sqlite3.connect(tmp_path / "support.db")) as support:
        assert support.execute("SELECT count(*) FROM _syncline_outbox").fetchone() == (1,)


@pytest.mark.slow
async def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in accounts(tmp_path, hook=False).items():
        monkeypatch.setenv(name, url)
    process = await start(block("python"), tmp_path)
    copied, status = False, "taken over"
    async with asyncio.timeout(PATIENCE):
        while not copied:
            copied = await asyncio.to_thread(_is_copied, tmp_path / "support.db")
        with closing(sqlite3.connect(tmp_path / "portal.db")) as portal:
            portal.execute("UPDATE account SET status = ?", (status,))
            portal.commit()
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"lock account 7\n", b"")


@pytest.mark.slow
async def test_the_relay(tmp_path: Path) -> None:
    file = tmp_path / "crm.db"
    with closing(sqlite3.connect(file)) as crm:
        crm.execute("CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, phone TEXT)")
        crm.execute("INSERT INTO contacts (email) VALUES ('ada@example.com')")
        crm.commit()
    async with Relay(tmp_path / "relay.db", port=0) as relay:
        pipeline, program = (
            block(kind, place).replace("ws://127.0.0.1:8765", relay.url)
            for kind, place in (("toml", 2), ("python", 1))
        )
        (tmp_path / "contacts.toml").write_text(pipeline)
        environ = {"CRM_URL": f"sqlite:///{file}"}

        def sync() -> None:
            run = open_run(load_pipeline(tmp_path / "contacts.toml", environ))
            assert not run.sync().waiting
            run.close()

        await asyncio.to_thread(sync)
        process = await start(program, tmp_path)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b"", b"")
        await asyncio.to_thread(sync)
    with closing(sqlite3.connect(file)) as crm:
        assert crm.execute("SELECT phone FROM contacts").fetchall() == [("+442079460958",)]


def _is_copied(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as support:
        try:
            return bool(support.execute("SELECT count(*) FROM account").fetchone()[0])
        except sqlite3.OperationalError:
            return False


@pytest.mark.parametrize(("kind", "sql"), SQL)
def test_it_can_be_removed(kind: str, sql: str, tmp_path: Path) -> None:
    with empty(kind, tmp_path, "a") as source, empty("sqlite", tmp_path, "b") as target:
        side = Side("source", kind, source)
        side.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, status VARCHAR(20))")
        file = tmp_path / "accounts.toml"
        file.write_text(block("toml", 1))
        run = open_run(load_pipeline(file, {"PORTAL_URL": source, "SUPPORT_URL": target}))
        run.sync()
        run.close()
        with side.engine.begin() as connection:
            statements = connection.exec_driver_sql(sql).scalars().all()
            assert len(statements) >= 9
            for statement in statements:
                connection.exec_driver_sql(statement)
        with side.engine.begin() as connection:
            assert sa.inspect(connection).get_table_names() == ["account"]
            connection.exec_driver_sql("INSERT INTO account VALUES (1, 'fine')")
            assert connection.exec_driver_sql(sql).scalars().all() == []
        side.close()
