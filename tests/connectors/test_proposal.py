"""Proposed pipeline files: from real tables, and read back as what they say."""

from __future__ import annotations

import re
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from syncline.cleaning import parse_rules
from syncline.connectors.database.system import System
from syncline.connectors.file.load import load_pipeline
from syncline.connectors.file.spec import OneWay, SystemSpec, TwoWay
from syncline.connectors.proposal.names import record_name, safe_name, words
from syncline.connectors.proposal.propose import (
    Proposal,
    check_name,
    default_name,
    propose,
    read_system,
    read_url,
)
from syncline.engine.errors import InvalidName, InvalidUrl
from tests.stores.servers import database

CHINOOK = Path(__file__).parents[3] / "shared" / "data" / "chinook.sqlite"
needs_chinook = pytest.mark.skipif(not CHINOOK.exists(), reason="Chinook is not here")

Make = Callable[..., System]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes SQLite databases: ``make(name, *statements)``."""
    systems: list[System] = []

    def made(name: str, *statements: str) -> System:
        file = tmp_path / f"{name}.db"
        with closing(sqlite3.connect(file)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        systems.append(System(SystemSpec(name, f"sqlite:///{file}")))
        return systems[-1]

    yield made
    for system in systems:
        system.close()


def proposed(mode: str, first: System, second: System) -> Proposal:
    samples = [read_system(each, str(each.engine.url)) for each in (first, second)]
    return propose(
        "test", "Try it", "two-way" if mode == "two-way" else "one-way", samples[0], samples[1]
    )


def two_way(proposal: Proposal, folder: Path) -> TwoWay:
    """The pipeline that the proposed file becomes."""
    file = folder / "proposed.toml"
    file.write_text(proposal.text, encoding="utf-8")
    pipeline = load_pipeline(file)
    assert isinstance(pipeline, TwoWay)
    return pipeline


def one_way(proposal: Proposal, folder: Path) -> OneWay:
    file = folder / "proposed.toml"
    file.write_text(proposal.text, encoding="utf-8")
    pipeline = load_pipeline(file)
    assert isinstance(pipeline, OneWay)
    return pipeline


def columns_of(pipeline: TwoWay, record: str) -> dict[str, Mapping[str, tuple[str, ...]]]:
    return {name: each.columns for name, each in pipeline.records[record].fields.items()}


@needs_chinook
@pytest.mark.services
def test_customers_in_a_crm_and_an_accounting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(CHINOOK)) as chinook:
        people = chinook.execute(
            "SELECT FirstName, LastName, Phone, Email, Country FROM Customer ORDER BY 1, 2"
        ).fetchall()
    rows = [dict(zip("flpec", row, strict=True)) for row in people]
    with database("postgresql") as crm, database("mariadb") as accounting:
        crm.execute(
            "CREATE TABLE contacts (id serial PRIMARY KEY, first_name text, last_name text,"
            " phone text, email text, country text)"
        )
        accounting.execute(
            "CREATE TABLE customers (number INTEGER PRIMARY KEY AUTO_INCREMENT,"
            " full_name VARCHAR(100) NOT NULL, tel VARCHAR(40), billing_email VARCHAR(100),"
            " vat VARCHAR(20), country VARCHAR(60))"
        )
        with crm.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO contacts (first_name, last_name, phone, email, country)"
                    " VALUES (:f, :l, :p, :e, :c)"
                ),
                rows[:40],
            )
        with accounting.engine.begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO customers (full_name, tel, billing_email, country)"
                    " VALUES (CONCAT(:f, ' ', :l), :p, :e, :c)"
                ),
                rows[20:],
            )
        monkeypatch.setenv("CRM_URL", crm.url)
        monkeypatch.setenv("ACCOUNTING_URL", accounting.url)
        systems = [
            System(SystemSpec("crm", crm.url)),
            System(SystemSpec("accounting", accounting.url)),
        ]
        samples = [read_system(each, f"${{{each.name.upper()}_URL}}") for each in systems]
        proposal = propose("contacts", "Share customers", "two-way", samples[0], samples[1])
        for system in systems:
            system.close()
        pipeline = two_way(proposal, tmp_path)
    assert (pipeline.name, pipeline.purpose) == ("contacts", "Share customers")
    assert [each.url for each in pipeline.systems.values()] == [crm.url, accounting.url]
    record = pipeline.records["contact"]
    assert record.tables == {"crm": "contacts", "accounting": "customers"}
    assert record.match == ("email",)
    assert columns_of(pipeline, "contact") == {
        "name": {"crm": ("first_name", "last_name"), "accounting": ("full_name",)},
        "phone": {"crm": ("phone",), "accounting": ("tel",)},
        "email": {"crm": ("email",), "accounting": ("billing_email",)},
        "country": {"crm": ("country",), "accounting": ("country",)},
    }
    phone = record.fields["phone"].cleaner
    assert phone.clean("020 7946 0958", {"country": "United Kingdom"}) == "+442079460958"
    assert (phone.on_invalid, record.fields["email"].cleaner.on_invalid) == (
        "keep-old",
        "quarantine",
    )
    assert record.fields["country"].cleaner.rules == ()
    # Of 40 + 39 numbers one in both is missing, two in both and one of the accounting's are wrong.
    assert "72 of 77 sampled values pass" in proposal.text.replace("\n# ", " ")
    assert '# type = "Country"' in proposal.text
    assert "#   accounting.customers.vat (text)" in proposal.text
    assert "#   crm.contacts.id (int): the key: every system has its own" in proposal.text
    assert proposal.notes == [
        (
            "contact: crm.contacts and accounting.customers, the same by email; fields name, "
            "phone, email, country."
        )
    ]


@needs_chinook
def test_one_way_proposes_rules_as_comments_which_all_hold(make: Make, tmp_path: Path) -> None:
    source = System(SystemSpec("chinook", f"sqlite:///{CHINOOK}"))
    destination = make(
        "report", "CREATE TABLE customer (id INTEGER PRIMARY KEY)", "CREATE TABLE Album (AlbumId)"
    )
    proposal = proposed("one-way", source, destination)
    source.close()
    pipeline = one_way(proposal, tmp_path)
    assert list(pipeline.tables) == [
        *("Album", "Artist", "Customer", "Employee", "Genre", "Invoice", "InvoiceLine"),
        *("MediaType", "Playlist", "PlaylistTrack", "Track"),
    ]
    assert all(not each.cleaners for each in pipeline.tables.values())
    assert '# to = "customer"  # report has this table' in proposal.text
    assert (
        "The destination has this table already, but it cannot take part: The table 'Album' has no"
        in (proposal.text.replace("\n# ", " "))
    )
    assert proposal.notes[0] == "11 tables will be copied from chinook."
    assert proposal.notes[1] == (
        "report has tables that cannot take rows: Album. The file says why; give those another "
        "name with to."
    )
    assert "cleaning rules would suit the values" in proposal.notes[2]

    active = re.sub(
        r"^# (\[table\.|type = |clean = |on_invalid = )", r"\1", proposal.text, flags=re.MULTILINE
    )
    tables = {each["name"]: each.get("field", {}) for each in tomllib.loads(active)["table"]}
    assert tables["Customer"]["Phone"]["type"] == {"phone": "E164", "region": ["field:Country"]}
    assert tables["Customer"]["Email"] == {"type": "Email", "on_invalid": "keep-old"}
    assert tables["Invoice"]["BillingCountry"]["type"] == "Country"
    assert tables["Track"] == {}
    for table, fields in tables.items():
        for name, spec in fields.items():
            parse_rules(spec, f"{table}.{name}")
    (tmp_path / "active.toml").write_text(active, encoding="utf-8")
    cleaned = load_pipeline(tmp_path / "active.toml")
    assert isinstance(cleaned, OneWay)
    assert set(cleaned.tables["Customer"].cleaners) == {
        *("City", "Country", "Phone", "Fax", "Email")
    }


def test_tables_without_a_key_are_left_out_of_a_one_way_pipeline(
    make: Make, tmp_path: Path
) -> None:
    source = make(
        "source",
        "CREATE TABLE kept (id INTEGER PRIMARY KEY)",
        "CREATE TABLE log (line)",
        "CREATE TABLE [a[1]]] (line)".replace("]]]", "*]"),
    )
    proposal = proposed("one-way", source, make("target"))
    pipeline = one_way(proposal, tmp_path)
    assert list(pipeline.tables) == ["kept"]
    assert pipeline.exclude == ("a[[]1[*]", "log")
    assert "# The table 'log' has no primary key" in proposal.text
    assert '# [[table]]\n# name = "log"' in proposal.text
    assert proposal.notes == ["1 table will be copied from source, and 2 left out: a[1*, log."]


def test_names_of_all_kinds_come_back_as_they_are(make: Make, tmp_path: Path) -> None:
    odd = ['a "b" c', "d.e#f", "größe ✓", "${HOME}", "x\ny", "back\\slash", "\x7f", "'", "顧客"]
    columns = ", ".join('"' + name.replace('"', '""') + '" TEXT' for name in odd)
    table = 'Odd "table"\n= 1'
    create = (
        f'CREATE TABLE "{table.replace(chr(34), chr(34) * 2)}" (k INTEGER PRIMARY KEY, {columns})'
    )
    first, second = make("a", create), make("b", create)
    pipeline = two_way(proposed("two-way", first, second), tmp_path)
    (record,) = pipeline.records.values()
    assert record.tables == {"a": table, "b": table}
    assert [each.columns["a"] for each in record.fields.values()] == [(name,) for name in odd]
    for name in (record.name, *record.fields):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name)
    copied = one_way(proposed("one-way", first, second), tmp_path)
    assert list(copied.tables) == [table]


def test_a_purpose_is_kept_as_it_was_said(make: Make, tmp_path: Path) -> None:
    create = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"
    samples = [read_system(make(name, create), f"sqlite:///{name}.db") for name in "ab"]
    purpose = 'So that "sales"\nand ${HOME} agree \\o/'
    pipeline = two_way(propose("p", purpose, "two-way", samples[0], samples[1]), tmp_path)
    assert pipeline.purpose == purpose


def test_tables_of_other_names_pair_by_columns_and_values(make: Make, tmp_path: Path) -> None:
    values = ", ".join(f"('item {n}', 'SKU-{n}', {n})" for n in range(8))
    shop = make(
        "shop",
        "CREATE TABLE catalogue (id INTEGER PRIMARY KEY, label TEXT, sku TEXT UNIQUE, stock INT)",
        f"INSERT INTO catalogue (label, sku, stock) VALUES {values}",
    )
    depot = make(
        "depot",
        "CREATE TABLE goods_in_store (nr INTEGER PRIMARY KEY, what TEXT, sku TEXT, stock INT)",
        f"INSERT INTO goods_in_store (what, sku, stock) VALUES {values}",
        "CREATE TABLE other (nr INTEGER PRIMARY KEY, sku TEXT, label TEXT)",
        "INSERT INTO other (sku, label) VALUES ('Z-1', 'nothing'), ('Z-2', 'alike')",
    )
    proposal = proposed("two-way", shop, depot)
    pipeline = two_way(proposal, tmp_path)
    assert columns_of(pipeline, "catalogue") == {
        "label": {"shop": ("label",), "depot": ("what",)},
        "sku": {"shop": ("sku",), "depot": ("sku",)},
        "stock": {"shop": ("stock",), "depot": ("stock",)},
    }
    assert pipeline.records["catalogue"].match == ("sku",)
    assert "# Tables of depot that nothing in the other is like: other." in proposal.text
    assert (
        '# [record.other]\n# in = { shop = "ITS TABLE", depot = "other" }\n# match = ["sku"]\n'
        '# [record.other.field.sku]\n# in = { shop = "ITS COLUMN", depot = "sku" }\n'
    ) in proposal.text


def test_the_same_schema_on_both_sides_keeps_its_references(make: Make, tmp_path: Path) -> None:
    create = (
        "CREATE TABLE companies (id INTEGER PRIMARY KEY, name TEXT UNIQUE, updated_at DATETIME)",
        (
            "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, company_id INT REFERENCES"
            " companies(id), boss_id INT REFERENCES people(id))"
        ),
        (
            "CREATE TABLE tags (company INT REFERENCES companies(id), person INT REFERENCES"
            " people(id), PRIMARY KEY (company, person))"
        ),
    )
    pipeline = two_way(
        proposed("two-way", make("local", *create), make("cloud", *create)), tmp_path
    )
    assert {name: each.match for name, each in pipeline.records.items()} == {
        "company": ("name",),
        "person": ("email",),
        "tag": ("company", "person"),
    }
    person = pipeline.records["person"].fields
    assert {name: each.ref for name, each in person.items()} == {
        "email": None,
        "company": "company",
        "boss": "person",
    }
    assert "updated_at" not in pipeline.records["company"].fields


def test_without_a_field_to_match_by_a_record_is_only_a_comment(make: Make) -> None:
    create = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)"
    insert = "INSERT INTO notes (body) VALUES ('same'), ('same')"
    proposal = proposed("two-way", make("a", create, insert), make("b", create, insert))
    assert "record" not in tomllib.loads(proposal.text)
    assert not proposal.complete
    assert "# [record.note]" in proposal.text
    assert proposal.notes == [
        (
            "note is in the file as a comment (a.notes and b.notes): both have rows, and no field "
            "is sure to say which are the same: name some in match."
        ),
        (
            "No tables of a and b are sure to hold the same records: write a [record.NAME] by "
            "hand, as the comments in the file say."
        ),
    ]


def test_email_addresses_that_are_there_twice_are_not_matched_by(
    make: Make, tmp_path: Path
) -> None:
    create = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, code TEXT UNIQUE)"
    values = "('Info@example.com', 'a'), ('info@example.com', 'b')"
    insert = f"INSERT INTO contacts (email, code) VALUES {values}"
    pipeline = two_way(proposed("two-way", make("a", create, insert), make("b", create)), tmp_path)
    assert pipeline.records["contact"].match == ("code",)


def test_a_key_that_nobody_gives_out_is_reported(make: Make) -> None:
    first = make("a", "CREATE TABLE t (id INTEGER PRIMARY KEY, email TEXT)")
    second = make("b", "CREATE TABLE t (nr INT PRIMARY KEY, email TEXT)")
    proposal = proposed("two-way", first, second)
    assert proposal.notes[0] == (
        "t is in the file as a comment (a.t and b.t): new rows of t would have no key: map nr, or "
        "let the database number its rows."
    )


def test_phone_numbers_without_a_country_ask_for_one(make: Make, tmp_path: Path) -> None:
    create = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, phone TEXT)"
    insert = "INSERT INTO contacts (email, phone) VALUES ('a@example.com', '030 901820')"
    proposal = proposed("two-way", make("a", create, insert), make("b", create))
    assert '# type = { phone = "E164", region = ["US"] }' in proposal.text
    assert "0 of 1 sampled values pass; name the country" in proposal.text.replace("\n# ", " ")
    fields = two_way(proposal, tmp_path).records["contact"].fields
    assert fields["phone"].cleaner.rules == ()


def test_a_column_is_known_by_its_values_too(make: Make, tmp_path: Path) -> None:
    create = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, login TEXT, at TEXT, code TEXT UNIQUE)"
    insert = (
        "INSERT INTO contacts (login, at, code) VALUES ('a@example.com', 'https://example.com', 1),"
        " ('b@example.com', 'https://example.org', 2), ('c@example.com', 'HTTP://example.net', 3)"
    )
    proposal = proposed("two-way", make("a", create, insert), make("b", create))
    pipeline = two_way(proposal, tmp_path)
    cleaners = {name: f.cleaner for name, f in pipeline.records["contact"].fields.items()}
    assert [rule.name for rule in cleaners["login"].rules] == ["Email"]
    assert '# type = "URL"' in proposal.text


def test_at_most_200_rows_are_read(make: Make) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
    system = make(
        "a",
        "CREATE TABLE many (id INTEGER PRIMARY KEY)",
        f"{numbers} INSERT INTO many SELECT i FROM n",
        "CREATE TABLE _syncline_mine (id INTEGER PRIMARY KEY)",
    )
    told: list[str] = []
    sample = read_system(system, "sqlite:///a.db", told.append)
    assert told == list(sample.tables) == ["many"]
    assert (len(sample.tables["many"].rows), sample.tables["many"].complete) == (200, False)


@pytest.mark.slow
@pytest.mark.services
def test_a_table_that_may_not_be_read_is_left_out() -> None:
    with database("postgresql") as crm:
        role = sa.make_url(crm.url).database
        crm.execute(
            "CREATE TABLE open_one (id int PRIMARY KEY)",
            "CREATE TABLE closed (id int PRIMARY KEY)",
            f"CREATE ROLE {role}",
            f"GRANT SELECT ON open_one TO {role}",
            f"ALTER DATABASE {role} SET role = {role}",
        )
        system = System(SystemSpec("crm", crm.url))
        try:
            sample = read_system(system, "${CRM_URL}")
        finally:
            system.close()
            # The setting is also what RESET goes back to, in every new connection.
            crm.execute("SET ROLE NONE", f"ALTER DATABASE {role} RESET role")
            crm.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert list(sample.tables) == ["open_one"]
    assert sample.skipped == {
        "closed": "The table 'closed' cannot be read: permission denied for table closed."
    }


def test_it_works_without_the_libraries_of_cleaning(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("rapidfuzz", "phonenumbers", "pycountry", "babel", "email_validator", "ftfy"):
        monkeypatch.setitem(sys.modules, library, None)
    create = "CREATE TABLE contacts (id INTEGER PRIMARY KEY, {} TEXT, phone TEXT, remark_x TEXT)"
    insert = "INSERT INTO contacts (phone, {}) VALUES ('+16502530000', 'a@example.com')"
    proposal = proposed(
        "two-way",
        make("a", create.format("email"), insert.format("email")),
        make("b", create.replace("remark_x", "remarx").format("mail"), insert.format("mail")),
    )
    assert "pip install" in proposal.notes[-1]
    fields = two_way(proposal, tmp_path).records["contact"].fields
    assert {name: each.cleaner.rules for name, each in fields.items()} == {"email": (), "phone": ()}


@pytest.mark.parametrize(
    ("text", "secret", "name", "written"),
    [
        ("postgresql://ada@host/crm", False, "crm", "postgresql://ada@host/crm"),
        ("postgresql://ada:pw1@host/crm", True, "crm", "${CRM_URL}"),
        ("postgresql://ada:${PW}@host/crm", False, "crm", "postgresql://ada:${PW}@host/crm"),
        ("postgresql://host/crm?user=a&password=pw1", True, "crm", "${CRM_URL}"),
        ("postgresql://ada:pw1@host:${PORT}/crm", True, "crm", "${CRM_URL}"),
        ("mariadb://ada:pw1@host/1shop-x", True, "1shop_x", "${DB_1SHOP_X_URL}"),
        ("sqlite:///data/My CRM.db", False, "my_crm", "sqlite:///data/My CRM.db"),
        ("${SALES_DATABASE_URL}", False, "sales", "${SALES_DATABASE_URL}"),
        ("$SALES_DATABASE_URL", False, "sales", "${SALES_DATABASE_URL}"),
        ("postgresql://ada@host", False, "postgresql", "postgresql://ada@host"),
    ],
)
def test_passwords_are_not_written(text: str, secret: bool, name: str, written: str) -> None:
    environment = {"PW": "pw2", "PORT": "5432", "SALES_DATABASE_URL": "mariadb://a:pw3@host/x"}
    given = read_url(text, environment)
    assert (given.has_password, given.system_name(), given.written(name)) == (secret, name, written)
    assert "${" not in given.url.render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgres//ada:pw1@host", "This is no URL of a database, and no file."),
        ("oracle://ada:pw1@host/x", "Databases of the kind 'oracle' cannot take part."),
        ("postgresql://a:pw1@host:port/x", "This is no URL of a database, and no file."),
        ("sqlite://", "The URL names no file."),
        ("sqlite:///:memory:", "The URL names no file."),
        ("${NOWHERE_URL}", "The environment variable NOWHERE_URL is not set."),
    ],
)
def test_wrong_urls_are_refused_without_their_passwords(text: str, message: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        read_url(text, {})
    assert caught.value.message == message
    assert "pw1" not in caught.value.hint


def test_names() -> None:
    assert words("BillingEMail2") == ("billing", "e", "mail", "2")
    assert [
        record_name(table) for table in ("Companies", "addresses", "PlaylistTrack", "news")
    ] == [*("company", "address", "playlist_track", "new")]
    assert record_name("顧客") == "record"
    assert [safe_name(name, "f") for name in ("crm2", "My2ndCRM", "größe-ÜBER", "_")] == [
        *("crm2", "my2nd_crm", "grosse_uber", "f"),
    ]
    assert safe_name("x" * 60, "f", ["x" * 40]) == "x" * 38 + "_2"
    assert default_name("crm", "accounting") == "crm-accounting"
    assert check_name(default_name("a" * 40, "b" * 40))
    with pytest.raises(InvalidName, match="cannot be called 'no spaces'"):
        check_name("no spaces")
