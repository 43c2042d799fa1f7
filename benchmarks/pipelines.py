"""What a one-way pipeline copies a second: python benchmarks/pipelines.py [--dlt PYTHON]

Copies ROWS customers from SQLite to PostgreSQL, then the CHANGED of them that were changed, then
FEW more, and verifies. With --dlt, the interpreter of an environment that has
``dlt[postgres,sql_database]`` (and ``pyarrow``, for its faster backend), dlt does the same in turn,
and ratios are printed. dlt is told what is new by a column; Syncline's triggers note it, which
costs the writer: that is printed, too. PostgreSQL is taken from SYNCLINE_POSTGRESQL, or at
127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from syncline.connectors import open_run
from syncline.connectors.file.load import parse_pipeline

ROWS = 100_000
CHANGED = 10_000
FEW = 100
ROUNDS = 3
POSTGRESQL = os.environ.get(
    "SYNCLINE_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
)
CREATE = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, first_name VARCHAR(40),"
    " last_name VARCHAR(40), email VARCHAR(80), phone VARCHAR(24), balance NUMERIC(10, 2),"
    " vip BOOLEAN, note TEXT, updated_at VARCHAR(20))"
)
OLD, NEW, NEWER = "2026-01-01T00:00:00", "2026-02-01T00:00:00", "2026-03-01T00:00:00"


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def make_source(file: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{file}")
    rows = [
        (
            number,
            f"First{number}",
            f"Last{number % 977}",
            f"user{number}@example.org",
            f"+1650253{number % 10_000:04}",
            number % 100_000 / 100,
            number % 2,
            "note " * (number % 5),
            OLD,
        )
        for number in range(ROWS)
    ]
    with engine.begin() as connection:
        connection.exec_driver_sql(CREATE)
        connection.exec_driver_sql("INSERT INTO customers VALUES (?,?,?,?,?,?,?,?,?)", rows)
    return engine


def change(engine: sa.Engine, number: int = CHANGED, at: str = NEW) -> None:
    every = ROWS // number
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE customers SET phone = phone || '0', updated_at = '{at}'"  # noqa: S608
            f" WHERE id % {every} = 0"
        )


def by_syncline(folder: Path, destination: str) -> dict[str, float]:
    plain = make_source(folder / "plain.db")
    source = make_source(folder / "source.db")
    pipeline = parse_pipeline(
        f"""
        [pipeline]
        name = "benchmark"
        mode = "one-way"
        [source]
        url = "sqlite:///{folder / "source.db"}"
        [destination]
        url = "{destination}"
        """,
        "benchmark.toml",
        {},
    )
    run = open_run(pipeline)
    taken = {"first copy": seconds(run.sync)}
    untriggered = seconds(lambda: change(plain))
    taken["writing with triggers / without"] = seconds(lambda: change(source)) / untriggered
    taken["increment"] = seconds(run.sync)
    change(source, FEW, NEWER)
    taken["small increment"] = seconds(run.sync)
    taken["nothing new"] = seconds(run.sync)
    taken["verify"] = seconds(run.verify)
    assert run.verify().equal
    run.close()
    return taken


def by_dlt(python: str, backend: str, folder: Path, destination: str) -> dict[str, float]:
    source = make_source(folder / f"{backend}.db")
    environ = os.environ | {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}

    def job(step: str) -> float:
        script = str(Path(__file__).with_name("dlt_job.py"))
        url = f"sqlite:///{folder / f'{backend}.db'}"
        done = subprocess.run(
            [python, script, step, url, destination, NEW, backend, str(folder / backend)],
            env=environ,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return float(done.stdout.split()[-1])

    first = job("first")
    change(source)
    taken = {"first copy": first, "increment": job("increment")}
    change(source, FEW, NEWER)
    return taken | {"small increment": job("increment")}


def in_new_database(job: Callable[[Path, str], dict[str, float]]) -> dict[str, float]:
    """What ``job`` takes with a folder and the URL of an empty database."""
    name = f"benchmark_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    url = sa.make_url(POSTGRESQL).set(database=name, drivername="postgresql")
    if url.password is None:
        url = url.set(password="unused")  # dlt wants one, even where PostgreSQL trusts  # noqa: S106
    with server.connect() as connection, tempfile.TemporaryDirectory() as folder:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        try:
            return job(Path(folder), url.render_as_string(hide_password=False))
        finally:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dlt", metavar="PYTHON", help="an interpreter that has dlt")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    jobs: dict[str, Callable[[Path, str], dict[str, float]]] = {"syncline": by_syncline}
    for backend in ("sqlalchemy", "pyarrow") if given.dlt else ():
        jobs[f"dlt ({backend})"] = partial(by_dlt, given.dlt, backend)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in jobs}
    for _ in range(given.rounds):  # in turn, so that all meet the same machine
        for name, job in jobs.items():
            taken[name].append(in_new_database(job))
    median = {
        name: {step: statistics.median(each[step] for each in rounds) for step in rounds[0]}
        for name, rounds in taken.items()
    }
    print(f"{ROWS:,} rows from SQLite to PostgreSQL, {CHANGED:,} and {FEW} of them changed;")
    python, cores = sys.version.split()[0], os.cpu_count()
    print(f"medians of {given.rounds} rounds, Python {python}, {cores} cores\n")
    for name, steps in median.items():
        for step, value in steps.items():
            if "/" in step:
                print(f"{name:18} {step:32} {value:7.2f} times")
                continue
            rows = {"increment": CHANGED, "small increment": FEW}.get(step, ROWS)
            rate = "" if step == "nothing new" else f"{rows / value:10,.0f} rows/s"
            ratio = f"{value / median['syncline'][step]:6.1f} times syncline"
            print(f"{name:18} {step:32} {value:7.2f} s{rate}   {ratio}")


if __name__ == "__main__":
    main()
