"""Why the ledger does not take an update, or a batch, in words for its author."""

from __future__ import annotations

from collections.abc import Sequence

from syncline.engine.errors import LimitExceeded, NotAllowed, PeerError, SynclineError
from syncline.engine.names import Address
from syncline.engine.protocol.messages import (
    EPOCH_CHANGED,
    FOREIGN_OPERATIONS,
    OPERATIONS_TAKEN,
    Refusal,
)
from syncline.engine.updates.parse import encode_state_vector

from .owners import Writer
from .submission import PushedBatch
from .transaction import DocumentState


def rebuilt(address: Address) -> Refusal:
    return Refusal(
        address,
        EPOCH_CHANGED,
        f"The document {address} was rebuilt since this change was made.",
        "Fetch the document, and make the change again on what it holds now.",
        None,
    )


def operations_taken(address: Address) -> Refusal:
    return Refusal(
        address,
        OPERATIONS_TAKEN,
        f"The update of {address} has operations that are there already, with other content.",
        "Two have written under one client id. Write what it says once more, under a new one.",
        None,
    )


def foreign(address: Address, foreign: Sequence[int], state: DocumentState) -> Refusal:
    return Refusal(
        address,
        FOREIGN_OPERATIONS,
        f"The update of {address} has operations under the client id {foreign[0]}, which belongs "
        "to another device.",
        "Write under an id of your own. What others wrote comes from them.",
        encode_state_vector(state.vector),
    )


def taken(writer: Writer) -> NotAllowed:
    return NotAllowed(
        f"The replica {writer.replica} belongs to somebody else than {writer.principal}.",
        hint="A replica's store belongs to the user under whom it first wrote: connect with that "
        "user's token, or open a new, empty store.",
    )


def conflict(pushed: PushedBatch) -> PeerError:
    return PeerError(
        "batch-conflict",
        f"Batch {pushed.batch} of this replica was stored before with other content.",
        hint="Two copies of one replica's store are in use. Keep one; open the other as a new, "
        "empty store.",
    )


def because(address: Address, why: SynclineError) -> Refusal:
    return Refusal(address, why.code, why.message, why.hint, None)


def too_much(address: Address, what: str, remedy: str) -> Refusal:
    return Refusal(
        address,
        LimitExceeded.code,
        f"With this update {address} {what}.",
        f"It is not stored. {remedy}",
        None,
    )
