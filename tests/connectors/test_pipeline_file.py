"""Pipeline files: everything that whole ones say is read, and the page about them is right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from syncline.cleaning import FieldCleaner
from syncline.connectors.file.load import FileProblem, InvalidPipeline, load_pipeline
from syncline.connectors.file.spec import (
    Capture,
    Compare,
    Cursor,
    Limit,
    MappedField,
    MappedRecord,
    Notify,
    OneWay,
    Prefer,
    RelaySpec,
    SystemSpec,
    TableSpec,
    Triggers,
    TwoWay,
)
from syncline.engine.errors import UsageError

PAGE = (Path(__file__).parents[2] / "docs" / "pipeline-file.md").read_text(encoding="utf-8")
FILES = re.findall(r"```toml\n(\[pipeline\]\n.*?)```", PAGE, re.DOTALL)
Load = Callable[..., OneWay | TwoWay]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a text as a file: ``load(text, NAME="value of a variable")``."""

    def loaded(text: str, **environ: str) -> OneWay | TwoWay:
        file = tmp_path / "p.toml"
        file.write_text(text, encoding="utf-8")
        return load_pipeline(file, environ)

    return loaded


def problems_of(load: Load, text: str, **environ: str) -> list[FileProblem]:
    with pytest.raises(InvalidPipeline) as caught:
        load(text, **environ)
    error = caught.value
    assert error.code == "invalid-pipeline"
    assert isinstance(error, UsageError)
    for problem in error.problems:
        assert str(problem) in error.message
        assert problem.message.endswith(".")
        assert problem.hint
    return list(error.problems)


def shown(problems: list[FileProblem]) -> list[str]:
    return [str(problem) for problem in problems]


ONE_WAY = """
[pipeline]
name = "shop-reporting"
purpose = "Figures"
mode = "one-way"
every = "1.5h"
stop_if_over = "2.5%"

[source]
url = "postgresql://sync:${PASSWORD}@db/shop"
capture = { cursor = "updated_at", overlap = "2m", compare_every = "1d" }
tables = ["C*", "Invoice"]
exclude = "Customer.Password"

[destination]
url = "sqlite:///$${literal}.db"

[[table]]
name = "Customer"
to = "customers"
exclude = ["Fax"]
rename = { Phone = "phone" }
history = true
on_delete = "mark"
max_deletes = 100
new_columns = "stop"
removed_columns = "stop"
[table.field.Phone]
type = { phone = "E164", region = ["field:Country", "US"] }
on_invalid = "keep-old"
[table.field.Name]
clean = ["collapse-space", { max-length = 3 }]
required = true
on_invalid = "stop"

[[table]]
name = "Invoice"

[[notify]]
url = "https://example.com/hook/${PASSWORD}"
on = ["Customer", "Invoice"]
fields = "Phone"
secret = "s3cret ${PASSWORD}"
headers = { Authorization = "Bearer ${PASSWORD}" }
[[notify]]
url = "http://localhost:8000"
"""


def test_every_key_of_a_one_way_file(load: Load) -> None:
    pipeline = load(ONE_WAY, PASSWORD="hunter2")
    assert isinstance(pipeline, OneWay)
    cleaners = pipeline.tables["Customer"].cleaners
    plain = replace(pipeline.tables["Customer"], cleaners={})
    assert replace(pipeline, tables={**pipeline.tables, "Customer": plain}) == OneWay(
        name="shop-reporting",
        purpose="Figures",
        every=5400.0,
        systems={
            "source": SystemSpec("source", "postgresql://sync:hunter2@db/shop"),
            "destination": SystemSpec("destination", "sqlite:///${literal}.db"),
        },
        stop_if_over=Limit(percent=2.5),
        notify=(
            Notify(
                "https://example.com/hook/hunter2",
                frozenset({"Customer", "Invoice"}),
                frozenset({"Phone"}),
                {"Authorization": "Bearer hunter2"},
                "s3cret hunter2",
            ),
            Notify("http://localhost:8000"),
        ),
        capture=Cursor("updated_at", 120.0, 86400.0),
        include=("C*", "Invoice"),
        exclude=("Customer.Password",),
        tables={
            "Customer": TableSpec(
                "Customer",
                "customers",
                frozenset({"Fax"}),
                {"Phone": "phone"},
                {},
                history=True,
                on_delete="mark",
                max_deletes=Limit(count=100),
                new_columns="stop",
                removed_columns="stop",
            ),
            "Invoice": TableSpec("Invoice", "Invoice"),
        },
    )
    assert list(cleaners) == ["Phone", "Name"]
    assert cleaners["Phone"].clean("020 7946 0958", {"Country": "GB"}) == "+442079460958"
    assert [(each.on_invalid, each.required) for each in cleaners.values()] == [
        ("keep-old", False),
        ("stop", True),
    ]
    assert cleaners["Name"].clean(" a  b", {}) == "a b"


TWO_WAY = """
[pipeline]
name = "crm-accounting"
purpose = "Sales and finance"
mode = "two-way"
every = "500ms"
stop_if_over = 7
relay = "wss://relay.example.com/${WORKSPACE}"
relay_token = "${RELAY_TOKEN}"

[system.crm]
url = "mysql+pymysql://sync@db:3306/crm"
capture = "compare"
[system.accounting]
url = "sqlite:////data/accounting.db"
capture = { cursor = "changed" }
[system.support]
url = "mariadb://sync@db/support"

[record.company]
in = { crm = "companies", accounting = "firms" }
[record.company.field.name]

[record.contact]
in = { crm = "contacts", accounting = "customers", support = "people" }
match = ["email", "name"]
on_delete = "apply"
delete_vs_edit = "keep-edit"
max_deletes = "0.5%"

[record.contact.field.email]
in = "mail"
type = "Email"
conflict = "surface"
owner = "crm"

[record.contact.field.name]
in = { crm = ["first", "last"], accounting = "full_name" }
clean = ["trim"]
required = true
conflict = { prefer = ["accounting", "crm"] }

[record.contact.field.company]
in = { crm = "company_id", accounting = "firm" }
ref = "company"

[[notify]]
url = "https://example.com"
on = "contact"
fields = ["email"]
"""


def test_every_key_of_a_two_way_file(load: Load) -> None:
    pipeline = load(TWO_WAY, WORKSPACE="sales", RELAY_TOKEN="t0ken")
    assert isinstance(pipeline, TwoWay)
    none = FieldCleaner([])

    def plain(record: MappedRecord) -> MappedRecord:
        fields = {name: replace(each, cleaner=none) for name, each in record.fields.items()}
        return replace(record, fields=fields)

    records = {name: plain(record) for name, record in pipeline.records.items()}
    assert replace(pipeline, records=records) == TwoWay(
        name="crm-accounting",
        purpose="Sales and finance",
        every=0.5,
        systems={
            "crm": SystemSpec("crm", "mysql+pymysql://sync@db:3306/crm"),
            "accounting": SystemSpec("accounting", "sqlite:////data/accounting.db"),
            "support": SystemSpec("support", "mariadb://sync@db/support"),
        },
        stop_if_over=Limit(count=7),
        notify=(Notify("https://example.com", frozenset({"contact"}), frozenset({"email"})),),
        captures={
            "crm": Compare(),
            "accounting": Cursor("changed", 300.0, 3600.0),
            "support": Triggers(),
        },
        records={
            "company": MappedRecord(
                "company",
                {"crm": "companies", "accounting": "firms"},
                {"name": MappedField("name", {"crm": ("name",), "accounting": ("name",)}, none)},
            ),
            "contact": MappedRecord(
                "contact",
                {"crm": "contacts", "accounting": "customers", "support": "people"},
                {
                    "email": MappedField(
                        "email",
                        {"crm": ("mail",), "accounting": ("mail",), "support": ("mail",)},
                        none,
                        "surface",
                        "crm",
                    ),
                    "name": MappedField(
                        "name",
                        {"crm": ("first", "last"), "accounting": ("full_name",)},
                        none,
                        Prefer(("accounting", "crm")),
                    ),
                    "company": MappedField(
                        "company",
                        {"crm": ("company_id",), "accounting": ("firm",)},
                        none,
                        ref="company",
                    ),
                },
                ("email", "name"),
                "apply",
                "keep-edit",
                Limit(percent=0.5),
            ),
        },
        relay=RelaySpec("wss://relay.example.com/sales", "t0ken"),
    )
    # The order of systems decides between values that were there before.
    assert list(pipeline.systems) == ["crm", "accounting", "support"]
    fields = pipeline.records["contact"].fields
    assert fields["email"].cleaner.gives is str
    assert fields["name"].cleaner.required
    assert fields["company"].cleaner.rules == ()


HEAD = '[pipeline]\nname = "p"\nmode = "one-way"\n'
SOURCE = '[source]\nurl = "sqlite:///a.db"\n'
PLACES = SOURCE + '[destination]\nurl = "sqlite:///b.db"\n'


def test_the_defaults(load: Load) -> None:
    assert load(HEAD + PLACES) == OneWay(
        name="p",
        purpose="",
        every=30.0,
        systems={
            "source": SystemSpec("source", "sqlite:///a.db"),
            "destination": SystemSpec("destination", "sqlite:///b.db"),
        },
        stop_if_over=None,
        notify=(),
        capture=Triggers(),
        include=("*",),
        exclude=(),
        tables={},
    )
    table = TableSpec("x", "x", max_deletes=Limit(percent=50))
    pipeline = load(HEAD + PLACES + '[[table]]\nname = "x"')
    assert isinstance(pipeline, OneWay)
    assert pipeline.tables == {"x": table}
    assert (table.on_delete, table.new_columns, table.removed_columns) == ("apply", "add", "keep")


@pytest.mark.parametrize(
    ("stated", "capture"),
    [
        ('"triggers"', Triggers()),
        ('"compare"', Compare()),
        ('{ cursor = "at", overlap = "250ms" }', Cursor("at", 0.25, 3600.0)),
        ('{ cursor = "${COLUMN}" }', Cursor("changed_at", 300.0, 3600.0)),
    ],
)
def test_the_ways_to_find_changes(load: Load, stated: str, capture: Capture) -> None:
    text = HEAD + PLACES.replace("[destination]", f"capture = {stated}\n[destination]")
    pipeline = load(text, COLUMN="changed_at")
    assert isinstance(pipeline, OneWay)
    assert pipeline.capture == capture


def test_one_system_is_enough_with_a_relay(load: Load) -> None:
    text = """
        [pipeline]
        name = "laptop"
        mode = "two-way"
        relay = "ws://127.0.0.1:8765/sales"
        [system.local]
        url = "sqlite:///local.db"
        [record.note]
        in = { local = "notes" }
        [record.note.field.text]
    """
    pipeline = load(text)
    assert isinstance(pipeline, TwoWay)
    assert pipeline.relay == RelaySpec("ws://127.0.0.1:8765/sales")
    alone = problems_of(load, re.sub("relay = .*", "", text))
    assert [(each.line, each.key, each.message) for each in alone] == [
        (6, "system", "There have to be two systems or more."),
        (9, "record.note.in", "It has to be in two systems or more."),
    ]


# The page


@pytest.mark.parametrize("text", FILES, ids=["one-way", "two-way"])
def test_a_file_of_the_page(load: Load, text: str) -> None:
    variables = {"SHOP_URL": "sqlite:///shop.db", "ACCOUNTING_URL": "sqlite:///accounting.db"}
    pipeline = load(text, CRM_PASSWORD="secret", **variables)
    assert f'mode = "{"one-way" if isinstance(pipeline, OneWay) else "two-way"}"' in text


def keys_of_the_page() -> Mapping[str, set[str]]:
    """The keys in the tables of the page, by heading."""
    found: dict[str, set[str]] = {}
    for section in PAGE.split("\n## ")[1:]:
        title, _, rest = section.partition("\n")
        found[title] = set(re.findall(r"^\| `(\w+)(?:\.[A-Z]+)?` \|", rest, re.MULTILINE))
    return found


def test_the_page_has_every_key(load: Load) -> None:
    page = keys_of_the_page()
    wrong = "\nqqqqqqqq = 1\n"

    def known(key: str, text: str) -> set[str]:
        hints = [p.hint for p in problems_of(load, text) if p.key == f"{key}.qqqqqqqq"]
        return set(hints[0].removeprefix("Use ").removesuffix(".").split(", "))

    two = HEAD.replace("one-way", "two-way")
    assert known("pipeline", two + wrong) == page["`[pipeline]`"]
    both = page["`[source]` and `[destination]`"]
    assert known("source", HEAD + SOURCE + wrong) == both
    assert known("table[0]", f"{HEAD}[[table]]{wrong}") == page["`[[table]]`"]
    assert known("notify[0]", f"{HEAD}[[notify]]{wrong}") == page["`[[notify]]`"]
    assert known("system.a", f"{two}[system.a]{wrong}") == page["`[system.NAME]`"]
    assert known("record.a", f"{two}[record.a]{wrong}") == page["`[record.NAME]`"]
    field = known("record.a.field.b", f"{two}[record.a.field.b]{wrong}")
    assert field == page["`[record.NAME.field.NAME]`"] | page["Rules"]
    rules = known("table[0].field.b", f"{HEAD}[[table]]\n[table.field.b]{wrong}")
    assert rules == page["Rules"]
    assert len(page["Rules"]) == 4
