"""Changes that webhooks are still to be told of, in the database where they happened.

A change goes into the queue in the transaction that takes it over, and out of it when the webhook
has answered: so a crash in between tells of it twice, and never not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from syncline.connectors.database.rows import batches
from syncline.connectors.database.values import canonical
from syncline.connectors.file.spec import Notify
from syncline.connectors.report import Change

from .schema import OUTBOX

_O = OUTBOX.c


class Posting(NamedTuple):
    """A change that waits, as JSON."""

    seq: int
    change: bytes


class WebhookQueue:
    """One pipeline's changes to tell of, in one database, in a transaction."""

    def __init__(self, connection: sa.Connection, pipeline: str) -> None:
        self._connection = connection
        self._pipeline = pipeline

    def put(self, changes: Iterable[Change], notify: Sequence[Notify]) -> None:
        """Keep changes for those of the webhooks that want them."""
        rows = [
            {"pipeline": self._pipeline, "target": target_of(each), "change": as_json(change)}
            for change in changes
            for each in notify
            if is_wanted(change, each)
        ]
        for batch in batches(rows):
            self._connection.execute(sa.insert(OUTBOX), batch)

    def waiting(self, notify: Notify, limit: int) -> list[Posting]:
        """The oldest changes for a webhook."""
        statement = (
            sa.select(_O.seq, _O.change)
            .where(_O.pipeline == self._pipeline, _O.target == target_of(notify))
            .order_by(_O.seq)
            .limit(limit)
        )
        return [Posting(seq, text.encode()) for seq, text in self._connection.execute(statement)]

    def delete(self, postings: Iterable[Posting]) -> None:
        """Forget changes that were told of."""
        for batch in batches(posting.seq for posting in postings):
            self._connection.execute(sa.delete(OUTBOX).where(_O.seq.in_(batch)))

    def has_others(self, notify: Iterable[Notify]) -> bool:
        """Whether changes wait for webhooks that are none of these."""
        statement = sa.select(_O.seq).where(self._others(notify)).limit(1)
        return self._connection.execute(statement).first() is not None

    def drop_others(self, notify: Iterable[Notify]) -> None:
        """Forget the changes for webhooks that are none of these."""
        self._connection.execute(sa.delete(OUTBOX).where(self._others(notify)))

    def _others(self, notify: Iterable[Notify]) -> sa.ColumnElement[bool]:
        targets = [target_of(each) for each in notify]
        return sa.and_(_O.pipeline == self._pipeline, _O.target.not_in(targets))


def target_of(notify: Notify) -> str:
    """What stands for a webhook: its URL may hold a secret."""
    return hashlib.sha256(notify.url.encode()).hexdigest()[:16]


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
