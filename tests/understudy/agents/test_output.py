"""Types of final answers: their schemas for models, and what is read of a model's text."""

import dataclasses
import datetime
import enum
import json
from typing import Annotated, Any

import attrs
import msgspec
import pydantic
import pytest

from understudy import Agent, AgentTurn, Param
from understudy.agents.output import OutputType
from understudy.models.offline.structured import structured
from understudy.tools.schema import Misfit


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@attrs.frozen
class Line:
    sku: str
    pieces: Annotated[int, Param("how many", minimum=1)] = 1
    note: str | None = None


@dataclasses.dataclass
class Order:
    number: str
    lines: list[Line]
    due: datetime.date | None = None
    level: Level = Level.LOW
    tags: set[str] = dataclasses.field(default_factory=set)


class Customer(pydantic.BaseModel):
    name: str = pydantic.Field(alias="Name", min_length=1)
    age: int = 3


class Stock(msgspec.Struct):
    pieces: dict[str, int]


def objects(schema: Any) -> list[dict[str, Any]]:
    """Return all schemas of objects within one."""
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for each in schema.values() for found in objects(each)]


@pytest.mark.parametrize("kind", [Order, Line, Customer])
def test_a_strict_schema_requires_every_member(kind: type[Any]) -> None:
    """The rules of strict structured output; one with a default may be null."""
    form = OutputType(kind).format
    assert (form.name, form.strict) == (kind.__name__, True)
    for each in objects(form.schema):
        assert each["required"] == list(each["properties"])
        assert each["additionalProperties"] is False
    assert {"default", "uniqueItems", "minLength"}.isdisjoint(json.dumps(form.schema).replace('"', " ").split())


def test_a_type_that_strict_output_cannot_say_is_not_strict() -> None:
    form = OutputType(Stock).format
    assert (form.strict, form.schema) == (False, OutputType(Stock).schema)
    assert OutputType(Stock).read('{"pieces": {"a": 1}}').value == {"pieces": {"a": 1}}


def test_an_answer_is_read_with_its_defaults() -> None:
    """Null stands for a default where null is no value; a fence of Markdown is taken off."""
    text = '{"number": "A", "lines": [{"sku": "x", "pieces": null, "note": null}], "due": "2026-01-31", "level": null}'
    read = OutputType(Order).read(f"```json\n{text}\n```")
    line = {"sku": "x", "pieces": 1, "note": None}
    assert read.value == {"number": "A", "lines": [line], "due": "2026-01-31", "level": "low", "tags": []}
    assert OutputType(Order).read(read.text) == read
    assert OutputType(Customer).read('{"Name": "Ada", "age": null}').value == {"name": "Ada", "age": 3}


@pytest.mark.parametrize(
    ("kind", "text", "path", "says"),
    [
        (Order, "", "", "it is not JSON"),
        (Order, "Here you are: {}", "", "it is not JSON"),
        (Order, "[" * 100_000, "", "it is not JSON"),
        (Order, "[]", "", "an object is expected"),
        (Order, "{}", ".number", "number is missing"),
        (Order, '{"number": 1, "lines": []}', ".number", "text is expected"),
        (Order, '{"number": "A", "lines": [{"sku": "x", "pieces": 0}]}', ".lines[0].pieces", "at least 1"),
        (Order, '{"number": "A", "lines": [], "more": 1}', "", "there is no field more"),
        (Customer, '{"Name": ""}', "", "in Name"),
    ],
)
def test_what_does_not_fit_is_named(kind: type[Any], text: str, path: str, says: str) -> None:
    with pytest.raises(Misfit, match=says) as caught:
        OutputType(kind).read(text)
    assert caught.value.path == path


@pytest.mark.parametrize("kind", [str, int, dict, list[Line], Level, 7])
def test_an_output_type_is_a_class_with_members(kind: Any) -> None:
    with pytest.raises(TypeError, match="output_type"):
        Agent("clerk", output_type=kind)


def test_a_hand_written_agent_has_none() -> None:
    async def work(turn: AgentTurn) -> None:
        """Do nothing."""

    with pytest.raises(ValueError, match="hand-written"):
        Agent("clerk", run=work, output_type=Line)


@pytest.mark.parametrize("kind", [Order, Line, Customer, Stock])
@pytest.mark.parametrize("answer", ["", "12 pieces of it, high, until 2026-01-31."])
def test_the_offline_model_fills_any_of_them(kind: type[Any], answer: str) -> None:
    text = structured(OutputType(kind).format.schema, answer or "Nothing.")
    assert isinstance(OutputType(kind).read(text).value, dict)
