"""Whether a record exists, and what deleting it means beside a concurrent edit.

The register ``$live`` of a record (schema.py) is true from its creation on. Deleting writes:

- ``false`` under the policy ``delete-wins``: edits made elsewhere in the meantime stay in the
document
  and are not shown;
- under ``keep-edit`` the state vector that the deletion saw, as ``[[client, clock], …]``: the
record
  lives again as soon as the document holds an operation that no deletion has seen.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from syncline.engine.clock import COUNTER_BITS
from syncline.engine.document.cells import Cells, cells_of
from syncline.engine.document.document import Document
from syncline.engine.updates.parse import StateVector, covers

from .schema import LIVE, REGISTERS, DeleteVsEdit


def is_live(document: Document) -> bool:
    """Whether the record in ``document`` exists."""
    cells = cells_of(document, REGISTERS)
    newest = cells.newest(LIVE)
    if newest is None or isinstance(newest.value, bool):
        return newest is not None and newest.value
    return not covers(_seen_by_deletions(cells), document.state_vector())


def write_live(document: Document, live: bool, policy: DeleteVsEdit, stamp: int) -> None:
    """Create or delete the record. Call inside the document's transaction."""
    value: Any = live
    if not live and policy == "keep-edit":
        seen = dict(document.state_vector())
        # The deletion itself is one operation: the entry of its own register.
        seen[document.client_id] = seen.get(document.client_id, 0) + 1
        value = sorted(seen.items())
    cells_of(document, REGISTERS).write(LIVE, orjson.dumps(value), stamp)


def deleted_at(document: Document) -> int:
    """When the record was deleted, in milliseconds since the Unix epoch by the deleter's clock; 0
    if it never was, or if there is no such record."""
    newest = cells_of(document, REGISTERS).newest(LIVE)
    if newest is None or newest.value is True:
        return 0
    return newest.stamp >> COUNTER_BITS


def _seen_by_deletions(cells: Cells) -> StateVector:
    seen: StateVector = {}
    for cell in cells.siblings(LIVE):
        value = cell.value
        if not isinstance(value, list):
            continue
        for pair in cast("list[Any]", value):
            match pair:
                case [int(client), int(clock)]:
                    seen[client] = max(clock, seen.get(client, 0))
                case _:
                    continue  # not of this layout: it has seen nothing
    return seen
