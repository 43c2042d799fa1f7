"""Stores: adapters that persist documents, updates, outboxes and receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import (
    RECEIPTS_KEPT,
    DocumentInfo,
    DocumentState,
    DocumentWrite,
    LogPage,
    LogSize,
    OutboxBatch,
    Receipt,
    RefusedUpdate,
    Store,
    StoredDocument,
    StoredUpdate,
    Write,
)
from .memory import MemoryStore
from .thread import InlineCalls, StoreCalls, StoreThread

if TYPE_CHECKING:
    from .sql.store import SqlStore
    from .sql.verify import Problem

__all__ = [
    "RECEIPTS_KEPT",
    "DocumentInfo",
    "DocumentState",
    "DocumentWrite",
    "InlineCalls",
    "LogPage",
    "LogSize",
    "MemoryStore",
    "OutboxBatch",
    "Problem",
    "Receipt",
    "RefusedUpdate",
    "SqlStore",
    "Store",
    "StoreCalls",
    "StoreThread",
    "StoredDocument",
    "StoredUpdate",
    "Write",
]


def __getattr__(name: str) -> Any:
    # SQLAlchemy takes longer to import than everything else here: it loads when it is used.
    if name == "SqlStore":
        from .sql.store import SqlStore

        return SqlStore
    if name == "Problem":
        from .sql.verify import Problem

        return Problem
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
