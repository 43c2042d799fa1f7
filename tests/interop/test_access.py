"""Who may do what, as the editors are told it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from syncline import Relay
from syncline.access.access import Access
from tests.access.rules import Rules
from tests.interop.editors import HOCUSPOCUS, Y_WEBSOCKET, Editor, Node

pytestmark = pytest.mark.npm


@pytest.fixture
def rules() -> Rules:
    return Rules({"ada": {"*": Access.WRITE}, "bob": {"pages": Access.READ, "drafts": Access.READ}})


@pytest.fixture
async def guarded(tmp_path: Path, rules: Rules) -> AsyncGenerator[str]:
    """The workspace of a relay that asks who comes."""
    path = tmp_path / "relay.db"
    async with Relay(path, port=0, authenticator=rules, authorizer=rules) as relay:
        yield f"{relay.url}/crm"


async def denied(editors: Node, editor: Editor, *, code: int, after: int = 0) -> str:
    """Wait until an editor's document is denied; returns what the person is told."""
    if editor.kind == Y_WEBSOCKET:
        closed = await editor.heard("closed", after=after)
        assert closed["code"] == code
        (warning,) = [line for line in editors.console() if "Permission denied" in line][-1:]
        assert closed["reason"] in warning
        return warning
    reason: str = (await editor.heard("authenticationFailed", after=after))["reason"]
    return reason


async def test_who_may_only_read_sees_all_and_changes_nothing(
    editors: Node, guarded: str, kind: str
) -> None:
    ada = await editors.open(kind, guarded, token="ada")
    await ada.insert("one ")
    bob = await editors.open(kind, guarded, token="bob")
    await bob.shows("one ")
    await bob.append("of Bob")
    await ada.append("two ")
    await bob.until(True, "includes", "body", "two ")
    if kind == Y_WEBSOCKET:
        (warning,) = [line for line in editors.console() if "Permission denied" in line]
        assert "pages/a is read-only" in warning
    else:
        assert await bob.do("scope") == "readonly"
        assert await ada.do("scope") == "read-write"
        assert await bob.do("hasUnsynced") is True
        assert bob.told("authenticationFailed") == []
    assert bob.told("ended") == []
    # Its awareness is seen all the same.
    await bob.present({"name": "Bob"})
    await ada.sees({"name": "Bob"})
    assert await ada.text() == "one two "
    fresh = await editors.open(kind, guarded, token="ada")
    await fresh.shows("one two ")


async def test_a_denied_token_is_told_why_and_another_may_follow(
    editors: Node, guarded: str, kind: str
) -> None:
    witness = await editors.open(kind, guarded, token="ada")
    for token in ("mallory", "", None):
        editor = await editors.open(kind, guarded, token=token)
        await editor.insert(f"{token} ")
        assert "This token is not known. Sign in again." in await denied(editors, editor, code=4401)
        await editor.do("retry", "ada")
        await editor.synced()
        await witness.until(True, "includes", "body", f"{token} ")


@pytest.mark.parametrize("version", HOCUSPOCUS[1:])
async def test_a_token_that_follows_a_denied_one_and_its_renewal(
    editors: Node, guarded: str, version: str
) -> None:
    witness = await editors.open(version, guarded, token="ada")
    editor = await editors.open(version, guarded, token="mallory")
    await editor.insert("kept ")
    await denied(editors, editor, code=4401)
    await editor.present({"name": "Ada"})
    await editor.append("on ")
    await editor.do("tokenAndSync", "ada")
    await editor.saved()
    await witness.shows("kept on ")
    await witness.sees({"name": "Ada"})

    await editor.do("renew", "bob")
    await editor.until("readonly", "scope")
    await editor.do("renew", "ada")
    await editor.until("read-write", "scope")
    await editor.append("and on")
    await editor.saved()
    await witness.shows("kept on and on")
    mark = editor.mark()
    await editor.do("renew", "mallory")
    assert "This token is not known" in await denied(editors, editor, code=4401, after=mark)
    await witness.sees()


async def test_a_document_that_may_not_be_read_is_denied(
    editors: Node, guarded: str, kind: str
) -> None:
    ada = await editors.open(kind, guarded, "notes/a", token="ada")
    await ada.insert("secret")
    await ada.synced()
    bob = await editors.open(kind, guarded, "notes/a", token="bob")
    assert "bob may not read notes/a." in await denied(editors, bob, code=4403)
    assert await bob.text() == ""


async def test_an_invalid_name_is_denied_with_a_sentence(
    editors: Node, url: str, kind: str
) -> None:
    wrong = {
        "pages/a/b": "contains '/'",
        "Pages/a": "cannot name a collection",
        "pages/a*": "contains '*'",
    }
    for name, problem in wrong.items():
        editor = await editors.open(kind, url, name)
        assert problem in await denied(editors, editor, code=4400)


@pytest.mark.parametrize("kind", HOCUSPOCUS)
async def test_one_document_is_denied_beside_another_on_one_connection(
    editors: Node, guarded: str, kind: str
) -> None:
    works = await editors.open(kind, guarded, "pages/a", token="bob")
    await works.synced()
    refused = await editors.open(kind, guarded, "notes/a", token="bob", beside=works)
    assert "bob may not read notes/a." in await denied(editors, refused, code=4403)
    ada = await editors.open(kind, guarded, "pages/a", token="ada")
    await ada.insert("for Bob")
    await works.shows("for Bob")
    assert works.told("ended") == []


async def test_access_that_is_withdrawn_ends_the_document(
    editors: Node, guarded: str, kind: str, rules: Rules
) -> None:
    ada = await editors.open(kind, guarded, token="ada")
    bob = await editors.open(kind, guarded, token="bob")
    await bob.synced()
    mark = bob.mark()
    del rules.rules["bob"]["pages"]
    await ada.insert("not for Bob")
    assert "bob may not read pages/a." in await denied(editors, bob, code=4403, after=mark)
    assert await bob.text() == ""


async def test_an_update_that_is_too_large_is_denied_with_a_sentence(
    editors: Node, url: str, kind: str
) -> None:
    editor, other = await editors.open(kind, url), await editors.open(kind, url)
    await editor.synced()
    await editor.do("fill", "body", 9 << 20)
    assert "8388608 are allowed" in await denied(editors, editor, code=4403)
    await other.append("unharmed")
    witness = await editors.open(kind, url)
    await witness.shows("unharmed")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_nine_megabytes_that_were_refused_are_not_asked_for_again_and_again(
    editors: Node, url: str, *, stubborn: bool
) -> None:
    editor = await editors.open(Y_WEBSOCKET, url, stubborn=stubborn)
    await editor.synced()
    await editor.disconnect()
    await editor.do("fill", "body", 9 << 20)
    mark = editor.mark()
    await editor.connect()  # and sends it as its step 2

    async def has_come_often() -> bool:
        return len(editor.told("ended", after=mark)) >= 5

    if stubborn:
        await editors.wait(editor.name, "it does not come again", has_come_often)
        assert {code for code, _ in editor.told("ended", after=mark)} == {4403}
    else:
        assert "8388608 are allowed" in await denied(editors, editor, code=4403, after=mark)
    assert sum(size > 1 << 20 for size in editor.sizes("sent")) == 1
