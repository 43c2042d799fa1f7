"""Transports: adapters that move frames between two sessions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .base import Connect, Frame, Request, Transport
from .relay_url import parse_path_prefix, parse_relay_url

if TYPE_CHECKING:
    from .websocket import MAX_FRAME, SUBPROTOCOL, Timeouts, WebSocketTransport, connect_websocket
    from .websocket_server import MAX_CONNECTIONS, HttpReply, WebSocketServer

__all__ = [
    "MAX_CONNECTIONS",
    "MAX_FRAME",
    "SUBPROTOCOL",
    "Connect",
    "Frame",
    "HttpReply",
    "Request",
    "Timeouts",
    "Transport",
    "WebSocketServer",
    "WebSocketTransport",
    "connect_websocket",
    "parse_path_prefix",
    "parse_relay_url",
]

# Loaded on first use: importing websockets takes longer than all the rest of this package.
_HOMES = {
    "MAX_CONNECTIONS": ".websocket_server",
    "MAX_FRAME": ".websocket",
    "SUBPROTOCOL": ".websocket",
    "HttpReply": ".websocket_server",
    "Timeouts": ".websocket",
    "WebSocketServer": ".websocket_server",
    "WebSocketTransport": ".websocket",
    "connect_websocket": ".websocket",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
