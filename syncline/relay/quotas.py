"""What one principal, or one address, may take of a relay, so that something is left for others.

A connection is a Visit, from when it comes until it goes. Until its principal is known it is one of
those without a hello, of which there may be so many: when there are more, the oldest of them goes,
which is hardly somebody who means to say hello. Then it belongs to an account, which all
connections of a principal share. Where everybody is anonymous, each connection has its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from syncline.access.access import (
    ANONYMOUS,
    Authenticator,
    Credentials,
    Principal,
    authenticate,
)
from syncline.engine.bounded_cache import BoundedCache
from syncline.engine.errors import LimitExceeded, NotAuthenticated
from syncline.transports.token_bucket import TokenBucket

MAX_ADDRESSES = 10_000
"""Addresses whose wrong tokens are remembered."""
WRONG_TOKENS_AT_ONCE = 20
"""Wrong tokens from one address that are answered at once."""
WRONG_TOKENS_PER_SECOND = 1
"""And in the long run: the answers to more wait."""
MAX_WAIT_SECONDS = 10.0
"""How long an answer, or a frame, waits at most."""
_RETRY_SECONDS = 5.0  # after which somebody with too many connections may have lost one
_CROWD = 4  # an address may take so many times what one of its connections may


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """What there is for everybody; an address has four times the frames and bytes of an account."""

    max_connections: int = 5_000
    """Connections of one principal, or from one address where everybody is anonymous."""
    max_silent: int = 4_000
    """Connections without a hello."""
    max_silent_of_address: int = 1_000
    """The same from one address."""
    frames_per_second: int = 5_000
    frames_at_once: int = 20_000
    bytes_per_second: int = 64 << 20
    bytes_at_once: int = 256 << 20


class Account:
    """What the connections of a principal take together, or those of an address."""

    def __init__(self, limits: QuotaLimits, times: int = 1) -> None:
        self.connections = 0
        self._frames = TokenBucket(limits.frames_per_second * times, limits.frames_at_once * times)
        self._bytes = TokenBucket(limits.bytes_per_second * times, limits.bytes_at_once * times)

    def pay(self, size: int, now: float) -> float:
        """Take a frame; returns how long it has to wait."""
        return max(self._frames.take(1, now), self._bytes.take(size, now))


class Visit:
    """One connection. Its account is what it shares its turns with."""

    def __init__(self, quotas: Quotas, address: str, dismiss: Callable[[], None]) -> None:
        self.address = address
        self.dismiss = dismiss
        """Ends the connection; not called once it is admitted."""
        self.account: Hashable = self
        self._quotas = quotas
        self._accounts = [Account(quotas.limits)]
        self._keys: list[Hashable] = []
        if address:
            self._join(("from", address), times=_CROWD)

    async def identify(self, authenticator: Authenticator, credentials: Credentials) -> Principal:
        """Who brings these credentials; of an address that brought many wrong ones, later. Raises
        what ``authenticate`` raises."""
        try:
            return await authenticate(authenticator, credentials)
        except NotAuthenticated:
            await asyncio.sleep(self._quotas.wait_of_wrong_token(self.address))
            raise

    def admit(self, principal: Principal) -> None:
        """Its principal is known. Raises LimitExceeded if that has too many connections."""
        self._quotas.heard(self)
        anonymous = principal == ANONYMOUS
        if anonymous and not self.address:
            return
        key = ("anonymous", self.address) if anonymous else ("principal", principal.name)
        account = self._join(key)
        most = principal.max_connections or self._quotas.limits.max_connections
        if account.connections > most:
            who = f"The address {self.address}" if anonymous else principal.name
            raise LimitExceeded(
                f"{who} has {most:,} connections, which is the most.",
                hint="Close some; the operator can allow more.",
                retry_after=_RETRY_SECONDS,
            )
        if not anonymous:
            self.account = key
            self._accounts[0] = account

    def _join(self, key: Hashable, times: int = 1) -> Account:
        account = self._quotas.join(key, times)
        self._keys.append(key)
        if times != 1:
            self._accounts.append(account)
        return account

    async def pay(self, size: int) -> None:
        """Account for a frame that came; waits if there were too many."""
        now = asyncio.get_running_loop().time()
        wait = max(account.pay(size, now) for account in self._accounts)
        if wait:
            await asyncio.sleep(min(wait, MAX_WAIT_SECONDS))

    def leave(self) -> None:
        """It has ended."""
        self._quotas.heard(self)
        for key in self._keys:
            self._quotas.part(key)
        self._keys.clear()


class Quotas:
    """The visits of a relay, and what they have taken."""

    def __init__(self, limits: QuotaLimits) -> None:
        self.limits = limits
        self._silent: OrderedDict[Visit, None] = OrderedDict()
        self._silent_of: dict[str, OrderedDict[Visit, None]] = {}
        self._accounts: dict[Hashable, Account] = {}
        self._wrong_tokens = BoundedCache[str, TokenBucket](MAX_ADDRESSES)

    @property
    def idle(self) -> bool:
        """Whether nobody is there, and nobody remembered as being there."""
        return not self._silent and not self._silent_of and not self._accounts

    def arrive(self, address: str, dismiss: Callable[[], None]) -> Visit:
        """A connection has come. ``dismiss`` ends it."""
        visit = Visit(self, address, dismiss)
        self._silent[visit] = None
        here = self._silent_of.setdefault(address, OrderedDict())
        here[visit] = None
        if address and len(here) > self.limits.max_silent_of_address:
            self._dismiss(next(iter(here)))
        if len(self._silent) > self.limits.max_silent:
            self._dismiss(next(iter(self._silent)))
        return visit

    def _dismiss(self, visit: Visit) -> None:
        self.heard(visit)
        visit.dismiss()

    def heard(self, visit: Visit) -> None:
        """It is not, or no longer, one of those without a hello."""
        self._silent.pop(visit, None)
        here = self._silent_of.get(visit.address)
        if here is not None:
            here.pop(visit, None)
            if not here:
                del self._silent_of[visit.address]

    def join(self, key: Hashable, times: int) -> Account:
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(self.limits, times)
        account.connections += 1
        return account

    def part(self, key: Hashable) -> None:
        self._accounts[key].connections -= 1
        if not self._accounts[key].connections:
            del self._accounts[key]

    def wait_of_wrong_token(self, address: str) -> float:
        """How long the answer to another wrong token from there has to wait."""
        tokens = self._wrong_tokens.get(address)
        if tokens is None:
            tokens = TokenBucket(WRONG_TOKENS_PER_SECOND, WRONG_TOKENS_AT_ONCE)
            self._wrong_tokens.put(address, tokens)
        wait = tokens.take(1, asyncio.get_running_loop().time())
        return min(wait, MAX_WAIT_SECONDS)
