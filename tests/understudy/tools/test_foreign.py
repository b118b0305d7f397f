"""Types of Pydantic and msgspec as parameters and results of tools."""

import subprocess
import sys
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

from understudy.tools.errors import InvalidResult
from understudy.tools.result import to_json
from understudy.tools.schema import Misfit, Unsupported, schema_of, structure
from understudy.tools.tool import tool


class Line(pydantic.BaseModel):
    """A part of a model."""

    sku: str = pydantic.Field(alias="SKU", description="As printed")
    count: Annotated[int, pydantic.Field(ge=1)] = 1


class Order(pydantic.BaseModel):
    """A model in a model."""

    model_config = pydantic.ConfigDict(extra="forbid")
    kind: Literal["new", "old"]
    lines: list[Line]
    link: pydantic.HttpUrl | None = None


class Endless(pydantic.BaseModel):
    children: "list[Endless]" = []


class Strange(pydantic.BaseModel):
    """A model with a type that has no schema."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    held: Exception


@pydantic.dataclasses.dataclass
class Checked:
    size: int

    @pydantic.field_validator("size")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


class Size(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    max_width: Annotated[int, msgspec.Meta(ge=1)]


ORDER = {"kind": "new", "lines": [{"SKU": "a", "count": 2}], "link": "https://example.org/"}
Loud = Annotated[str, pydantic.AfterValidator(str.upper)]


def test_a_model_is_its_own_schema_without_references() -> None:
    schema = schema_of(Order)
    line = schema["properties"]["lines"]["items"]
    assert line["properties"]["SKU"]["description"] == "As printed"
    assert line["properties"]["count"]["minimum"] == 1
    assert schema["additionalProperties"] is False
    assert "$" not in str(schema_of(dict[str, Order]))
    assert schema_of(Size)["properties"]["maxWidth"]["minimum"] == 1


def test_values_are_built_and_written_as_the_library_does() -> None:
    made = structure(ORDER, Order, "order")
    assert made == Order.model_validate(ORDER)
    assert to_json({"order": made}) == {
        "order": {"kind": "new", "lines": [{"sku": "a", "count": 2}], "link": "https://example.org/"}
    }
    (inner,) = structure([ORDER], list[Order], "orders")
    assert isinstance(inner, Order)
    assert structure({"size": 2}, Checked, "x") == Checked(2)
    assert to_json(Checked(2)) == {"size": 2}
    assert structure({"maxWidth": 3}, Size, "x") == Size(3)
    assert to_json([Size(3)]) == [{"maxWidth": 3}]
    assert structure("a", Loud, "x") == "A"
    assert structure(None, Order | None, "x") is None


@pytest.mark.parametrize(
    ("value", "annotation", "sentence"),
    [
        ({"kind": "new", "lines": [{"SKU": "a", "count": 0}]}, Order, "in lines[0].count, input should be greater"),
        ({"kind": "new"}, Order, "in lines, field required"),
        ({**ORDER, "more": 1}, Order, "in more, extra inputs are not permitted"),
        ({"size": 3}, Checked, "in size, value error, must be even"),
        ({"maxWidth": 0}, Size, "in maxWidth, expected `int` >= 1"),
        ({"maxWidth": 1, "x": 2}, Size, "object contains unknown field `x`"),
        (5, Loud, "input should be a valid string"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(value: Any, annotation: Any, sentence: str) -> None:
    with pytest.raises(Misfit) as caught:
        structure(value, annotation, "order")
    assert str(caught.value).startswith(sentence)
    assert caught.value.path == "order"


class Held(pydantic.BaseModel):
    held: Any


class Shape(msgspec.Struct, tag="circle"):
    radius: int = 1
    color: str | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize(
    ("value", "plain"), [(Held(held=Size(3)), {"held": {"maxWidth": 3}}), (Shape(), {"type": "circle", "radius": 1})]
)
def test_a_result_is_what_its_library_would_write(value: Any, plain: Any) -> None:
    assert to_json([value]) == [plain]


@pytest.mark.parametrize("held", [b"\xff", object()])
def test_a_model_that_cannot_be_json_is_refused_in_a_sentence(held: Any) -> None:
    with pytest.raises(InvalidResult, match="The tool returned a"):
        to_json(Held(held=held))


@pytest.mark.parametrize("kind", [Loud, list[pydantic.PositiveInt], dict[str, Loud], Annotated[int, 1] | None])
def test_a_result_may_be_annotated(kind: Any) -> None:
    def work() -> Any: ...

    work.__annotations__["return"] = kind
    assert tool(work).name == "work"


@pytest.mark.parametrize(
    ("model", "says"), [(Endless, "Endless contains itself"), (Strange, "Strange: Cannot generate a JsonSchema")]
)
def test_a_model_without_a_schema_is_refused(model: Any, says: str) -> None:
    with pytest.raises(Unsupported, match=says):
        schema_of(model)


def test_pydantic_is_not_imported_for_other_types() -> None:
    code = (
        "import sys, dataclasses\n"
        "from understudy.tools.tool import tool\n"
        "@dataclasses.dataclass\nclass A:\n    x: int\n"
        "@tool\ndef f(a: A) -> A: return a\n"
        "f.check({'a': {'x': 1}})\n"
        "print('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
