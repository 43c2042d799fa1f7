"""Functions that get tokens are the program's own: whatever they do, the replica goes on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from syncline import Credentials, NotAuthenticated, Principal, Relay, Replica
from syncline.engine.errors import NotAuthenticated as Refused
from syncline.engine.errors import TokenUnavailable, ValueRefused, WrongType
from tests.profiles import few_quickly
from tests.replica.models import Contact, link_of

PATIENCE = 60.0
SECRET = "hunter2"  # noqa: S105


class Gate:
    """An Authenticator that knows one token, and notes what it was given."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.seen: list[str | None] = []

    async def authenticate(self, credentials: Credentials) -> Principal:
        self.seen.append(credentials.token)
        if credentials.token != self.good:
            raise NotAuthenticated("The token has expired.", hint="Get another.")
        return Principal("ada")


class Answers:
    """A token function: what it does the first times, and the token from then on."""

    def __init__(self, *first: Callable[[], Any], token: str = "good") -> None:  # noqa: S107
        self.calls = 0
        self._first = first
        self._token = token

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls > len(self._first):
            return self._token
        answer = self._first[self.calls - 1]()
        if inspect.isawaitable(answer):
            return str(await answer)
        return cast("str", answer)


def raising(error: BaseException) -> Callable[[], Any]:
    async def fail() -> str:
        raise error

    return fail


@asynccontextmanager
async def gated(folder: Path, token: Any, **options: Any) -> AsyncGenerator[tuple[Replica, Gate]]:
    gate = Gate("good")
    async with (
        Relay(folder / "relay.db", port=0, authenticator=gate) as relay,
        Replica.open(
            folder / "ada.db", models=[Contact], relay=f"{relay.url}/crm", token=token, **options
        ) as replica,
    ):
        replica.collection(Contact).create(key="x", name="X")
        yield replica, gate


async def reported(replica: Replica, code: str) -> str:
    """Wait until ``status`` tells of that error; returns what it says."""
    async with asyncio.timeout(PATIENCE):
        while replica.status.error_code != code:  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)
    return str(replica.status.error)


async def synced(replica: Replica) -> None:
    async with asyncio.timeout(PATIENCE):
        await replica.synced()
    assert (replica.pending, link_of(replica), replica.status.error) == (0, "online", None)


FAILURES = {
    "away": (raising(ConnectionError("the auth server is away")), "the auth server is away"),
    "slow": (raising(TimeoutError()), "failed: TimeoutError"),
    "its defect": (raising(KeyError("jwt")), "failed: KeyError"),
    "cancelled inside": (raising(asyncio.CancelledError()), "was cancelled"),
    "hangs": (lambda: asyncio.Event().wait(), "did not return within 0.05 seconds"),
    "None": (lambda: None, "returned a value of type NoneType"),
    "bytes": (lambda: b"good", "returned a value of type bytes"),
    "too long": (lambda: "x" * 8193, "returned a str of 8,193 characters"),
    "empty": (lambda: "", "returned an empty str"),
    "a line": (lambda: "good\n", "returned a str with a line end"),
}


@pytest.mark.parametrize("name", few_quickly(FAILURES, 1))
async def test_a_failure_is_told_and_the_token_asked_for_again(tmp_path: Path, name: str) -> None:
    failure, sentence = FAILURES[name]
    answers = Answers(failure, failure)
    async with gated(tmp_path, answers, token_timeout=0.05) as (replica, gate):
        error = await reported(replica, TokenUnavailable.code)
        assert sentence in error
        assert "keeps its changes" in error
        await synced(replica)
        assert answers.calls == 3
        assert gate.seen == ["good"], "without a token it does not say hello"


@pytest.mark.slow
async def test_a_stale_token_of_a_function_is_asked_for_anew(tmp_path: Path) -> None:
    answers = Answers(lambda: "stale", lambda: "stale")
    async with gated(tmp_path, answers) as (replica, gate):
        assert "The token has expired." in await reported(replica, Refused.code)
        await synced(replica)
        assert gate.seen == ["stale", "stale", "good"]


async def test_a_token_that_is_a_str_is_refused_for_good_until_connect(tmp_path: Path) -> None:
    async with gated(tmp_path, "stale") as (replica, gate):
        with pytest.raises(Refused, match="The token has expired") as caught:
            await synced(replica)
        assert link_of(replica) == "failed"
        assert "replica.connect(url, token=…)" in caught.value.hint
        assert "Changes are kept" in caught.value.hint
        assert (replica.status.error, replica.status.error_code) == (
            str(caught.value),
            "not-authenticated",
        )
        await replica.connect(str(replica.status.relay), token="good")
        await synced(replica)
        assert gate.seen == ["stale", "good"]


async def _with_name(_name: str) -> str:
    return "good"


@pytest.mark.parametrize(
    "token", [lambda: "good", partial(_with_name, "ada"), Answers()], ids=["plain", "partial", "·"]
)
async def test_any_callable_will_do(tmp_path: Path, token: Any) -> None:
    async with gated(tmp_path, token) as (replica, gate):
        await synced(replica)
        assert gate.seen == ["good"]


async def test_a_plain_function_that_raises(tmp_path: Path) -> None:
    calls: list[int] = []

    def token() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no network")
        return "good"

    async with gated(tmp_path, token) as (replica, _):
        assert "OSError: no network" in await reported(replica, TokenUnavailable.code)
        await synced(replica)


@pytest.mark.parametrize("token", [5, b"token", ["token"]], ids=repr)
async def test_what_can_be_no_token_is_refused_at_once(tmp_path: Path, token: Any) -> None:
    with pytest.raises(WrongType, match="token= is a str or a function"):
        Replica.open(tmp_path / "a.db", token=token)
    async with Replica.open(tmp_path / "a.db") as replica:
        with pytest.raises(WrongType, match="token= is a str or a function"):
            await replica.connect("ws://127.0.0.1:9/crm", token=token)


@pytest.mark.parametrize("token", ["", "good\n", "x" * 8193], ids=["empty", "line", "long"])
async def test_a_str_that_no_relay_would_take_is_refused_at_once(
    tmp_path: Path, token: str
) -> None:
    with pytest.raises(ValueRefused, match="token= is a"):
        Replica.open(tmp_path / "a.db", token=token)


@pytest.mark.slow
async def test_a_function_that_does_not_end_is_not_called_a_second_time(tmp_path: Path) -> None:
    """It is awaited in bounded time all the same, and at most one is under way."""
    release = asyncio.Event()
    calls: list[int] = []

    async def stubborn() -> str:
        calls.append(1)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "good"

    async with gated(tmp_path, stubborn, token_timeout=0.01) as (replica, _):
        async with asyncio.timeout(PATIENCE):
            while "has not ended since" not in str(replica.status.error):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(calls) == 1
        release.set()
        await synced(replica)
        assert len(calls) == 2


async def test_what_an_error_says_goes_without_its_urls_secrets(tmp_path: Path) -> None:
    url = f"https://ada:{SECRET}@auth.example/token?key={SECRET}"
    answers = Answers(raising(OSError(f"GET {url} failed")))
    async with gated(tmp_path, answers) as (replica, _):
        error = await reported(replica, TokenUnavailable.code)
        assert "https://***@auth.example/token?***" in error
        assert SECRET not in error


async def test_closing_does_not_wait_for_a_token(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async with asyncio.timeout(PATIENCE):
        async with gated(tmp_path, never, token_timeout=PATIENCE * 10):
            await asked.wait()
