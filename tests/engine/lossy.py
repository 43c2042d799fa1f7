"""A replica's and a relay's session over two lines that lose, repeat and reorder frames.

The drivers are as plain as can be: what they get right, they get right because of the sessions. In
particular the relay commits every batch that is not called a duplicate, without looking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from syncline.engine.names import Address
from syncline.engine.protocol.codec import encode
from syncline.engine.protocol.messages import Entry, Frame, Limits, Push, Updates
from syncline.engine.protocol.relay_session import (
    HelloReceived,
    PingReceived,
    PushReceived,
    RelaySession,
    ResumeReceived,
)
from syncline.engine.protocol.replica_session import (
    Acknowledged,
    Advanced,
    Missed,
    Ponged,
    ReplicaSession,
    Rewind,
    UpdatesReceived,
)

LIMITS = Limits(window=4)
ADDRESS = Address("pages", "welcome")


def payload_of(number: int) -> bytes:
    frame = encode(Push(number, (Entry(ADDRESS, b"batch %d" % number),)))
    assert isinstance(frame, bytes)
    return frame


@dataclass
class Line:
    """Frames on their way in one direction."""

    rng: Random
    loses: bool
    frames: list[Frame] = field(default_factory=list[Frame])

    def put(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.frames.append(frame)
            if not self.loses:
                continue
            fate = self.rng.random()
            if fate < 0.2:
                self.frames.pop()
            elif fate < 0.3:
                self.frames.append(frame)

    def take(self) -> Frame | None:
        if not self.frames:
            return None
        late = self.loses and self.rng.random() < 0.3
        return self.frames.pop(self.rng.randrange(len(self.frames)) if late else 0)


class World:
    """One replica and one relay, and what became of every batch and change."""

    def __init__(self, seed: int, *, loses: bool) -> None:
        self.rng = Random(seed)
        self.loses = loses
        # What is durable at the replica.
        self.written = 0
        self.acknowledged: list[tuple[int, int]] = []
        self.cursor = 0
        # What is durable at the relay: batches in the order of commit, and where each was put.
        self.committed: list[int] = []
        self.digests: list[bytes] = []
        self.head = 0
        self.queue: list[PushReceived] = []
        self.position = 0
        # What the sessions reported.
        self.alarms: list[object] = []
        self.duplicates = 0
        self.ponged = 0
        self.offer = 1
        self.connect()

    def connect(self) -> None:
        """Begin a new connection: frames under way are lost, the relay commits what it has."""
        self.up = Line(self.rng, self.loses)
        self.down = Line(self.rng, self.loses)
        if hasattr(self, "relay"):
            self.commit(len(self.queue))
        self.relay = RelaySession("demo", LIMITS)
        self.replica = ReplicaSession(
            workspace="demo",
            replica="a" * 32,
            client_id=7,
            cursor=self.cursor,
            acknowledged=len(self.acknowledged),
            relay="r" * 32,
        )
        self.offer = len(self.acknowledged) + 1
        self.ponged = 0
        self.replica.start()
        (hello,) = self.replica.frames_to_send()
        (event,) = self.relay.receive(hello)
        assert isinstance(event, HelloReceived)
        self.position = event.hello.cursor
        self.relay.welcome(relay="r" * 32, head=self.head, batch=len(self.committed), time=0)
        (welcome,) = self.relay.frames_to_send()
        self.replica.receive(welcome)

    # What can happen

    def write(self) -> None:
        self.written += 1

    def push(self) -> None:
        if self.offer <= self.written and self.replica.window_open:
            # A batch acknowledged meanwhile is gone from the outbox.
            self.offer = max(self.offer, len(self.acknowledged) + 1)
            if self.offer <= self.written:
                self.replica.push(self.offer, payload_of(self.offer))
                self.offer += 1

    def ping(self) -> None:
        self.replica.ping()

    def elsewhere(self) -> None:
        """Another replica's change is committed."""
        self.head += 1

    def send_changes(self) -> None:
        if self.position < self.head:
            cursor = self.rng.randint(self.position + 1, self.head)
            if self.rng.random() < 0.3:
                self.relay.advance(self.position, cursor)
                self.down.put(self.relay.frames_to_send())
            else:
                entry = Entry(ADDRESS, b"change")
                self.down.put([encode(Updates(self.position, cursor, (entry,)))])
            self.position = cursor

    def commit(self, count: int | None = None) -> None:
        """Commit a few of the batches that wait, and acknowledge them."""
        count = self.rng.randint(0, len(self.queue)) if count is None else count
        for push in self.queue[:count]:
            if not push.duplicate:
                self.committed.append(push.batch)
                self.digests.append(push.digest)
                self.head += 1
            # The seq only has to be the same each time.
            self.relay.acknowledge(push.batch, push.batch * 10)
        del self.queue[:count]

    def deliver_up(self) -> None:
        frame = self.up.take()
        if frame is None:
            return
        for event in self.relay.receive(frame):
            match event:
                case PushReceived():
                    self.duplicates += event.duplicate
                    self.queue.append(event)
                case PingReceived(id_):
                    self.relay.pong(id_, position=self.position, head=self.head)
                case ResumeReceived(cursor):
                    self.position = cursor
                case _:
                    raise AssertionError(event)

    def deliver_down(self) -> None:
        frame = self.down.take()
        if frame is None:
            return
        for event in self.replica.receive(frame):
            match event:
                case Acknowledged(batch, seq, _):
                    self.acknowledged.append((batch, seq))
                case Rewind(batch):
                    self.alarms.append(event)
                    self.offer = batch
                case Missed():
                    self.alarms.append(event)
                    self.replica.resume(self.cursor)
                case UpdatesReceived(since, cursor) | Advanced(since, cursor):
                    if since <= self.cursor:
                        self.cursor = max(self.cursor, cursor)
                case Ponged(id_):
                    assert id_ > self.ponged
                    self.ponged = id_
                case _:
                    raise AssertionError(event)
        self.replica.cursor = self.cursor

    def step(self, happenings: list[Callable[[], None]]) -> None:
        self.rng.choice(happenings)()
        self.up.put(self.replica.frames_to_send())
        self.down.put(self.relay.frames_to_send())

    def run(self, steps: int) -> None:
        happenings: list[Callable[[], None]] = [
            *[self.write, self.ping, self.elsewhere, self.commit] * 2,
            *[self.push, self.send_changes, self.deliver_up, self.deliver_down] * 5,
        ]
        for _ in range(steps):
            self.step([self.connect] if self.rng.random() < 0.01 else happenings)

    def settle(self) -> int:
        """Lose nothing any more; return after how many pings everything is where it belongs."""
        self.up.loses = self.down.loses = False
        for pings in range(1, 100):
            self.step([self.ping])
            while True:
                before = (self.offer, len(self.up.frames), len(self.down.frames), self.position)
                for happening in (self.push, self.deliver_up, self.deliver_down, self.send_changes):
                    self.step([happening])
                self.step([lambda: self.commit(len(self.queue))])
                after = (self.offer, len(self.up.frames), len(self.down.frames), self.position)
                if before == after and not self.up.frames and not self.down.frames:
                    break
            if len(self.acknowledged) == self.written and self.cursor == self.head:
                return pings
        raise AssertionError("it never settles")

    def check(self) -> None:
        """Every batch was committed once, in order, as it was; every ack came once, in order."""
        numbers = list(range(1, self.written + 1))
        assert self.committed == numbers
        assert self.digests == [hashlib.sha256(payload_of(number)).digest() for number in numbers]
        assert self.acknowledged == [(number, number * 10) for number in numbers]
        assert self.cursor == self.head
