"""A webhook on a real socket, for tests."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

PATIENCE = 60.0
"""Seconds until a test gives up waiting."""


class Webhook:
    """Keeps what it is told, and answers with ``status``."""

    def __init__(self) -> None:
        self.status = 204
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.url = ""

    def told(self) -> list[dict[str, Any]]:
        """The changes of the next request."""
        changes: list[dict[str, Any]] = self.requests.get(timeout=PATIENCE)["changes"]
        return changes


@contextmanager
def webhook() -> Generator[Webhook]:
    """A webhook that listens."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(hook.status)
            self.end_headers()
            hook.requests.put(orjson.loads(body))

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/hook?key=s3cret"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
