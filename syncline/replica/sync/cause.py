"""What a foreign exception says, fit for a status line and a log."""

from __future__ import annotations

import re

_MAX_CAUSE = 300  # characters


def cause_of(error: BaseException) -> str:
    """One line that says what happened, without the credentials and queries of URLs in it."""
    text = " ".join(str(error).split())
    text = re.sub(r"//[^/@\s]*@", "//***@", text)
    text = re.sub(r"(://[^\s?]*)\?[^\s'\")]*", r"\1?***", text)
    return f"{type(error).__name__}: {text[:_MAX_CAUSE]}".rstrip(":. ")
