"""Requests to webhooks: changes are posted, and answers are trusted with nothing.

Of an answer only its head is read, within a time and a size, and redirects are not followed: what
they lead to has been told nothing, whatever it answers.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import hmac
import io
import re
import ssl
from email.message import Message
from http.client import HTTPException, HTTPMessage, parse_headers
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from syncline.connectors.file.spec import Notify

ANSWER_SECONDS = 10.0
"""How long a request may take until it is answered, from the first byte to the last."""
ANSWER_BYTES = 64 << 10
"""How long the head of an answer may be."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?:[ \r\n]|$)")
_SAFE = "/?&=+%:@!$'()*,;~[]|"


class Answer(NamedTuple):
    """What a webhook answered: ``failure`` is why the changes count as not told, None if they were;
    ``retry_after`` is for how many seconds it asked to be left alone."""

    failure: str | None
    retry_after: float = 0.0


async def post(notify: Notify, body: bytes, now: int) -> Answer:
    """Post ``body`` to a webhook at ``now``, in milliseconds since the epoch. Raises nothing but
    what cancels it."""
    url = urlsplit(notify.url)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            status, headers = await _exchange(url, request_of(notify, body, now))
    except TimeoutError:
        return Answer(f"it did not answer within {ANSWER_SECONDS:g} s")
    except asyncio.LimitOverrunError:
        return Answer(f"the head of its answer is longer than {ANSWER_BYTES >> 10} KiB")
    except asyncio.IncompleteReadError:
        return Answer("it ended the connection without an answer")
    except HTTPException:
        return Answer("its answer is no HTTP")
    except (OSError, ValueError) as error:
        return Answer(str(error) or type(error).__name__)
    if 200 <= status < 300:
        return Answer(None)
    told = ", and redirects are not followed" if 300 <= status < 400 else ""
    return Answer(f"it answered {status}{told}", _retry_after(headers, now))


def request_of(notify: Notify, body: bytes, now: int) -> bytes:
    """The request as it is sent. Its delivery is the same whenever these changes are sent; the
    signature is of the moment, too, so that nobody can send it again later."""
    url = urlsplit(notify.url)
    headers = {
        "Host": url.netloc.rpartition("@")[2],
        "User-Agent": "syncline",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        "Syncline-Delivery": hashlib.sha256(notify.url.encode() + b"\0" + body).hexdigest()[:32],
        **notify.headers,
    }
    if notify.secret is not None:
        headers["Syncline-Signature"] = signature(notify.secret, body, now // 1000)
    target = quote(url.path or "/", safe=_SAFE)
    if url.query:
        target += "?" + quote(url.query, safe=_SAFE)
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def signature(secret: str, body: bytes, seconds: int) -> str:
    """What shows that ``body`` comes from who knows the secret: an HMAC of the time, a dot and the
    body."""
    signed = f"{seconds}.".encode() + body
    return f"t={seconds},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


async def _exchange(url: SplitResult, request: bytes) -> tuple[int, HTTPMessage]:
    secure = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname,
        url.port or (443 if secure else 80),
        ssl=ssl.create_default_context() if secure else None,
        limit=ANSWER_BYTES,
    )
    try:
        writer.write(request)
        await writer.drain()
        while True:
            head = io.BytesIO(await reader.readuntil(b"\r\n\r\n"))
            found = _STATUS.match(head.readline())
            if found is None:
                raise HTTPException
            headers = parse_headers(head)
            if (status := int(found[1])) >= 200:  # before it, there may be some that say "wait"
                return status, headers
    finally:
        writer.transport.abort()


def _retry_after(headers: Message, now: int) -> float:
    """In seconds; a date is one, too (RFC 9110, 10.2.3)."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, at.timestamp() - now / 1000)
