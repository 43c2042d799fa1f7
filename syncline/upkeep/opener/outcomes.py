"""What an opener's answer begins with, and what it is asked for."""

from __future__ import annotations

READY, PART, DONE, REFUSED, DEFECT = b"ready", b"part", b"done", b"refused", b"defect"

SNAPSHOT, DIGEST, OPEN, REBUILD, TASTE, ROWS = (
    b"snapshot",
    b"digest",
    b"open",
    b"rebuild",
    b"taste",
    b"rows",
)
