"""No exception of a transport, or of ours, ends a replica's connection for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from syncline import Relay, Replica
from syncline.environment import Environment
from syncline.transports import Frame, Transport, connect_websocket
from tests.replica.models import Contact, link_of

PATIENCE = 60.0
SECRET = "hunter2"  # noqa: S105


class Breaking:
    """A transport to a real relay, which fails as a defect would, in one of its methods."""

    def __init__(self, inner: Transport, method: str) -> None:
        self._inner = inner
        self._method = method

    @property
    def peer(self) -> str:
        return self._inner.peer

    async def send(self, frame: Frame) -> None:
        self._fail("send")
        await self._inner.send(frame)

    async def receive(self) -> Frame:
        frame = await self._inner.receive()
        self._fail("receive")
        return frame

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)
        self._fail("close")

    def _fail(self, method: str) -> None:
        if method in self._method:
            raise LookupError(f"wss://ada:{SECRET}@relay.example/?token={SECRET} is odd")


class Connecting:
    """Connects to the relay; the first two attempts break in ``method``. ``failed`` is set when the
    third one begins."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._attempts = 0
        self.failed = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, url: str) -> Transport:
        self._attempts += 1
        if self._attempts > 2:
            self.failed.set()
            await self.go_on.wait()
            return await connect_websocket(url)
        if self._method == "connect":
            raise LookupError(f"wss://ada:{SECRET}@relay.example/?token={SECRET} is odd")
        return Breaking(await connect_websocket(url), self._method)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["connect", "send", "receive", "receive, close"])
async def test_the_replica_tells_it_and_tries_again(
    tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    connecting = Connecting(method)
    async with (
        asyncio.timeout(PATIENCE),
        Relay(tmp_path / "relay.db", port=0) as relay,
        Replica.open(
            tmp_path / "a.db",
            models=[Contact],
            relay=f"{relay.url}/crm",
            environment=Environment(connect=connecting),
        ) as replica,
    ):
        replica.collection(Contact).create(name="kept")
        await connecting.failed.wait()
        status = replica.status
        error = str(status.error)
        assert status.error_code == (
            "relay-unreachable" if method == "connect" else "transport-closed"
        )
        assert f"{relay.url}/crm" in error
        assert "LookupError: wss://***@relay.example/?*** is odd" in error
        assert " Hint: " in error
        assert SECRET not in error
        if method != "connect":  # it may be a defect of ours, and then this is how it is found
            assert "Traceback" in caplog.text
        connecting.go_on.set()
        await replica.synced()
        assert (replica.pending, link_of(replica)) == (0, "online")
