"""Pipeline files that nobody means well with: no secret is shown, and no other error is raised."""

from __future__ import annotations

import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncline.connectors.file.load import (
    MAX_FILE_BYTES,
    InvalidPipeline,
    load_pipeline,
    parse_pipeline,
)
from syncline.connectors.file.text import MAX_DEPTH
from syncline.connectors.proposal.text import toml_key, toml_value

from .test_pipeline_file import HEAD, ONE_WAY, PLACES, TWO_WAY

HIDDEN = "hunter2"
VARIABLES = {"SECRET": HIDDEN, "PASSWORD": HIDDEN, "WORKSPACE": "x"}


def refused(text: str, **environ: str) -> InvalidPipeline:
    with pytest.raises(InvalidPipeline) as caught:
        parse_pipeline(text, "p.toml", environ)
    return caught.value


def everything(error: BaseException) -> str:
    """All that a log may show of an error."""
    return "".join([*traceback.format_exception(error), repr(error), repr(vars(error))])


def dumped(spec: dict[str, Any]) -> str:
    """``spec`` as TOML, in which texts may have variables."""
    text = "\n".join(f"{toml_key(key)} = {toml_value(value)}" for key, value in spec.items())
    return text.replace("$${", "${")


# Variables


def test_missing_variables_are_named_and_nothing_else_is_said_of_them() -> None:
    text = HEAD.replace('"one-way"', '"${MODE}"') + PLACES.replace("sqlite:///a.db", "${A_URL}")
    text += '[[table]]\nname = "${NAME}"\n'
    text += 'exclude = ["${X}", "x"]\non_delete = "${HOW}"\n[table.field.x]\nclean = ["${RULE}"]\n'
    text += 'type = { date = ["${DATE} ${TIME}"] }'
    found = [(each.key, each.message) for each in refused(text).problems]
    assert found == [
        ("pipeline.mode", "The variable MODE is not set."),
        ("source.url", "The variable A_URL is not set."),
        ("table[0].name", "The variable NAME is not set."),
        ("table[0].exclude[0]", "The variable X is not set."),
        ("table[0].on_delete", "The variable HOW is not set."),
        ("table[0].field.x.clean[0]", "The variable RULE is not set."),
        ("table[0].field.x.type.date[0]", "The variable DATE is not set."),
        ("table[0].field.x.type.date[0]", "The variable TIME is not set."),
    ]
    hint = next(each.hint for each in refused(text).problems if "MODE" in each.message)
    assert hint == "Set it: export MODE=…"


@pytest.mark.parametrize("name", ["", " ", "A B", "1A", "A-B", "${A", "ä"])
def test_what_no_variable_is_called(name: str) -> None:
    (problem,) = refused(HEAD + PLACES.replace("a.db", f"${{{name}}}.db")).problems
    assert problem.message.endswith("names no variable.")
    assert (problem.line, problem.key) == (5, "source.url")


def test_a_variable_is_taken_as_it_is() -> None:
    text = HEAD + PLACES.replace("a.db", "${A}$${A}$A.db")
    pipeline = parse_pipeline(text, "p.toml", {"A": '"${B}\\n'})
    assert pipeline.systems["source"].url == 'sqlite:///"${B}\\n${A}$A.db'
    assert type(pipeline.systems["source"].url) is str


# Secrets


def places_of(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something other than a table stands."""
    if isinstance(value, dict):
        for key, each in cast("dict[str, Any]", value).items():
            yield from places_of(each, (*place, key))
        return
    if isinstance(value, list):
        for at, each in enumerate(cast("list[Any]", value)):
            yield from places_of(each, (*place, at))
    yield place


def changed(text: str, place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """What ``text`` states, with another value at ``place``."""
    spec = tomllib.loads(text)
    inner: Any = spec
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return spec


EVERYWHERE = [
    (text, place) for text in (ONE_WAY, TWO_WAY) for place in places_of(tomllib.loads(text))
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stated", ["${SECRET}", "a ${SECRET}:!", ["${SECRET}"], {"x": "${SECRET}"}], ids=repr
)
def test_no_variable_is_shown(stated: Any) -> None:
    for text, place in EVERYWHERE:
        spec = changed(text, place, stated) | {"wrong": 1}
        assert HIDDEN not in everything(refused(dumped(spec), **VARIABLES)), place


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sync:hunter2@host:port/x",
        "postgresql://sync:hunter2@@host/x",
        "postgresql://sync:a@hunter2/b@host/x",
        "postgresql://sync:x@hunter2@host/x?a=%",
        "oracle://sync:hunter2@host/x",
        "sync:hunter2@host",
        "sqlite://sync:hunter2@",
        "hunter2",
        "://hunter2",
    ],
)
@pytest.mark.parametrize("key", ["source.url", "notify[0].url"])
def test_no_url_is_shown(url: str, key: str) -> None:
    line = f"url = {toml_value(url)}\n"
    text = HEAD + (
        PLACES.replace('url = "sqlite:///a.db"\n', line)
        if key == "source.url"
        else f"{PLACES}[[notify]]\n{line}"
    )
    error = refused(text)
    assert [each.key for each in error.problems] == [key]
    assert HIDDEN not in everything(error)


def test_no_url_of_a_system_is_in_a_repr() -> None:
    text = ONE_WAY.replace("sqlite:///", "mysql://sync:hunter2@host/")
    assert HIDDEN in text
    assert HIDDEN not in repr(parse_pipeline(text, "p.toml", VARIABLES))


def test_control_characters_do_not_reach_a_terminal() -> None:
    error = refused(HEAD + '"\\u001b[2J\\n" = 1\n' + PLACES)
    assert error.message.splitlines()[1].startswith(r"  line 4, pipeline.\x1b[2J\n: There is no")
    assert error.problems[0].key == "pipeline.\x1b[2J\n"


# Files


def load(path: Path, data: bytes) -> InvalidPipeline:
    path.write_bytes(data)
    with pytest.raises(InvalidPipeline) as caught:
        load_pipeline(path, {})
    return caught.value


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "absent.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "a\0b", "it is no path"),
    ]:
        with pytest.raises(InvalidPipeline) as caught:
            load_pipeline(path, {})
        (problem,) = caught.value.problems
        assert problem[:3] == (None, str(path), f"It cannot be read: {reason}.")


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    data = (HEAD + PLACES).encode()
    fits = data + b"#" * (MAX_FILE_BYTES - len(data))
    path = tmp_path / "p.toml"
    (problem,) = load(path, fits + b"#").problems
    assert problem.message == "It has more than 1,048,576 bytes."
    path.write_bytes(fits)
    assert load_pipeline(path, {}).name == "p"


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    error = load(path, HEAD.encode() + b'purpose = "hunter2\xff"')
    (problem,) = error.problems
    assert problem[:3] == (4, str(path), "It is not UTF-8.")
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + PLACES).replace("\n", "\r\n").encode())
    assert load_pipeline(path, {}).name == "p"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[pipeline]\nname = hunter2", 2, "Invalid value (column 8)."),
        ('\n\nname = "hunter2', 3, "Unterminated string (end of the file)."),
        ("a = 1\na = 2\n", 2, "Cannot overwrite a value (column 6)."),
        ("a = 1" + "0" * 5000, None, "A number is too long."),
        (
            "\n" + "a = " + "[" * 5000,
            2,
            f"More than {MAX_DEPTH} tables or lists are inside each other.",
        ),
        ("a = " + "{b = " * 50, 1, f"More than {MAX_DEPTH} tables or lists are inside each other."),
        ("a" + ".a" * 9000, 1, f"More than {MAX_DEPTH} tables or lists are inside each other."),
    ],
)
def test_what_is_no_toml(text: str, line: int | None, message: str) -> None:
    error = refused(text)
    (problem,) = error.problems
    assert (problem.line, problem.key, problem.message) == (line, "TOML", message)
    assert HIDDEN not in error.message


def test_numbers_have_64_bits() -> None:
    """As the specification has it. Python refuses to show longer ones than 4,300 digits."""
    text = HEAD + PLACES + f"[[table]]\nname = 'x'\nmax_deletes = 0x{'f' * 9000}"
    (problem,) = refused(text).problems
    assert problem[1:3] == ("table[0].max_deletes", "The number is too large.")
    parse_pipeline(text.replace("f" * 9000, "7" + "f" * 15), "p.toml", {})


# Anything

KEYS = sorted({key for _, place in EVERYWHERE for key in place if isinstance(key, str)})
TEXTS = st.one_of(st.text(), st.sampled_from(["", " ", "${SECRET}", "${", "ws://[", "5%", *KEYS]))
VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(), st.floats(), TEXTS, st.dates(), st.datetimes(), st.times()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=3),
    ),
    max_leaves=10,
)


def check(text: str) -> None:
    """It is a pipeline, or there are problems that show no secret."""
    try:
        pipeline = parse_pipeline(text, "p.toml", VARIABLES)
    except InvalidPipeline as invalid:
        problems, message = invalid.problems, str(invalid)
    else:
        assert pipeline.systems
        return
    assert problems
    assert all(each.message and each.hint for each in problems)
    assert HIDDEN not in message


@given(st.dictionaries(st.sampled_from(KEYS) | TEXTS, VALUES), st.sampled_from(["one", "two", "x"]))
def test_any_tables(spec: dict[str, Any], mode: str) -> None:
    head = spec.get("pipeline")
    if isinstance(head, dict):
        spec["pipeline"] = {**cast("dict[str, Any]", head), "mode": f"{mode}-way"}
    else:
        spec["pipeline"] = {"mode": f"{mode}-way"}
    check(dumped(spec))


@given(st.sampled_from(EVERYWHERE), VALUES)
@example((TWO_WAY, ("pipeline", "relay")), "ws://[")
def test_any_value_anywhere(where: tuple[str, tuple[str | int, ...]], value: Any) -> None:
    text, place = where
    check(dumped(changed(text, place, value)))
    if len(place) > 1:
        check(dumped(changed(text, place[:-1], value)))


@given(st.text() | st.text(alphabet="[]{}=.,\"'#\\\n a${"))
def test_any_text(text: str) -> None:
    check(text)
    check(HEAD + text)
