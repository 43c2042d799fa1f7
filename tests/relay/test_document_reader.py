"""What of an update is news to a store, and what a client lacks."""

from __future__ import annotations

from collections.abc import Generator

import pycrdt
import pytest

from syncline.engine.document.document import EMPTY_UPDATE, Document
from syncline.engine.errors import InvalidUpdate
from syncline.engine.names import Address
from syncline.engine.updates.parse import encode_state_vector, parse_update
from syncline.relay.log import document_reader
from syncline.relay.log.document_reader import DocumentReader
from syncline.stores import DocumentWrite, MemoryStore, Write
from tests.engine.update_bytes import item, section, text, update
from tests.relay.clients import Author, text_of

PAGE = Address("pages", "a")


class Shelf:
    """A store with documents, and its reader."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.open()
        self.reader = DocumentReader(self.store)
        self._held: dict[Address, Document] = {}

    def write(self, *updates: bytes, address: Address = PAGE) -> None:
        held = self._held.setdefault(address, Document(1))
        for each in updates:
            held.apply(each)
        vector = encode_state_vector(held.state_vector())
        self.store.write([Write("crm", (DocumentWrite(address, updates, state_vector=vector),))])

    def news(self, update: bytes) -> bytes:
        return self.reader.unseen_part("crm", PAGE, 0, update)

    def lacks(self, address: Address = PAGE) -> bytes:
        return self.reader.difference("crm", address, 0, {}).update


@pytest.fixture
def shelf() -> Generator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.reader.close()


def test_everything_is_news_to_an_empty_store(shelf: Shelf) -> None:
    update = Author().type("x")
    assert shelf.news(update) == update
    assert shelf.lacks() == EMPTY_UPDATE


def test_what_is_stored_is_no_news(shelf: Shelf) -> None:
    ada = Author()
    shelf.write(ada.type("hello"))
    assert shelf.news(ada.everything()) == EMPTY_UPDATE
    shelf.write(ada.delete(0, 2))
    assert shelf.news(ada.everything()) == EMPTY_UPDATE
    assert shelf.news(EMPTY_UPDATE) == EMPTY_UPDATE


def test_a_deletion_alone_is_news(shelf: Shelf) -> None:
    ada = Author()
    shelf.write(ada.type("hello"))
    deletion = ada.delete(0, 2)
    assert shelf.news(ada.everything()) == deletion


def test_news_are_news_until_they_are_stored(shelf: Shelf) -> None:
    # The commit may fail, and the client connect again.
    ada = Author()
    shelf.write(ada.type("hello"), ada.delete(0, 1))
    ada.type("!")
    news = shelf.news(ada.everything())
    assert news != EMPTY_UPDATE
    assert shelf.news(ada.everything()) == news
    assert text_of(shelf.lacks()) == "ello"
    shelf.write(news)
    assert shelf.news(ada.everything()) == EMPTY_UPDATE
    assert text_of(shelf.lacks()) == "ello!"


def test_what_builds_on_something_unknown_is_left_to_the_commit(shelf: Shelf) -> None:
    ada = Author()
    shelf.write(ada.type("hello"))
    ada.type("lost")
    late = ada.type("late")
    assert shelf.news(late) == late


def test_an_update_that_is_none_is_refused(shelf: Shelf) -> None:
    with pytest.raises(InvalidUpdate):
        shelf.news(b"\7nonsense")


def test_documents_are_let_go_beyond_the_bound(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Address] = []
    load = shelf.store.load

    def counted(workspace: str, address: Address) -> object:
        loads.append(address)
        return load(workspace, address)

    monkeypatch.setattr(shelf.store, "load", counted)
    monkeypatch.setattr(document_reader, "MAX_DOCUMENTS", 2)
    shelf.reader = DocumentReader(shelf.store)
    places = [Address("pages", name) for name in "abc"]
    for number, place in enumerate(places):
        shelf.write(Author(2**40 + number).type("x"), address=place)
        for _ in range(2):
            assert text_of(shelf.lacks(place)) == "x"
    assert loads == places  # each once
    shelf.lacks(places[0])
    assert loads == [*places, places[0]]


def test_a_cut_character_goes_to_those_who_join_as_it_was_written(shelf: Shelf) -> None:
    """Editors put text between the two halves of an emoji. The CRDT library reads that otherwise
    than every Yjs client, and would pass on what it read."""
    whole = update(section(5, 0, item(4, text("a😀b"))))
    between = update(section(6, 0, b"\xc4\x05\x01\x05\x02" + text("X")))
    vector = encode_state_vector({5: 4, 6: 1})
    shelf.store.write([Write("crm", (DocumentWrite(PAGE, (whole, between), state_vector=vector),))])
    found = shelf.lacks()
    assert text("a😀b") in found
    assert text("X") in found
    # Beyond half of the emoji there is no text that could be sent.
    beyond = shelf.reader.difference("crm", PAGE, 0, {5: 2, 6: 1}).update
    assert parse_update(beyond).ends() == {5: 4, 6: 1}
    beyond = shelf.reader.difference("crm", PAGE, 0, {5: 3, 6: 1}).update
    assert parse_update(beyond).ranges == {5: ((3, 4),)}


def test_of_what_is_known_in_part_the_rest_is_news(shelf: Shelf) -> None:
    ada = Author()
    shelf.write(ada.type("hello"), ada.delete(0, 1))
    ada.type(" world")
    ada.delete(1, 2)
    info = parse_update(shelf.news(ada.everything()))
    assert info.ranges == {ada.client: ((5, 11),)}
    assert info.deletes == {ada.client: ((2, 2),)}


def test_no_document_is_opened(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Author()
    shelf.write(ada.type("hello"), ada.delete(0, 1))

    def opened(*_args: object, **_options: object) -> None:
        raise AssertionError("a document was opened")

    everything = ada.everything()
    monkeypatch.setattr(pycrdt, "Doc", opened)
    assert shelf.lacks() != EMPTY_UPDATE
    assert shelf.news(everything) == EMPTY_UPDATE
