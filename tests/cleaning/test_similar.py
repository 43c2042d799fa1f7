"""Rows that may be the same twice."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from syncline.cleaning import InvalidRule, SimilarRows, similar

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def person(name: str | None, email: str | None = None) -> dict[str, Any]:
    return {"name": name, "email": email}


def test_what_is_similar_and_in_what_it_agrees() -> None:
    rows = [
        person("Jürgen Klopp", "jk@example.com"),
        person("Ada Lovelace", "ada@example.com"),
        person("KLOPP, Jurgen", "jk@example.com"),
        person("Jurgen Klop", None),
        person(None, None),
        person("", ""),
    ]
    assert similar(rows, ["name", "email"]) == [
        SimilarRows(0, 2, 100.0, ("name", "email")),
        SimilarRows(0, 3, 95.7, ()),
        SimilarRows(2, 3, 95.7, ()),
    ]
    assert similar(rows, ["name", "email"], 96.0) == [SimilarRows(0, 2, 100.0, ("name", "email"))]


def test_a_field_that_one_of_them_lacks_says_nothing() -> None:
    rows = [person("Li Wei", "li@a.com"), person("Li Wei")]
    assert similar(rows, ["name", "email"]) == [SimilarRows(0, 1, 100.0, ("name",))]
    assert similar(rows, ["email"]) == []


def test_a_typing_error_at_the_beginning_or_the_end_of_a_word() -> None:
    rows = [person("Namilton"), person("Hamilton"), person("Hamiltoe")]
    pairs = {(pair.first, pair.second) for pair in similar(rows, ["name"], 85)}
    assert pairs == {(0, 1), (1, 2)}


def test_a_typing_error_that_moves_a_word_in_the_alphabet() -> None:
    rows = [person("Alan Turing"), person("Zlan Turing")]
    assert [pair.score for pair in similar(rows, ["name"])] == [90.9]


@pytest.mark.parametrize(("fields", "threshold"), [([], 90), (["name"], 0), (["name"], 101)])
def test_what_cannot_be_asked(fields: list[str], threshold: float) -> None:
    with pytest.raises(InvalidRule, match="The rule similar"):
        similar([], fields, threshold)


def crowd(rng: random.Random, size: int) -> list[dict[str, Any]]:
    """People of few first names and cities, so that their blocks are large."""

    def words(count: int, low: int, high: int) -> list[str]:
        return [
            "".join(rng.choices(LETTERS, k=rng.randint(low, high))).title() for _ in range(count)
        ]

    first, last, cities = words(300, 3, 8), words(1500, 4, 10), words(60, 5, 9)
    rows: list[dict[str, Any]] = []
    for _ in range(size):
        name = (rng.choice(first), rng.choice(last))
        email = f"{'.'.join(name)}@{rng.choice(['gmail.com', 'web.de', 'x.org'])}"
        rows.append({"name": " ".join(name), "email": email, "city": rng.choice(cities)})
    return rows


@pytest.mark.long
def test_ten_thousand_rows_take_seconds_and_typing_errors_are_found() -> None:
    rng = random.Random(1)
    rows = crowd(rng, 9_800)
    planted: set[tuple[int, int]] = set()
    for place in range(200):
        name = list(rows[place]["name"])
        name[rng.randrange(len(name))] = rng.choice(LETTERS)
        planted.add((place, len(rows)))
        rows.append(rows[place] | {"name": "".join(name)})
    started = time.process_time()
    found = similar(rows, ["name", "email", "city"], 90)
    # Some 3 s on an idle core; every pair compared would be minutes.
    assert time.process_time() - started < 30
    assert len(planted & {(pair.first, pair.second) for pair in found}) >= 195
    assert len(found) < 1_000
