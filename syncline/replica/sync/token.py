"""The token of a replica: what it proves with who it is, and the function that gets it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from syncline.engine.errors import TokenUnavailable, ValueRefused, WrongType
from syncline.engine.protocol.json_object import is_token
from syncline.engine.protocol.messages import MAX_TOKEN

from .cause import cause_of

logger = logging.getLogger("syncline.replica")

Token: TypeAlias = str | Callable[[], Awaitable[str] | str] | None
"""What a replica proves with who it is, or a function that gets it, asked for each connection
anew."""

TOKEN_SECONDS = 30.0
"""How long the function may take."""
_CANCEL_SECONDS = 1.0  # for a function to end once it is cancelled
_RETRY_SECONDS = 1.0


class TokenSource:
    """Gets the token for each connection. The function is the program's own: whatever it does, its
    replica goes on. Raises WrongType and ValueRefused for what can be no token."""

    def __init__(self, token: Token, *, seconds: float = TOKEN_SECONDS) -> None:
        if token is not None and not isinstance(token, str) and not callable(token):
            raise WrongType(
                f"token= is a str or a function that gets one, and not of type "
                f"{type(token).__name__}.",
                hint="Give the function itself, as in token=fetch_token, without calling it.",
            )
        if isinstance(token, str) and (problem := _problem(token)) is not None:
            raise ValueRefused(
                f"token= is {problem}.", hint="Give the token alone, as the relay knows it."
            )
        self._token = token
        self._seconds = seconds
        self._asking: asyncio.Task[object] | None = None

    @property
    def renews(self) -> bool:
        """Whether the next token may be another one."""
        return callable(self._token)

    async def get(self) -> str | None:
        """The token for the next connection. Raises TokenUnavailable, after ``seconds`` at most."""
        if self._token is None or isinstance(self._token, str):
            return self._token
        if self._asking is not None and not self._asking.done():
            raise _unavailable(
                "has not ended since it was cancelled", "It must let CancelledError through."
            )
        self._asking = asyncio.create_task(_call(self._token))
        answer = await self._answer(self._asking)
        if not isinstance(answer, str):
            raise _unavailable(
                f"returned a value of type {type(answer).__name__}, not a str",
                "Return the token as a str.",
            )
        problem = _problem(answer)
        if problem is not None:
            raise _unavailable(
                f"returned {problem}", "Return the token alone, as the relay knows it."
            )
        return answer

    async def _answer(self, asking: asyncio.Task[object]) -> object:
        # A task of its own: a cancellation inside of it is then not taken for one of ours, and
        # the wait is bounded although the function may not let itself be cancelled.
        asking.add_done_callback(_look_at)
        try:
            await asyncio.wait([asking], timeout=self._seconds)
        finally:
            late = not asking.done()
            if late:
                asking.cancel()
                await asyncio.wait([asking], timeout=_CANCEL_SECONDS)
        if late:
            raise _unavailable(
                f"did not return within {self._seconds:g} seconds",
                "Replica.open(token_timeout=…) says how long it may take.",
            )
        if asking.cancelled():
            raise _unavailable("was cancelled", "Look at what it awaits.")
        error = asking.exception()
        if error is None:
            return asking.result()
        logger.debug("the function given as token= failed", exc_info=error)
        raise _unavailable(
            f"failed: {cause_of(error)}", "Look at what it needs, such as the auth server."
        )


def _problem(token: str) -> str | None:
    """Why no relay would take a hello with this token (docs/protocol.md)."""
    if not token:
        return "an empty str"
    if len(token) > MAX_TOKEN:
        return f"a str of {len(token):,} characters, of which a token has at most {MAX_TOKEN:,}"
    if not is_token(token):
        return "a str with a line end or another character that cannot be printed"
    return None


async def _call(function: Callable[[], Awaitable[str] | str]) -> object:
    answer = function()
    return await answer if inspect.isawaitable(answer) else answer


def _look_at(asking: asyncio.Task[object]) -> None:
    """Take the exception of a call that nobody waits for any more, or asyncio logs it."""
    if not asking.cancelled():
        asking.exception()


def _unavailable(problem: str, advice: str) -> TokenUnavailable:
    return TokenUnavailable(
        f"There is no token for the relay: the function given as token= {problem}.",
        hint=f"{advice} The replica asks again by itself, and keeps its changes meanwhile.",
        retry_after=_RETRY_SECONDS,
    )
