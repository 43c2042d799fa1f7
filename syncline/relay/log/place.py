"""Where a document is at a relay."""

from __future__ import annotations

from typing import TypeAlias

from syncline.engine.names import Address

Place: TypeAlias = tuple[str, Address]
"""Workspace and address of a document."""
