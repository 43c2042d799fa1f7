"""Who is at a document: what the relay takes from whom, and when somebody has gone."""

from __future__ import annotations

import pytest

from syncline.engine.errors import LimitExceeded
from syncline.engine.yjs.messages import Client
from syncline.engine.yjs.presence import (
    EXPIRY_SECONDS,
    MAX_PRESENT,
    MAX_PRESENT_PER_CHANNEL,
    MAX_STATES_PER_CHANNEL,
    Presence,
)

ADA, BOB = 7, 8
HERE, THERE = '{"cursor":1}', '{"cursor":2}'


def told(presence: Presence, channel: str) -> dict[int, tuple[int, str | None]]:
    """What ``channel`` is told of everybody present."""
    clients = presence.clients(list(presence.present()), besides=channel)
    return {client.id: (client.clock, client.state) for client in clients}


def arrive(presence: Presence, channel: str, client: int, clock: int, now: float = 0.0) -> None:
    news = presence.update(channel, [Client(client, clock, HERE)], now, introduction=True)
    assert news == [client]


def test_everybody_hears_of_everybody_else() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    arrive(presence, "bob's", BOB, 5)
    assert told(presence, "ada's") == {BOB: (5, HERE)}
    assert told(presence, "bob's") == {ADA: (3, HERE)}
    assert told(presence, "another") == {ADA: (3, HERE), BOB: (5, HERE)}
    assert len(list(presence.present())) == 2


def test_only_a_higher_clock_is_news() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    assert presence.update("ada's", [Client(ADA, 3, THERE)], 1) == []
    assert presence.update("ada's", [Client(ADA, 2, THERE)], 1) == []
    assert presence.update("ada's", [Client(ADA, 4, THERE)], 1) == [ADA]
    assert told(presence, "another") == {ADA: (4, THERE)}


def test_who_is_invisible_to_a_client_that_is_back() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    arrive(presence, "bob's", BOB, 5)
    assert list(presence.invisible_to(9)) == []  # it has not met anybody
    # Back before it was missed: it may know every clock there is.
    assert list(presence.invisible_to(ADA)) == [("bob's", BOB)]
    assert presence.leave("ada's") == [ADA]
    assert list(presence.invisible_to(ADA)) == [("bob's", BOB)]
    # Who has raised the clock since is seen, and who came since.
    assert presence.update("bob's", [Client(BOB, 6, HERE)], 1) == [BOB]
    arrive(presence, "carol's", 10, 1)
    assert list(presence.invisible_to(ADA)) == []


def test_what_others_send_on_counts_for_nothing() -> None:
    # y-websocket sends on whatever it hears.
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    arrive(presence, "bob's", BOB, 5)
    assert presence.update("bob's", [Client(ADA, 3, HERE)], 1) == []
    assert presence.update("bob's", [Client(ADA, 9, None)], 1) == []
    assert presence.leave("bob's") == [BOB]
    assert told(presence, "another") == {ADA: (3, HERE)}


def test_who_leaves_has_gone_at_the_clock_it_says() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    assert presence.update("ada's", [Client(ADA, 4, None)], 1) == [ADA]
    assert presence.clients([ADA], besides="another") == (Client(ADA, 4, None),)
    assert told(presence, "another") == {}


def test_a_client_may_go_at_the_clock_that_it_has() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    assert presence.update("ada's", [Client(ADA, 3, None)], 1) == [ADA]


def test_a_dropped_connection_takes_its_clients_along_at_the_same_clock() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    arrive(presence, "bob's", BOB, 5)
    assert presence.leave("ada's") == [ADA]
    assert presence.clients([ADA], besides="bob's") == (Client(ADA, 3, None),)
    # What is still on its way from those who have not heard of it brings nobody back.
    assert presence.update("bob's", [Client(ADA, 3, HERE)], 1) == []
    assert presence.leave("ada's") == []


def test_who_comes_back_is_seen_at_once_at_an_unchanged_clock() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    presence.leave("ada's")
    arrive(presence, "ada's second", ADA, 3)
    assert told(presence, "another") == {ADA: (3, HERE)}


def test_a_second_connection_takes_over_before_the_first_is_known_to_be_lost() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3)
    arrive(presence, "ada's second", ADA, 3)
    assert presence.leave("ada's") == []
    assert told(presence, "another") == {ADA: (3, HERE)}
    assert presence.update("ada's second", [Client(ADA, 4, THERE)], 1) == [ADA]


def test_nobody_takes_over_a_client_that_is_there_for_somebody_else() -> None:
    presence = Presence()
    ada = [Client(ADA, 3, HERE)]
    forged = [Client(ADA, 9, THERE)]
    presence.update("ada's", ada, 0, principal="ada", introduction=True)
    assert not presence.may_introduce(ADA, "guest")
    assert presence.update("guest's", forged, 0, principal="guest", introduction=True) == []
    assert told(presence, "another") == {ADA: (3, HERE)}
    assert presence.leave("guest's") == []
    # Once it has gone, the id is free.
    presence.leave("ada's")
    assert presence.update("guest's", forged, 0, principal="guest", introduction=True) == [ADA]


@pytest.mark.parametrize("most", [2, MAX_STATES_PER_CHANNEL])
def test_what_one_connection_says_is_bounded(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncline.engine.yjs.presence.MAX_STATES_PER_CHANNEL", most)
    presence = Presence()
    half = "x" * (most // 2)
    for clock in (1, 2, 3):
        presence.update("ada's", [Client(ADA, clock, half), Client(BOB, clock, half)], 0)
    with pytest.raises(LimitExceeded, match=f"more than {most:,} bytes"):
        presence.update("ada's", [Client(BOB, 4, half + "x")], 0)
    presence.update("ada's", [Client(ADA, 4, None)], 0)
    assert presence.update("ada's", [Client(BOB, 4, half + "x")], 0) == [BOB]


def test_who_is_not_heard_of_has_gone() -> None:
    presence = Presence()
    arrive(presence, "ada's", ADA, 3, now=0)
    arrive(presence, "bob's", BOB, 5, now=0)
    presence.update("bob's", [Client(BOB, 6, HERE)], EXPIRY_SECONDS / 2)
    assert presence.expire(EXPIRY_SECONDS - 1) == []
    assert presence.expire(EXPIRY_SECONDS) == [ADA]
    assert presence.clients([ADA], besides="another") == (Client(ADA, 3, None),)
    assert presence.expire(EXPIRY_SECONDS * 1.5) == [BOB]


def test_the_first_that_is_heard_of_a_client_is_not_that_it_has_gone() -> None:
    presence = Presence()
    assert presence.update("ada's", [Client(ADA, 3, None)], 0) == []
    assert presence.clients([ADA], besides="another") == ()


def test_one_connection_speaks_for_a_bounded_number_of_clients() -> None:
    presence = Presence()
    for client in range(MAX_PRESENT_PER_CHANNEL):
        presence.update("ada's", [Client(client, 1, HERE)], 0)
    with pytest.raises(LimitExceeded, match="One connection speaks for 64 clients"):
        presence.update("ada's", [Client(9999, 1, HERE)], 0)


def test_clients_that_come_back_count_too() -> None:
    presence = Presence()
    for client in range(MAX_PRESENT_PER_CHANNEL + 1):
        presence.update(client, [Client(client, 1, HERE)], 0)
        presence.leave(client)
    for client in range(MAX_PRESENT_PER_CHANNEL):
        assert presence.update("ada's", [Client(client, 2, HERE)], 1) == [client]
    with pytest.raises(LimitExceeded, match="One connection speaks for 64 clients"):
        presence.update("ada's", [Client(MAX_PRESENT_PER_CHANNEL, 2, HERE)], 1)


def test_a_document_has_a_bounded_number_of_clients_and_forgets_who_has_gone() -> None:
    presence = Presence()
    for client in range(MAX_PRESENT):
        presence.update(client, [Client(client, 1, HERE)], 0)
    with pytest.raises(LimitExceeded, match="2000 clients are at this document"):
        presence.update("late", [Client(9999, 1, HERE)], 1)
    presence.leave(0)
    presence.update("late", [Client(9999, 1, HERE)], 2 * EXPIRY_SECONDS)
    assert 9999 in presence.present()
