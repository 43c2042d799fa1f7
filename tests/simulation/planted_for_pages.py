"""Bugs planted into what the relay does for Yjs clients, to prove that pages find them."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from syncline.engine.document.document import EMPTY_UPDATE
from syncline.engine.errors import InvalidUpdate
from syncline.engine.protocol.messages import Entry, Refusal
from syncline.engine.updates.parse import StateVector, encode_state_vector
from syncline.engine.yjs.messages import Client, Message, SyncStatus, SyncStep1, SyncStep2
from syncline.engine.yjs.presence import Presence
from syncline.relay.editors.channel import Channel
from syncline.relay.editors.connection import EditorConnection
from syncline.relay.editors.hocuspocus import HocuspocusConnection
from syncline.relay.editors.y_websocket import YWebsocketConnection
from syncline.relay.log.committer import Committer
from syncline.relay.log.open_document import Follower, OpenDocument
from syncline.relay.log.submission import PushedBatch, Settled, Submission, nobody

from .planted import Plant

Tell = Callable[[Message], Awaitable[None]]


def _nothing(*_: object, **__: object) -> None: ...


def _nobody(*_: object) -> list[int]:
    return []


def acknowledged_to_editors_before_commit(patch: pytest.MonkeyPatch) -> None:
    """An editor's update is acknowledged when it is queued."""
    submit = Committer.submit

    async def acknowledge_and_submit(self: Committer, submission: Submission) -> None:
        if not isinstance(submission, PushedBatch):
            submission.settle(Settled(1))
            submission = replace(submission, settle=nobody)
        await submit(self, submission)

    patch.setattr(Committer, "submit", acknowledge_and_submit)


def an_editors_position_read_too_late(patch: pytest.MonkeyPatch) -> None:
    """What is committed while an answer is read from the store is in neither."""

    async def answer(self: Channel, have: StateVector, tell: Tell) -> None:
        self._asked = None
        state_vector, update = await self._difference(have)
        await tell(SyncStep1(encode_state_vector(state_vector)))
        await tell(SyncStep2(update))
        self._position = self.document.head
        self._synced = True

    patch.setattr(Channel, "_answer", answer)


def the_answer_of_an_editor_thrown_away(patch: pytest.MonkeyPatch) -> None:
    """What an editor wrote offline is acknowledged and not stored."""

    async def unseen_part(self: EditorConnection, channel: Channel, update: bytes) -> bytes:
        await asyncio.sleep(0)
        return EMPTY_UPDATE

    patch.setattr(EditorConnection, "_unseen_part", unseen_part)


def an_editor_that_types_on_denied(patch: pytest.MonkeyPatch) -> None:
    """Who wrote offline and types on before the relay has asked for it is denied the document."""
    original = EditorConnection._refused

    def refused(self: EditorConnection, channel: Channel, refusal: Refusal, *, whole: bool) -> None:
        channel.asked_again = True
        original(self, channel, refusal, whole=True)

    patch.setattr(EditorConnection, "_refused", refused)


def an_acknowledgement_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Updates that a later answer brings are never acknowledged."""

    def acknowledge(self: EditorConnection, channel: Channel, *, whole: bool) -> None:
        channel.expecting = channel.expecting and not whole
        self.say(channel, SyncStatus(stored=True))

    patch.setattr(EditorConnection, "_acknowledge", acknowledge)


def a_refused_update_passed_over(patch: pytest.MonkeyPatch) -> None:
    """An update that is no update is dropped, and the document stays open."""
    original = EditorConnection._refused

    def refused(self: EditorConnection, channel: Channel, refusal: Refusal, *, whole: bool) -> None:
        if refusal.code != InvalidUpdate.code:
            original(self, channel, refusal, whole=whole)

    patch.setattr(EditorConnection, "_refused", refused)


def a_former_history_let_in(patch: pytest.MonkeyPatch) -> None:
    """Who has what a document was before it was rebuilt is not denied."""
    original = Channel.ask

    def ask(self: Channel, have: StateVector) -> None:
        self._rebuilt = False
        original(self, have)

    patch.setattr(Channel, "ask", ask)


def a_quiet_connection_left_alone(patch: pytest.MonkeyPatch) -> None:
    """Who hears nothing from others hears nothing at all."""
    patch.setattr(YWebsocketConnection, "sign_of_life", _nothing)
    patch.setattr(HocuspocusConnection, "sign_of_life", _nothing)


def cursors_of_a_dropped_connection_kept(patch: pytest.MonkeyPatch) -> None:
    """Who loses the connection stays in sight of the others until it would have renewed."""

    def leave(self: OpenDocument, follower: Follower) -> None:
        self._followers.pop(follower, None)

    patch.setattr(OpenDocument, "leave", leave)


def nobody_expires(patch: pytest.MonkeyPatch) -> None:
    """Who goes without a word stays, told anew to everybody who comes."""
    patch.setattr(Presence, "expire", _nobody)


def an_introduction_no_news(patch: pytest.MonkeyPatch) -> None:
    """Who comes back at the clock that it had counts as known."""
    original = Presence._is_news

    def is_news(known: Any, channel: object, client: Client, *, introduction: bool) -> bool:
        return original(known, channel, client, introduction=False)

    patch.setattr(Presence, "_is_news", staticmethod(is_news))


def a_returning_client_unseen(patch: pytest.MonkeyPatch) -> None:
    """Who comes back at the clock that it had is not asked to raise it."""
    patch.setattr(OpenDocument, "_introduce", _nothing)


def what_clients_send_on_believed(patch: pytest.MonkeyPatch) -> None:
    """Whoever tells of a client counts as the connection of that client."""
    original = Presence._is_news

    def is_news(known: Any, channel: object, client: Client, *, introduction: bool) -> bool:
        known.channel = channel
        return original(known, channel, client, introduction=introduction)

    patch.setattr(Presence, "_is_news", staticmethod(is_news))


def updates_shown_to_editors_before_commit(patch: pytest.MonkeyPatch) -> None:
    """An editor's update goes to the others at the document while it is committed."""
    original = EditorConnection._write

    async def write(
        self: EditorConnection, channel: Channel, update: bytes, *, whole: bool
    ) -> None:
        if update != EMPTY_UPDATE:
            channel.document.publish(Entry(channel.address, update, channel.epoch), channel.author)
        await original(self, channel, update, whole=whole)

    patch.setattr(EditorConnection, "_write", write)


def nobody_told_of_changes(patch: pytest.MonkeyPatch) -> None:
    """A slow editor that is too far behind is told nothing more."""

    async def send_change(self: Channel, tell: Tell) -> None:
        self._position = self.document.head

    patch.setattr(Channel, "_send_change", send_change)


ON_PAGES: list[Plant] = [
    acknowledged_to_editors_before_commit,
    updates_shown_to_editors_before_commit,
    an_editors_position_read_too_late,
    the_answer_of_an_editor_thrown_away,
    an_editor_that_types_on_denied,
    an_acknowledgement_forgotten,
    nobody_told_of_changes,
    a_refused_update_passed_over,
    a_quiet_connection_left_alone,
    cursors_of_a_dropped_connection_kept,
    nobody_expires,
    a_returning_client_unseen,
    an_introduction_no_news,
    what_clients_send_on_believed,
]
"""These show only where there are pages."""
ON_PAGES_IN_REBUILT_WORLDS: list[Plant] = [a_former_history_let_in]
