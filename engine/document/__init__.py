"""One CRDT document, and what lies in it: cells, exact values and their types, its digest."""
