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
        return [inner for member in schema for inner in objects(member)]
    if not isinstance(schema, dict):
        return []
    itself = [schema] if schema.get("type") == "object" else []
    return itself + [inner for member in schema.values() for inner in objects(member)]


@pytest.mark.parametrize("kind", [Order, Line, Customer])
def test_a_strict_schema_requires_every_member(kind: type[Any]) -> None:
    """The rules of strict structured output; one with a default may be null."""
    form = OutputType(kind).format
    assert (form.name, form.strict) == (kind.__name__, True)
    for schema in objects(form.schema):
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
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


LINE = '{"sku": "x"}'


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is: {LINE} I hope that it helps {{you}}.",
        f"As you asked:\n\n```json\n{LINE}\n```\n\nAnything else?",
        f'<think>Not {{}}, nor {LINE[:-1]}, "note": 1}}.</think>{LINE}',
        f"{LINE}\n{LINE}",
        '{"sku": "x",}',
        json.dumps(LINE),
        "{'sku': 'x', 'note': None}",
    ],
)
def test_an_answer_is_found_in_what_stands_around_it(text: str) -> None:
    assert OutputType(Line).read(text).value == {"sku": "x", "pieces": 1, "note": None}


def test_marks_within_an_answer_are_its_own() -> None:
    assert OutputType(Line).read('{"sku": "x", "note": "so\\n</think>y"}').value["note"] == "so\n</think>y"


def test_a_member_that_is_json_in_a_text_is_read() -> None:
    text = json.dumps({"number": "A", "lines": f"[{LINE}]", "tags": '["[1]"]'})
    assert OutputType(Order).read(text).plain == {"number": "A", "lines": [{"sku": "x"}], "tags": ["[1]"]}


@pytest.mark.parametrize(
    ("kind", "text", "path", "says"),
    [
        (Order, "", "", "it is not JSON"),
        (Order, "Here you are: {}", ".number", "number is missing"),
        (Order, 'A {"number": "A", "lines": []} or {"number": "B", "lines": []}', "", "several answers"),
        (Line, 'It is {"of": {"sku": "x"}, "mo', "", "it is not JSON"),
        (Order, "[" * 100_000, "", "it is not JSON"),
        (Order, "[]", "", "an object is expected"),
        (Order, "{}", ".number", "number is missing"),
        (Order, '{"number": 1, "lines": []}', ".number", "text is expected"),
        (Order, '{"number": "A", "lines": [{"sku": "x", "pieces": 0}]}', ".lines[0].pieces", "at least 1"),
        (Order, '{"number": "A", "lines": [], "more": 1}', "", "there is no field more"),
        (Customer, '{"Name": ""}', "", "in Name"),
    ],
)
def test_a_member_that_does_not_fit_is_named(kind: type[Any], text: str, path: str, says: str) -> None:
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
