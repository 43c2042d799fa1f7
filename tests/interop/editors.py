"""The real clients of Yjs under Node, as tests drive them; client.mjs is the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import orjson

HERE = Path(__file__).parent
PATIENCE = 60.0
_LINE_BYTES = 64 << 20
_EVENTS_SHOWN = 80

Y_WEBSOCKET = "y-websocket"
HOCUSPOCUS = ("hocuspocus-v2", "hocuspocus-v3", "hocuspocus-v4")
KINDS = (Y_WEBSOCKET, *HOCUSPOCUS)


class Event(NamedTuple):
    """Something that a client told; ``editor`` is empty for the process."""

    editor: str
    kind: str
    data: Any


class Node:
    """One process of Node with any number of editors."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[Event] = []
        self._process = process
        self._ids = count(1)
        self._names = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Take in what the process says, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = orjson.loads(line)
            if "id" in said:
                answer = self._answers.pop(said["id"])
                if "error" in said:
                    answer.set_exception(AssertionError(said["error"]))
                else:
                    answer.set_result(said["value"])
            else:
                self.events.append(Event(said["editor"], said["event"], said["data"]))
                self._news.set()
        for answer in self._answers.values():
            answer.set_exception(AssertionError("the process of the editors ended"))

    async def open(
        self,
        kind: str,
        url: str,
        document: str = "pages/a",
        *,
        token: str | None = None,
        beside: Editor | None = None,
        session: bool = False,
        stubborn: bool = False,
    ) -> Editor:
        """A new editor, which connects at once; ``url`` ends in the workspace. ``beside`` an editor
        it uses that one's websocket; ``stubborn``, it connects again whatever it is told."""
        editor = Editor(self, f"{kind}#{next(self._names)}", kind)
        options = {
            "kind": kind,
            "url": url,
            "document": document,
            "token": token,
            "beside": beside.name if beside else None,
            "session": session,
            "stubborn": stubborn,
        }
        await self.order(editor.name, "open", options)
        return editor

    async def order(self, editor: str, action: str, *values: object) -> Any:
        """Have something done; returns what it gave. Waits as long as PATIENCE."""
        id_ = next(self._ids)
        answer = self._answers[id_] = asyncio.get_running_loop().create_future()
        order = {"id": id_, "editor": editor, "do": action, "with": values}
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        except TimeoutError:
            raise AssertionError(self.failure(editor, f"no answer to {action}")) from None

    async def wait(self, editor: str, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        """Look after each event until ``look`` says yes. Waits as long as PATIENCE."""
        try:
            async with asyncio.timeout(PATIENCE):
                known = len(self.events)
                while not await look():
                    while len(self.events) <= known:
                        self._news.clear()
                        await self._news.wait()
                    known = len(self.events)
        except TimeoutError:
            raise AssertionError(self.failure(editor, what)) from None

    def failure(self, editor: str, what: str) -> str:
        """A sentence, and what happened before."""
        latest = "\n".join(f"  {e.editor} {e.kind} {e.data}" for e in self.events[-_EVENTS_SHOWN:])
        return f"{editor}: {what}. Its process told last:\n{latest}"

    def console(self) -> list[str]:
        """What the clients wrote for the person at the browser's console."""
        return [event.data for event in self.events if event.kind == "console"]

    def check(self) -> None:
        """Fail if a client threw something that nobody caught."""
        crashes = [event.data for event in self.events if event.kind == "crash"]
        assert not crashes, crashes


class Editor:
    """A Y.Doc and its provider. Positions count UTF-16 units, as in JavaScript."""

    def __init__(self, node: Node, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self._node = node

    async def do(self, action: str, *values: object) -> Any:
        """Call a method of client.mjs's Editor."""
        return await self._node.order(self.name, action, *values)

    async def until(self, wanted: object, what: str, *values: object) -> None:
        """Wait until a method of client.mjs's Editor gives ``wanted``."""

        async def look() -> bool:
            found: object = await self.do(what, *values)
            return found == wanted

        await self._node.wait(self.name, f"{what}{values} is not {wanted!r:.200}", look)

    # The document

    async def insert(self, text: str, at: int = 0, *, root: str = "body") -> None:
        await self.do("insert", root, at, text)

    async def append(self, text: str, *, root: str = "body") -> None:
        await self.do("append", root, text)

    async def text(self, root: str = "body") -> str:
        text: str = await self.do("text", root)
        return text

    async def shows(self, text: str, *, root: str = "body") -> None:
        """Wait until the text is this."""
        await self.until(text, "text", root)

    # Who is there

    async def present(self, state: object) -> None:
        """Set the own awareness; None takes it away."""
        await self.do("present", state)

    async def sees(self, *others: object) -> None:
        """Wait until the awareness of the others is this, in any order."""
        wanted = sorted(map(orjson.dumps, others))

        async def look() -> bool:
            found: dict[str, object] = await self.do("others")
            return sorted(map(orjson.dumps, found.values())) == wanted

        await self._node.wait(self.name, f"it does not see {others}", look)

    # The connection

    async def synced(self) -> None:
        """Wait until it has what the relay had."""
        await self.until(True, "synced")

    async def saved(self) -> None:
        """Wait until everything is acknowledged: Hocuspocus only.

        Not until the count is 0. What v2 was given while it connected it counts once and sends
        twice, so its count goes below.
        """
        await self.until(True, "saved")

    async def heard(self, kind: str, *, after: int = 0) -> Any:
        """Wait for an event of a kind behind ``mark()``; returns what the first one brought."""

        async def look() -> bool:
            return bool(self.told(kind, after=after))

        await self._node.wait(self.name, f"no {kind}", look)
        return self.told(kind, after=after)[0]

    async def received(self, frame: bytes, *, after: int = 0) -> None:
        """Wait for a frame that begins like this."""

        async def look() -> bool:
            return any(f.startswith(frame) for f in self.frames("received", after=after))

        await self._node.wait(self.name, f"no frame {frame.hex()}", look)

    def mark(self) -> int:
        """A position in the events, for ``heard`` and ``told``."""
        return len(self._node.events)

    def told(self, kind: str, *, after: int = 0) -> list[Any]:
        """What the events of a kind brought so far."""
        return [
            event.data
            for event in self._node.events[after:]
            if (event.editor, event.kind) == (self.name, kind)
        ]

    def sizes(self, direction: str) -> list[int]:
        """How long the frames of its socket were."""
        return [data[1] for data in self.told(direction)]

    def frames(self, direction: str, *, after: int = 0) -> list[bytes]:
        """The frames of its socket, ``received`` or ``sent``; long ones are cut."""
        return [bytes.fromhex(data[0]) for data in self.told(direction, after=after)]

    async def disconnect(self) -> None:
        """Close the websocket; returns when it is closed."""
        mark = self.mark()
        await self.do("disconnect")
        await self.heard("ended", after=mark)

    async def connect(self) -> None:
        await self.do("connect")

    async def destroy(self) -> None:
        await self.do("destroy")


@asynccontextmanager
async def node() -> AsyncGenerator[Node]:
    """Start Node; at the end it is checked that no client threw."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "client.mjs",
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    started = Node(process)
    listening = asyncio.create_task(started.listen())
    try:
        yield started
        started.check()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening
