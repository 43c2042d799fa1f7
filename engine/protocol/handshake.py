"""Who may talk to whom: what hello and welcome must agree on before anything else is said."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.engine.errors import VersionMismatch, WorkspaceMismatch

from .messages import VERSIONS, Error, Hello, Welcome


def choose_version(offered: tuple[int, ...]) -> int:
    """The highest version that the replica offers and this relay speaks. Raises VersionMismatch."""
    common = set(offered) & set(VERSIONS)
    if not common:
        behind = "replica" if max(offered) < min(VERSIONS) else "relay"
        raise VersionMismatch(
            f"The replica speaks protocol version {_either(offered)}, "
            f"the relay {_either(VERSIONS)}.",
            hint=f"Upgrade the {behind}.",
        )
    return max(common)


def check_hello(hello: Hello, workspace: str) -> None:
    """Check a hello on a connection made to ``workspace``. Raises WorkspaceMismatch."""
    if hello.workspace != workspace:
        raise WorkspaceMismatch(
            f'The hello is about the workspace "{hello.workspace}", and the connection was made '
            f'to "{workspace}".',
            hint="Connect to the URL that ends in the workspace's name.",
        )


def check_welcome(hello: Hello, welcome: Welcome, *, moving: bool = False) -> None:
    """Check the answer to ``hello``; any relay will do for a replica that is ``moving``. Raises
    VersionMismatch and WorkspaceMismatch."""
    if welcome.version not in hello.versions:
        behind = "replica" if welcome.version > max(hello.versions) else "relay"
        raise VersionMismatch(
            f"The relay chose protocol version {welcome.version}, and this replica speaks "
            f"{_either(hello.versions)}.",
            hint=f"Upgrade the {behind}.",
        )
    if not moving and hello.relay is not None and lineage(welcome.relay) != lineage(hello.relay):
        raise WorkspaceMismatch(
            f"This replica has synced with the relay {lineage(hello.relay)}, and the relay at this "
            f"URL is {lineage(welcome.relay)}.",
            hint="Check the URL. If this relay is to take the other's place, await "
            "replica.move_to(url): it gives this relay everything that the replica has.",
        )


def is_forgetful(hello: Hello, welcome: Welcome) -> bool:
    """Whether the relay's log is not the one that hello is about: it was restored from a backup, or
    is another."""
    return hello.relay is not None and (
        welcome.relay != hello.relay
        or welcome.head < hello.cursor
        or welcome.batch < hello.acknowledged
    )


def lineage(relay: str) -> str:
    """What stays of a relay's identity when it is restored: the part before the dot."""
    return relay.partition(".")[0]


def version_refused(error: Error) -> VersionMismatch:
    """What an error message ``version-mismatch`` says to a replica."""
    return VersionMismatch(
        f"The relay refused protocol version {_either(VERSIONS)} of this replica: {error.message}",
        hint=error.hint,
    )


def _either(versions: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(versions)))
