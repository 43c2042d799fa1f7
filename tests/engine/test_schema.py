"""The wire cannot change unnoticed: the message schema is hashed together with its version.

When this fails, a message, a field, a kind or a bound has changed. If that was meant, raise
PROTOCOL_VERSION, add its line of history in engine/protocol/messages.py and docs/protocol.md, and
its hash here. Only a version that was never released may have its hash replaced.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from syncline.engine.protocol import messages
from syncline.engine.protocol.messages import (
    BinaryMessage,
    DocumentSummary,
    Entry,
    Limits,
    Message,
    Range,
    Refusal,
    TextMessage,
)

ROOT = Path(__file__).parents[2]

HASHES = {
    1: "5cb3e3326fa2bf35eb1779447f5370a150c74b0278dc1147cfeced10e8548df0",
}


def schema() -> str:
    """Everything about the messages that the other side must know, one fact per line."""
    lines = [f"version {messages.PROTOCOL_VERSION} of {messages.VERSIONS}", messages.SUBPROTOCOL]
    lines += [
        f"{name} = {value}" for name, value in vars(messages).items() if name.startswith("MAX_")
    ]
    kinds: list[type[Message]] = [*get_args(TextMessage), *get_args(BinaryMessage)]
    for kind in kinds:
        number = getattr(kind, "kind", "text")
        lines.append(f"{kind.__name__}: {kind.name} {number}")
        lines += [f"  {field.name}: {field.type}" for field in fields(kind)]
    lines.append(f"Entry: {Entry._fields}")
    lines += [f"{part.__name__}: {part._fields}" for part in (DocumentSummary, Range)]
    for part in (Refusal, Limits):
        lines += [f"{part.__name__}.{field.name}: {field.type}" for field in fields(part)]
    lines.append(f"defaults: {messages.LIMITS}")
    return "\n".join(lines)


def test_the_schema_is_that_of_its_version() -> None:
    digest = hashlib.sha256(schema().encode()).hexdigest()
    assert digest == HASHES.get(messages.PROTOCOL_VERSION), schema()


def test_every_version_has_its_line_of_history() -> None:
    assert list(HASHES) == list(range(1, messages.PROTOCOL_VERSION + 1))
    source = (ROOT / "engine" / "protocol" / "messages.py").read_text()
    page = (ROOT / "docs" / "protocol.md").read_text()
    for version in HASHES:
        assert re.search(rf"^#  {version}  20\d\d-\d\d: ", source, re.MULTILINE)
        assert re.search(rf"^\| {version} \| 20\d\d-\d\d \| ", page, re.MULTILINE)


def test_names_and_kinds_are_unique() -> None:
    text, binary = get_args(TextMessage), get_args(BinaryMessage)
    assert len({kind.name for kind in (*text, *binary)}) == len(text) + len(binary)
    assert len({kind.kind for kind in binary}) == len(binary)
