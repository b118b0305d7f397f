"""Constraints beside a type: in the schema, and checked, whatever library they come from."""

import datetime
import re
from decimal import Decimal
from typing import Annotated, Any

import annotated_types as at
import msgspec
import pydantic
import pytest
import typing_extensions

from understudy.tools.schema import Misfit, Param, schema_of, structure


@pytest.mark.parametrize(
    ("annotation", "keywords", "good", "bad", "rule"),
    [
        (Annotated[int, pydantic.Field(ge=1)], {"minimum": 1}, 1, 0, "be at least 1"),
        (Annotated[int, at.Gt(1)], {"exclusiveMinimum": 1}, 2, 1, "be more than 1"),
        (Annotated[float, msgspec.Meta(le=2.5)], {"maximum": 2.5}, 2.5, 2.6, "be at most 2.5"),
        (Annotated[float, pydantic.Field(lt=3)], {"exclusiveMaximum": 3}, 2.9, 3, "be less than 3"),
        (Annotated[int, at.MultipleOf(5)], {"multipleOf": 5}, 10, 11, "be a multiple of 5"),
        (Annotated[float, at.MultipleOf(0.1)], {"multipleOf": 0.1}, 0.3, 0.35, "be a multiple of 0.1"),
        (Annotated[int, at.Interval(ge=1, lt=4)], {"minimum": 1, "exclusiveMaximum": 4}, 3, 4, "be less than 4"),
        (Annotated[int, Param(minimum=1)], {"minimum": 1}, 1, 0, "be at least 1"),
        (Annotated[Decimal, at.Ge(Decimal("0.5"))], {"minimum": 0.5}, "0.50", 0.4, "be at least 0.5"),
        (Annotated[str, at.Len(2, 3)], {"minLength": 2, "maxLength": 3}, "ab", "a", "have at least 2 characters"),
        (Annotated[list[int], at.MaxLen(1)], {"maxItems": 1}, [1], [1, 2], "have at most 1 item"),
        (Annotated[dict[str, int], at.MinLen(1)], {"minProperties": 1}, {"a": 1}, {}, "have at least 1 entry"),
        (Annotated[str, msgspec.Meta(pattern="^a+$")], {"pattern": "^a+$"}, "aa", "b", "match ^a+$"),
        (Annotated[str, pydantic.Field(pattern="^a")], {"pattern": "^a"}, "ab", "b", "match ^a"),
        (Annotated[str | None, pydantic.Field(max_length=1)], {"maxLength": 1}, None, "ab", "have at most 1 character"),
    ],
)
def test_a_constraint_is_in_the_schema_and_checked(
    annotation: Any, keywords: dict[str, Any], good: Any, bad: Any, rule: str
) -> None:
    of_type = ("type", "items", "anyOf", "additionalProperties")
    assert {key: value for key, value in schema_of(annotation).items() if key not in of_type} == keywords
    structure(good, annotation, "x")
    with pytest.raises(Misfit, match=f"^it must {re.escape(rule)}$") as caught:
        structure(bad, annotation, "x")
    assert caught.value.path == "x"


def test_a_predicate_is_checked_only() -> None:
    lower = Annotated[str, at.Predicate(str.islower)]
    assert (schema_of(lower), structure("a", lower, "x")) == ({"type": "string"}, "a")
    with pytest.raises(Misfit, match="islower does not accept it"):
        structure("A", lower, "x")


def test_a_bound_of_another_type_is_checked_only() -> None:
    annotation = Annotated[datetime.date, at.Ge(datetime.date(2026, 1, 1))]
    assert schema_of(annotation) == {"type": "string", "format": "date"}
    with pytest.raises(Misfit, match="at least 2026-01-01"):
        structure("2025-12-31", annotation, "day")


def test_descriptions_and_examples_are_taken_over() -> None:
    for extra in (
        pydantic.Field(description="How many", examples=[3]),
        msgspec.Meta(description="How many", examples=[3]),
    ):
        assert schema_of(Annotated[int, extra]) == {"type": "integer", "description": "How many", "examples": [3]}
    assert schema_of(Annotated[int, typing_extensions.Doc("How many")])["description"] == "How many"
    assert schema_of(Annotated[int, msgspec.Meta(extra_json_schema={"format": "year"})])["format"] == "year"
