"""Every error Syncline raises, in one tree.

::

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
    │   └── NotAllowed          not-allowed         the principal may not read or write this
    ├── ConnectorError          a database that a pipeline connects
    │   ├── SystemUnavailable   system-unavailable  it cannot be reached (retryable)
    │   ├── SystemRefused       system-refused      it does not allow, or have, what is needed
    │   └── PipelineStopped     pipeline-stopped    a limit of the pipeline file was reached
    ├── InvalidValue            invalid-value       a cleaning rule found no valid form of a value
    ├── UpdateRefused           one update of one document
    │   ├── InvalidUpdate       invalid-update
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
    code = "usage"


class SchemaError(UsageError):
    code = "schema-invalid"


class SchemaMismatch(UsageError):
    code = "schema-mismatch"


class UnknownField(UsageError, AttributeError):
    code = "unknown-field"


class UnknownCollection(UsageError, KeyError):
    code = "unknown-collection"


class WrongType(UsageError, TypeError):
    code = "wrong-type"


class ValueRefused(UsageError, ValueError):
    code = "value-refused"


class OutOfRange(UsageError, IndexError):
    code = "out-of-range"


class InvalidName(UsageError, ValueError):
    code = "invalid-name"


class InvalidUrl(UsageError, ValueError):
    code = "invalid-url"


class InvalidRule(UsageError):
    code = "invalid-rule"


class InvalidPipeline(UsageError):
    code = "invalid-pipeline"


class MissingLibrary(UsageError):
    code = "missing-library"


class RecordExists(UsageError):
    code = "record-exists"


class RecordNotFound(UsageError, KeyError):
    code = "record-not-found"


class TransactionConflict(UsageError):
    code = "transaction-conflict"


class ReplicaClosed(UsageError):
    code = "replica-closed"


class StoreError(SynclineError):
    code = "store"


class StoreBusy(StoreError):
    code = "store-busy"


class StoreDamaged(StoreError):
    code = "store-damaged"


class StoreVersion(StoreError):
    code = "store-version"


class StoreFailed(StoreError):
    code = "store-failed"


class WorkspaceMismatch(StoreError):
    code = "workspace-mismatch"


class TransportError(SynclineError):
    code = "transport"


class RelayUnreachable(TransportError):
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
    code = "protocol"


class MalformedFrame(ProtocolError):
    code = "malformed-frame"


class UnexpectedMessage(ProtocolError):
    code = "unexpected-message"


class VersionMismatch(ProtocolError):
    code = "version-mismatch"


class PeerError(ProtocolError):
    """The peer refused the conversation; ``code`` is the code that it gave."""

    def __init__(
        self, code: str, message: str, *, hint: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.code = code


class AccessError(SynclineError):
    code = "access"


class NotAuthenticated(AccessError):
    code = "not-authenticated"


class NotAllowed(AccessError):
    code = "not-allowed"


class ConnectorError(SynclineError):
    code = "connector"


class SystemUnavailable(ConnectorError):
    code = "system-unavailable"


class SystemRefused(ConnectorError):
    code = "system-refused"


class PipelineStopped(ConnectorError):
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
    code = "update-refused"


class InvalidUpdate(UpdateRefused):
    code = "invalid-update"


class MissingDependencies(UpdateRefused):
    code = "missing-dependencies"


class SnapshotRefused(SynclineError):
    code = "snapshot-refused"


class LimitExceeded(SynclineError):
    code = "limit-exceeded"


class DocumentBroken(SynclineError):
    code = "document-broken"
