"""Lists as the first layout had them: in the map alone, every item with a value and a position."""

from __future__ import annotations

import orjson

from syncline.engine.document.cells import cells_of
from syncline.engine.fields.order import position_between
from tests.engine.devices import Device


def append_in_first_layout(device: Device, value: object, root: str = "list:list") -> None:
    """Append an item to the list as a program of the first layout does it."""
    with device.writing() as document:
        cells = cells_of(document, root)
        positions = [
            cell.value
            for name in cells.names()
            if name.endswith(".p") and (cell := cells.newest(name)) and "/" not in cell.value
        ]
        stamp = device.tick()
        item = f"{stamp:x}-{document.client_id:x}"
        position = position_between(max(positions, default=None), None, document.client_id)
        cells.write(f"{item}.v", orjson.dumps(value), stamp)
        cells.write(f"{item}.p", orjson.dumps(position), stamp)
