"""docs/record-layout.md against the code, in both directions: what the page says is made is what
the code makes, to the byte, and what the page says is read is what the code reads."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncline import Counter, ListOf, MapOf, Record, Replica, SetOf, Text
from syncline.engine.clock import COUNTER_BITS, MAX_DRIFT_MS, MAX_STAMP
from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import Document, merge_updates
from syncline.engine.document.values import MAX_DEPTH, MAX_VALUE_BYTES, decode_value, encode_value
from syncline.engine.errors import ValueRefused
from syncline.engine.fields.counter import MAX_DIGITS
from syncline.engine.fields.list_layout import ARRAY, read_element
from syncline.engine.fields.maps import MAX_KEY
from syncline.engine.fields.order import MAX_LENGTH, is_position, position_between
from syncline.engine.identity import MAX_CLIENT_ID
from syncline.engine.names import Address
from syncline.engine.records.emptying import begin_empty
from syncline.engine.records.liveness import is_live, write_live
from syncline.engine.records.schema import (
    LIVE,
    REGISTER,
    REGISTERS,
    DeleteVsEdit,
    FieldSpec,
    OnConflict,
)
from syncline.environment import Environment
from syncline.stores import MemoryStore
from tests.engine.devices import ANY, Device, exchange

PAGE = (Path(__file__).parents[2] / "docs" / "record-layout.md").read_text(encoding="utf-8")

CLIENTS = {"A": 4294967303, "B": 4294967304}
EPOCH_MS = 1_700_000_000_000


class Note(Record, collection="notes"):
    """The record of the vectors: a field of every kind."""

    title: Any = None
    body: Text
    votes: Counter
    tags: SetOf[Any]
    steps: ListOf[Any]
    labels: MapOf[Any]


class KeptNote(Record, collection="kept-notes", delete_vs_edit="keep-edit"):
    """As far as the vectors of the other policy go."""

    title: Any


# Reading the page


def fenced(kind: str) -> list[list[str]]:
    """The lines of each code block of this kind."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert blocks, f"the page has no block of {kind}"
    return [block.splitlines() for block in blocks]


def table(header: str) -> list[list[str]]:
    """The cells of the table with this header, row by row."""
    _, found, after = PAGE.partition(f"\n{header}\n|---")
    assert found, f"the page has no table {header}"
    rows = after.partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def bare(code: str) -> str:
    """The content of `code`."""
    assert code[0] == code[-1] == "`"
    return code[1:-1]


def json_values(text: str) -> list[Any]:
    """JSON values that follow each other, with spaces between."""
    found: list[Any] = []
    while text := text.lstrip():
        value, end = json.JSONDecoder().raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def as_value(parsed: Any) -> Any:
    """The value of which this is the JSON, parsed."""
    return decode_value(json.dumps(parsed))


@dataclass
class Step:
    """What one replica does, and in hex the update that this makes."""

    writer: str
    ms: int
    operation: str
    update: str = ""


@dataclass
class Vector:
    """A history of two replicas, in parts between which they sync, and what comes out."""

    parts: list[list[Step]] = field(default_factory=lambda: [list[Step]()])
    document: dict[str, Any] = field(default_factory=dict[str, Any])
    reads: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def steps(self) -> list[Step]:
        return [step for part in self.parts for step in part]

    @property
    def updates(self) -> list[str]:
        return [step.update for step in self.steps]

    def __str__(self) -> str:
        return ", ".join(step.operation for step in self.steps)[:60]


STEP = re.compile(r"([AB])\+(\d+) +(.+)")


def parse_vector(lines: list[str]) -> Vector:
    vector = Vector()
    for line in lines:
        if step := STEP.fullmatch(line):
            vector.parts[-1].append(Step(step[1], int(step[2]), step[3]))
        elif line.startswith(" " * 8):
            vector.steps[-1].update += line.strip()
        elif line == "sync":
            vector.parts.append([])
        elif line.startswith("  "):
            root, *columns = re.split(r" {2,}", line.strip())
            if len(columns) == 1:
                vector.document[root] = json.loads(columns[0])
            else:
                vector.document.setdefault(root, {})[columns[0]] = columns[1]
        elif line.startswith("reads "):
            vector.reads = json.loads(line.removeprefix("reads "))
        else:
            assert line == "document", f"no line of a vector: {line}"
    return vector


VECTORS = [parse_vector(block) for block in fenced("vectors")]
(FIRST_LAYOUT,) = [parse_vector(block) for block in fenced("first-layout")]


# Doing what a vector says


OPERATIONS = """title =, body insert, body delete, votes add, tags add, tags remove, steps insert,
steps assign, steps move, steps remove, labels set, labels remove, create, delete"""


def edit(note: Note, operation: str) -> None:
    subject, verb, arguments = operation.split(" ", 2)
    match (f"{subject} {verb}", *json_values(arguments)):
        case ("title =", value):
            note.title = value
        case ("body insert", index, text):
            note.body.insert(index, text)
        case ("body delete", index, length):
            note.body.delete(index, length)
        case ("votes add", step):
            note.votes += step
        case ("tags add", element):
            note.tags.add(element)
        case ("tags remove", element):
            note.tags.discard(element)
        case ("steps insert", index, value):
            note.steps.insert(index, value)
        case ("steps assign", index, value):
            note.steps[index] = value
        case ("steps move", here, there):
            note.steps.move(here, there)
        case ("steps remove", index):
            del note.steps[index]
        case ("labels set", key, value):
            note.labels[key] = value
        case ("labels remove", key):
            del note.labels[key]
        case _:
            pytest.fail(f"no operation: {operation}")


def note_on(device: Device) -> Note:
    return cast("Note", Note.attach(device, Address("notes", "n")))


def write_existence(device: Device, policy: DeleteVsEdit, *, live: bool) -> None:
    stamp = device.tick(cells_of(device.document(), REGISTERS).stamp(LIVE))
    write_live(device.document(), live, policy, stamp)


def do(device: Device, operation: str) -> None:
    verb, _, argument = operation.partition(" ")
    if verb not in ("create", "delete"):
        edit(note_on(device), operation)
        return
    # As a collection does it: test_collections_create_and_delete_like_this compares.
    with device.writing() as document:
        policy: DeleteVsEdit = "keep-edit" if argument == "keep-edit" else "delete-wins"
        if verb == "create" and LIVE in cells_of(document, REGISTERS):
            begin_empty(document, ["title"])
        write_existence(device, policy, live=verb == "create")
        if verb == "create":
            note_on(device).title = json.loads(argument)


def run(vector: Vector) -> tuple[list[str], list[Device]]:
    """Do what the vector says. Returns the updates in hex, and the replicas, which know all of
    them."""
    devices = {name: Device(client_id) for name, client_id in CLIENTS.items()}
    made: list[bytes] = []
    for part in vector.parts:
        first = len(made)
        for step in part:
            device = devices[step.writer]
            device.now = EPOCH_MS + step.ms
            do(device, step.operation)
            (update,) = device.written()
            made.append(update)
        for device in devices.values():
            device.receive(made[first:])  # its own change nothing
    return [update.hex() for update in made], list(devices.values())


def read(device: Device, names: Iterable[str]) -> dict[str, Any]:
    fields = {**note_on(device).to_dict(), LIVE: is_live(device.document())}
    return {name: fields[name] for name in names}


# Updates


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_the_operations_make_these_bytes(vector: Vector) -> None:
    made, devices = run(vector)
    assert made == vector.updates
    for device in devices:
        assert read(device, vector.reads) == vector.reads


@pytest.mark.parametrize(
    "vector", [*VECTORS, pytest.param(FIRST_LAYOUT, id="a list of the first layout")], ids=str
)
def test_these_bytes_read_as_that_content(vector: Vector) -> None:
    assert vector.document
    assert vector.reads
    updates = [bytes.fromhex(update) for update in vector.updates]
    generator = random.Random(1)
    for _ in range(10):
        reader = Device(1)
        reader.receive(generator.sample(updates, len(updates)))
        assert reader.document().to_dict() == vector.document
        assert read(reader, vector.reads) == vector.reads


def first_layout_on(*names: str) -> list[Device]:
    devices = [Device(CLIENTS[name], now=EPOCH_MS + 1_000) for name in names]
    for device in devices:
        device.receive([bytes.fromhex(update) for update in FIRST_LAYOUT.updates])
    return devices


def test_a_list_of_the_first_layout_is_edited() -> None:
    (device,) = first_layout_on("A")
    before = device.document().to_dict()
    steps, model = note_on(device).steps, ["nought", "two", "one"]
    assert steps == model
    edits: list[Callable[[Any], None]] = [
        lambda steps: steps.append("end"),
        lambda steps: steps.insert(1, "inner"),
        lambda steps: steps.__setitem__(2, "TWO"),
        lambda steps: steps.__delitem__(0),
        lambda steps: steps.insert(0, "first"),
        lambda steps: steps.__setitem__(0, "FIRST"),
    ]
    for edit_list in edits:
        edit_list(steps)
        edit_list(model)
        assert steps == model
    for here in range(len(model)):
        for there in range(len(model)):
            steps.move(here, there)
            model.insert(there, model.pop(here))
            assert steps == model
    # The old items are where they were; nothing was copied.
    after = device.document().to_dict()
    old = {key.partition("/")[0] for key in before["list:steps"] if "c5e7f2b400800" not in key}
    assert old <= {key.partition("/")[0] for key in after["list:steps"]}
    (reader,) = first_layout_on("B")
    reader.receive(device.written())
    assert note_on(reader).steps == model


def test_a_list_of_the_first_layout_is_edited_by_two_at_once() -> None:
    ada, bob = first_layout_on("A", "B")
    bob.now += 1
    for device, name in ((ada, "ada"), (bob, "bob")):
        steps = note_on(device).steps
        steps.append(name)
        steps.move(0, 1)
    note_on(ada).steps[2] = "ONE"
    note_on(bob).steps.move(2, 0)
    exchange(ada, bob)
    shown = list(note_on(ada).steps)
    assert shown == list(note_on(bob).steps)
    assert sorted(shown) == ["ONE", "ada", "bob", "nought", "two"]
    assert shown[0] == "ONE"


def test_every_operation_and_every_kind_of_root_has_a_vector() -> None:
    steps = [step for vector in VECTORS for step in vector.steps]
    for operation in OPERATIONS.replace("\n", " ").split(", "):
        assert any(step.operation.startswith(operation) for step in steps), operation
    kinds = set(Note.__schema__.kinds.values()) - {REGISTER}
    roots = {root.partition(":")[0] for vector in VECTORS for root in vector.document}
    assert roots == {REGISTERS, ARRAY, *kinds}
    listed = {bare(row[0]) for row in table("| root | type | holds |")}
    assert listed == {REGISTERS, *(f"{kind}:<field>" for kind in (ARRAY, *kinds))}


class Draws(random.Random):
    """Draws the client id of A."""

    def randrange(self, *_: object, **__: object) -> int:
        return CLIENTS["A"]


@pytest.mark.parametrize(("model", "deletion"), [(Note, "delete"), (KeptNote, "delete keep-edit")])
async def test_collections_create_and_delete_like_this(model: type[Record], deletion: str) -> None:
    vector = next(
        vector for vector in VECTORS if deletion in [step.operation for step in vector.steps]
    )
    now = 0
    environment = Environment(now=lambda: now, rng=Draws())
    store = MemoryStore()
    async with Replica.open(store, models=[model], environment=environment) as replica:
        notes = replica.collection(model)
        creating, deleting = vector.steps[:2]
        now = EPOCH_MS + creating.ms
        notes.create(key="n", title="Draft")
        await replica.flushed()  # what waits together is stored merged
        now = EPOCH_MS + deleting.ms
        notes.delete("n")
        await replica.flushed()
        stored = store.load("local", Address(notes.name, "n"))
    assert stored is not None
    assert [update.hex() for update in stored.updates] == [creating.update, deleting.update]


async def test_collections_create_again_like_this() -> None:
    (vector,) = [
        vector for vector in VECTORS if 'create "New"' in [step.operation for step in vector.steps]
    ]
    now = 0
    environment = Environment(now=lambda: now, rng=Draws())
    store = MemoryStore()
    async with Replica.open(store, models=[Note], environment=environment) as replica:
        notes = replica.collection(Note)
        *creating, deleting, again = [step for step in vector.steps if step.writer == "A"]
        now = EPOCH_MS
        note = notes.create(key="n", title="Draft")
        for step in creating[1:]:
            edit(note, step.operation)
        now = EPOCH_MS + deleting.ms
        notes.delete("n")
        await replica.flushed()
        now = EPOCH_MS + again.ms
        notes.create(key="n", title="New")
        await replica.flushed()
        stored = store.load("local", Address(notes.name, "n"))
    assert stored is not None
    assert stored.updates[-1].hex() == again.update


# A seed


async def test_the_seed() -> None:
    (lines,) = fenced("seed")
    address, create, *operations = [line for line in lines if not line.startswith(" " * 8)]
    seed = "".join(line.strip() for line in lines if line.startswith(" " * 8))
    client_id = int(operations.pop().removeprefix("client "))
    assert create == "create"

    def written_by(client_id: int) -> bytes:
        device = Device(client_id, now=0)
        with device.writing():
            write_existence(device, "delete-wins", live=True)
        for operation in operations:
            edit(note_on(device), operation)
        return merge_updates(device.written())

    digest = hashlib.sha256(address.encode() + b"\0" + written_by(1)).digest()
    assert client_id == 2**32 + int.from_bytes(digest[:8], "big") % (2**53 - 1 - 2**32)
    assert written_by(client_id).hex() == seed

    def fill(note: Note) -> None:
        for operation in operations:
            edit(note, operation)

    store = MemoryStore()
    async with Replica.open(store, models=[Note]) as replica:
        for _ in range(2):
            replica.seed(address, fill)
        await replica.flushed()
        stored = store.load("local", Address.parse(address))
    assert stored is not None
    assert [update.hex() for update in stored.updates] == [seed]


# Cells


def cells_in(entries: dict[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    document = Document(1)
    for key, value in entries.items():
        document.map(REGISTERS).set(key, value)
    cells = cells_of(document, REGISTERS)
    return {name: [tuple(cell) for cell in cells.siblings(name)] for name in cells.names()}


@pytest.mark.parametrize("line", fenced("cells")[0], ids=str)
def test_an_entry_reads_as_this_cell_or_is_ignored(line: str) -> None:
    key, value, *cell = json_values(line)
    wanted = {name: [tuple(rest)] for name, *rest in cell}
    assert cells_in({key: value}) == wanted


KEY = re.compile(
    PAGE.partition("its key is `name/writer`, the writer in decimal: `")[2].split("`")[0], re.DOTALL
)
DIGITS = st.sampled_from(
    ["0", "7", "07", "4294967303", "9" * 16, "1" + "0" * 16, "-1", "+1", "1.0", "٣", ""]
)


@given(key=st.text("a/\n01", max_size=6) | st.builds("{}/{}".format, st.text(max_size=3), DIGITS))
@example(key="a/1\n")
def test_a_key_is_that_of_a_cell_if_the_page_s_pattern_matches(key: str) -> None:
    match = KEY.fullmatch(key)
    wanted = {match[1]: [(5, int(match[2]), True)]} if match else {}
    assert cells_in({key: "[5,true]"}) == wanted


def test_stamps() -> None:
    device = Device(1, now=EPOCH_MS)
    assert device.tick() == EPOCH_MS * 2048 == EPOCH_MS << COUNTER_BITS
    assert device.tick() == EPOCH_MS * 2048 + 1
    assert device.tick(seen=EPOCH_MS * 2048 + 9) == EPOCH_MS * 2048 + 10
    assert device.tick(seen=MAX_STAMP) == (EPOCH_MS + 300_000) * 2048 + 1
    assert device.tick() == (EPOCH_MS + 300_000) * 2048 + 2
    assert MAX_STAMP == 2**53 - 1 == (2 ** (42 + COUNTER_BITS)) - 1
    assert f"last = max(last, min(seen, (now + {MAX_DRIFT_MS}) * {1 << COUNTER_BITS}))\n" in PAGE
    assert f"last = min(max(last + 1, now * {1 << COUNTER_BITS}), 2^53 - 1)\n" in PAGE
    assert f"if last > (now + {2 * MAX_DRIFT_MS}) * {1 << COUNTER_BITS}: last = 0\n" in PAGE


# Registers


@pytest.mark.parametrize("line", fenced("policies")[0], ids=str)
def test_what_cells_read_as_under_max_and_min(line: str) -> None:
    values, *wanted = json_values(line)
    document = Document(1)
    for age, value in enumerate(values):
        document.map(REGISTERS).set(f"title/{age}", f"[{1000 - age},{json.dumps(value)}]")
    cells = cells_of(document, REGISTERS)
    policies: tuple[OnConflict, ...] = ("max", "min", "newest", "surface")
    for policy, value in zip(policies, [*wanted, values[0], values[0]], strict=True):
        cell = FieldSpec("title", ANY, on_conflict=policy).choose(cells)
        assert cell is not None
        assert repr(cell.value) == repr(as_value(value))


def test_the_policies_are_those() -> None:
    rows = [row[0] for row in table("| policy | reads as |")]
    assert {bare(name) for row in rows for name in row.split(", ")} == set(get_args(OnConflict))


# Counters, positions, values


@given(text=st.from_regex(r"-?[0-9]{1,3}", fullmatch=True) | st.text("-+_. 01٣", max_size=4))
@example(text="9" * 1000)
@example(text="9" * 1001)
@example(text="-" + "0" * 1000)
@example(text="1\n")
def test_a_sum_counts_if_the_page_s_pattern_matches(text: str) -> None:
    pattern = PAGE.partition("sum\nof all steps of this writer in decimal, `")[2].split("`")[0]
    device = Device(1)
    device.document().map("counter:counter").set("any key", text)
    assert int(device.counter) == (int(text) if re.fullmatch(pattern, text) else 0)


@pytest.mark.parametrize("line", fenced("positions")[0], ids=str)
def test_positions(line: str) -> None:
    lower, upper, writer, position = line.split()
    below, above = (None if bound == "-" else bound for bound in (lower, upper))
    assert position_between(below, above, int(writer)) == position
    assert is_position(position)


@pytest.mark.parametrize("value", json_values(fenced("no-positions")[0][0]))
def test_no_positions(value: object) -> None:
    assert not is_position(value)
    entries = {
        "x.v/1": "[1,0]",
        "x.p/1": f"[1,{json.dumps(value)}]",
        "a.v/1": "[2,1]",
        "a.p/1": '[2,"Zz"]',
    }
    device = Device(1)
    for key, text in entries.items():
        device.document().map("list:list").set(key, text)
    assert list(device.list) == [0, 1]


@pytest.mark.parametrize("row", table("| value, in Python | JSON |"), ids=lambda row: row[1])
def test_values(row: list[str]) -> None:
    spelled, encoded = map(bare, row)
    value = decode_value(encoded)
    assert repr(value) == spelled
    assert encode_value(value, where="test").decode() == encoded
    device = Device(1)
    device.document().map("set:set").set(f"{encoded}/1", "[1,null]")
    assert [repr(element) for element in device.set] == [spelled]


@pytest.mark.parametrize("line", fenced("items")[0], ids=str)
def test_items(line: str) -> None:
    elements, wanted = json_values(line)
    device = Device(1)
    for index, element in enumerate(elements):
        device.document().array("items:list").insert(index, element)
    assert device.list == wanted
    device.list.append("new")
    assert device.list == [*wanted, "new"]
    while device.list:
        del device.list[0]
    left = device.document().array("items:list").items()
    for element in elements:
        read_as = read_element(element)
        assert element in left or (read_as is not None and not read_as.is_head)


def test_every_tag_has_a_row() -> None:
    tag = re.compile(r"\$[a-z]{3,}")
    described = {match for row in table("| value | JSON |") for match in tag.findall(row[1])}
    shown = {match for row in table("| value, in Python | JSON |") for match in tag.findall(row[1])}
    assert described == shown


# Limits


def test_limits() -> None:
    assert [re.sub(",", "", row[1]) for row in table("| what | bound | in a reader |")] == [
        f"{MAX_VALUE_BYTES} bytes",
        f"{MAX_DEPTH}",
        f"{MAX_DIGITS}",
        f"{MAX_LENGTH} characters",
        f"{MAX_KEY} code points",
        "2^53 - 1",
    ]
    assert MAX_CLIENT_ID == MAX_STAMP == 2**53 - 1
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    deeper = f"[{deepest}]"
    assert cells_in({"a/1": f"[1,{deepest}]", "b/1": f"[1,{deeper}]"}).keys() == {"a"}
    assert encode_value(json.loads(deepest), where="test").decode() == deepest
    with pytest.raises(ValueRefused):
        encode_value(json.loads(deeper), where="test")
