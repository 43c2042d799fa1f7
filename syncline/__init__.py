"""Syncline: records that merge by themselves, a durable relay, SQL stores.

``Replica`` and ``Record`` are where to begin; ``Relay`` is what ``syncline serve`` runs.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syncline.access.access import Access, Authenticator, Authorizer, Credentials, Principal
    from syncline.access.token_file import TokenFile
    from syncline.engine.errors import NotAuthenticated, SynclineError
    from syncline.engine.fields import Counter, ListOf, MapOf, SetOf, Text
    from syncline.engine.shared import (
        SharedArray,
        SharedMap,
        SharedText,
        Subdocument,
        XmlElement,
        XmlFragment,
        XmlText,
    )
    from syncline.records.columns import col
    from syncline.records.declarations import field
    from syncline.records.record import Conflict, ConflictingValue, Record
    from syncline.relay.editors.stateless import StatelessMessage
    from syncline.relay.relay import Relay
    from syncline.replica.changes import Change
    from syncline.replica.collection import Collection
    from syncline.replica.query import Query
    from syncline.replica.replica import Replica, ReplicaStatus
    from syncline.replica.shared_document import SharedDocument

__version__ = version("syncline")

__all__ = [
    "Access",
    "Authenticator",
    "Authorizer",
    "Change",
    "Collection",
    "Conflict",
    "ConflictingValue",
    "Counter",
    "Credentials",
    "ListOf",
    "MapOf",
    "NotAuthenticated",
    "Principal",
    "Query",
    "Record",
    "Relay",
    "Replica",
    "ReplicaStatus",
    "SetOf",
    "SharedArray",
    "SharedDocument",
    "SharedMap",
    "SharedText",
    "StatelessMessage",
    "Subdocument",
    "SynclineError",
    "Text",
    "TokenFile",
    "XmlElement",
    "XmlFragment",
    "XmlText",
    "col",
    "field",
]

# Loaded on first use: whoever takes only the engine does not pay for SQLAlchemy and websockets.
_HOMES = {
    "Access": "syncline.access.access",
    "Authenticator": "syncline.access.access",
    "Authorizer": "syncline.access.access",
    "Change": "syncline.replica.changes",
    "Collection": "syncline.replica.collection",
    "Conflict": "syncline.records.record",
    "ConflictingValue": "syncline.records.record",
    "Counter": "syncline.engine.fields",
    "Credentials": "syncline.access.access",
    "ListOf": "syncline.engine.fields",
    "MapOf": "syncline.engine.fields",
    "NotAuthenticated": "syncline.engine.errors",
    "Principal": "syncline.access.access",
    "Query": "syncline.replica.query",
    "Record": "syncline.records.record",
    "Relay": "syncline.relay.relay",
    "Replica": "syncline.replica.replica",
    "ReplicaStatus": "syncline.replica.replica",
    "SetOf": "syncline.engine.fields",
    "SharedArray": "syncline.engine.shared",
    "SharedDocument": "syncline.replica.shared_document",
    "SharedMap": "syncline.engine.shared",
    "SharedText": "syncline.engine.shared",
    "StatelessMessage": "syncline.relay.editors.stateless",
    "Subdocument": "syncline.engine.shared",
    "SynclineError": "syncline.engine.errors",
    "Text": "syncline.engine.fields",
    "TokenFile": "syncline.access.token_file",
    "XmlElement": "syncline.engine.shared",
    "XmlFragment": "syncline.engine.shared",
    "XmlText": "syncline.engine.shared",
    "col": "syncline.records.columns",
    "field": "syncline.records.declarations",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'syncline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
