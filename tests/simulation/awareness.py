"""The awareness of one browser tab, as y-protocols 1.0.7 does it."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.engine.yjs.messages import Client

RENEW_SECONDS = 15.0
OUTDATED_SECONDS = 30.0


class TabAwareness:
    """Whom the tab of the client ``me`` sees."""

    def __init__(self, me: int, now: float) -> None:
        self.me = me
        self.states: dict[int, str] = {me: "{}"}
        self._clocks: dict[int, int] = {me: 0}
        self._heard: dict[int, float] = {me: now}

    def say(self, state: str, now: float) -> list[int]:
        """Set the own state; returns whom there is news of."""
        self.states[self.me] = state
        self._clocks[self.me] += 1
        self._heard[self.me] = now
        return [self.me]

    def beat(self, now: float) -> list[int]:
        """Renew the own state when it is time, and let go of who was silent for long."""
        gone = [
            client
            for client in self.states
            if client != self.me and now - self._heard[client] >= OUTDATED_SECONDS
        ]
        for client in gone:
            del self.states[client]
        if now - self._heard[self.me] >= RENEW_SECONDS:
            return [*gone, *self.say(self.states[self.me], now)]
        return gone

    def hear(self, clients: Iterable[Client], now: float) -> list[int]:
        """Take in what others say; returns whom there is news of."""
        news: list[int] = []
        for client, said, state in clients:
            clock, known = said, self._clocks.get(client, 0)
            if not (known < clock or (known == clock and state is None and client in self.states)):
                continue
            if state is not None:
                self.states[client] = state
            elif client == self.me:
                clock += 1  # so that the others hear that it is there
            else:
                self.states.pop(client, None)
            self._clocks[client], self._heard[client] = clock, now
            news.append(client)
        return news

    def forget_the_others(self) -> None:
        """The connection is lost: they are out of sight, their clocks stay known."""
        self.states = {self.me: self.states[self.me]}

    def of(self, clients: Iterable[int]) -> tuple[Client, ...]:
        return tuple(
            Client(client, self._clocks[client], self.states.get(client)) for client in clients
        )
