"""Webhooks: told at least once, in order, by a thread of its own, whatever they answer."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from email.message import Message
from pathlib import Path
from socket import socket
from time import monotonic
from typing import Any

import orjson
import pytest

from syncline.connectors import open_run
from syncline.connectors.file.spec import Notify
from syncline.connectors.running import notifier, webhook_request
from syncline.connectors.running.notifier import Notifier
from syncline.connectors.running.run import PipelineRun

from .test_runner import AN_HOUR, going
from .two_sides import Side, shared_contacts, two_sides
from .webhooks import PATIENCE, Webhook, webhook


@pytest.fixture
def sides(tmp_path: Path) -> Generator[tuple[Side, Side]]:
    with two_sides("sqlite", "sqlite", tmp_path) as (crm, accounting):
        crm.execute("INSERT INTO contacts (first_name, email) VALUES ('Jane', 'jane@x.org')")
        yield crm, accounting


@pytest.fixture
def hook() -> Generator[Webhook]:
    with webhook() as listening:
        yield listening


@contextmanager
def running(sides: tuple[Side, Side], *notify: Notify) -> Generator[PipelineRun]:
    """The pipeline after its first pass, in a process of its own."""
    run = open_run(replace(shared_contacts(*sides), notify=notify, every=AN_HOUR))
    run.sync()
    yield run
    run.close()


def rename(sides: tuple[Side, Side], name: str) -> None:
    sides[0].execute("UPDATE contacts SET first_name = :name", name=name)


def change(run: PipelineRun, sides: tuple[Side, Side], name: str) -> None:
    rename(sides, name)
    run.sync()


def names_told(hook: Webhook) -> list[str]:
    return [each["fields"]["name"] for each in hook.told()]


# What counts as told


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_what_is_answered_with_2xx_has_been_told(
    sides: tuple[Side, Side], hook: Webhook, status: int
) -> None:
    hook.status = status
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        assert Notifier(run).deliver() == []
        assert Notifier(run).deliver() == []
    assert hook.sent.qsize() == 1


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 400, 404, 500])
def test_nothing_else_has_and_redirects_are_not_followed(
    sides: tuple[Side, Side], hook: Webhook, status: int
) -> None:
    hook.status, hook.headers = status, {"Location": "/login"}
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        (failure,) = Notifier(run).deliver()
        assert f"it answered {status}" in failure
        assert hook.sent.qsize() == 1
        hook.status, hook.headers = 200, {}
        assert Notifier(run).deliver() == []
    assert names_told(hook) == names_told(hook) == ["Joan"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "without an answer"),
        (b"220 mail.example.com ESMTP\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 99 odd\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * (70 << 10) + b"\r\n\r\n", "longer than 64 KiB"),
    ],
)
def test_an_answer_that_is_none(
    sides: tuple[Side, Side], hook: Webhook, answer: bytes, reason: str
) -> None:
    hook.answer = lambda connection: connection.sendall(answer)
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        (failure,) = Notifier(run).deliver()
    assert reason in failure


def test_wait_and_then_an_answer(sides: tuple[Side, Side], hook: Webhook) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    hook.answer = lambda connection: connection.sendall(early + b"HTTP/1.1 200\r\n\r\n")
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        assert Notifier(run).deliver() == []


def drip(connection: socket) -> None:
    """Answer for ever, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    pause = threading.Event()
    while True:
        connection.sendall(b"y")
        pause.wait(0.02)


def test_an_answer_has_to_end(
    sides: tuple[Side, Side], hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_request, "ANSWER_SECONDS", 0.1)
    hook.answer = drip
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        (failure,) = Notifier(run).deliver()
    assert "did not answer within 0.1 s" in failure


# What is sent


def test_a_request_is_signed_and_has_its_own_headers(
    sides: tuple[Side, Side], hook: Webhook
) -> None:
    hook.status = 503
    notify = Notify(hook.url, headers={"Authorization": "Bearer t"}, secret="s3cret")
    with running(sides, notify) as run:
        change(run, sides, "Joan")
        Notifier(run).deliver()
        change(run, sides, "Jill")  # waits for the first one
        hook.status = 200
        Notifier(run).deliver()
    first, again, second = hook.next_sent(), hook.next_sent(), hook.next_sent()
    assert first.body == again.body
    deliveries = [each.headers["Syncline-Delivery"] for each in (first, again, second)]
    assert deliveries[0] == deliveries[1] != deliveries[2]
    for request in (first, again, second):
        assert request.headers["Authorization"] == "Bearer t"
        at, _, mac = request.headers["Syncline-Signature"].partition(",v1=")
        signed = at.removeprefix("t=").encode() + b"." + request.body
        assert mac == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    names = [
        each["fields"]["name"]
        for request in (again, second)
        for each in orjson.loads(request.body)["changes"]
    ]
    assert names == ["Joan", "Jill"]


def test_without_a_secret_nothing_is_signed(sides: tuple[Side, Side], hook: Webhook) -> None:
    with running(sides, Notify(hook.url)) as run:
        change(run, sides, "Joan")
        Notifier(run).deliver()
    assert hook.next_sent().headers["Syncline-Signature"] is None


def test_two_webhooks_of_one_url_are_one(sides: tuple[Side, Side], hook: Webhook) -> None:
    both = (Notify(hook.url), Notify(hook.url, fields=frozenset({"name"})))
    with running(sides, *both) as run:
        change(run, sides, "Joan")
        assert Notifier(run).deliver() == []
    assert names_told(hook) == ["Joan"]
    assert hook.requests.empty()


# Who waits for whom


@pytest.mark.slow
def test_neither_data_nor_other_webhooks_wait_for_one_that_hangs(
    sides: tuple[Side, Side], hook: Webhook
) -> None:
    asked, release = threading.Event(), threading.Event()

    def hang(_: socket) -> None:
        asked.set()
        release.wait(PATIENCE)

    with webhook() as other:
        hook.answer = hang
        notify = (Notify(hook.url), Notify(other.url))
        pipeline = replace(shared_contacts(*sides), notify=notify, every=AN_HOUR)
        try:
            with going(pipeline) as kept:
                kept.report()
                rename(sides, "Joan")
                assert names_told(other) == ["Joan"]
                assert asked.wait(PATIENCE)
                kept.report()
                rename(sides, "Jill")
                kept.report()
                assert names_told(other) == ["Jill"]
                assert sides[1].execute("SELECT full_name FROM customers") == [("Jill",)]
                assert not release.is_set()
        finally:
            release.set()


@pytest.mark.slow
def test_the_end_does_not_wait_for_an_answer_that_drips(
    sides: tuple[Side, Side], hook: Webhook
) -> None:
    hook.answer = drip
    pipeline = replace(shared_contacts(*sides), notify=(Notify(hook.url),), every=AN_HOUR)
    with going(pipeline) as kept:
        kept.report()
        rename(sides, "Joan")
        hook.next_sent()
        began = monotonic()
    assert monotonic() - began < webhook_request.ANSWER_SECONDS / 2


@pytest.mark.slow
def test_new_changes_do_not_lengthen_the_wait(
    sides: tuple[Side, Side], hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "FIRST_RETRY_SECONDS", 1.0)
    hook.status = 503
    pipeline = replace(shared_contacts(*sides), notify=(Notify(hook.url),), every=AN_HOUR)
    with going(pipeline) as kept:
        kept.report()
        rename(sides, "first")
        kept.report()
        assert names_told(hook) == ["first"]
        hook.status = 200
        began = monotonic()
        for number in range(5):
            rename(sides, f"then {number}")
            kept.report()
        assert names_told(hook) == ["first"]
        assert monotonic() - began < 10.0  # doubled with each change it would be 32
        told: list[str] = []
        while told[-1:] != ["then 4"]:
            told += names_told(hook)
    assert told == [f"then {number}" for number in range(5)]


def test_pauses(sides: tuple[Side, Side]) -> None:
    with running(sides, Notify("http://127.0.0.1:9/")) as run:
        pause = Notifier(run)._pause  # pyright: ignore[reportPrivateUsage]
        pauses = [pause(failures, 0.0) for failures in range(1, 60)]
        assert all(
            min(2.0**number, 60.0) / 2 <= each <= min(2.0**number, 60.0)
            for number, each in enumerate(pauses)
        )
        assert len(set(pauses)) == len(pauses)
        assert pause(1, 30.0) == 30.0
        assert pause(1, 1e9) == notifier.RETRY_AFTER_SECONDS == 3600.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("9" * 5000, 999_999_999.0),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    now = 784_111_767_000  # ten seconds before
    headers = Message()
    headers["Retry-After"] = value
    assert webhook_request._retry_after(headers, now) == seconds  # pyright: ignore[reportPrivateUsage]


# What is kept and shown


def test_another_url_of_the_same_webhook_is_told_of_what_waits(
    sides: tuple[Side, Side], hook: Webhook
) -> None:
    on = frozenset({"contact"})
    old = Notify("http://127.0.0.1:9/old", on=on)
    with running(sides, old) as run:
        change(run, sides, "Joan")
        assert Notifier(run).deliver() != []
    with running(sides, Notify(hook.url, on=on)) as run:
        change(run, sides, "Jill")
        assert Notifier(run).deliver() == []
    assert [*names_told(hook)] == ["Joan", "Jill"]


@pytest.mark.parametrize("also", [(), (Notify("http://127.0.0.1:9/another"),)])
def test_it_is_not_guessed_which_one_it_was(
    sides: tuple[Side, Side], hook: Webhook, also: tuple[Notify, ...]
) -> None:
    """One that wants other changes is another, and so is each of two."""
    with running(sides, Notify("http://127.0.0.1:9/old")) as run:
        change(run, sides, "Joan")
    fields = frozenset[str]() if also else frozenset({"name"})
    with running(sides, Notify(hook.url, fields=fields), *also) as run:
        Notifier(run).deliver()
    assert hook.requests.empty()


def test_it_is_shown_what_waits_and_why(sides: tuple[Side, Side], hook: Webhook) -> None:
    hook.status = 503
    with running(sides, Notify(hook.url)) as run:
        (status,) = run.webhooks()
        assert (status.waiting, status.failure, status.tries) == (0, None, 0)
        change(run, sides, "Joan")
        for _ in range(2):
            Notifier(run).deliver()
        (status,) = run.webhooks()
        assert (status.waiting, status.failure, status.tries) == (1, "it answered 503", 2)
        assert "s3cret" not in repr(status)
        hook.status = 200
        Notifier(run).deliver()
        (status,) = run.webhooks()
        assert (status.waiting, status.failure, status.tries) == (0, None, 0)


def test_what_is_sent_is_fixed_for_the_next_process(
    sides: tuple[Side, Side], hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "CHANGES_AT_ONCE", 2)
    hook.status = 503
    bodies: list[Any] = []
    for name in ("Joan", "Jill", "Jane"):
        with running(sides, Notify(hook.url)) as run:
            change(run, sides, name)
            Notifier(run).deliver()
        bodies.append(hook.told())
    assert [len(each) for each in bodies] == [1, 1, 1]
    hook.status = 200
    with running(sides, Notify(hook.url)) as run:
        assert Notifier(run).deliver() == []
    assert [names_told(hook), names_told(hook)] == [["Joan"], ["Jill", "Jane"]]


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_on_servers(kind: str, tmp_path: Path, hook: Webhook) -> None:
    hook.status = 503
    with two_sides(kind, kind, tmp_path) as sides:
        sides[0].execute("INSERT INTO contacts (first_name, email) VALUES ('Jane', 'j@x.org')")
        pipeline = replace(shared_contacts(*sides), notify=(Notify(hook.url),), every=AN_HOUR)
        with going(pipeline) as kept:
            kept.report()
            rename(sides, "Joan")
            assert names_told(hook) == ["Joan"]
            hook.status = 200
            assert names_told(hook) == ["Joan"]
        with running(sides, Notify(hook.url)) as run:
            Notifier(run).deliver()  # it may have been stopped before it noted the answer
        while not hook.requests.empty():
            hook.told()
        with running(sides, Notify("http://127.0.0.1:9/")) as run:
            change(run, sides, "Jill")
            assert [each.waiting for each in run.webhooks()] == [1]
        with running(sides, Notify(hook.url)) as run:
            assert Notifier(run).deliver() == []
    assert names_told(hook) == ["Jill"]
