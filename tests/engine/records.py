"""Whether the record of a device exists: creating, deleting, and what deletions have seen."""

from __future__ import annotations

from typing import Any

from syncline.engine.document.cells import cells_of
from syncline.engine.records.liveness import write_live
from syncline.engine.records.schema import LIVE, REGISTERS, DeleteVsEdit
from tests.engine.devices import Device


def set_live(device: Device, live: bool, policy: DeleteVsEdit) -> None:
    with device.writing() as document:
        stamp = device.tick(cells_of(document, REGISTERS).stamp(LIVE))
        write_live(document, live, policy, stamp)


def delete_record(device: Device) -> None:
    """Delete under keep-edit."""
    set_live(device, False, "keep-edit")


def seen_by_deletions(device: Device) -> Any:
    """What the one cell that deletes the record has seen."""
    (cell,) = cells_of(device.document(), REGISTERS).siblings(LIVE)
    return cell.value
