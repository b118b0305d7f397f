"""Annotations of parameters: what a model is told of each, and what reaches the function."""

from __future__ import annotations

import datetime
import enum
import typing
from collections import deque
from collections.abc import Collection, Mapping, MutableSequence
from dataclasses import InitVar, dataclass
from pathlib import Path

import annotated_types
import attrs
import pytest
import typing_extensions
from typing_extensions import TypeAliasType

from understudy.tools.schema import Misfit, Unsupported, schema_of, structure
from understudy.tools.tool import tool


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "l"


class Level(enum.IntEnum):
    LOW = 1


class Share(float, enum.Enum):
    WHOLE = 1.0


class Old(str, enum.Enum):  # noqa: UP042 - as it was before Python 3.11
    ONE = "one"


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1
    DAY = datetime.date(2026, 1, 1)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Place(typing.NamedTuple):
    row: int
    size: Size = Size.SMALL


@dataclass
class Paid:
    kind: typing.ClassVar[int] = 1
    item: str
    size: InitVar[Size]
    currency: InitVar[str] = "EUR"

    def __post_init__(self, size: Size, currency: str) -> None:
        self.paid = size, currency


@attrs.frozen
class Private:
    _secret: int


T = typing.TypeVar("T")


@dataclass
class Page(typing.Generic[T]):
    rows: list[T]


class Address(typing.TypedDict):
    street: str
    flat: typing.NotRequired[Size]


class Filter(typing.TypedDict, total=False):
    customer: typing.Required[typing.Annotated[str, annotated_types.MinLen(1)]]
    year: int


class Extended(typing_extensions.TypedDict, typing.Generic[T]):
    one: typing_extensions.ReadOnly[typing_extensions.NotRequired[T]]


Named = typing.NewType("Named", Size)
Listed = TypeAliasType("Listed", list[Size])
Of = TypeAliasType("Of", list[T], type_params=(T,))
SIZES = {"type": "string", "enum": ["s", "l"]}
SAME: dict[str, tuple[typing.Any, typing.Any, typing.Any]] = {
    "text enum": (Size, "l", Size.LARGE),
    "whole enum": (Level, 1, Level.LOW),
    "old enum": (Old, "one", Old.ONE),
    "enum of a date": (Mixed, "2026-01-01", Mixed.DAY),
    "enum of a number": (Mixed, 1, Mixed.NUMBER),
    "enum of a share": (Share, 1, Share.WHOLE),
    "whole number with a point": (Level, 1.0, Level.LOW),
    "flags": (Rights, 3, Rights.READ | Rights.WRITE),
    "literal": (typing.Literal[Size.SMALL, "x"], "s", Size.SMALL),
    "optional": (Size | None, "s", Size.SMALL),
    "text or enum": (str | Size, "s", Size.SMALL),
    "text or enum, another": (str | Size, "other", "other"),
    "number or enum": (int | Level, 1, Level.LOW),
    "list": (list[Size], ["s"], [Size.SMALL]),
    "set": (set[Level], [1], {Level.LOW}),
    "tuple": (tuple[Size, Level], ["s", 1], (Size.SMALL, Level.LOW)),
    "mapping": (Mapping[str, Size], {"a": "s"}, {"a": Size.SMALL}),
    "keys": (dict[Size, int], {"s": 1}, {Size.SMALL: 1}),
    "queue": (deque[Size], ["s"], deque([Size.SMALL])),
    "collection": (Collection[int], [1], [1]),
    "sequence": (MutableSequence[int], [1], [1]),
    "annotated": (typing.Annotated[Size, "which"], "s", Size.SMALL),
    "new type": (Named, "s", Size.SMALL),
    "alias": (Listed, ["s"], [Size.SMALL]),
    "alias of a type": (Of[Size], ["s"], [Size.SMALL]),
    "named tuple": (Place, {"row": 1}, Place(1)),
    "dataclass": (Paid, {"item": "x", "size": "s"}, Paid("x", Size.SMALL)),
    "private": (Private, {"secret": 1}, Private(1)),
    "generic": (Page[Size], {"rows": ["s"]}, Page([Size.SMALL])),
    "typed dict": (Address, {"street": "Elm", "flat": "s"}, {"street": "Elm", "flat": Size.SMALL}),
    "without what is not required": (Address, {"street": "Elm"}, {"street": "Elm"}),
    "extended": (Extended[Size], {"one": "s"}, {"one": Size.SMALL}),
    "path": (Path, "a/b", Path("a/b")),
    "day": (datetime.date, "2026-11-20", datetime.date(2026, 11, 20)),
    "number": (float, 3, 3.0),
    "whole number": (float | int | str, 7, 7),
    "object": (object, [1], [1]),
}


@pytest.mark.parametrize("case", SAME)
def test_the_function_is_given_what_the_annotation_says(case: str) -> None:
    annotation, value, wanted = SAME[case]
    assert schema_of(annotation) != {} or annotation is object
    built = structure(value, annotation, "value")
    assert (built, type(built)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (Size, "m", "one of s, l is expected"),
        (Level, "1", "one of 1 is expected"),
        (Level, True, "one of 1 is expected"),
        (Rights, 4, "a sum of 1, 2 is expected"),
        (dict[Size, int], {"m": 1}, "one of s, l is expected"),
        (Address, {}, "street is missing"),
        (Filter, {"year": 2026}, "customer is missing"),
        (Filter, {"customer": ""}, "it must have at least 1 character"),
        (Page[Size], {"rows": ["m"]}, "one of s, l is expected"),
        (Place, [1], "an object is expected, not a list"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(annotation: typing.Any, value: typing.Any, sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        structure(value, annotation, "value")


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (Size, SIZES),
        (Level, {"type": "integer", "enum": [1]}),
        (Mixed, {"enum": ["a", 1, "2026-01-01"]}),
        (Of[Size], {"type": "array", "items": SIZES}),
    ],
)
def test_a_model_is_told_the_choices(annotation: typing.Any, schema: typing.Any) -> None:
    assert schema_of(annotation) == schema


@pytest.mark.parametrize(
    ("annotation", "required"),
    [(Paid, ["item", "size"]), (Address, ["street"]), (Filter, ["customer"]), (Extended[int], []), (Place, ["row"])],
)
def test_a_model_is_told_what_is_required(annotation: typing.Any, required: list[str]) -> None:
    assert schema_of(annotation)["required"] == required


@pytest.mark.parametrize(
    "annotation", [dict[int, str], typing.Literal[b"x"], bytes, Page, tuple[int, *tuple[str, ...]]]
)
def test_a_type_without_a_schema_is_refused(annotation: typing.Any) -> None:
    with pytest.raises(Unsupported):
        schema_of(annotation)


def test_a_default_is_that_of_the_function() -> None:
    @tool
    def order(size: Size = Size.SMALL, rights: Rights = Rights.READ, place: Place = Place(1)) -> Size:  # noqa: B008
        return size

    shown = {name: schema["default"] for name, schema in order.parameters["properties"].items()}
    assert shown == {"size": "s", "rights": 1, "place": {"row": 1, "size": "s"}}


def test_a_default_that_is_json_is_converted_as_an_argument_is() -> None:
    @tool
    def order(size: Size = "s", sizes: tuple[Size, ...] = ["l"], price: float = 3) -> Size:  # type: ignore[assignment]
        return size

    assert repr(order.check({"price": 4})) == repr({"size": Size.SMALL, "sizes": (Size.LARGE,), "price": 4.0})
