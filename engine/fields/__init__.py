"""Field types: what a record is made of, each with its merge rule and its layout in the
document."""

from .base import FieldView, Host
from .counter import Counter
from .lists import ListOf
from .maps import MapOf
from .sets import SetOf
from .text import Text

__all__ = ["Counter", "FieldView", "Host", "ListOf", "MapOf", "SetOf", "Text"]
