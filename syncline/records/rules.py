"""Cleaning rules in the annotations of records: ``Annotated[str, Email()]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from syncline.engine.errors import InvalidRule, InvalidValue, SchemaError
from syncline.engine.records.schema import unknown_field

if TYPE_CHECKING:
    from syncline.cleaning.field import FieldCleaner


def cleaning_of(annotation: Any, owner: str) -> tuple[Any, FieldCleaner | None]:
    """The type in an annotation, and its cleaning rules, if it has any. Other metadata is for
    others. Raises SchemaError."""
    if get_origin(annotation) is not Annotated:
        _check_whole(annotation, owner)
        return annotation, None
    from syncline.cleaning.field import Clean, FieldCleaner
    from syncline.cleaning.rule import Rule

    inner, *metadata = get_args(annotation)
    _check_whole(inner, owner)
    rules: list[Rule] = []
    for each in metadata:
        if isinstance(each, type) and issubclass(each, Rule | Clean):
            raise SchemaError(
                f"{owner} is annotated with the class {each.__name__}, not with a rule.",
                hint=f"Call it: {each.__name__}().",
            )
        rules += each.rules if isinstance(each, Clean) else [each] if isinstance(each, Rule) else []
    if not rules:
        return inner, None
    try:
        return inner, FieldCleaner(rules)
    except InvalidRule as error:
        raise SchemaError(f"{owner}: {error.message}", hint=error.hint) from error


def check_reads(collection: str, cleaners: Mapping[str, FieldCleaner | None]) -> None:
    """Raise SchemaError for a rule that looks at a field which the record has not. ``cleaners``
    are those of all its fields."""
    for name, cleaner in cleaners.items():
        for other in sorted(cleaner.reads - cleaners.keys() if cleaner else ()):
            raise SchemaError(
                f"A rule of {collection}.{name} reads the field {other!r}, which there is not.",
                hint=unknown_field(collection, other, cleaners).hint,
            )


def check_default(cleaner: FieldCleaner, default: Any, owner: str) -> None:
    """Raise SchemaError for a default that the rules refuse or change."""
    try:
        cleaned = cleaner.clean(default, {})
    except InvalidValue as error:
        raise SchemaError(
            f"The default of {owner} is refused by its own rules: {error.message}",
            hint=error.hint,
        ) from error
    if cleaned != default:
        raise SchemaError(
            f"The default of {owner} is not clean: its rules make it {cleaned!r}.",
            hint=f"Write {cleaned!r} as the default.",
        )


def _check_whole(annotation: Any, owner: str) -> None:
    if any(get_origin(argument) is Annotated for argument in get_args(annotation)):
        raise SchemaError(
            f"{owner} has rules for a part of its type.",
            hint="Put the whole type in: Annotated[str | None, …].",
        )
