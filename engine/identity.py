"""Identity: who a replica is, and when it must become someone else.

Two writers with one client id diverge silently and for ever: Yjs takes (client id, clock) for the
name of an operation. So a store has one client id and one replica id, kept in it and held under its
lock, and both are drawn anew when the store's fingerprint says that it is a copy.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .clock import Milliseconds

MAX_CLIENT_ID = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """``replica`` names the replica to relays (32 hex digits), ``client_id`` its operations.

    ``former`` are the client ids of the stores that this one was copied from, the latest first,
    ``former_replicas`` their replica ids.
    """

    replica: str
    client_id: int
    fingerprint: str
    former: tuple[int, ...] = ()
    former_replicas: tuple[str, ...] = ()

    @classmethod
    def draw(cls, rng: random.Random, fingerprint: str) -> Identity:
        # Ids below 2^32 are what Yjs clients draw from: staying above them avoids the only likely
        # clash.
        client_id = rng.randrange(1 << 32, MAX_CLIENT_ID + 1)
        return cls(f"{rng.getrandbits(128):032x}", client_id, fingerprint)

    @classmethod
    def recall(
        cls, meta: Mapping[str, str], rng: random.Random, fingerprint: str
    ) -> tuple[Identity, bool]:
        """The identity kept in ``meta``, or a new one if there is none or the store is a copy.

        The second value says whether it is new.
        """
        former = tuple(int(each) for each in meta.get("former", "").split())
        replicas = tuple(meta.get("former_replicas", "").split())
        if "client_id" not in meta:
            return cls.draw(rng, fingerprint), True
        client_id = int(meta["client_id"])
        if meta["fingerprint"] != fingerprint:
            copy = replace(
                cls.draw(rng, fingerprint),
                former=(client_id, *former),
                former_replicas=(meta["replica"], *replicas),
            )
            return copy, True
        return cls(meta["replica"], client_id, fingerprint, former, replicas), False

    @property
    def authors(self) -> tuple[int, ...]:
        """Every client id under which this store's own operations were written."""
        return (self.client_id, *self.former)

    def to_meta(self) -> dict[str, str]:
        return {
            "replica": self.replica,
            "client_id": str(self.client_id),
            "fingerprint": self.fingerprint,
            "former": " ".join(map(str, self.former)),
            "former_replicas": " ".join(self.former_replicas),
        }


def uuid7(now: Milliseconds, rng: random.Random) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): sorts by the time it was made, to the millisecond."""
    value = now() << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62)
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
