"""Documents of Yjs editors in a replica: kept over restarts, synced, taken back, refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from syncline import (
    Relay,
    Replica,
    SharedArray,
    SharedDocument,
    SharedMap,
    SharedText,
    XmlElement,
    XmlText,
)
from syncline.engine.errors import Detached, SchemaError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import Ack
from tests.relay.clients import connected

PATIENCE = 60.0
BOLD = {"bold": True}


def _fill(page: SharedDocument) -> None:
    body = page.text("body")
    body.apply_delta([{"insert": "😀 hello", "attributes": BOLD}, {"insert": {"image": 1}}])
    page.map("shapes")["box"] = SharedMap({"at": SharedArray([1, 2]), "label": SharedText("a")})
    page.array("order").append(SharedMap({"id": 1}))
    heading = page.xml("page").append(XmlElement("heading", {"level": 1}))
    heading.append(XmlText([{"insert": "Title", "attributes": {"strong": {}}}]))


FILLED = {
    "body": "😀 hello\ufffc",
    "order": [{"id": 1}],
    "page": '<heading level="1"><strong>Title</strong></heading>',
    "shapes": {"box": {"at": [1, 2], "label": "a"}},
}


@pytest.mark.slow
async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db") as replica:
        _fill(replica.document("pages/a"))
    for number in range(3):
        async with Replica.open(tmp_path / "a.db") as replica:
            page = replica.document("pages/a")
            assert page.to_dict() == replica.to_dict()["pages"]["a"]
            assert page.text("body").delta() == [
                {"insert": "😀 hello", "attributes": BOLD},
                {"insert": {"image": 1}},
            ]
            assert page.xml("page")[0].get("level") == 1
            box = page.map("shapes")["box"]
            assert box["at"] == [1, 2, *range(10, 10 + number)]
            box["at"].append(10 + number)
            page.xml("page")[0][0].append("!")
            with pytest.raises(SchemaError):
                page.text("page").append("x")


@pytest.mark.slow
async def test_replicas_edit_inside_the_same_types(tmp_path: Path) -> None:
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/crm") as ada,
        Replica.open(tmp_path / "b.db", relay=f"{relay.url}/crm") as bob,
        asyncio.timeout(PATIENCE),
    ):
        pages = [replica.document("pages/a") for replica in (ada, bob)]
        _fill(pages[0])

        async def settle() -> None:
            for replica in (ada, bob, ada, bob):
                await replica.synced()

        await settle()
        assert pages[1].to_dict() == FILLED
        box = pages[0].map("shapes")["box"]
        box["at"].insert(0, 0)
        pages[1].map("shapes")["box"]["at"].append(3)
        pages[0].xml("page").insert(0, XmlElement("first"))
        pages[1].xml("page")[0][0].format(0, 2, {"em": {}})
        pages[0].text("body").format(0, 3, {"bold": None})
        pages[1].text("body").insert(2, "big ", {})
        await settle()
        assert pages[0].to_dict() == pages[1].to_dict()
        assert box == {"at": [0, 1, 2, 3], "label": "a"}
        assert pages[0].text("body").delta() == pages[1].text("body").delta()
        assert str(pages[1].xml("page")) == (
            '<first></first><heading level="1"><em><strong>Ti</strong></em><strong>tle</strong>'
            "</heading>"
        )


@pytest.mark.slow
async def test_a_root_that_came_from_the_relay_is_known(tmp_path: Path) -> None:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=9)
    fragment = doc.get("page", type=pycrdt.XmlFragment)
    fragment.children.append(pycrdt.XmlElement("p")).children.append(pycrdt.XmlText("hello"))
    async with (
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(tmp_path / "a.db", relay=f"{relay.url}/crm") as replica,
        asyncio.timeout(PATIENCE),
    ):
        page = replica.document("pages/a")
        title = page.text("page")
        assert str(title) == ""  # nothing is there yet
        async with connected(relay.url) as client:
            await client.greet()
            await client.push(1, doc.get_update(), address=Address("pages", "a"))
            await client.hear(Ack)
        await replica.synced()
        before = replica.pending
        for text in (title, page.text("page")):
            with pytest.raises(SchemaError) as refused:
                text.append("x")
            assert refused.value.message == (
                "The root 'page' of pages/a is a Y.XmlFragment, and cannot be used as a Y.Text."
            )
        assert replica.pending == before
        assert page.to_dict() == {"page": "<p>hello</p>"}
    async with Replica.open(tmp_path / "a.db") as replica:
        with pytest.raises(SchemaError):
            replica.document("pages/a").map("page")["k"] = 1
        assert str(replica.document("pages/a").xml("page")) == "<p>hello</p>"


@pytest.mark.slow
async def test_what_is_taken_back_is_gone(tmp_path: Path) -> None:
    class Undone(Exception):
        pass

    async with Replica.open(tmp_path / "a.db") as replica:
        page = replica.document("pages/a")
        _fill(page)
        made = XmlElement("p", {}, ["x"])

        def edit() -> None:
            with replica.transaction():
                page.xml("page").append(made)
                made.append("more")
                page.map("shapes")["box"]["at"].append(3)
                page.text("body").format(0, 2, {"bold": None})
                del page.array("order")[0]
                raise Undone

        with pytest.raises(Undone):
            edit()
        assert page.to_dict() == FILLED
        assert page.text("body").delta()[0] == {"insert": "😀 hello", "attributes": BOLD}
        with pytest.raises(Detached):
            made.append("y")
        with replica.transaction():
            again = page.xml("page").append(XmlElement("p"))
            again.append("x")
            again.set("k", 1)
            page.text("body").format(0, 1, {"bold": None})
            page.text("body").insert(0, "a")
        assert str(page.xml("page")[1]) == '<p k="1">x</p>'
        assert str(page.text("body")) == "a😀 hello\ufffc"
    async with Replica.open(tmp_path / "a.db") as replica:
        page = replica.document("pages/a")
        assert str(page.xml("page")[1]) == '<p k="1">x</p>'
        assert page.text("body").delta()[0] == {"insert": "a😀"}


@pytest.mark.slow
async def test_seeds_put_the_same_in_everywhere(tmp_path: Path) -> None:
    contents: list[Any] = []
    for name in ("a", "b"):
        async with Replica.open(tmp_path / f"{name}.db") as replica:
            for _ in range(2):
                replica.seed("pages/a", _fill)
            contents.append(replica.document("pages/a").to_dict())
    assert contents == [FILLED, FILLED]


@pytest.mark.slow
async def test_an_object_outlives_its_document_in_memory(tmp_path: Path) -> None:
    async with Replica.open(tmp_path / "a.db") as replica:
        page = replica.document("pages/a")
        _fill(page)
        at, heading = page.map("shapes")["box"]["at"], page.xml("page")[0]
        for number in range(4_200):  # more than stay in memory
            replica.document(f"other/{number}").to_dict()
        at.append(3)
        heading.append("!")
        assert at == [1, 2, 3]
        assert str(page.xml("page")).endswith("!</heading>")
