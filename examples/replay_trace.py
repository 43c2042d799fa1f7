"""Type a recorded editing session on one replica, and read it on another:

    python examples/replay_trace.py automerge-paper.json.gz

Both sync with a relay over real websockets, all in this process. In the end both must hold the text
that the recording ends with, byte for byte. ``--limit N`` types the first N keystrokes only.
"""

import asyncio
import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.progress import track

from syncline import Relay, Replica

PAPER = "pages/paper"
BURST = 500  # keystrokes typed without waiting for the disk


@dataclass(frozen=True)
class Result:
    """What both ended with, the seconds until they did, and what the relay keeps of it."""

    content: str
    keystrokes: int
    seconds: float
    stored_bytes: int


async def replay(recording: dict[str, Any], folder: Path, limit: int | None = None) -> Result:
    """Type ``recording``; relay, writer and reader keep their stores in ``folder``."""
    patches = [patch for txn in recording["txns"] for patch in txn["patches"]]
    keystrokes = patches[:limit]
    async with Relay(folder / "relay.db", port=0) as relay:
        url = f"{relay.url}/replay"
        async with (
            Replica.open(folder / "writer.db", relay=url) as writer,
            Replica.open(folder / "reader.db", relay=url) as reader,
        ):
            typed, read = (each.document(PAPER).text("body") for each in (writer, reader))
            started = time.perf_counter()
            typed.append(recording["startContent"])
            for number, (position, deleted, inserted) in enumerate(track(keystrokes, "Typing"), 1):
                typed.delete(position, deleted)
                typed.insert(position, inserted)
                if number % BURST == 0:
                    await writer.flushed()  # on disk; now it may travel, while the typing goes on
            await writer.synced()  # the relay has everything
            await reader.synced()  # and so has the reader
            seconds = time.perf_counter() - started
            assert str(read) == str(typed), "writer and reader differ"
            if len(keystrokes) == len(patches):
                assert str(read).encode() == recording["endContent"].encode(), "the end is another"
            stored_bytes = sum(info.size for info in relay.store.documents("replay"))
            return Result(str(read), len(keystrokes), seconds, stored_bytes)


def main(path: Path, limit: Annotated[int | None, typer.Option(min=1)] = None) -> None:
    """Type the recorded session at PATH, or its first LIMIT keystrokes."""
    recording = json.loads(gzip.decompress(path.read_bytes()))
    with TemporaryDirectory() as folder:
        result = asyncio.run(replay(recording, Path(folder), limit))
    speed = result.keystrokes / result.seconds
    print(f"Writer and reader hold the same {len(result.content):,} characters.")
    print(f"{result.keystrokes:,} keystrokes in {result.seconds:.1f} s, {speed:,.0f} a second.")
    print(f"{result.stored_bytes:,} bytes at the relay.")


if __name__ == "__main__":
    typer.run(main)
