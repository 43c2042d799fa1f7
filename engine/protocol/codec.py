"""Frames: messages to bytes and back, strictly.

``decode`` takes whatever a stranger sends and either returns a message whose every field is of the
right type and within its bounds, or raises MalformedFrame with a sentence that names the message
and the field. Control messages are JSON (text_frames.py), messages with updates are binary
(binary_frames.py); ``docs/protocol.md`` describes both, with test vectors.
"""

from __future__ import annotations

from syncline.engine.errors import MalformedFrame

from .binary_frames import decode_binary, encode_binary
from .messages import LIMITS, DocumentUpdate, Frame, Message, Push, States, Updates
from .text_frames import decode_text, encode_text


def encode(message: Message) -> Frame:
    """Return the frame that carries ``message``: bytes for updates, text for everything else.

    The caller answers for the fields, except that sentences are cut to MAX_TEXT characters and
    cleaned: they may quote anything.
    """
    if isinstance(message, (Push, Updates, DocumentUpdate, States)):
        return encode_binary(message)
    return encode_text(message)


def decode(frame: Frame, max_bytes: int = LIMITS.max_frame) -> Message:
    """Return the message in ``frame``, which may hold at most ``max_bytes`` (text as UTF-8).

    Raises MalformedFrame; and VersionMismatch for a hello that offers no version that we speak,
    since the rest of it may be of a form that we do not know.
    """
    # Cheap first: a text has at least as many bytes as characters.
    if len(frame) > max_bytes:
        raise _too_large(len(frame), max_bytes)
    if isinstance(frame, bytes):
        return decode_binary(frame)
    try:
        data = frame.encode()
    except UnicodeEncodeError:
        raise MalformedFrame(
            "The text frame has half a character in it.", hint="Text frames are UTF-8."
        ) from None
    if len(data) > max_bytes:
        raise _too_large(len(data), max_bytes)
    return decode_text(data)


def _too_large(size: int, limit: int) -> MalformedFrame:
    return MalformedFrame(
        f"The frame has {size:,} bytes or more, and {limit:,} are allowed.",
        hint="Send less at once; the relay's welcome names its limits.",
    )
