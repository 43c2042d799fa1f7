"""Documents as editors make them: what Yjs writes Python reads, and the other way round."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from syncline import (
    Relay,
    Replica,
    SharedArray,
    SharedMap,
    SharedText,
    Subdocument,
    XmlElement,
    XmlFragment,
    XmlText,
)
from syncline.engine.errors import SchemaError
from syncline.engine.shared import document_content
from tests.engine.devices import Device
from tests.engine.text_edits import FORMATS, WORDS, edit_text
from tests.interop.editors import HERE, PATIENCE, Node
from tests.npm import program
from tests.profiles import scaled

pytestmark = pytest.mark.npm
PAGE = "pages/home"


class Answer(NamedTuple):
    value: Any
    written: bytes


class Yjs:
    """A process of Node in which Yjs reads and writes whole documents."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [program("node"), "shapes.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, source: str, document: bytes = b"", client_id: int = 0) -> Answer:
        """Run a program on the document, as the client."""
        given, said = self._process.stdin, self._process.stdout
        assert given is not None
        assert said is not None
        order = {"update": document.hex(), "source": source, "clientId": client_id}
        given.write(orjson.dumps(order) + b"\n")
        given.flush()
        answer = orjson.loads(said.readline())
        assert "error" not in answer, answer
        return Answer(answer["value"], bytes.fromhex(answer["written"]))

    def edit(self, device: Device, source: str, client_id: int = 0) -> Any:
        """Let the device receive what the program does with its document."""
        answer = self.run(source, whole(device), client_id)
        device.receive([answer.written])
        return answer.value

    def read(self, device: Device, source: str) -> Any:
        """What Yjs reads of the device's document."""
        return self.run(f"return plain({source})", whole(device)).value

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def whole(device: Device) -> bytes:
    return device.document().diff({})


@pytest.fixture(scope="module")
def yjs(packages: None) -> Iterator[Yjs]:
    process = Yjs()
    yield process
    process.close()


@pytest.fixture
def device() -> Device:
    return Device(2**40)


def text_of(device: Device, name: str = "body") -> SharedText:
    return SharedText.of_root(device, PAGE, name)


def map_of(device: Device, name: str = "shapes") -> SharedMap:
    return SharedMap.of_root(device, PAGE, name)


def array_of(device: Device, name: str = "order") -> SharedArray:
    return SharedArray.of_root(device, PAGE, name)


def xml_of(device: Device, name: str = "page") -> XmlFragment:
    return XmlFragment.of_root(device, PAGE, name)


PROSEMIRROR = """
const page = doc.getXmlFragment('page')
const heading = new Y.XmlElement('heading')
heading.setAttribute('level', 1)
const title = new Y.XmlText()
title.applyDelta([{insert: 'Grüße '}, {insert: '😀 <all>', attributes: {strong: {}}}])
heading.insert(0, [title])
const list = new Y.XmlElement('bulletList')
for (const word of ['one', 'two']) {
  const item = new Y.XmlElement('listItem'), paragraph = new Y.XmlElement('paragraph')
  paragraph.setAttribute('marks', {align: 'left', checked: false, indent: null})
  paragraph.insert(0, [new Y.XmlText(word)])
  item.insert(0, [paragraph])
  list.push([item])
}
page.insert(0, [heading, list, new Y.XmlElement('hardBreak')])
"""


def _paragraph(word: str) -> dict[str, Any]:
    marks = {"align": "left", "checked": False, "indent": None}
    inner = {"tag": "paragraph", "attributes": {"marks": marks}, "children": [word]}
    return {"tag": "listItem", "attributes": {}, "children": [inner]}


def test_what_prosemirror_keeps_is_read_and_edited(yjs: Yjs, device: Device) -> None:
    yjs.edit(device, PROSEMIRROR)
    page = xml_of(device)
    strong: dict[str, Any] = {"insert": "😀 <all>", "attributes": {"strong": {}}}
    assert page.to_plain() == [
        {
            "tag": "heading",
            "attributes": {"level": 1},
            "children": [[{"insert": "Grüße "}, strong]],
        },
        {
            "tag": "bulletList",
            "attributes": {},
            "children": [_paragraph("one"), _paragraph("two")],
        },
        {"tag": "hardBreak", "attributes": {}, "children": []},
    ]
    assert str(page).startswith(
        '<heading level="1">Grüße <strong>😀 &lt;all&gt;</strong></heading><bulletList><listItem>'
    )
    with pytest.raises(SchemaError):
        text_of(device, "page").append("x")
    title, (first, second) = page[0][0], page[1]
    title.insert(7, " 😀", {"strong": {}, "em": {}})
    title.format(0, 5, {"link": {"href": "https://example.org"}})
    page[0].set("level", 2)
    del page[0].attributes["level"]
    page[0].set("level", 3)
    first[0][0].append("!")
    page[1].remove(second)
    page[1].append(XmlElement("listItem", {"n": 1.5}, [XmlElement("paragraph", {}, ["three"])]))
    assert yjs.read(device, "doc.getXmlFragment('page')") == [
        {
            "tag": "heading",
            "attributes": {"level": 3},
            "children": [
                [
                    {"insert": "Grüße", "attributes": {"link": {"href": "https://example.org"}}},
                    {"insert": " "},
                    {"insert": "😀", "attributes": {"strong": {}}},
                    {"insert": " 😀", "attributes": {"em": {}, "strong": {}}},
                    {"insert": " <all>", "attributes": {"strong": {}}},
                ]
            ],
        },
        {
            "tag": "bulletList",
            "attributes": {},
            "children": [
                _in_yjs(_paragraph("one!")),
                {
                    "tag": "listItem",
                    "attributes": {"n": 1.5},
                    "children": [
                        {
                            "tag": "paragraph",
                            "attributes": {},
                            "children": [[{"insert": "three"}]],
                        }
                    ],
                },
            ],
        },
        {"tag": "hardBreak", "attributes": {}, "children": []},
    ]


def _in_yjs(node: dict[str, Any]) -> dict[str, Any]:
    (paragraph,) = node["children"]
    (word,) = paragraph["children"]
    return {**node, "children": [{**paragraph, "children": [[{"insert": word}]]}]}


def test_what_quill_keeps_is_read_and_edited(yjs: Yjs, device: Device) -> None:
    yjs.edit(
        device,
        """
        const body = doc.getText('body')
        body.applyDelta([
          {insert: 'Title'}, {insert: '\\n', attributes: {header: 1}},
          {insert: 'bold 😀', attributes: {bold: true}}, {insert: {image: 'cat.png'}},
          {insert: ' plain\\n'},
        ])
        body.insertEmbed(0, new Y.Map([['video', 5]]))
        """,
    )
    body = text_of(device)
    assert body.delta() == [
        {"insert": {"video": 5}},
        {"insert": "Title"},
        {"insert": "\n", "attributes": {"header": 1}},
        {"insert": "bold 😀", "attributes": {"bold": True}},
        {"insert": {"image": "cat.png"}},
        {"insert": " plain\n"},
    ]
    assert str(body) == "\ufffcTitle\nbold 😀\ufffc plain\n"
    body.apply_delta(
        [
            {"retain": 1},
            {"retain": 5, "attributes": {"italic": True}},
            {"retain": 1, "attributes": {"header": None, "list": "bullet"}},
            {"delete": 5},
            {"insert": "é"},
            {"retain": 1},
            {"insert": {"formula": "x^2"}, "attributes": {"bold": True}},
        ]
    )
    body.delta()[0]["insert"]["video"] = 6
    expected = [
        {"insert": {"video": 6}},
        {"insert": "Title", "attributes": {"italic": True}},
        {"insert": "\n", "attributes": {"list": "bullet"}},
        {"insert": "é"},
        {"insert": "😀", "attributes": {"bold": True}},
        {"insert": {"formula": "x^2"}, "attributes": {"bold": True}},
        {"insert": {"image": "cat.png"}},
        {"insert": " plain\n"},
    ]
    assert body.delta() == expected
    assert yjs.read(device, "doc.getText('body')") == expected


def test_what_synced_store_keeps_is_read_and_edited(yjs: Yjs, device: Device) -> None:
    yjs.edit(
        device,
        """
        const todo = new Y.Map([['title', 'Buy'], ['done', false], ['tags', new Y.Array()]])
        doc.getArray('order').push([todo, 5, 1.5, {plain: [1]}, null, new Uint8Array([0, 255])])
        todo.get('tags').push(['a', 'b'])
        doc.getMap('shapes').set('nested', new Y.Map([['text', new Y.Text('hi')], ['n', 2 ** 40]]))
        doc.getMap('shapes').set('sub', new Y.Doc({guid: 'page-2', autoLoad: true}))
        doc.getMap('shapes').set('xml', new Y.XmlElement('p'))
        """,
    )
    order, shapes = array_of(device), map_of(device)
    assert order.to_plain() == [
        {"done": False, "tags": ["a", "b"], "title": "Buy"},
        5,
        1.5,
        {"plain": [1]},
        None,
        b"\x00\xff",
    ]
    assert isinstance(shapes["sub"], Subdocument)
    assert shapes["sub"].guid == "page-2"
    assert shapes["sub"].options["autoLoad"] is True
    assert shapes["nested"].to_plain() == {"n": 2**40, "text": "hi"}
    order[0]["done"] = True
    order[0]["tags"].insert(1, SharedMap({"deep": SharedArray([{"json": 1}])}))
    del order[0]["tags"][0]
    shapes["nested"]["text"].insert(2, " 😀", {"bold": True})
    shapes["nested"]["new"] = SharedText([{"insert": "x", "attributes": {"b": 1}}])
    shapes["xml"].set("k", [1])
    shapes["numbers"] = [0, -1, 2**31, 2**53 - 1, 0.5, True, None, "é"]
    del order[3:]
    assert yjs.read(device, "doc.getArray('order')") == [
        {"done": True, "tags": [{"deep": [{"json": 1}]}, "b"], "title": "Buy"},
        5,
        1.5,
    ]
    assert yjs.read(device, "doc.getMap('shapes').get('nested')") == {
        "n": 2**40,
        "new": "x",
        "text": "hi 😀",
    }
    numbers = "doc.getMap('shapes').get('numbers')"
    assert yjs.read(device, numbers) == [0, -1, 2**31, 2**53 - 1, 0.5, True, None, "é"]
    assert yjs.read(device, "doc.getMap('shapes').get('xml')")["attributes"] == {"k": [1]}
    assert yjs.read(device, "doc.getMap('shapes').get('sub').guid") == "page-2"


def test_what_lexical_keeps_is_read(yjs: Yjs, device: Device) -> None:
    yjs.edit(
        device,
        """
        const root = doc.get('root', Y.XmlText)
        root.setAttribute('__dir', 'ltr')
        const paragraph = new Y.XmlText()
        root.insertEmbed(0, paragraph)
        paragraph.setAttribute('__type', 'paragraph')
        paragraph.insertEmbed(0, new Y.Map([['__type', 'text']]))
        paragraph.insert(1, 'hello')
        """,
    )
    root = xml_of(device, "root")
    (paragraph,) = root
    assert isinstance(paragraph, XmlText)
    assert dict(paragraph.attributes) == {"__type": "paragraph"}
    assert paragraph.delta() == [{"insert": {"__type": "text"}}, {"insert": "hello"}]
    with pytest.raises(SchemaError):
        text_of(device, "root").append("x")
    paragraph.append(" world")
    read = "return doc.get('root', Y.XmlText).toDelta()[0].insert.toString()"
    assert yjs.run(read, whole(device)).value.endswith("hello world")
    assert document_content(device.document())["root"] == "\ufffchello world"


PLACES: dict[str, tuple[Callable[[Device], Any], str]] = {
    "root": (text_of, "doc.getText('body')"),
    "nested": (lambda device: map_of(device)["text"], "doc.getMap('shapes').get('text')"),
    "xml": (lambda device: xml_of(device)[0], "doc.getXmlFragment('page').get(0)"),
}
AT = """
const at = (index) => {  // not inside a character
  const shown = t.toDelta().map((op) => typeof op.insert === 'string' ? op.insert : '-').join('')
  const unit = shown.charCodeAt(Math.min(index, shown.length))
  return Math.min(index, shown.length) + (unit >= 0xdc00 && unit < 0xe000 ? 1 : 0)
}
"""


def _in_javascript(chance: random.Random) -> str:
    start, length = chance.randint(0, 30), chance.randint(0, 9)
    word = orjson.dumps(chance.choice(WORDS)).decode()
    formats = orjson.dumps(chance.choice(FORMATS)).decode()
    span = f"const s = at({start}), n = at(s + {length}) - s"
    return chance.choice(
        [
            f"t.insert(at({start}), {word})",
            f"t.insert(at({start}), {word}, {formats})",
            f"{span}; if (n) t.format(s, n, {formats})",
            f"{span}; if (n) t.delete(s, n)",
            f"t.insertEmbed(at({start}), {{image: 1}})",
        ]
    )


def _joined(delta: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the borders between pieces of one format, of which Yjs shows some."""
    joined: list[dict[str, Any]] = []
    for run in delta:
        last = joined[-1] if joined else {}
        same = last.get("attributes") == run.get("attributes")
        if same and isinstance(run["insert"], str) and isinstance(last.get("insert"), str):
            last["insert"] += run["insert"]
        else:
            joined.append(run)
    return joined


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_any_edits_of_both_read_the_same_in_both(yjs: Yjs, place: str) -> None:
    find, source = PLACES[place]
    for seed in range(scaled(30)):
        chance, device = random.Random(f"{place} {seed}"), Device(2**40)
        map_of(device)["text"] = SharedText()
        xml_of(device).append("")
        for step in range(12):
            if chance.random() < 0.3:
                edit = f"const t = {source}; {AT}; {{ {_in_javascript(chance)} }}"
                yjs.edit(device, edit, chance.randint(1, 2**31))
            else:
                edit_text(find(device), chance)
            mine = find(device).delta()
            assert mine == _joined(yjs.read(device, source)), f"seed {seed}, step {step}"
            shown = (run["insert"] for run in mine)
            assert find(device).to_plain() == "".join(
                run if isinstance(run, str) else "\ufffc" for run in shown
            )


@pytest.mark.parametrize("kind", ["y-websocket", "hocuspocus-v4"])
async def test_an_editor_and_a_replica_in_one_document(
    editors: Node, kind: str, tmp_path: Path
) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "replica.db", relay=f"{relay.url}/crm") as replica,
    ):
        ada = await editors.open(kind, f"{relay.url}/crm")
        await ada.synced()
        await ada.do("evaluate", PROSEMIRROR)
        page = replica.document("pages/a").xml("page")
        async with asyncio.timeout(PATIENCE):
            while len(page) < 3:
                await replica.synced()
        with pytest.raises(SchemaError):
            replica.document("pages/a").text("page").append("x")
        page[0].set("level", 2)
        page[0][0].format(0, 5, {"em": {}})
        page[1][0][0][0].append(" more")
        del page[2]
        shown = '<heading level="2"><em>Grüße</em> <strong>😀 <all></strong></heading><bulletlist>'
        read = "return doc.getXmlFragment('page').toString()"

        async def shows() -> bool:
            said = str(await ada.do("evaluate", read))
            return said.startswith(shown) and "one more" in said and "hardbreak" not in said

        await editors.wait(ada.name, f"it does not show {shown}", shows)
    async with Replica.open(tmp_path / "replica.db") as replica:
        assert replica.document("pages/a").xml("page")[0].get("level") == 2
