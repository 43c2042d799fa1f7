"""What each rule about text does."""

from __future__ import annotations

import pytest

from syncline.cleaning import (
    Casefold,
    Clean,
    CollapseSpace,
    EmptyToNull,
    FieldCleaner,
    FixText,
    InvalidRule,
    InvalidValue,
    Lowercase,
    MaxLength,
    OneOf,
    Pattern,
    Required,
    Rule,
    StripControl,
    Trim,
    UnicodeNfc,
    Uppercase,
)

LEADS = OneOf("Lead", "Customer", 7, synonyms={"prospect": "Lead"})

TAKEN: list[tuple[Rule, object, object]] = [
    (FixText(), "schÃ¶n", "schön"),
    (FixText(), "Marks &amp;amp; Spencer", "Marks & Spencer"),
    (FixText(), "ﬁne ＡＢＣ", "fine ABC"),
    (FixText(), "O’Neil “x”", "O’Neil “x”"),
    (StripControl(), "zero\u200bwidth so\u00adft \ufeffbom \x07bell", "zerowidth soft bom bell"),
    (StripControl(), "two\r\nlines\tand\u2028more", "two lines and more"),
    (StripControl(multiline=True), "two\r\nlines\tand\u2028more", "two\nlines\tand\nmore"),
    (StripControl(), "half a pair \ud800, no character \ufdd0", "half a pair , no character "),
    (StripControl(), "\u3164\u2800", ""),
    # Joiners are part of these words and pictures, and of no Latin one.
    (StripControl(), "👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
    (StripControl(), "می\u200cخواهم", "می\u200cخواهم"),
    (StripControl(), "क्\u200d", "क्\u200d"),
    (StripControl(), "a\u200db\u200c", "ab"),
    (CollapseSpace(), "  a \u00a0\n b\u3000", "a b"),
    (CollapseSpace(multiline=True), " a  b \r\n\n  c ", "a b\n\nc"),
    (Trim(), "\n a  b ", "a  b"),
    (Lowercase(), "ÀB", "àb"),
    (Uppercase(), "straße", "STRASSE"),
    (Casefold(), "STRASSE Straße", "strasse strasse"),
    (Casefold(), "ΐ", "ΐ"),
    (UnicodeNfc(), "e\u0301", "é"),
    (EmptyToNull(), " \n", None),
    (EmptyToNull(), " a ", " a "),
    (MaxLength(3), "äöü", "äöü"),
    (MaxLength(3), 12345, 12345),
    (Pattern("[a-z]+"), "abc", "abc"),
    (LEADS, "lead ", "Lead"),
    (LEADS, "PROSPECT", "Lead"),
    (LEADS, 7, 7),
    (Required(), 0, 0),
    (Required(), False, False),
]
REFUSED: list[tuple[Rule, object, str, object]] = [
    (MaxLength(3), "ab cd", '"ab cd" has 5 characters, and at most 3 are allowed', "ab"),
    (Pattern("[a-z]+"), "abc\n", '"abc\ufffd" does not match [a-z]+', None),
    (LEADS, "leed", '"leed" is none of Lead, Customer, 7', "Lead"),
    (LEADS, 7.0, "7.0 is none of Lead, Customer, 7", None),
    (LEADS, [], "[] is none of Lead, Customer, 7", None),
    (Required(), None, "None is no value, and one is required", None),
    (Required(), " ", '" " is no value, and one is required', None),
]


@pytest.mark.parametrize(("rule", "value", "clean"), TAKEN)
def test_what_it_makes(rule: Rule, value: object, clean: object) -> None:
    assert rule.clean(value, {}) == clean


@pytest.mark.parametrize(("rule", "value", "message", "suggestion"), REFUSED)
def test_what_it_refuses(rule: Rule, value: object, message: str, suggestion: object) -> None:
    with pytest.raises(InvalidValue) as caught:
        rule.clean(value, {})
    error = caught.value
    assert (error.message, error.rule, error.suggestion) == (f"{message}.", rule.name, suggestion)
    assert suggestion is None or repr(suggestion) in error.hint


def test_text_is_repaired_then_checked_whatever_the_order() -> None:
    cleaner = FieldCleaner([MaxLength(3), *Clean("collapse-space", "strip-control").rules])
    assert cleaner.clean(" a\u200b \u200b b ", {}) == "a b"


def test_a_value_taken_for_empty_meets_the_rule_that_requires_one() -> None:
    cleaner = FieldCleaner([Required(), EmptyToNull(), StripControl()])
    with pytest.raises(InvalidValue, match="one is required"):
        cleaner.clean("\u200b", {})


def test_without_rules_a_value_stays() -> None:
    value = object()
    assert FieldCleaner([]).clean(value, {}) is value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Clean("fixtext"), "There is no rule 'fixtext'. Hint: Did you mean 'fix-text'?"),
        (lambda: MaxLength(0), "The rule max-length takes no length of 0."),
        (lambda: Pattern("("), "The rule pattern cannot read '('"),
        (OneOf, "The rule one-of has no values."),
        (lambda: OneOf("a", "A"), "The rule one-of has 'A' for both 'a' and 'A'."),
        (lambda: OneOf(True), "The rule one-of takes no [True]."),
        (
            lambda: OneOf("a", synonyms={"b": "c"}),
            "The rule one-of has a synonym of 'c', which is none of its values.",
        ),
        (lambda: FieldCleaner([Lowercase(), Casefold()]), "lowercase and casefold undo each"),
    ],
)
def test_a_rule_that_cannot_be(make: type[Rule], message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        make()
    assert message in str(caught.value)
