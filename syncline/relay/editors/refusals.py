"""How an error ends a Yjs client's connection: the close code, and what the person is shown."""

from __future__ import annotations

from syncline.engine.errors import (
    InvalidName,
    LimitExceeded,
    MalformedFrame,
    NotAllowed,
    NotAuthenticated,
    ProtocolError,
    SynclineError,
    UpdateRefused,
)


def close_code(error: SynclineError) -> int:
    """The websocket close code for ``error``.

    y-websocket 3.1 tries again after all but 4400 to 4499; older ones, and Hocuspocus, after every
    one.
    """
    if error.retry_after is not None:
        return 1013
    if isinstance(error, NotAuthenticated):
        return 4401
    if isinstance(error, LimitExceeded):
        return 4429
    if isinstance(error, InvalidName | MalformedFrame):
        return 4400
    if isinstance(error, NotAllowed | ProtocolError | UpdateRefused):
        return 4403
    return 1011


def reason(error: SynclineError) -> str:
    """What is shown to the person at the editor."""
    return f"{error.message} {error.hint}"
