"""Seeds: initial content that several devices may each put in, without doubling it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncline.engine.document.cells import cells_of
from syncline.engine.document.document import merge_updates
from syncline.engine.identity import MAX_CLIENT_ID
from syncline.engine.names import Address
from syncline.engine.records.liveness import write_live
from syncline.engine.records.schema import REGISTERS
from syncline.records.lone_host import LoneHost
from syncline.records.record import Record

from .shared_document import SharedDocument


@dataclass(frozen=True, slots=True)
class _Seed:
    """What the seeding function fills, and the document that it is in."""

    subject: Any
    host: LoneHost


def seed_updates(
    model: type[Record] | None, address: Address, fn: Callable[[Any], None]
) -> list[bytes]:
    """What ``fn`` fills the document or record with, and what the record then gets by default: the
    same bytes wherever it does the same."""

    def fill(client_id: int) -> LoneHost:
        seed = _begun(model, address, client_id)
        fn(seed.subject)
        return seed.host

    host, seed = _by_content(address, fill)
    if model is None:
        return [seed]
    defaults = _unwritten_defaults(model, host)

    # An update of its own: the bytes of a seed are for ever, and some are older than this.
    def write_defaults(client_id: int) -> LoneHost:
        host = LoneHost(client_id)
        with host.writing() as document:
            for name, encoded in defaults.items():
                cells_of(document, REGISTERS).write(name, encoded, 0)
        return host

    return [seed, _by_content(address, write_defaults)[1]] if defaults else [seed]


def _by_content(address: Address, make: Callable[[int], LoneHost]) -> tuple[LoneHost, bytes]:
    """What ``make`` makes for the client id that its content decides, and the update."""
    # Other content under the same id would corrupt documents.
    draft = merge_updates(make(1).document().take_captured())
    digest = hashlib.sha256(str(address).encode() + b"\0" + draft).digest()
    low = 1 << 32
    final = make(low + int.from_bytes(digest[:8]) % (MAX_CLIENT_ID - low))
    return final, merge_updates(final.document().take_captured())


def _unwritten_defaults(model: type[Record], host: LoneHost) -> dict[str, bytes]:
    """The encoded defaults, by stored name, of the registers that ``host`` lacks."""
    cells = cells_of(host.document(), REGISTERS)
    specs = [spec for spec in model.__schema__.fields.values() if spec.name not in cells]
    return {
        spec.name: spec.constant or spec.value.encode(spec.default(), spec.name)
        for spec in specs
        if spec.default is not None
    }


def _begun(model: type[Record] | None, address: Address, client_id: int) -> _Seed:
    host = LoneHost(client_id)
    if model is None:
        return _Seed(SharedDocument(host, address), host)
    with host.writing() as document:
        write_live(document, True, model.__schema__.delete_vs_edit, host.tick())
    return _Seed(model.attach(host, address), host)
