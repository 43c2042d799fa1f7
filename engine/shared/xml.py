"""XML in a Yjs document, as ProseMirror, TipTap and BlockNote keep what is written in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar, overload

from syncline.engine.errors import ValueRefused, WrongType
from syncline.engine.fields.base import check_index, check_str_key, index_in
from syncline.engine.fields.text import check_text
from syncline.engine.history.history import Branch, Item
from syncline.engine.lib0 import write_string

from .content import too_deep
from .edit import MAX_DEPTH, Edit
from .items import (
    ELEMENT_SHAPE,
    FRAGMENT_SHAPE,
    NODES,
    XML_TEXT_SHAPE,
    Items,
    shape_of,
    tag_of,
)
from .markup import NAMELESS, attributes_of, branch_markup
from .place import Place
from .rich_text import content, runs
from .shared_type import Shared, plain_value
from .text import SharedText
from .values import check_value

N = TypeVar("N", bound="XmlNode")


class XmlNode(Shared):
    """What XmlFragment, XmlElement and XmlText have in common.

    Two objects are equal if they are the same node. ``str(node)`` is well-formed XML: text and the
    values of attributes escaped, formats of text as elements around it, what XML cannot hold
    replaced by U+FFFD, in names by ``_``. It raises LimitExceeded for nodes nested deeper than 100.
    """

    def __str__(self) -> str:
        return self.to_xml()

    def to_xml(self, max_depth: int = MAX_DEPTH) -> str:
        """``str(node)``, with a bound of your own. Raises LimitExceeded."""
        items, branch = self.found()
        return branch_markup(items, branch, self.where, max_depth)

    @property
    def parent(self) -> Shared | None:
        """The shared type around this one, None for a root."""
        items, branch = self.found()
        owner = items.owner(branch)
        if owner is None or owner.home is None:
            return None
        around = items.owner(owner.home)
        place = self.place
        if around is None:
            root = Place(place.host, place.address, place.root, f"{place.address}:{place.root}")
            return Shared.at(root, items.kind(place.root))
        return Shared.at(place.inside(around.id, f"a node of {place.root}"), shape_of(around))

    def _same(self) -> object:
        place = self._place
        return id(self) if place is None else (place.address, place.root, place.made_by)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, XmlNode) or self._same() != other._same():
            return False
        return self is other or self.place.host.same_place(other.place.host)

    def __hash__(self) -> int:
        return hash(self._same())

    def __repr__(self) -> str:
        if self._place is None:
            return f"<{type(self).__name__} in no document>"
        return f"<{type(self).__name__} {self.where}: {self!s:.200}>"


class XmlAttributes(MutableMapping[str, Any]):
    """The attributes of an XML node: a dict of plain values, each of which is written whole."""

    def __init__(self, node: XmlNode) -> None:
        self._node = node

    def _read(self) -> dict[str, Any]:
        return attributes_of(self._node.found()[1])

    def __getitem__(self, name: str) -> Any:
        where = f"the attributes of {self._node.where}"
        item = self._node.found()[1].entry(check_str_key(where, name))
        if item is None:
            raise KeyError(name)
        return self._node.value(item, -1, f"{self._node.where}@{name}")

    def __setitem__(self, name: str, value: Any) -> None:
        with self._node.editing() as (edit, branch):
            _put_attribute(edit, branch, name, value, self._node.where)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        with self._node.editing() as (edit, branch):
            item = branch.entry(name)
            if item is not None:
                edit.delete(item)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


def _put_attribute(edit: Edit, branch: Branch, name: str, value: Any, where: str) -> None:
    check_text(name, f"The name of an attribute of {where}")
    where = f"{where}@{name}"
    edit.put_under(branch, name, check_value(value, where), where)


class _Attributed(XmlNode):
    """A node with attributes."""

    _given: dict[str, Any]

    @property
    def attributes(self) -> XmlAttributes:
        """The attributes: a dict that writes through."""
        return XmlAttributes(self)

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute ``name``, or ``default``."""
        return self.attributes.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute. Raises ValueRefused."""
        self.attributes[name] = value

    def _fill_attributes(self, edit: Edit, branch: Branch, where: str) -> None:
        for name, value in self._given.items():
            _put_attribute(edit, branch, name, value, where)


class _Parent(XmlNode):
    """A node with children: XmlElement, XmlText, and whatever else an editor has put there."""

    _contents: list[Any]

    def _children(self) -> Sequence[tuple[Item, int]]:
        items, branch = self.found()
        return items.atoms(branch, NODES)

    def _child(self, item: Item, index: int) -> Any:
        return self.value(item, 0, f"{self.where}[{index}]")

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """The child at ``index``, an XmlElement or an XmlText. Raises OutOfRange."""
        children = self._children()
        if isinstance(index, slice):
            return [self._child(children[at][0], at) for at in range(len(children))[index]]
        index = index_in(self.where, len(children), index)
        return self._child(children[index][0], index)

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __len__(self) -> int:
        return len(self._children())

    def __bool__(self) -> bool:
        return True  # a node without children is there, too

    @overload
    def insert(self, index: int, child: N) -> N: ...
    @overload
    def insert(self, index: int, child: str) -> XmlText: ...
    def insert(self, index: int, child: XmlNode | str) -> XmlNode:
        """Insert a node that is in no document yet before ``index``, a str as an XmlText; like
        ``list.insert``, an index beyond an end means that end. Returns the node."""
        length = len(self)
        check_index(self.where, index)
        index = max(0, index + length) if index < 0 else min(index, length)
        node = _node(child, self.where)
        with self.editing() as (edit, branch):
            left = edit.items.before(branch, index, NODES)
            edit.put(branch, left, node, f"{self.where}[{index}]")
        return node

    @overload
    def append(self, child: N) -> N: ...
    @overload
    def append(self, child: str) -> XmlText: ...
    def append(self, child: XmlNode | str) -> XmlNode:
        """Insert at the end. Returns the node."""
        node = _node(child, self.where)
        with self.editing() as (edit, branch):
            edit.put(branch, edit.items.end(branch), node, f"a node in {self.where}")
        return node

    def extend(self, children: Iterable[XmlNode | str]) -> None:
        """Insert all of these at the end, as one change."""
        nodes = [_node(child, self.where) for child in children]
        if nodes:
            with self.editing() as (edit, branch):
                left = edit.items.end(branch)
                for node in nodes:
                    left = edit.put(branch, left, node, f"a node in {self.where}")

    def __delitem__(self, index: int | slice) -> None:
        self.delete_neighbours(index, len(self), NODES)

    def remove(self, child: XmlNode) -> None:
        """Delete this child. Raises ValueRefused if it is none."""
        for index, each in enumerate(self):
            if each == child:
                del self[index]
                return
        raise ValueRefused(
            f"{child!r:.80} is no child of {self.where}.",
            hint="Remove a node from its parent: node.parent.remove(node).",
        )

    def iter(self, tag: str | None = None, max_depth: int = MAX_DEPTH) -> Iterator[XmlElement]:
        """All elements inside this node, this one included, in the order of the document; with
        ``tag`` only those. Raises LimitExceeded."""
        todo: list[tuple[Any, int]] = [(self, 0)]
        while todo:
            node, depth = todo.pop()
            if depth > max_depth:
                raise too_deep(self.where, max_depth)
            if isinstance(node, XmlElement) and tag in (None, node.tag):
                yield node
            if isinstance(node, _Parent):
                todo.extend((child, depth + 1) for child in reversed(node[:]))

    def find(self, tag: str) -> XmlElement | None:
        """The first child with this tag."""
        return next(iter(self.findall(tag)), None)

    def findall(self, tag: str) -> list[XmlElement]:
        """The children with this tag."""
        return [node for node in self if isinstance(node, XmlElement) and node.tag == tag]

    def itertext(self, max_depth: int = MAX_DEPTH) -> Iterator[str]:
        """The characters of all texts inside this node, in the order of the document. Raises
        LimitExceeded."""
        todo: list[tuple[Any, int]] = [(self, 0)]
        while todo:
            node, depth = todo.pop()
            if depth > max_depth:
                raise too_deep(self.where, max_depth)
            if isinstance(node, _Parent):
                todo.extend((child, depth + 1) for child in reversed(node[:]))
            elif isinstance(node, SharedText):
                yield node.to_plain()

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put in what it was made with."""
        left: Item | None = None
        for index, child in enumerate(self._contents):
            left = edit.put(branch, left, _node(child, where), f"{where}[{index}]", depth)


def _node(child: Any, where: str) -> XmlElement | XmlText:
    if isinstance(child, str):
        return XmlText(child)
    if not isinstance(child, XmlElement | XmlText):
        raise WrongType(
            f"{where} takes XmlElement, XmlText and str, not {type(child).__qualname__}.",
            hint='Make a node first, such as XmlElement("p", {}, ["text"]).',
        )
    return child


class XmlFragment(_Parent):
    """A Y.XmlFragment: a root of XML nodes, as editors of ProseMirror's kind keep a document.

    A list of its children: ``fragment[0]``, ``len``, ``for``, ``append``, ``insert``, ``del``.
    ``find``, ``findall``, ``iter`` and ``itertext`` are as in ``xml.etree.ElementTree``.
    """

    shape = FRAGMENT_SHAPE

    def __init__(self, contents: Iterable[XmlElement | XmlText | str] = ()) -> None:
        self._contents = list(contents)

    def to_plain(self, max_depth: int = MAX_DEPTH) -> list[Any]:
        """The children as plain values, as in XmlElement. Raises LimitExceeded."""
        return _plain_children(*self.found(), self.where, max_depth)


class XmlElement(_Parent, _Attributed):
    """A Y.XmlElement: a tag, attributes, and children.

    ``XmlElement("heading", {"level": 1}, ["Title"])`` makes one to put into another node. The
    attributes are plain values of any kind; ``element.attributes`` is a dict, and ``element.get``
    and ``element.set`` are as in ``xml.etree.ElementTree``.
    """

    shape = ELEMENT_SHAPE

    def __init__(
        self,
        tag: str,
        attributes: Mapping[str, Any] | None = None,
        contents: Iterable[XmlElement | XmlText | str] = (),
    ) -> None:
        check_text(tag, "The tag of an XmlElement")
        if not tag:
            raise ValueRefused("An XmlElement has no tag.", hint='Name one, such as "p".')
        self._tag = tag
        self._given = dict(attributes or {})
        self._contents = list(contents)

    @property
    def tag(self) -> str:
        """The name of the element."""
        if self._place is None:
            return self._tag
        items, branch = self.found()
        owner = items.owner(branch)
        return (tag_of(owner) if owner is not None else "") or NAMELESS

    def type_head(self) -> bytes:
        """The content of the operation that makes it."""
        out = bytearray([self.shape])
        write_string(out, self._tag)
        return bytes(out)

    def fill_branch(self, edit: Edit, branch: Branch, where: str, depth: int) -> None:
        """Put in what it was made with."""
        self._fill_attributes(edit, branch, where)
        super().fill_branch(edit, branch, where, depth)

    def to_plain(self, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
        """``{"tag": …, "attributes": {…}, "children": […]}``: a text is a str, or its delta if it
        has formats or objects. Raises LimitExceeded."""
        items, branch = self.found()
        return {
            "tag": self.tag,
            "attributes": attributes_of(branch),
            "children": _plain_children(items, branch, self.where, max_depth),
        }


class XmlText(SharedText, _Attributed):
    """A Y.XmlText: a text inside XML. It is used as a SharedText is, but for ``str(text)``, which
    is XML; ``text.to_plain()`` are the characters.

    ``XmlText("…")``, or with a delta, makes one to put into a node.
    """

    shape = XML_TEXT_SHAPE

    def __init__(self, initial: str | Sequence[Mapping[str, Any]] = "") -> None:
        super().__init__(initial)
        self._given = {}

    __str__ = XmlNode.__str__
    __eq__ = XmlNode.__eq__
    __hash__ = XmlNode.__hash__  # type: ignore[assignment]


def _plain_children(items: Items, branch: Branch, where: str, max_depth: int) -> list[Any]:
    top: list[Any] = []
    todo: list[tuple[Branch, list[Any], int]] = [(branch, top, 1)]
    while todo:
        inside, into, depth = todo.pop()
        if depth > max_depth + 1:
            raise too_deep(where, max_depth)
        for item, _ in items.atoms(inside, NODES):
            if item.branch is None:
                continue
            if shape_of(item) == ELEMENT_SHAPE:
                children: list[Any] = []
                into.append(
                    {
                        "tag": tag_of(item) or NAMELESS,
                        "attributes": attributes_of(item.branch),
                        "children": children,
                    }
                )
                todo.append((item.branch, children, depth + 1))
            else:
                into.append(_plain_text(item.branch))
    return top


def _plain_text(branch: Branch) -> Any:
    found = [
        {
            "insert": run.text if run.item is None else plain_value(run.item, 0),
            **({"attributes": run.formats} if run.formats else {}),
        }
        for run in runs(branch)
    ]
    formatted = any(len(run) > 1 or not isinstance(run["insert"], str) for run in found)
    return found if formatted else content(branch)
