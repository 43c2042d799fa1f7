"""Where a client is that comes through proxies."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from syncline.engine.errors import UsageError


class TrustedProxies:
    """Proxies whose word is taken for where a client is, by address or network, such as
    ``127.0.0.1`` or ``10.0.0.0/8``. Raises UsageError for anything else."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [_network(text) for text in networks]

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The address of the client, for a connection from ``peer`` with these ``X-Forwarded-For``
        headers. Each proxy adds, at the end, whom it was connected with; what stands before the
        first one that is not trusted, anybody may have written."""
        hops = [hop.strip() for header in forwarded for hop in header.split(",")]
        client = peer
        while hops and self.trusts(client):
            try:
                client = str(ip_address(hops.pop()))
            except ValueError:
                break
        return client

    def trusts(self, address: str) -> bool:
        """Whether there is a proxy at this address."""
        try:
            parsed: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"{text[:100]!r} is no address of a proxy.",
            hint="Write it like 127.0.0.1, or 10.0.0.0/8 for all of a network.",
        ) from None
