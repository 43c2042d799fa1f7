"""A webhook on a real socket, for tests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any, NamedTuple

import orjson

PATIENCE = 60.0
"""Seconds until a test gives up waiting."""


class Request(NamedTuple):
    """What a webhook was sent."""

    headers: Message
    body: bytes


class Webhook:
    """Keeps what it is told, and answers with ``status`` and ``headers``, or as ``answer`` does."""

    def __init__(self) -> None:
        self.status = 204
        self.headers: dict[str, str] = {}
        self.answer: Callable[[socket], None] | None = None
        self.sent: queue.Queue[Request] = queue.Queue()
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.url = ""

    def told(self) -> list[dict[str, Any]]:
        """The changes of the next request."""
        changes: list[dict[str, Any]] = self.requests.get(timeout=PATIENCE)["changes"]
        return changes

    def next_sent(self) -> Request:
        """The next request, as it was sent."""
        return self.sent.get(timeout=PATIENCE)


@contextmanager
def webhook() -> Generator[Webhook]:
    """A webhook that listens."""
    hook = Webhook()
    connections: set[socket] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.sent.put(Request(self.headers, body))
            answer, status, headers = hook.answer, hook.status, hook.headers
            # Before the answer: the next request may be here before this thread goes on.
            hook.requests.put(orjson.loads(body))
            if answer is None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
            else:
                connections.add(self.connection)
                answer(self.connection)
                self.close_connection = True

        def do_GET(self) -> None:
            hook.sent.put(Request(self.headers, b"followed"))
            self.send_response(200)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # whoever asked went away

    server = Server(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook?key=s3cret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hook
    finally:
        for connection in connections:
            with suppress(OSError):  # it has ended
                connection.shutdown(SHUT_RDWR)
        server.shutdown()
        server.server_close()
        thread.join()
