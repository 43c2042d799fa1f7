"""What a store's URL says to the driver only appears in no error, and in no traceback."""

from __future__ import annotations

import traceback

import pytest

from syncline.engine.errors import InvalidUrl, StoreBusy, StoreError, StoreFailed, SynclineError
from syncline.stores import SqlStore
from tests.stores.servers import database

VALUE = "S3cret"


def refused(url: str, *, exclusive: bool = True) -> SynclineError:
    with pytest.raises(SynclineError) as caught:
        SqlStore(url, exclusive=exclusive).open()
    assert VALUE not in str(caught.value)
    assert VALUE not in "".join(traceback.format_exception(caught.value))
    return caught.value


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"sqlite:///app.db?password={VALUE}", "'sqlite:///app.db?password=***' has more than"),
        (f"sqlite+aiosqlite:///app.db?key={VALUE}", "?key=***' asks for a driver"),
        (f"sqlite://{VALUE}@/app.db", "'sqlite://***@/app.db' has more than a path"),
        (f"sqlite://me:{VALUE}@host/app.db", "'sqlite://***@host/app.db' has more than a path"),
        (f"postgresql://me:a@{VALUE}/b@host/app", "has an @ in its host or its database"),
        (f"mariadb://me:{VALUE}@x@host/app", "has an @ in its host or its database"),
        (f"mariadb://me@host:{VALUE}/app", "cannot be read"),
        (f"postgresql://me:{VALUE}@/", "names no database"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, sentence: str) -> None:
    error = refused(url)
    assert isinstance(error, InvalidUrl)
    assert sentence in error.message


@pytest.mark.parametrize(
    ("kind", "parameter", "expected", "sentence"),
    [
        ("postgresql", "connect_timeout", InvalidUrl, "a URL that its driver cannot read"),
        ("postgresql", "no_such_parameter", InvalidUrl, "a URL that its driver cannot read"),
        ("postgresql", "sslmode", StoreFailed, 'invalid sslmode value: "***"'),
        ("postgresql", "options", StoreError, "invalid command-line argument"),
        ("mariadb", "connect_timeout", InvalidUrl, "a URL that its driver cannot read"),
        ("mariadb", "no_such_parameter", InvalidUrl, "a URL that its driver cannot read"),
        ("mariadb", "charset", InvalidUrl, "a URL that its driver cannot read"),
        ("mariadb", "ssl_ca", InvalidUrl, "a URL that its driver cannot read"),
        ("mariadb", "sql_mode", StoreError, "can't be set to the value of '***'"),
        ("mariadb", "init_command", StoreError, "near '***'"),
    ],
)
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_parameter_that_cannot_be_used(
    kind: str, parameter: str, expected: type[SynclineError], sentence: str, exclusive: bool
) -> None:
    with database(kind) as made:
        error = refused(f"{made.url}?{parameter}={VALUE}", exclusive=exclusive)
        assert isinstance(error, expected)
        assert sentence in error.message


@pytest.mark.services
def test_a_value_that_is_part_of_the_stores_name_leaves_it_readable() -> None:
    with database("postgresql") as made:
        name = made.url.rpartition("/")[2]
        error = refused(f"{made.url}?sslmode={name}")
        assert f"/{name} cannot be reached" in error.message
        assert 'sslmode value: "***"' in error.message
        store, other = SqlStore(made.url), SqlStore(f"{made.url}?application_name=another")
        store.open()
        with pytest.raises(StoreBusy, match="another program"):  # only while connecting
            other.open()
        store.close()
