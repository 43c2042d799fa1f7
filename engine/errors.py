"""Every error Syncline raises, in one tree:

    SynclineError
    ├── UsageError              the calling code is wrong: fix it and call again
    │   ├── SchemaError         schema-invalid      a Record class that cannot be built
    │   ├── SchemaMismatch      schema-mismatch     a store written with another kind of field
    │   ├── UnknownField        unknown-field       (also an AttributeError)
    │   ├── UnknownCollection   unknown-collection  (also a KeyError)
    │   ├── WrongType           wrong-type          (also a TypeError)
    │   ├── ValueRefused        value-refused       (also a ValueError)
    │   ├── OutOfRange          out-of-range        (also an IndexError)
    │   ├── InvalidName         invalid-name        (also a ValueError)
    │   ├── InvalidUrl          invalid-url         (also a ValueError)
    │   ├── InvalidRule         invalid-rule        a cleaning rule that cannot be made
    │   ├── InvalidPipeline     invalid-pipeline    a pipeline file that cannot stand
    │   ├── MissingLibrary      missing-library     an extra of the package is not installed
    │   ├── RecordExists        record-exists
    │   ├── RecordNotFound      record-not-found    (also a KeyError)
    │   ├── TransactionConflict transaction-conflict
    │   ├── Detached            type-detached       a shared type that is in no document
    │   ├── WrongThread         wrong-thread        (also a RuntimeError)
    │   └── ReplicaClosed       replica-closed
    ├── StoreError              the local database
    │   ├── StoreBusy           store-busy          another process holds it
    │   ├── StoreDamaged        store-damaged       not a database, or torn
    │   ├── StoreVersion        store-version       written by a newer Syncline
    │   ├── StoreFailed         store-failed        disk full, input/output error (retryable)
    │   └── WorkspaceMismatch   workspace-mismatch  it belongs to another workspace or relay
    ├── TransportError          the network (all retryable)
    │   ├── RelayUnreachable    relay-unreachable
    │   └── TransportClosed     transport-closed    carries the websocket close code
    ├── ProtocolError           the peer said something it must not say
    │   ├── MalformedFrame      malformed-frame
    │   ├── UnexpectedMessage   unexpected-message
    │   ├── VersionMismatch     version-mismatch
    │   └── PeerError           (the peer's code)   the peer refused us, in its own words
    ├── AccessError             who may do what at a relay
    │   ├── NotAuthenticated    not-authenticated   no credentials, or none that the relay knows
    │   ├── NotAllowed          not-allowed         the principal may not read or write this
    │   └── TokenUnavailable    token-unavailable   token= gave none (retryable)
    ├── Disconnected        relay-left          a wait for a relay that the program has left
    ├── ConnectorError          a database that a pipeline connects
    │   ├── SystemUnavailable   system-unavailable  it cannot be reached (retryable)
    │   ├── SystemRefused       system-refused      it does not allow, or have, what is needed
    │   └── PipelineStopped     pipeline-stopped    a limit of the pipeline file was reached
    ├── InvalidValue            invalid-value       a cleaning rule found no valid form of a value
    ├── UpdateRefused           one update of one document
    │   ├── InvalidUpdate       invalid-update
    │   ├── HarmfulUpdate       update-harmful      opening the document hangs or fails with it
    │   └── MissingDependencies missing-dependencies
    ├── SnapshotRefused         snapshot-refused    a log that must not be compacted
    ├── LimitExceeded           limit-exceeded      a documented bound was reached
    └── DocumentBroken          document-broken     the CRDT library failed on this document

Each carries ``code`` (stable, for machines), a sentence naming what was wrong, and a ``hint``
saying what to do; retryable ones carry ``retry_after`` in seconds.
"""

from __future__ import annotations

from typing import Any


class SynclineError(Exception):
    """Base of every error Syncline raises.

    ``message`` is one sentence, ``hint`` says what to do about it, ``retry_after`` is the number
    of seconds after which trying again makes sense, or None when it never does by itself.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Copying and pickling would call __init__ without the keywords that it needs.
        return _rebuild, (type(self), self.args, vars(self))


def _rebuild(
    kind: type[SynclineError], args: tuple[Any, ...], state: dict[str, Any]
) -> SynclineError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class UsageError(SynclineError):
    """The calling code is wrong: fix it and call again. Nothing was changed."""

    code = "usage"


class SchemaError(UsageError):
    """A Record class cannot be built: a field or its rules cannot be what they say."""

    code = "schema-invalid"


class SchemaMismatch(UsageError):
    """A store holds a field that was written with another kind of field, such as Text for str."""

    code = "schema-mismatch"


class UnknownField(UsageError, AttributeError):
    """The record class declares no such field. Also an AttributeError."""

    code = "unknown-field"


class UnknownCollection(UsageError, KeyError):
    """The replica was not opened with this model. Also a KeyError."""

    code = "unknown-collection"


class WrongType(UsageError, TypeError):
    """A value is not of the type that the field declares. Also a TypeError."""

    code = "wrong-type"


class ValueRefused(UsageError, ValueError):
    """A value of the right type cannot be stored: it is too large, not finite, or refused by a
    cleaning rule. Also a ValueError."""

    code = "value-refused"


class OutOfRange(UsageError, IndexError):
    """An index beyond the ends of a text or list. Also an IndexError."""

    code = "out-of-range"


class InvalidName(UsageError, ValueError):
    """What is given as a workspace, collection or key cannot be one; docs/protocol.md says what
    can. Also a ValueError."""

    code = "invalid-name"


class InvalidUrl(UsageError, ValueError):
    """The URL of a relay or a database cannot be used. Also a ValueError."""

    code = "invalid-url"


class InvalidRule(UsageError):
    """A cleaning rule cannot be made of these options."""

    code = "invalid-rule"


class InvalidPipeline(UsageError):
    """A pipeline file cannot be used; the message lists every mistake, with its line and a hint."""

    code = "invalid-pipeline"


class MissingLibrary(UsageError):
    """An extra of the package is needed and not installed; the hint says which."""

    code = "missing-library"


class RecordExists(UsageError):
    """A record was created under a key that is taken."""

    code = "record-exists"


class RecordNotFound(UsageError, KeyError):
    """There is no such record, or it was deleted. Also a KeyError."""

    code = "record-not-found"


class TransactionConflict(UsageError):
    """A transaction is open where none may be, or a query would not see its changes."""

    code = "transaction-conflict"


class Detached(UsageError):
    """A shared type of an editor's document was deleted from it, or is in no document yet."""

    code = "type-detached"


class WrongThread(UsageError, RuntimeError):
    """A replica belongs to the thread that opened it, and another one has called. Also a
    RuntimeError."""

    code = "wrong-thread"


class ReplicaClosed(UsageError):
    """The replica is used outside its ``async with`` block."""

    code = "replica-closed"


class StoreError(SynclineError):
    """The local database did not do what it was asked. Nothing of the write is visible."""

    code = "store"


class StoreBusy(StoreError):
    """Another process holds the store."""

    code = "store-busy"


class StoreDamaged(StoreError):
    """The file is no database, or its content contradicts itself."""

    code = "store-damaged"


class StoreVersion(StoreError):
    """The store was written by a newer Syncline."""

    code = "store-version"


class StoreFailed(StoreError):
    """The disk is full or fails, or the server cannot be reached. ``retry_after`` says when to try
    again."""

    code = "store-failed"


class WorkspaceMismatch(StoreError):
    """The store belongs to another workspace or relay, or has another role."""

    code = "workspace-mismatch"


class TransportError(SynclineError):
    """The network. All of these are retryable, and a replica tries again by itself."""

    code = "transport"


class RelayUnreachable(TransportError):
    """No relay answers at the URL."""

    code = "relay-unreachable"


class TransportClosed(TransportError):
    """The connection ended. ``close_code`` is the websocket close code, 1006 when there was
    none."""

    code = "transport-closed"

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        close_code: int = 1006,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.close_code = close_code


class ProtocolError(SynclineError):
    """The other end said something that it must not say, or refused us."""

    code = "protocol"


class MalformedFrame(ProtocolError):
    """A frame is not as docs/protocol.md describes it."""

    code = "malformed-frame"


class UnexpectedMessage(ProtocolError):
    """A message has no place in this state of the conversation."""

    code = "unexpected-message"


class VersionMismatch(ProtocolError):
    """The two ends speak no common version of the protocol."""

    code = "version-mismatch"


class PeerError(ProtocolError):
    """The peer refused the conversation; ``code`` is the code that it gave."""

    def __init__(
        self, code: str, message: str, *, hint: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.code = code


class AccessError(SynclineError):
    """Who may do what at a relay."""

    code = "access"


class NotAuthenticated(AccessError):
    """No credentials, or none that the relay knows. An Authenticator raises it."""

    code = "not-authenticated"


class NotAllowed(AccessError):
    """The principal may not read or write this."""

    code = "not-allowed"


class TokenUnavailable(AccessError):
    """The function given as ``token=`` gave no token. A replica asks it again by itself."""

    code = "token-unavailable"


class Disconnected(SynclineError):
    """What was waited for can only come from a relay, and the program has left it."""

    code = "relay-left"


class ConnectorError(SynclineError):
    """A database that a pipeline connects did not do what was needed."""

    code = "connector"


class SystemUnavailable(ConnectorError):
    """A database cannot be reached. ``retry_after`` says when to try again; its changes wait."""

    code = "system-unavailable"


class SystemRefused(ConnectorError):
    """A database does not allow what is needed, or lacks it: a right, a table, a driver."""

    code = "system-refused"


class PipelineStopped(ConnectorError):
    """A limit of the pipeline file was reached, and the pass wrote nothing."""

    code = "pipeline-stopped"


class InvalidValue(SynclineError):
    """A value has no form that the cleaning rule called ``rule`` takes. ``suggestion`` is the value
    that may have been meant, or None."""

    code = "invalid-value"

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        rule: str = "",
        suggestion: object = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.rule = rule
        self.suggestion = suggestion


class UpdateRefused(SynclineError):
    """One update of one document was not taken; others are not concerned."""

    code = "update-refused"


class InvalidUpdate(UpdateRefused):
    """The bytes are no Yjs v1 update, or exceed a limit."""

    code = "invalid-update"


class HarmfulUpdate(UpdateRefused):
    """The update passes for one, and makes the CRDT library fail, hang or take all memory."""

    code = "update-harmful"


class MissingDependencies(UpdateRefused):
    """The update builds on changes that are not there."""

    code = "missing-dependencies"


class SnapshotRefused(SynclineError):
    """A log must not be replaced by this snapshot; it stays as it is."""

    code = "snapshot-refused"


class LimitExceeded(SynclineError):
    """A bound of docs/limits.md was reached. ``retry_after`` is set where waiting helps."""

    code = "limit-exceeded"


class DocumentBroken(SynclineError):
    """The CRDT library failed on this document; others are not concerned."""

    code = "document-broken"
