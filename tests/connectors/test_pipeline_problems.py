"""Wrong pipeline files: every problem at once, each with its line and a hint."""

from __future__ import annotations

import pytest

from syncline.connectors.file.load import FileProblem, InvalidPipeline, parse_pipeline

from .test_pipeline_file import HEAD, PLACES, TWO_WAY


def problems(text: str, **environ: str) -> list[FileProblem]:
    with pytest.raises(InvalidPipeline) as caught:
        parse_pipeline(text, "p.toml", environ)
    found = list(caught.value.problems)
    lines = [f"  {problem}" for problem in found]
    assert caught.value.message.splitlines()[1:] == lines
    return found


def said(text: str, **environ: str) -> list[tuple[int | None, str, str]]:
    """All but the hints."""
    return [each[:3] for each in problems(text, **environ)]


def test_all_problems_of_a_one_way_file() -> None:
    text = """\
[pipeline]
nmae = "x"
mode = "one-way"
every = "soon"
stop_if_over = "500%"
relay = "ws://host/x"
[source]
capture = { cursor = "", overlap = "0s", evry = 1 }
tables = [1]
[destination]
url = "oracle://host/x"
[[table]]
name = "A"
to = 1
history = "yes"
on_delete = "delete"
max_deletes = -1
new_columns = ["add"]
exclude = ["Fax", "Old"]
[table.rename]
a = "x"
b = "x"
Old = "new"
[table.field.Fax]
clean = [
  "trim",
  "tirm",
]
[[table]]
name = "B"
to = "A"
[[table]]
name = "A"
[[table]]
rename = { a = 1 }
[[table]]
[[notify]]
url = "ftp://host"
[sytem.crm]
"""
    assert said(text) == [
        (1, "pipeline.name", "It is missing."),
        (2, "pipeline.nmae", "There is no key 'nmae'."),
        (4, "pipeline.every", "'soon' is no duration."),
        (5, "pipeline.stop_if_over", "'500%' is no limit."),
        (6, "pipeline.relay", "There is no key 'relay'."),
        (7, "source.url", "It is missing."),
        (8, "source.capture.evry", "There is no key 'evry'."),
        (8, "source.capture.cursor", "It is empty."),
        (8, "source.capture.overlap", "'0s' is no duration."),
        (9, "source.tables", "It has to be a list of texts."),
        (11, "destination.url", "There is no connector for this kind of database."),
        (14, "table[0].to", "It has to be a text."),
        (15, "table[0].history", "It takes true or false."),
        (16, "table[0].on_delete", "It cannot be 'delete'."),
        (17, "table[0].max_deletes", "-1 is no limit."),
        (18, "table[0].new_columns", "It cannot be ['add']."),
        (21, "table[0].rename.a", "Several columns get the name x."),
        (22, "table[0].rename.b", "Several columns get the name x."),
        (23, "table[0].rename.Old", "The column Old is left out by exclude."),
        (24, "table[0].field.Fax", "The column Fax is left out by exclude."),
        (25, "table[0].field.Fax.clean[1]", "There is no rule 'tirm'."),
        (31, "table[1].to", "B and A go to the same table."),
        (33, "table[2].name", "The table A is described twice."),
        (34, "table[3].name", "It is missing."),
        (35, "table[3].rename", "New names are texts."),
        (36, "table[4].name", "It is missing."),
        (38, "notify[0].url", "It is no http or https URL."),
        (39, "sytem", "There is no key 'sytem'."),
    ]


def test_all_problems_of_a_two_way_file() -> None:
    text = """\
[pipeline]
name = "two words"
mode = "two-way"
relay = "ws://[x"
[system.crm]
url = "crm"
capture = "trigger"
[system."a b"]
url = "sqlite://"
[system.third]
url = "sqlite:///same.db"
[system.fourth]
url = "sqlite:///same.db"
[record.company]
in = { crm = "companies" }
field.name = {}
[record.contact]
in = { crm = "contacts", third = "", acounting = "x", fourth = "t" }
match = ["emial"]
delete_vs_edit = "keep_edit"
[record.contact.field.email]
in = { crm = [], thrid = "x" }
conflict = { prefer = ["cmr"] }
owner = "fourth"
typ = "Email"
[record.contact.field.phone]
in = { crm = ["tel", "tel"], third = "" }
type = { phone = "E164", region = ["field:contry"] }
conflict = {}
[record.contact.field.company]
in = { crm = ["firm", "tel"], fourth = "firm" }
ref = "company"
[record.contact.field.parent]
in = " "
ref = "contcat"
[record.person]
in = "contacts"
[record.other]
in = { crm = "contacts", third = "u" }
field.x = 1
[[notify]]
url = "https://"
on = ["contcat"]
fields = ["emial"]
"""
    assert said(text) == [
        (2, "pipeline.name", "'two words' is not a name."),
        (4, "pipeline.relay", "It is no ws or wss URL."),
        (6, "system.crm.url", "It is not a database URL."),
        (7, "system.crm.capture", "It is no way to find changes."),
        (8, "system.a b", "'a b' is not a name."),
        (8, "system.a b", "No record is in the system a b."),
        (9, "system.a b.url", "It names no file."),
        (13, "system.fourth.url", "It is the same database as system.third."),
        (18, "record.contact.in.third", "It has to be the name of a table."),
        (18, "record.contact.in.acounting", "There is no system 'acounting' here."),
        (19, "record.contact.match", "There is no field 'emial'."),
        (20, "record.contact.delete_vs_edit", "It cannot be 'keep_edit'."),
        (22, "record.contact.field.email.in.crm", "It names no column."),
        (22, "record.contact.field.email.in.thrid", "There is no system 'thrid' here."),
        (23, "record.contact.field.email.conflict.prefer", "There is no system 'cmr' here."),
        (24, "record.contact.field.email.owner", "There is no system 'fourth' here."),
        (25, "record.contact.field.email.typ", "There is no key 'typ'."),
        (
            *(26, "record.contact.field.phone"),
            "Its rules read the field 'contry', which is not there.",
        ),
        (27, "record.contact.field.phone.in.third", "It has to be a list of texts."),
        (27, "record.contact.field.phone.in", "The column tel of crm is phone already."),
        (29, "record.contact.field.phone.conflict", "It prefers no system."),
        (31, "record.contact.field.company.in", "The column tel of crm is phone already."),
        (32, "record.contact.field.company.ref", "It is in one column per system."),
        (
            *(32, "record.contact.field.company.ref"),
            "The record company is not in the system fourth, and this field is.",
        ),
        (34, "record.contact.field.parent.in", "It has to say its columns."),
        (35, "record.contact.field.parent.ref", "There is no record 'contcat'."),
        (36, "record.person", "It has no fields."),
        (37, "record.person.in", "It has to be a table."),
        (39, "record.other.in", "other and contact are in the same table of crm."),
        (40, "record.other.field.x", "It has to be a table."),
        (42, "notify[0].url", "It is no http or https URL."),
        (43, "notify[0].on", "There is no record 'contcat'."),
        (44, "notify[0].fields", "There is no field 'emial'."),
    ]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[pipelin]", "pipelin", "Did you mean 'pipeline'?"),
        (HEAD + "evry = 1", "pipeline.evry", "Did you mean 'every'?"),
        (HEAD + "every = 30", "pipeline.every", 'Write every = "30s", with '),
        (HEAD + "every = '367d'", "pipeline.every", 'Write every = "30s", with '),
        (HEAD + "[table]", "table", "Write [[table]]."),
        (HEAD + "[[source]]", "source", "Write [source]."),
        (HEAD + "[[table]]\nrename = 1", "table[0].rename", "Write [table.rename]."),
        (HEAD + "[[table]]\non_delete = 'aply'", "table[0].on_delete", "Did you mean 'apply'?"),
        (HEAD + "[source]\nurl = 'x'", "source.url", 'Write "sqlite:///file.db" or '),
        (HEAD.replace("one", "both"), "pipeline.mode", 'Write mode = "one-way" or '),
        (
            *(TWO_WAY.replace('on = "contact"\nfields = ["email"]', 'fields = "emial"'),),
            *("notify[0].fields", "Did you mean 'email'?"),
        ),
        (TWO_WAY.replace("match =", "mathc ="), "record.contact.mathc", "Did you mean 'match'?"),
        (TWO_WAY.replace('"crm"\n', '"cmr"\n'), "record.contact.field.email.owner", "Did you mean"),
    ],
)
def test_the_hint(text: str, key: str, hint: str) -> None:
    hints = [each.hint for each in problems(text, WORKSPACE="x") if each.key == key]
    assert len(hints) == 1
    assert hints[0].startswith(hint)


def test_a_wrong_mode_hides_nothing() -> None:
    wrong = [each[1] for each in said(HEAD.replace("one-way", "oneway") + "[source]\nurl = 1")]
    assert wrong == ["destination", "pipeline.mode", "source.url"]
    wrong = [each[1] for each in said('[pipeline]\nmode = "x"\n[record.a]')]
    assert wrong == ["system", "pipeline.name", "pipeline.mode", "record.a.in", "record.a"]


def test_lines_are_those_of_the_file() -> None:
    """Whatever strings and lists have in them that looks like keys, and whatever ends lines
    elsewhere."""
    text = (
        HEAD.replace("\n", "\r\n")
        + 'purpose = """\n[source]\nurl = 1 \\"""\n""""\n'
        + "every = '''\n[x]'''  # [[table]]\n"
        + f"{PLACES}tables = [ # ]\n  ['['],\n  ['a'],\n]\nx = '\u2028\u0085'\n"
        + "source.y = 1\n"
        + '[ "table" . a."\\u0062" ]\nc = 1'
    )
    assert [each[:2] for each in said(text)] == [
        (8, "pipeline.every"),
        (14, "destination.tables"),
        (18, "destination.x"),
        (19, "destination.source"),
        (20, "table"),
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("secret = 1", "It has to be a text."),
        ('secret = ""', "It is empty."),
        ('headers = "x"', "It has to be a table."),
        ("headers = { Host = 'x' }", "'Host' is none that can be given here."),
        (
            "headers = { Content-Length = '0' }",
            "'Content-Length' is none that can be given here.",
        ),
        (
            "headers = { SYNCLINE-Delivery = '0' }",
            "'SYNCLINE-Delivery' is none that can be given here.",
        ),
        ("headers = { 'a b' = 'x' }", "'a b' is none that can be given here."),
        ("headers = { A = 1 }", "The header 'A' is no line of Latin letters."),
        (
            'headers = { A = "x\\r\\nB: y" }',
            "The header 'A' is no line of Latin letters.",
        ),
        ("headers = { A = '\u20ac' }", "The header 'A' is no line of Latin letters."),
    ],
)
def test_what_requests_cannot_have(key: str, message: str) -> None:
    text = f"{HEAD}{PLACES}[[notify]]\nurl = 'https://example.com'\n{key}\n"
    assert [each[2] for each in said(text)] == [message]


def test_one_url_has_one_secret() -> None:
    webhook = "[[notify]]\nurl = 'https://example.com/s3cret'\n"
    (problem,) = problems(f"{HEAD}{PLACES}{webhook}secret = 'a'\n{webhook}secret = 'b'\n")
    assert problem.key == "notify[1]"
    assert problem.message == "Another webhook with this URL has other headers or another secret."
