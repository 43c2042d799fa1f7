"""The customers of the demonstration: a record class, and where they come from."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from syncline import Counter, ListOf, Record, SetOf, Text, field
from syncline.engine.errors import StoreDamaged


class Customer(Record, collection="customers"):
    """One customer of a music shop."""

    name: str
    email: str | None = field(default=None, on_conflict="surface")
    phone: str | None = None
    city: str | None = None
    country: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]
    wishlist: ListOf[str]


BUILT_IN = [
    ("1", "Luís Gonçalves", "luisg@embraer.com.br", "+55 (12) 3923-5555", "São José", "Brazil"),
    ("2", "Leonie Köhler", "leonekohler@surfeu.de", "+49 0711 2842222", "Stuttgart", "Germany"),
    ("3", "François Tremblay", "ftremblay@gmail.com", "+1 (514) 721-4711", "Montréal", "Canada"),
    ("4", "Bjørn Hansen", "bjorn.hansen@yahoo.no", "+47 22 44 22 22", "Oslo", "Norway"),
    ("5", "František Wichterlová", "frantisekw@jetbrains.com", None, "Prague", "Czech Republic"),
    ("6", "Helena Holý", "hholy@gmail.com", "+420 2 4177 0449", "Prague", "Czech Republic"),
    ("7", "Astrid Gruber", "astrid.gruber@apple.at", "+43 01 5134505", "Vienne", "Austria"),
    ("8", "Daan Peeters", "daan_peeters@apple.be", "+32 02 219 03 03", "Brussels", "Belgium"),
    ("9", "Kara Nielsen", "kara.nielsen@jubii.dk", "+453 3331 9991", "Copenhagen", "Denmark"),
]

Row = tuple[str, str, str | None, str | None, str | None, str | None]

_QUERY = text(
    "SELECT CustomerId, FirstName || ' ' || LastName, Email, Phone, City, Country FROM Customer "
    "ORDER BY CustomerId"
)


def read_customers(data: Path | None) -> list[Row]:
    """The customers of a Chinook database, or the built-in ones. Raises StoreDamaged."""
    if data is None:
        return list(BUILT_IN)
    engine = create_engine(f"sqlite:///file:{data}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            rows = connection.execute(_QUERY).all()
    except SQLAlchemyError as error:
        raise StoreDamaged(
            f"No customers can be read from {data}: {getattr(error, 'orig', error)}.",
            hint="Give a Chinook SQLite database, or leave --data out for a built-in set.",
        ) from error
    finally:
        engine.dispose()
    return [(str(row[0]), *row[1:]) for row in rows]
