"""XML nodes as well-formed XML."""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from syncline.engine.errors import LimitExceeded
from syncline.engine.history.history import Branch, Item

from .items import (
    ELEMENT_SHAPE,
    FRAGMENT_SHAPE,
    NODES,
    TEXT_SHAPE,
    XML_TEXT_SHAPE,
    Items,
    shape_of,
    tag_of,
    width,
)
from .rich_text import EMBEDDED, runs
from .shared_type import plain_value

NAMELESS = "UNDEFINED"
"""The tag of an element without a name, as in Yjs."""
_LETTERS = (  # those that every version of XML knows
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0391-\u03a1\u03a3-\u03ce\u0410-\u044f"
    "\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_NO_NAME_START = re.compile(f"^(?![{_LETTERS}])")
_NO_NAME_PART = re.compile(f"[^{_LETTERS}0-9.-]")
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTES = {**_ESCAPES, **str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})}


def branch_markup(items: Items, branch: Branch, where: str, max_depth: int) -> str:
    """An XML fragment, element or text as XML.

    Text and the values of attributes are escaped; what XML cannot hold reads as U+FFFD, and in
    names as ``_``. A format is an element around the text, its value the attributes. Raises
    LimitExceeded for what is nested deeper than ``max_depth`` levels.
    """
    out: list[str] = []
    todo: list[tuple[str | Item, int]] = []

    def open_branch(inside: Branch, shape: int, depth: int) -> None:
        parts: list[tuple[str | Item, int]] = []
        if shape in (FRAGMENT_SHAPE, ELEMENT_SHAPE):
            parts = [(item, depth) for item in inside.items() if width(item, NODES)]
        elif shape in (TEXT_SHAPE, XML_TEXT_SHAPE):
            for run in runs(inside):
                before, after = _tags(run.formats)
                within = escaped(run.text) if run.item is None else run.item
                parts += [(before, depth), (within, depth), (after, depth)]
        else:
            parts = [(EMBEDDED, depth)]
        todo.extend(reversed(parts))

    def open_item(item: Item, depth: int) -> None:
        if item.branch is None:
            out.append(EMBEDDED)
            return
        if depth > max_depth:
            raise LimitExceeded(
                f"{where} nests XML deeper than {max_depth} levels.",
                hint="Read it level by level.",
            )
        shape = shape_of(item)
        if shape == ELEMENT_SHAPE:
            tag = name_of(tag_of(item) or NAMELESS)
            out.append(f"<{tag}{_attributes(attributes_of(item.branch))}>")
            todo.append((f"</{tag}>", depth))
        open_branch(item.branch, shape, depth + 1)

    owner = items.owner(branch)
    if owner is not None and shape_of(owner) == ELEMENT_SHAPE:
        todo.append((owner, 0))
    else:
        open_branch(branch, FRAGMENT_SHAPE if owner is None else shape_of(owner), 1)
    while todo:
        part, depth = todo.pop()
        if isinstance(part, str):
            out.append(part)
        else:
            open_item(part, depth)
    return "".join(out)


def attributes_of(branch: Branch) -> dict[str, Any]:
    """The attributes of an XML node, as plain values; those that are none are left out."""
    return {
        key: plain_value(item, -1)
        for key in sorted(branch.entries)
        if (item := branch.entry(key)) is not None and item.branch is None
    }


def _tags(formats: dict[str, Any]) -> tuple[str, str]:
    before, after = "", ""
    for key in sorted(formats):
        value = formats[key]
        attributes = _attributes(cast("Any", value)) if isinstance(value, dict) else ""
        tag = name_of(key)
        before += f"<{tag}{attributes}>"
        after = f"</{tag}>{after}"
    return before, after


def _attributes(values: dict[str, Any]) -> str:
    found: dict[str, str] = {}
    for key, value in values.items():
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        name = name_of(key)
        found.setdefault("_xmlns" if name == "xmlns" else name, escaped(text, _IN_ATTRIBUTES))
    return "".join(f' {name}="{text}"' for name, text in found.items())


def escaped(text: str, escapes: dict[int, str] = _ESCAPES) -> str:
    """``text`` as it stands in XML."""
    return _NO_CHARACTER.sub("\ufffd", text).translate(escapes)


def name_of(name: str) -> str:
    """``name``, or the name most like it that XML allows."""
    return _NO_NAME_START.sub("_", _NO_NAME_PART.sub("_", name), count=1)
