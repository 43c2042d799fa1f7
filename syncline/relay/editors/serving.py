"""The way of an editor's connection to the protocol that it speaks."""

from __future__ import annotations

import asyncio

from syncline.engine.protocol.messages import SUBPROTOCOL
from syncline.relay.quotas import Visit
from syncline.transports import Request, Transport

from .connection import EditorService
from .hocuspocus import HocuspocusConnection
from .y_websocket import YWebsocketConnection

FIRST_FRAME_SECONDS = 10.0
"""How long an editor's connection may take for its first frame."""


async def serve_editor(
    service: EditorService,
    transport: Transport,
    request: Request,
    workspace: str,
    name: str | None,
    visit: Visit,
) -> None:
    """Serve a connection that is no replica's, to ``/workspace`` or ``/workspace/name``.

    The first frame of y-websocket begins with 0, which no name of Hocuspocus does. Raises
    TransportClosed.
    """
    try:
        async with asyncio.timeout(FIRST_FRAME_SECONDS):
            first = await transport.receive()
    except TimeoutError:
        await transport.close(1008, f"there was no frame within {FIRST_FRAME_SECONDS:g} seconds")
        return
    if isinstance(first, str):
        # RFC 6455, 7.4.1: 1002 is a protocol error. Refusing the handshake instead would hide the
        # reason from programs in browsers.
        await transport.close(1002, f'the subprotocol "{SUBPROTOCOL}" is needed')
        return
    speaks_y_websocket = first.startswith(b"\0")
    if speaks_y_websocket and name is not None:
        await YWebsocketConnection(service, transport, request, workspace, visit, name).serve(first)
    elif not speaks_y_websocket and name is None:
        await HocuspocusConnection(service, transport, request, workspace, visit).serve(first)
    elif speaks_y_websocket:
        await transport.close(4400, "the URL names no document")
    else:
        await transport.close(4400, f"the URL of a HocuspocusProvider ends in /{workspace}")
