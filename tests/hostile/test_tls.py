"""TLS by the relay itself, and where clients are that come through proxies."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from syncline import Relay, Replica
from syncline.engine.errors import RelayUnreachable, UsageError
from syncline.stores import MemoryStore
from syncline.transports.certificate import Certificate
from syncline.transports.client_address import TrustedProxies
from tests.cli.processes import serving
from tests.relay.editors import YWebsocket, synced
from tests.transports.raw_client import raw_stream

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="it makes the certificates")


def make_certificate(folder: Path, name: str = "relay") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    assert OPENSSL is not None
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *(OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def shown(port: int) -> bytes:
    """The certificate that the relay shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


@needs_openssl
@pytest.mark.slow
async def test_replicas_and_editors_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with (
        Relay(tmp_path / "relay.db", port=0, tls_certificate=certificate, tls_key=key) as relay,
        asyncio.timeout(60),
    ):
        assert relay.url.startswith("wss://127.0.0.1:")
        async with (
            Replica.open(MemoryStore(), relay=f"{relay.url}/crm") as ada,
            Replica.open(MemoryStore(), relay=f"{relay.url}/crm") as bob,
        ):
            # More than goes into one record of TLS, and one read of the socket.
            ada.document("pages/x").text("body").append("x" * 1_000_000)
            await ada.synced()
            await bob.synced()
            assert len(bob.document("pages/x").text("body")) == 1_000_000
        async with connect(f"{relay.url}/crm/pages/x", compression=None) as connection:
            assert len((await synced(YWebsocket(connection))).update) > 1_000_000


@needs_openssl
async def test_what_does_not_speak_tls_gets_nothing(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    async with Relay(
        tmp_path / "relay.db", port=0, tls_certificate=certificate, tls_key=key
    ) as relay:
        async with raw_stream(relay.port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert b"HTTP" not in await reader.read()
        async with Replica.open(MemoryStore()) as replica:
            with pytest.raises(RelayUnreachable):  # nobody vouches for the certificate
                await replica.connect(f"{relay.url}/crm")


@needs_openssl
async def test_a_new_certificate_is_shown_and_a_wrong_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("syncline.transports.certificate.RELOAD_SECONDS", 0.01)
    certificate, key = make_certificate(tmp_path)
    other_certificate, other_key = make_certificate(tmp_path, "other")
    first, second = der(certificate), der(other_certificate)
    async with (
        Relay(tmp_path / "relay.db", port=0, tls_certificate=certificate, tls_key=key) as relay,
        asyncio.timeout(60),
    ):
        assert await shown(relay.port) == first
        other_certificate.replace(certificate)  # the key is not there yet
        while "stays as it was" not in caplog.text:  # noqa: ASYNC110  it looks by the clock
            await asyncio.sleep(0.01)
        assert await shown(relay.port) == first
        other_key.replace(key)
        while await shown(relay.port) != second:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@needs_openssl
def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    _, other_key = make_certificate(tmp_path, "other")
    for given in ((certificate, other_key), (key, key), (tmp_path / "none", key), (tmp_path, key)):
        with pytest.raises(UsageError, match="cannot be used"):
            Certificate(*given)


@needs_openssl
@pytest.mark.slow
async def test_serve_speaks_tls(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    async with serving(
        tmp_path / "relay.db", 0, "--tls-cert", str(certificate), "--tls-key", str(key)
    ) as served:
        assert served.url.startswith("wss://")
        assert await shown(served.port) == der(certificate)


# Proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.7, 10.9.9.9"], "192.0.2.7"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_where_a_client_is(peer: str, forwarded: list[str], client: str) -> None:
    assert TrustedProxies(["10.0.0.0/8"]).client(peer, forwarded) == client


def test_what_is_no_address_of_a_proxy() -> None:
    with pytest.raises(UsageError, match="is no address of a proxy"):
        TrustedProxies(["nginx"])


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_address_of_a_client_behind_a_proxy(tmp_path: Path, trusted: bool) -> None:
    file = tmp_path / "audit.jsonl"
    async with (
        Relay(
            tmp_path / "relay.db",
            port=0,
            audit_log=file,
            trusted_proxies=["127.0.0.1"] if trusted else [],
        ) as relay,
        connect(
            f"{relay.url}/crm/pages/x",
            compression=None,
            additional_headers={"X-Forwarded-For": "192.0.2.7"},
        ) as connection,
    ):
        await synced(YWebsocket(connection))
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["address"] == ("192.0.2.7" if trusted else "127.0.0.1")
