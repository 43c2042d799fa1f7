"""Syncline: records that merge by themselves, a durable relay, SQL stores.

``Replica`` and ``Record`` are where to begin; ``Relay`` is what ``syncline serve`` runs.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncline.engine.errors import SynclineError
    from syncline.engine.fields import Counter, ListOf, MapOf, SetOf, Text

    from .changes import Change
    from .collection import Collection
    from .query import Query
    from .record import Conflict, ConflictingValue, Record, col, field
    from .relay import Relay
    from .replica import Replica, ReplicaStatus
    from .shared_document import SharedDocument

__version__ = version("syncline")

__all__ = [
    "Change",
    "Collection",
    "Conflict",
    "ConflictingValue",
    "Counter",
    "ListOf",
    "MapOf",
    "Query",
    "Record",
    "Relay",
    "Replica",
    "ReplicaStatus",
    "SetOf",
    "SharedDocument",
    "SynclineError",
    "Text",
    "col",
    "field",
]

# Loaded on first use: whoever takes only the engine does not pay for SQLAlchemy and websockets.
_HOMES = {
    "Change": "syncline.changes",
    "Collection": "syncline.collection",
    "Conflict": "syncline.record",
    "ConflictingValue": "syncline.record",
    "Counter": "syncline.engine.fields",
    "ListOf": "syncline.engine.fields",
    "MapOf": "syncline.engine.fields",
    "Query": "syncline.query",
    "Record": "syncline.record",
    "Relay": "syncline.relay",
    "Replica": "syncline.replica",
    "ReplicaStatus": "syncline.replica",
    "SetOf": "syncline.engine.fields",
    "SharedDocument": "syncline.shared_document",
    "SynclineError": "syncline.engine.errors",
    "Text": "syncline.engine.fields",
    "col": "syncline.record",
    "field": "syncline.record",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'syncline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
