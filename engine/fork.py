"""Placeholder until merged."""

from .document import Document


def reapply(base: Document, edited: Document, onto: Document) -> bool:
    return False
