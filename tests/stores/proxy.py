"""A TCP proxy in front of a database server, which drops connections when it is told to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards connections to a server, on a port of its own, until they are dropped."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._refusing = False
        self._left: int | None = None  # bytes to the server, after which everything is dropped
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        """End every connection, on both sides."""
        with self._lock:
            dropped, self._sockets = self._sockets, set()
            self._left = None
        for end in dropped:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def drop_after(self, count: int) -> None:
        """End every connection when ``count`` more bytes went to the server."""
        with self._lock:
            self._left = count

    def refuse(self, refusing: bool) -> None:
        """End every connection, and each new one at once; or take them again."""
        self._refusing = refusing
        if refusing:
            self.drop()

    def close(self) -> None:
        self.refuse(True)
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            server = socket.create_connection(self._server)
            with self._lock:
                self._sockets |= {client, server}
            for source, target, counted in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self._forward, args=(source, target, counted), daemon=True
                ).start()

    def _forward(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                allowed = self._allowed(len(data)) if counted else len(data)
                target.sendall(data[:allowed])
                if allowed < len(data):
                    self.drop()
                    break
        # The one that gets no more is told, and its own thread closes what it reads from.
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        with self._lock:
            self._sockets.discard(source)
        source.close()

    def _allowed(self, count: int) -> int:
        with self._lock:
            if self._left is None:
                return count
            allowed = min(count, self._left)
            self._left -= allowed
            return allowed
