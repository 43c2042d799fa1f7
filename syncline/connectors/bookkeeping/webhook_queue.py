"""Changes that webhooks are still to be told of, in the database where they happened.

A change goes into the queue in the transaction that takes it over, and out of it when the webhook
has answered: so a crash in between tells of it twice, and never not at all. What is told at once is
fixed before it is sent: so it is the same when it is sent again, by whatever process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import sqlalchemy as sa

from syncline.connectors.database.rows import batches
from syncline.connectors.database.values import canonical
from syncline.connectors.file.spec import Notify
from syncline.connectors.report import Change

from .schema import OUTBOX
from .state import State

_O = OUTBOX.c
_STANDING = "webhook:"
"""Remembered by webhook: how it stands."""


class Posting(NamedTuple):
    """A change that waits, as JSON."""

    seq: int
    change: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How a webhook stands in one database. ``rules`` are another text when it wants other changes;
    ``until`` is the last change that it is being told of; ``failure`` says why it was not told the
    last of ``tries`` times, at ``failed_at`` in milliseconds since the epoch."""

    rules: str
    until: int | None = None
    failure: str | None = None
    failed_at: int | None = None
    tries: int = 0


@dataclass(slots=True)
class WebhookStatus:
    """How a webhook stands in all databases: how many changes wait for it, and why, if it was asked
    and did not take them."""

    url: str
    waiting: int = 0
    failure: str | None = None
    failed_at: datetime | None = None
    tries: int = 0

    def add(self, waiting: int, standing: Standing) -> None:
        """In one more database."""
        self.waiting += waiting
        if standing.failed_at is None:
            return
        at = datetime.fromtimestamp(standing.failed_at / 1000, UTC)
        if self.failed_at is None or at > self.failed_at:
            self.failure, self.failed_at, self.tries = standing.failure, at, standing.tries


class WebhookQueue:
    """One pipeline's changes to tell of, in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._state = State(connection, pipeline)

    def put(self, changes: Iterable[Change], notify: Sequence[Notify]) -> None:
        """Keep changes for those of the webhooks that want them; once for each URL."""
        rows = [
            {"pipeline": self._pipeline, "target": target, "change": as_json(change)}
            for change in changes
            for target in {target_of(each): None for each in notify if is_wanted(change, each)}
        ]
        for batch in batches(rows):
            self._connection.execute(sa.insert(OUTBOX), batch)

    # What waits

    def count(self, notify: Notify) -> int:
        """How many changes wait for a webhook."""
        statement = sa.select(sa.func.count()).select_from(OUTBOX).where(self._for(notify))
        return int(self._connection.execute(statement).scalar_one())

    def standing(self, notify: Notify) -> Standing:
        text = self._state.meta(_STANDING + target_of(notify))
        return Standing(**orjson.loads(text)) if text else Standing(_rules_of(notify))

    def take(self, notify: Notify, limit: int) -> list[Posting]:
        """The oldest changes for a webhook, at most ``limit``: the same ones until they have been
        told."""
        standing = self.standing(notify)
        statement = sa.select(_O.seq, _O.change).where(self._for(notify)).order_by(_O.seq)
        if standing.until is not None:
            taken = self._postings(statement.where(_O.seq <= standing.until))
            if taken:
                return taken
        taken = self._postings(statement.limit(limit))
        if taken:
            self._set(target_of(notify), replace(standing, until=taken[-1].seq))
        return taken

    def _postings(self, statement: sa.Select[int, str]) -> list[Posting]:
        return [Posting(seq, text.encode()) for seq, text in self._connection.execute(statement)]

    def told(self, notify: Notify, postings: Iterable[Posting]) -> None:
        """Forget changes that were told of."""
        for batch in batches(posting.seq for posting in postings):
            self._connection.execute(sa.delete(OUTBOX).where(_O.seq.in_(batch)))
        self._set(target_of(notify), Standing(_rules_of(notify)))

    def not_told(self, notify: Notify, reason: str, now: int) -> None:
        """Remember, for people, why changes still wait. ``now`` is in milliseconds."""
        known = self.standing(notify)
        failed = replace(known, failure=reason, failed_at=now, tries=known.tries + 1)
        self._set(target_of(notify), failed)

    def _set(self, target: str, standing: Standing) -> None:
        self._state.set_meta(_STANDING + target, orjson.dumps(asdict(standing)).decode())

    def _for(self, notify: Notify) -> sa.ColumnElement[bool]:
        return sa.and_(_O.pipeline == self._pipeline, _O.target == target_of(notify))

    # Webhooks that come and go

    def is_settled(self, notify: Iterable[Notify]) -> bool:
        """Whether nothing is remembered but what is of these webhooks."""
        wanted = {target_of(each): _rules_of(each) for each in notify}
        known = {target: each.rules for target, each in self._standings().items()}
        statement = sa.select(_O.seq).where(self._of_others(wanted)).limit(1)
        return known == wanted and self._connection.execute(statement).first() is None

    def settle(self, notify: Iterable[Notify]) -> None:
        """Forget the changes for webhooks that have left the file: nobody posts them any more.
        Where one has left, and one that wants the same changes is new, it is the same webhook at
        another URL, and is told of what waits."""
        wanted = {target_of(each): _rules_of(each) for each in notify}
        known = self._standings()
        new = {target: rules for target, rules in wanted.items() if target not in known}
        left = {target: each for target, each in known.items() if target not in wanted}
        for target, standing in left.items():
            heirs = [each for each, rules in new.items() if rules == standing.rules]
            rivals = [each for each in left.values() if each.rules == standing.rules]
            if len(heirs) == len(rivals) == 1:
                waiting = sa.and_(_O.pipeline == self._pipeline, _O.target == target)
                changed = sa.update(OUTBOX).where(waiting).values(target=heirs[0])
                self._connection.execute(changed)
            self._state.forget_meta(_STANDING + target)
        for target, rules in wanted.items():
            self._set(target, replace(known.get(target, Standing(rules)), rules=rules))
        self._connection.execute(sa.delete(OUTBOX).where(self._of_others(wanted)))

    def _standings(self) -> dict[str, Standing]:
        found = self._state.metas(_STANDING)
        return {target: Standing(**orjson.loads(text)) for target, text in found.items()}

    def _of_others(self, targets: Iterable[str]) -> sa.ColumnElement[bool]:
        return sa.and_(_O.pipeline == self._pipeline, _O.target.not_in(list(targets)))


def target_of(notify: Notify) -> str:
    """What stands for a webhook: its URL may hold a secret."""
    return hashlib.sha256(notify.url.encode()).hexdigest()[:16]


def shown_url(notify: Notify) -> str:
    """A webhook's URL for people, without what may be a secret."""
    url = urlsplit(notify.url)
    return f"{url.scheme}://{url.hostname}"


def _rules_of(notify: Notify) -> str:
    wanted = repr((sorted(notify.on), sorted(notify.fields)))
    return hashlib.sha256(wanted.encode()).hexdigest()[:16]


def is_wanted(change: Change, notify: Notify) -> bool:
    """Whether a webhook is to be told of a change."""
    if notify.on and change.name not in notify.on:
        return False
    return not notify.fields or bool(notify.fields & change.fields.keys())


def as_json(change: Change) -> str:
    """A change as webhooks get it: values that JSON does not have are text, bytes in hex."""
    return orjson.dumps(change._asdict(), default=_text).decode()


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(canonical(value, "text"))
