"""Files for browsers, served beside the relay's websockets.

A folder is read once, at the start. A request is looked up among the paths that were found then, so
no path leads out of the folder, and none into one that came later.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from syncline.engine.errors import LimitExceeded, UsageError
from syncline.transports import HttpReply

MAX_STATIC_BYTES = 64 << 20
"""The most that a folder may hold: it is kept in memory."""

_TYPES = MimeTypes(filenames=()).types_map[True] | {
    # What Python does not know, or only a later one than the oldest that is supported.
    ".js": "text/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    # What it calls otherwise: image/vnd.microsoft.icon, and text/xml, which would be in UTF-8 here
    # whatever the file itself says.
    ".ico": "image/x-icon",
    ".xml": "application/xml",
}
"""By the end of a file's name. `filenames=()`: whatever the tables of the machine say."""
_INDEX = "index.html"


class StaticFiles:
    """The files of ``folder``, as they are now. A folder stands for its ``index.html``.

    Not served are names that begin with a dot, except ``.well-known``, what is behind links to
    folders, and links to files outside. Raises UsageError if it cannot be read, LimitExceeded
    beyond MAX_STATIC_BYTES.
    """

    def __init__(self, folder: str | Path) -> None:
        root = Path(folder)
        self._replies: dict[str, HttpReply] = {}
        size = 0
        try:
            for path, file in _files(root.resolve(strict=True)):
                size += file.stat().st_size
                if size > MAX_STATIC_BYTES:
                    raise LimitExceeded(
                        f"The folder {root} holds more than {MAX_STATIC_BYTES >> 20} MiB to serve.",
                        hint="Name a folder of built files, or serve large ones with a web server.",
                    )
                self._add(path, file.read_bytes())
        except OSError as error:
            raise UsageError(
                f"The folder {root} cannot be read: {error.strerror or type(error).__name__}.",
                hint="Name a folder with the files to serve, such as dist.",
            ) from error
        if not self._replies:
            raise UsageError(
                f"The folder {root} holds no files to serve.",
                hint="Build the pages first, or name another folder.",
            )

    def _add(self, path: PurePosixPath, body: bytes) -> None:
        kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
        if kind.startswith("text/"):
            kind += "; charset=utf-8"
        reply = self._replies[f"/{path}"] = HttpReply(200, kind, body)
        if path.name == _INDEX:
            folder = "/" if path.parent == PurePosixPath() else f"/{path.parent}/"
            self._replies[folder] = reply
            if folder != "/":
                # Without the slash the links of the page would lead beside the folder.
                self._replies[folder.rstrip("/")] = HttpReply(
                    308, "text/plain; charset=utf-8", b"", (("Location", quote(folder)),)
                )

    def answer(self, path: str) -> HttpReply | None:
        """The reply for the path of a URL, percent-encoded as it came; None if there is none."""
        return self._replies.get(unquote(path))


def _files(root: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Every file to be served, with its path below ``root``."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=fail):
        folders[:] = sorted(name for name in folders if _is_shown(name))
        for name in sorted(filter(_is_shown, names)):
            file = Path(folder, name)
            target = file.resolve()
            if (
                file.is_file()
                and target.is_relative_to(root)
                and all(map(_is_shown, target.relative_to(root).parts))
            ):
                yield PurePosixPath(file.relative_to(root).as_posix()), file


def _is_shown(name: str) -> bool:
    return not name.startswith(".") or name == ".well-known"
