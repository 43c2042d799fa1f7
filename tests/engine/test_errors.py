"""The tree of errors is the one that is drawn, and each error keeps its promises."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import NamedTuple

import pytest

from syncline.engine import errors
from syncline.engine.errors import PeerError, SynclineError, TransportClosed


class Drawn(NamedTuple):
    """One line of the tree in the docstring of errors.py."""

    name: str
    parent: str
    code: str | None
    builtin: str | None


def _drawn() -> list[Drawn]:
    line = re.compile(r"    ([│ ]*)[├└]── (\w+)(?: +([a-z]+-[a-z-]+|\(the peer's code\)))?( .*)?")
    groups = ["SynclineError"]
    found: list[Drawn] = []
    for text in (errors.__doc__ or "").splitlines():
        if match := line.fullmatch(text):
            indent, name, code, rest = match.groups()
            depth = len(indent) // 4
            groups = [*groups[: depth + 1], name]
            builtin = re.search(r"\(also an? (\w+)\)", rest or "")
            found.append(Drawn(name, groups[depth], code, builtin[1] if builtin else None))
    return found


DRAWN = _drawn()
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, SynclineError)
}
# The drawing says what these are about instead.
GROUP_CODES = {
    "SynclineError": "error",
    "UsageError": "usage",
    "StoreError": "store",
    "TransportError": "transport",
    "ProtocolError": "protocol",
    "AccessError": "access",
    "ConnectorError": "connector",
    "UpdateRefused": "update-refused",
}
NAMES = sorted(CLASSES)


def _make(name: str) -> SynclineError:
    kind = CLASSES[name]
    if issubclass(kind, PeerError):
        return kind("full", "It broke.", hint="Mend it.", retry_after=2.5)
    return kind("It broke.", hint="Mend it.", retry_after=2.5)


def test_the_tree_that_is_drawn_has_every_class() -> None:
    assert sorted(["SynclineError", *(line.name for line in DRAWN)]) == NAMES
    assert len(DRAWN) > 30


@pytest.mark.parametrize("line", DRAWN, ids=lambda line: line.name)
def test_a_class_is_what_is_drawn(line: Drawn) -> None:
    kind = CLASSES[line.name]
    bases = [base.__name__ for base in kind.__bases__]
    assert bases == [line.parent, *([line.builtin] if line.builtin else [])]
    if line.name != "PeerError":
        assert kind.code == (line.code or GROUP_CODES[line.name])


def test_codes_are_unique_and_every_leaf_is_drawn_with_its_own() -> None:
    codes = [kind.code for name, kind in CLASSES.items() if name != "PeerError"]
    assert len(set(codes)) == len(codes)
    assert {line.name for line in DRAWN if line.code is None} | {"SynclineError"} == set(
        GROUP_CODES
    )
    assert SynclineError.code == "error"


@pytest.mark.parametrize("name", NAMES)
def test_an_error_carries_a_sentence_a_hint_and_when_to_try_again(name: str) -> None:
    error = _make(name)
    assert (error.message, error.hint, error.retry_after) == ("It broke.", "Mend it.", 2.5)
    # Not the quoted form that a KeyError shows.
    assert str(error) == "It broke. Hint: Mend it."
    assert error.args == ("It broke.",)


def test_by_itself_an_error_is_not_worth_trying_again() -> None:
    assert SynclineError("It broke.", hint="Mend it.").retry_after is None


def test_a_closed_connection_carries_its_close_code() -> None:
    assert TransportClosed("It closed.", hint="Wait.").close_code == 1006
    assert TransportClosed("It closed.", hint="Wait.", close_code=1013).close_code == 1013


def test_a_peer_error_has_the_code_that_the_peer_gave() -> None:
    error = PeerError("full", "It is full.", hint="Wait.", retry_after=5.0)
    assert error.code == "full"
    assert str(error) == "It is full. Hint: Wait."
    assert PeerError("other", "", hint="").code == "other"
    assert error.code == "full"


@pytest.mark.parametrize("name", NAMES)
def test_an_error_survives_being_copied_and_sent_to_another_process(name: str) -> None:
    error = _make(name)
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert (str(again), again.args) == (str(error), error.args)
