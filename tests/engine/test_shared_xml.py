"""XML of editors: a tree, as programs know them from ElementTree, and well-formed as a str."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from xml.etree import ElementTree

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.engine.errors import Detached, LimitExceeded, OutOfRange, ValueRefused, WrongType
from syncline.engine.shared import SharedMap, XmlElement, XmlFragment, XmlText, document_content
from tests.engine.devices import Device, exchange


def page_of(device: Device) -> XmlFragment:
    return XmlFragment.of_root(device, "pages/home", "page")


@pytest.fixture
def device() -> Device:
    return Device(2**40)


@pytest.fixture
def page(device: Device) -> XmlFragment:
    return page_of(device)


def _filled(page: XmlFragment) -> None:
    page.append(XmlElement("heading", {"level": 1}, ["Title"]))
    page.append(
        XmlElement(
            "list",
            {"ordered": True, "data": {"a": [1]}},
            [XmlElement("item", {}, [XmlElement("p", {}, ["one"])]), XmlElement("item")],
        )
    )


PLAIN: list[Any] = [
    {"tag": "heading", "attributes": {"level": 1}, "children": ["Title"]},
    {
        "tag": "list",
        "attributes": {"data": {"a": [1]}, "ordered": True},
        "children": [
            {
                "tag": "item",
                "attributes": {},
                "children": [{"tag": "p", "attributes": {}, "children": ["one"]}],
            },
            {"tag": "item", "attributes": {}, "children": []},
        ],
    },
]


def test_a_tree_is_written_and_read(device: Device, page: XmlFragment) -> None:
    _filled(page)
    other = Device(2**40 + 1)
    other.receive(device.written())
    for each in (page, page_of(other)):
        assert each.to_plain() == PLAIN
        assert str(each) == (
            '<heading level="1">Title</heading>'
            '<list data="{&quot;a&quot;:[1]}" ordered="true">'
            "<item><p>one</p></item><item></item></list>"
        )
        assert [child.tag for child in each] == ["heading", "list"]
        assert len(each) == 2
        assert each[-1] == each[1] == each.find("list")
        assert each[0:1] == [each[0]]
        assert each.find("item") is None
        assert [node.tag for node in each.iter()] == ["heading", "list", "item", "p", "item"]
        assert len(list(each.iter("item"))) == 2
        assert each[1].findall("item") == each[1][:]
        assert "".join(each.itertext()) == "Titleone"
        assert each[0].to_plain() == PLAIN[0]
        assert each[0].get("level") == each[0].attributes["level"] == 1
        assert type(each[0].get("level")) is int
        assert each[0].parent == each
        assert each[1][0].parent == each[1]
        assert each.parent is None
    assert other.document().to_dict().keys() == {"page"}


def test_what_was_made_is_live(device: Device, page: XmlFragment) -> None:
    item = XmlElement("item")
    text = XmlText("x")
    first = page.append(XmlElement("list", {}, [item]))
    assert first.append(text) is text
    item.set("checked", False)
    item.append("one").append("!")
    text.insert(0, "<&>", {"bold": {}})
    assert str(page) == '<list><item checked="false">one!</item><bold>&lt;&amp;&gt;</bold>x</list>'
    first.insert(0, XmlElement("first"))
    first.insert(-1, "second to last")
    first.insert(99, "last")
    assert [node.tag if isinstance(node, XmlElement) else str(node) for node in first] == [
        "first", "item", "second to last", "<bold>&lt;&amp;&gt;</bold>x", "last",
    ]  # fmt: skip
    assert first[1] == item
    assert hash(first[1]) == hash(item)
    assert first[3] == text
    assert first[3] != item
    assert len(device.written()) == 9


def test_an_object_means_the_same_node_whatever_others_insert(page: XmlFragment) -> None:
    ada, bob = Device(2**40 + 1), Device(2**40 + 2)
    _filled(page_of(ada))
    exchange(ada, bob)
    item = page_of(ada)[1][0]
    page_of(bob).insert(0, XmlElement("new"))
    page_of(bob)[2].insert(0, XmlElement("new"))
    exchange(ada, bob)
    item.set("id", 7)
    item[0][0].append("!")
    exchange(ada, bob)
    assert str(page_of(bob)[2][1]) == '<item id="7"><p>one!</p></item>'
    del page_of(bob)[2]
    exchange(ada, bob)
    for use in (lambda: item.set("id", 8), lambda: str(item), lambda: item.tag, lambda: item[:]):
        with pytest.raises(Detached) as refused:
            use()
        assert refused.value.message == "pages/home:page[1][0] was deleted."
    assert ada.written() == []


def test_attributes_are_a_dict(device: Device, page: XmlFragment) -> None:
    image = page.append(XmlElement("image", {"src": "a.png"}))
    attributes = image.attributes
    attributes["width"] = 1.5
    attributes["alt"] = None
    attributes.update({"src": "b.png", "tags": ["x"]})
    assert dict(attributes) == {"alt": None, "src": "b.png", "tags": ["x"], "width": 1.5}
    assert len(attributes) == 4
    assert repr(attributes) == repr(dict(attributes))
    assert "none" not in attributes
    assert image.get("none", 5) == 5
    del attributes["alt"]
    assert attributes.pop("width") == 1.5
    for use in (lambda: attributes["none"], lambda: attributes.__delitem__("alt")):
        with pytest.raises(KeyError):
            use()
    with pytest.raises(ValueRefused, match=r"page\[0\]@at cannot store b'x' of type bytes"):
        page[0].set("at", b"x")
    with pytest.raises(ValueRefused, match=r"cannot store .* of type SharedMap"):
        image.set("at", SharedMap())
    text = page.append("x")
    text.attributes["dir"] = "ltr"  # as Lexical does
    assert text.get("dir") == "ltr"
    assert device.document().diff({})


def test_nodes_are_removed(page: XmlFragment) -> None:
    _filled(page)
    items = page[1]
    first, second = items
    items.remove(first)
    assert items[:] == [second]
    with pytest.raises(ValueRefused, match="is no child of"):
        page.remove(second)
    page.extend(["a", XmlElement("b"), "c"])
    del page[0:2]
    del page[-1]
    assert str(page) == "a<b></b>"
    with pytest.raises(WrongType, match="only neighbours are deleted at once, not every 2th"):
        del page[::2]
    for index in (2, -3):
        for use in (page.__getitem__, page.__delitem__):
            with pytest.raises(OutOfRange, match="has 2 items, so there is none at"):
                use(index)
    del page[:]
    assert len(page) == 0
    assert str(page) == ""
    page.append("again")
    assert str(page) == "again"


def test_what_is_no_node_is_refused(device: Device, page: XmlFragment) -> None:
    node = page.append(XmlElement("p"))
    device.written()
    for wrong in (5, None, {"tag": "p"}, SharedMap(), XmlFragment()):
        with pytest.raises(WrongType, match="takes XmlElement, XmlText and str, not"):
            page.append(cast("Any", wrong))
    with pytest.raises(ValueRefused, match="a shared type has one place"):
        page.append(node)
    twice = XmlText("x")
    with pytest.raises(ValueRefused, match="a shared type has one place"):
        page.extend([twice, twice])
    assert page.append(twice) == page[1]  # what was refused is in no document
    with pytest.raises(ValueRefused, match="has no tag"):
        XmlElement("")
    with pytest.raises(ValueRefused, match="lone surrogate"):
        XmlElement("\ud800")
    assert len(device.written()) == 1
    around = XmlElement("div")
    with pytest.raises(Detached, match="This XmlElement is in no document yet"):
        around.append("x")
    assert around.tag == "div"
    assert repr(around) == "<XmlElement in no document>"


def _chain(levels: int) -> XmlElement:
    node = XmlElement("p")
    for _ in range(levels - 1):
        node = XmlElement("p", {}, [node])
    return node


def test_depth_is_bounded(device: Device, page: XmlFragment) -> None:
    page.append(_chain(100))
    assert str(page).count("<p>") == 100
    device.written()
    with pytest.raises(ValueRefused, match="would be nested 101 shared types deep"):
        page.append(_chain(101))
    assert device.written() == []

    def elements(max_depth: int) -> list[Any]:
        return list(page.iter(max_depth=max_depth))

    def texts(max_depth: int) -> list[Any]:
        return list(page.itertext(max_depth=max_depth))

    readers: list[Callable[..., Any]] = [page.to_xml, page.to_plain, elements, texts]
    for read in readers:
        with pytest.raises(LimitExceeded, match="deeper than 2 levels") as refused:
            read(max_depth=2)
        assert refused.value.code == "limit-exceeded"
    del page[:]
    page.append(_chain(2))
    for read in readers:
        read(max_depth=2)


def test_a_hostile_depth_is_an_error_with_a_code(device: Device, page: XmlFragment) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    node: Any = doc.get("page", type=pycrdt.XmlFragment)
    for _ in range(900):
        node = node.children.append(pycrdt.XmlElement("p"))
    device.receive([doc.get_update()])
    readers: list[Callable[[XmlFragment], object]] = [
        str,
        XmlFragment.to_plain,
        lambda page: list(page.iter()),
        lambda page: list(page.itertext()),
    ]
    for read in readers:
        with pytest.raises(LimitExceeded) as refused:
            read(page)
        assert refused.value.code == "limit-exceeded"
    assert device.document().to_dict()
    assert document_content(device.document()) == {}
    inner: Any = page
    for _ in range(300):  # level by level it can be read
        inner = inner[0]
    assert inner.tag == "p"
    inner.set("here", True)
    del page[0]
    assert page.to_plain() == []


NAMES = ["p", "my node", "1st", "svg:rect", "a<b", "größe", "", "xmlns", "²", "-"]


def test_names_that_xml_does_not_allow(page: XmlFragment) -> None:
    for name in NAMES:
        page.append(XmlElement(name or "x", {name: "1", f"{name}!": 2}, [XmlText(name)]))
        page.append(XmlText([{"insert": "f", "attributes": {name: {"a b": 1}}}]))
    root = ElementTree.fromstring(f"<all>{page}</all>")  # noqa: S314 - what it must be able to read
    assert [node.tag for node in root][2:6] == ["my_node", "my_node", "_1st", "_1st"]
    assert root.find("größe") is not None


TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("<>&\"'\x00\x1f\ufffe\r\n\t]"))
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | TEXTS | st.lists(TEXTS, max_size=2)


@given(
    TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=2)
)
def test_whatever_is_in_it_a_str_is_well_formed(
    text: str, attributes: dict[str, Any], formats: dict[str, Any]
) -> None:
    page = page_of(Device(2**40))
    node = XmlText([{"insert": text, "attributes": formats}, {"insert": {"image": 1}}])
    page.append(XmlElement(text or "p", attributes, [node, text]))
    root = ElementTree.fromstring(f"<all>{page}</all>")  # noqa: S314 - what it must be able to read
    shown = "".join(
        character if character in "\t\n\r" or character >= " " else "\ufffd" for character in text
    )
    shown = shown.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
    assert "".join(root.itertext()) == f"{shown}\ufffc{shown}"


def test_formats_and_objects_in_texts(page: XmlFragment) -> None:
    text = page.append("a & b")
    text.format(0, 1, {"strong": {}, "link": {"href": 'x"y', "n": 1}})
    text.insert_embed(5, {"image": 1})
    assert str(text) == '<link href="x&quot;y" n="1"><strong>a</strong></link> &amp; b\ufffc'
    assert text.to_plain() == "a & b\ufffc"
    assert page.to_plain() == [text.delta()]
    assert text != "a & b"
    assert len(text) == 6
    assert repr(text).startswith("<XmlText a node in pages/home:page: ")


def test_nodes_inside_a_text_as_lexical_keeps_them(device: Device, page: XmlFragment) -> None:
    paragraph = page.append(XmlText())
    paragraph.insert_embed(0, XmlText("inner"))
    paragraph.insert_embed(1, XmlElement("br"))
    paragraph.insert_embed(2, SharedMap({"type": "image"}))
    assert str(page) == "inner<br></br>\ufffc"
    inner = paragraph.delta()[0]["insert"]
    assert isinstance(inner, XmlText)
    assert inner.parent == paragraph
    inner.append("!")
    assert str(page).startswith("inner!")
    assert device.document().to_dict()


def test_a_fragment_in_a_map(device: Device) -> None:
    shapes = SharedMap.of_root(device, "pages/home", "shapes")
    shapes["note"] = XmlFragment([XmlElement("p", {"a": 1}, ["x"])])
    shapes["node"] = XmlElement("q", {}, ["y"])
    assert isinstance(shapes["note"], XmlFragment)
    shapes["note"][0][0].append("!")
    assert shapes.to_plain() == {"note": '<p a="1">x!</p>', "node": "<q>y</q>"}
    assert shapes["node"].parent.to_plain() == shapes.to_plain()
