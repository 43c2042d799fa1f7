"""Stores that are opened side by side, in threads and processes, and openings that end half-way."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, inspect

from syncline.engine.errors import StoreBusy, StoreError
from syncline.stores import MemoryStore, SqlStore, Store
from syncline.stores.databases.from_url import database_of
from syncline.stores.tables import schema
from syncline.upkeep.backup import backup
from tests.stores.numbered import assert_holds, numbered
from tests.stores.opening import at_once
from tests.stores.servers import SERVERS, database

MANY = 8


def opened(place: str | Path, *, exclusive: bool = True) -> SqlStore:
    store = SqlStore(place, exclusive=exclusive)
    store.open()
    return store


def fill(place: str | Path) -> None:
    """Open, write, read and close."""
    with closing(opened(place)) as store:
        store.write([numbered(1)])
        assert_holds(store, 1)


def assert_whole(place: str | Path) -> None:
    """A store with all of its tables, that holds one numbered write."""
    with database_of(place).writer_engine().connect() as connection:
        assert set(inspect(connection).get_table_names()) >= set(schema.tables.tables)
    with closing(opened(place)) as store:
        assert_holds(store, 1)
        store.check()


# Threads


@pytest.mark.slow
def test_new_stores_in_threads_at_once(tmp_path: Path) -> None:
    for turn in range(4):
        places = [tmp_path / f"{turn}-{number}.db" for number in range(MANY)]
        assert at_once(*(lambda place=place: fill(place) for place in places)) == [None] * MANY
        for place in places:
            assert_whole(place)


@pytest.mark.services
def test_new_stores_of_every_kind_at_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(database(kind)).url for kind in SERVERS for _ in range(2)]
        places = [*servers, *(str(tmp_path / f"{number}.db") for number in range(2))]
        found = at_once(*(lambda place=place: fill(place) for place in places))
        assert found == [None] * len(places)
        for place in places:
            assert_whole(place)


def test_migrations_interleave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One migration begins while another is in its middle, and ends first."""
    first, second = tmp_path / "first.db", tmp_path / "second.db"
    inside, done = Event(), Event()
    run = MigrationContext.run_migrations

    def waiting(context: MigrationContext, **arguments: Any) -> None:
        assert context.connection is not None
        is_first = "first.db" in str(
            context.connection.exec_driver_sql("PRAGMA database_list").all()
        )
        if is_first:
            inside.set()
            assert done.wait(60)
        run(context, **arguments)

    monkeypatch.setattr(MigrationContext, "run_migrations", waiting)

    def overtake() -> None:
        assert inside.wait(60)
        try:
            fill(second)
        finally:
            done.set()

    assert at_once(lambda: fill(first), overtake) == [None, None]
    assert_whole(first)
    assert_whole(second)


def test_one_new_store_opened_twice_at_once(location: str) -> None:
    """One gets it; the other is told that it is taken, or gets it afterwards."""
    stores = [SqlStore(location) for _ in range(2)]
    outcomes = at_once(*(store.open for store in stores))
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert [type(outcome) for outcome in refused] == [StoreBusy]
    winner, loser = stores if outcomes[0] is None else stores[::-1]
    winner.write([numbered(1)])
    winner.close()
    loser.open()
    assert_holds(loser, 1)
    loser.close()
    assert_whole(location)


def test_one_object_opened_by_two_threads_at_once(location: str) -> None:
    store = SqlStore(location)
    for turn in range(3):
        outcomes = at_once(store.open, store.open)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StoreBusy"]
        store.write([numbered(turn + 1)])  # whoever has it keeps it
        store.close()
    with closing(opened(location)) as again:
        assert_holds(again, 3)


def test_a_database_is_taken_before_it_is_connected_to(location: str) -> None:
    """So that the second of two threads is refused at any moment of the first one's opening."""
    taken = database_of(location)
    taken.acquire()
    with pytest.raises(StoreBusy):
        taken.acquire()
    taken.close()
    taken.acquire()
    taken.close()
    taken.close()


# SQLite's locks belong to the process


OTHER_PROGRAM = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM syncline_updates").fetchone()[0])
connection.close()
"""


def other_program(path: Path) -> int:
    """How many updates another program sees, that opens the file to write and closes it."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROGRAM, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def refuse(path: Path) -> None:
    with pytest.raises(StoreBusy):
        opened(path)


def look(path: Path) -> None:
    opened(path, exclusive=False).close()


def save(path: Path) -> None:
    backup(path, path.with_name("backup.db"))


@pytest.mark.parametrize("meanwhile", [refuse, look, save])
def test_an_open_store_keeps_its_log(tmp_path: Path, meanwhile: Callable[[Path], None]) -> None:
    """Had this process closed the file once, SQLite's locks on it would be gone, and the other
    program would take away the log of the open store."""
    path = tmp_path / "app.db"
    with closing(opened(path)) as store:
        store.write([numbered(1)])
        meanwhile(path)
        assert other_program(path) == 2
        assert path.with_name("app.db-wal").exists()
        store.write([numbered(2)])
        assert other_program(path) == 4
        assert_holds(store, 2)


# Processes


AT_ONCE = """
import os, sys
from syncline.engine.errors import StoreBusy
from syncline.stores import SqlStore, migrations
from tests.stores.numbered import assert_holds, numbered

def answer_of(store):
    os.read(starts, 1)
    try:
        store.open()
    except StoreBusy:
        return b"-"
    store.write([numbered(1)])
    assert_holds(store, 1)
    return b"+"

starts, start = os.pipe()
ends, end = os.pipe()
answers, answer = os.pipe()
places = sys.argv[1:]
for place in places:
    if os.fork() == 0:
        os.close(start)
        os.close(end)
        try:
            store = SqlStore(place)
            said = answer_of(store)
        except BaseException as error:
            sys.stderr.write(f"{error!r}")
            said = b"!"
        os.write(answer, said)
        os.read(ends, 1)  # holds what it has until everybody has answered
        os._exit(0)
os.close(start)
print("".join(sorted(os.read(answers, 1).decode() for _ in places)))
"""


def processes_at_once(*places: str) -> str:
    """Open each place in a process of its own, at the same moment; the processes hold what they
    opened until all have answered. Answers a + for each that got it, a - for each that was told
    that another one has it."""
    if sys.platform == "win32":
        pytest.skip("forks")
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, *places], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.slow
def test_new_stores_in_processes_at_once(tmp_path: Path) -> None:
    places = [str(tmp_path / f"{number}.db") for number in range(MANY)]
    assert processes_at_once(*places) == "+" * MANY
    for place in places:
        assert_whole(place)


@pytest.mark.slow
def test_one_new_store_in_processes_at_once(location: str) -> None:
    assert processes_at_once(*[location] * MANY) == "+" + "-" * (MANY - 1)
    assert_whole(location)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from syncline.stores import SqlStore, migrations
from tests.stores.numbered import assert_holds, numbered

folder, step = Path(sys.argv[1]), 0
while True:
    step += 1
    path = folder / f"{step}.db"
    child = os.fork()
    if child == 0:
        seen = 0
        def count(*_):
            global seen
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(Engine, "before_cursor_execute", count)
        SqlStore(path).open()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    store = SqlStore(path)
    store.open()
    store.write([numbered(1)])
    assert_holds(store, 1)
    store.check()
    store.close()
    if os.WIFEXITED(status):
        break
print(step)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_process_killed_while_it_makes_a_store(tmp_path: Path) -> None:
    """Killed before its n-th statement, for every n: the next open makes the store."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20  # so many places there were


FORKED = """
import os, sys
from syncline.stores import SqlStore
store = SqlStore(sys.argv[1])
store.open()
store.close()
child = os.fork()
if child == 0:
    store.open()
    store.close()
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_store_from_before_a_fork_opens_in_the_child(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Openings that end half-way


class Stopped(Exception):
    """The failpoint."""


@contextmanager
def stopping_at(step: int) -> Generator[list[int]]:
    """Raises Stopped before the ``step``-th statement; yields how many there were."""
    seen = [0]

    def note(*_: object) -> None:
        seen[0] += 1
        if seen[0] == step:
            raise Stopped

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def held(path: Path) -> list[str]:
    """The descriptors that this process has of files in the folder of ``path``."""
    found: list[str] = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [name for name in found if name.startswith(str(path.parent))]


def empty(location: str) -> None:
    """Have nothing there again."""
    if "://" not in location:
        for file in Path(location).parent.iterdir():
            file.unlink()
        return
    with database_of(location).writer_engine().connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            name = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
            connection.exec_driver_sql(f"DROP DATABASE {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        connection.commit()


@pytest.mark.slow
def test_an_open_that_fails_at_any_statement_leaves_nothing(location: str) -> None:
    for step in count(1):
        empty(location)
        store = SqlStore(location)
        with stopping_at(step) as seen:
            try:
                store.open()
                failed = False
            except Stopped:
                failed = True
                assert sys.platform != "linux" or not held(Path(location))
                store.open()  # the same object, and what is left of the database
        store.write([numbered(1)])
        store.close()
        assert_whole(location)
        if not failed:
            assert step == seen[0] + 1
            assert step > 15
            break


def test_a_close_that_fails_frees_the_store(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(location)
    with monkeypatch.context() as patch:

        def fail(connection: Connection) -> None:
            close(connection)
            raise Stopped

        close = Connection.close
        patch.setattr(Connection, "close", fail)
        with pytest.raises(Stopped):
            store.close()
    fill(location)


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_store_that_was_closed_says_so(tmp_path: Path, kind: str) -> None:
    store: Store = MemoryStore() if kind == "memory" else SqlStore(tmp_path / "app.db")
    with pytest.raises(StoreError, match=r"is not open\.") as caught:
        store.workspaces()
    assert caught.value.hint == "Call open() first."
    store.open()
    store.close()
    for use in (store.workspaces, lambda: store.write([numbered(1)])):
        with pytest.raises(StoreError, match=r"is not open any more: it was closed\.") as caught:
            use()
        assert "Use it before it is closed, or open it again." in caught.value.hint


# Rights


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.fixture
def lax() -> Generator[None]:
    """The program leaves the rights of what it makes to whoever makes it."""
    before = os.umask(0)
    yield
    os.umask(before)


posix = pytest.mark.skipif(os.name != "posix", reason="rights of files work differently")


@posix
@pytest.mark.usefixtures("lax")
def test_a_new_store_is_its_owners_alone(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "app.db")) as store:
        store.write([numbered(1)])
        assert modes(tmp_path) == dict.fromkeys(
            ("app.db", "app.db-shm", "app.db-wal", "app.db.lock"), 0o600
        )
        saved = tmp_path / "saved"
        saved.mkdir()
        store.save_copy(saved / "copy.db")
    backup(tmp_path / "app.db", saved / "backup.db")
    assert modes(saved) == {"backup.db": 0o600, "copy.db": 0o600}


@posix
@pytest.mark.usefixtures("lax")
def test_the_mode_of_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    path.touch(0o640)
    with closing(opened(path)) as store:
        store.write([numbered(1)])
        assert modes(tmp_path) == dict.fromkeys(
            ("app.db", "app.db-shm", "app.db-wal", "app.db.lock"), 0o640
        )
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "backup.db").touch(0o660)
    backup(path, saved / "backup.db", force=True)
    assert modes(saved) == {"backup.db": 0o660}


# What the program does to itself


def test_a_program_that_has_too_many_files_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    opened(tmp_path / "app.db").close()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare[0] + 40, limits[1]))
    try:
        with suppress(OSError):
            while True:
                spare.append(os.open(os.devnull, os.O_RDONLY))
        store = SqlStore(tmp_path / "app.db")
        refusals: list[str] = []
        while True:  # one file more each time
            try:
                store.open()
                break
            except StoreError as error:
                refusals.append(str(error))
            os.close(spare.pop())
        store.close()
        assert "too many files open" in refusals[0]
        assert "ulimit -n" in refusals[0]
        assert all(
            "too many files open" in each or "how many files this program" in each
            for each in refusals
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in spare:
            os.close(descriptor)
    fill(tmp_path / "app.db")


def test_a_shared_cache_is_not_shared_with_the_store(tmp_path: Path) -> None:
    enable: Callable[[bool], None] | None = getattr(sqlite3, "enable_shared_cache", None)
    if enable is None:
        pytest.skip("no more in this Python")
    with pytest.warns(DeprecationWarning, match="shared_cache"):
        enable(True)
    try:
        with closing(opened(tmp_path / "app.db")) as store:
            store.write([numbered(1)])
            with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM syncline_meta").fetchone()
                store.write([numbered(2)])  # a lock on a table of the shared cache would refuse it
            assert_holds(store, 2)
    finally:
        with pytest.warns(DeprecationWarning, match="shared_cache"):
            enable(False)
