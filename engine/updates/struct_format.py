"""How the structs of a Yjs update say what they are: parse.py describes the format."""

from __future__ import annotations

# Bits of an item's info.
HAS_ORIGIN = 0x80
HAS_RIGHT_ORIGIN = 0x40
HAS_KEY = 0x20
KIND = 0x1F

# Kinds of struct. Refused: 2, JSON, which Yjs stopped writing in 2020 and of which yrs reads one
# text too many; 11, Move, and above, which no release writes.
GC = 0
DELETED = 1
BINARY = 3
STRING = 4
EMBED = 5
FORMAT = 6
TYPE = 7
ANY = 8
DOCUMENT = 9
SKIP = 10

# Shared types. Array, Map, Text, XmlFragment and XmlText have no data; XmlElement has its name.
# Refused: 5, XmlHook, whose name Yjs writes and yrs does not read; others are unknown to Yjs.
PLAIN_TYPES = frozenset((0, 1, 2, 4, 6))
XML_ELEMENT = 3
