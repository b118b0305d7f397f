"""Schemas of tools as model providers take them: nothing that they refuse is left, and no argument is lost."""

from typing import Any

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import tool
from understudy.chat.run.client_tools import client_tools
from understudy.tools.parameters import fitted, plain_parameters
from understudy.tools.schema import schema_of

TEXT, NUMBER, WHOLE, NULL = ({"type": kind} for kind in ("string", "number", "integer", "null"))
REFUSED = {"anyOf", "oneOf", "allOf", "not", "enum", "const", "$ref"}


def plain(**schema: Any) -> tuple[dict[str, Any], str]:
    """Return what becomes of a schema, and check that its top has nothing that providers refuse."""
    made, sentence = plain_parameters({"type": "object", **schema})
    assert not REFUSED & set(made)
    assert made["type"] == "object"
    return made, sentence


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_choices_at_the_top_become_a_sentence(keyword: str) -> None:
    made, sentence = plain(
        properties={"a": TEXT, "b": TEXT, "c": NUMBER},
        required=["c"],
        **{keyword: [{"required": ["a"]}, {"required": ["b", "c"]}]},
    )
    assert made == {"type": "object", "properties": {"a": TEXT, "b": TEXT, "c": NUMBER}, "required": ["c"]}
    assert sentence == "Give one of these: a; b."


def test_arguments_of_the_choices_are_kept() -> None:
    made, sentence = plain(
        oneOf=[
            {"properties": {"kind": {"const": "x"}, "text": TEXT}, "required": ["kind", "text"]},
            {"properties": {"kind": {"const": "y"}, "count": NUMBER}, "required": ["kind", "count"]},
            {"type": "null"},
        ]
    )
    kind = {"anyOf": [{"const": "x"}, {"const": "y"}]}
    assert made["properties"] == {"kind": kind, "text": TEXT, "count": NUMBER}
    assert (made["required"], sentence) == (["kind"], "Give one of these: text; count.")


def test_a_schema_that_is_referred_to_is_part_of_it() -> None:
    made, sentence = plain_parameters(
        {
            "$defs": {"a": {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "allOf": [{"$ref": "#"}]}},
            "$ref": "#/$defs/a",
            "allOf": [{"properties": {"b": NUMBER}, "required": ["b"]}, {"$ref": "#/$defs/none"}],
        }
    )
    assert (made["properties"], made["required"], sentence) == ({"a": TEXT, "b": NUMBER}, ["a", "b"], "")
    assert not REFUSED & set(made)


BOTH = {"anyOf": [TEXT, NUMBER]}


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": ["array", "null"], "items": TEXT}, {"type": ["array", "null"], "items": TEXT}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
        ({"type": "array", "items": [TEXT, NUMBER]}, {"type": "array", "items": BOTH}),
        ({"type": "array", "prefixItems": [TEXT, TEXT], "items": False}, {"type": "array", "items": TEXT}),
        ({"prefixItems": [TEXT], "items": NUMBER}, {"items": BOTH}),
        ({"type": "object", "properties": {"x": {"type": "list"}}}, {"type": "object", "properties": {"x": {
            "type": "array", "items": {}}}}),
        ({"anyOf": [{"type": "list"}, {"type": "None"}]}, {"anyOf": [{"type": "array", "items": {}}, NULL]}),
        ({"type": "str", "required": True}, TEXT),
        ({"type": ["float", "any"]}, {"type": ["number"]}),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": True}, {"type": "number", "exclusiveMinimum": 1}),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": False}, {"type": "number", "maximum": 1}),
        ({"type": "string", "enum": []}, TEXT),
        ({"type": "ARRAY", "items": {"type": "STRING"}}, {"type": "array", "items": TEXT}),
        ({"$ref": "#/$defs/Gone", "title": "a"}, {"title": "a"}),
        ({"type": "array", "items": {"$ref": 5}}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"$ref": "#"}}, {"type": "array", "items": {"$ref": "#"}}),
        (True, {}),
    ],
)  # fmt: skip
def test_a_parameter_is_written_as_all_providers_take_it(written: Any, made: dict[str, Any]) -> None:
    """Arrays say what is in them, older drafts become the newest, and it is the same when it is written again."""
    assert plain(properties={"a": written})[0]["properties"]["a"] == made
    assert plain(properties={"a": made})[0]["properties"]["a"] == made
    jsonschema.Draft202012Validator.check_schema(made)


def arrays(schema: Any) -> list[dict[str, Any]]:
    """Return all schemas of arrays within one."""
    if isinstance(schema, list):
        return [array for member in schema for array in arrays(member)]
    if not isinstance(schema, dict):
        return []
    return [schema] * ("array" in str(schema.get("type"))) + [
        array for member in schema.values() for array in arrays(member)
    ]


class Pair(pydantic.BaseModel):
    both: tuple[int, str]
    any: list = []  # type: ignore[type-arg]


@pytest.mark.parametrize("kind", [list, set, frozenset, tuple, tuple[float, float], tuple[int, ...], list[list], Pair])
def test_arrays_of_own_tools_and_of_clients_say_what_is_in_them(kind: Any) -> None:
    async def own(a: Any) -> str:
        """Take an array."""
        return str(a)

    own.__annotations__["a"] = kind
    made = tool(own)
    (client,) = client_tools([{"name": "c", "parameters": schema_of(kind) | {"type": "object"}}], ())
    for schema in (made.parameters, client.parameters):
        assert all(isinstance(array.get("items"), dict) for array in arrays(dict(schema)))
    assert arrays(dict(made.parameters))


LISTS = {"type": "array", "items": {"type": "object", "properties": {"n": NUMBER, "t": TEXT}}}
GROUPS = {"type": "object", "additionalProperties": LISTS}


@pytest.mark.parametrize(
    ("schema", "written", "read"),
    [
        (LISTS, '[{"n": 1}]', [{"n": 1}]),
        (LISTS, ['{"n": 1}', {"t": "[1]"}], [{"n": 1}, {"t": "[1]"}]),
        (LISTS, "[1,]", [1]),
        (LISTS, "no list", "no list"),
        (LISTS, '{"n": 1}', '{"n": 1}'),
        ({"anyOf": [LISTS, {"type": "null"}]}, "[]", []),
        ({"anyOf": [LISTS, {"type": "null"}]}, "null", None),
        ({"anyOf": [LISTS, TEXT]}, "[]", "[]"),
        ({"type": ["array", "string"]}, "[]", "[]"),
        ({"$ref": "#/$defs/l"}, "[]", []),
        ({"$ref": "#/$defs/none"}, "[]", "[]"),
        ({"enum": [["a"]]}, "[]", "[]"),
        ({"enum": [1, None]}, "null", None),
        ({}, "[]", "[]"),
        (NUMBER, "5", "5"),
        (NUMBER, 3.0, 3.0),
        (WHOLE, 3.0, 3),
        (WHOLE, 3.5, 3.5),
        (WHOLE, 1e300, 1e300),
        ({"anyOf": [WHOLE, NUMBER]}, 3.0, 3.0),
        (GROUPS, {"x": "[]"}, {"x": []}),
        ({"anyOf": [NULL, GROUPS]}, {"x": "[]"}, {"x": []}),
        ({"anyOf": [TEXT, {"properties": {"a": TEXT}}, {"properties": {"l": LISTS}}]}, {"l": "[]", "b": "[]"}, {
            "l": [], "b": "[]"}),
        (TEXT, '{"n": 1}', '{"n": 1}'),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_schema_means_it(schema: Any, written: Any, read: Any) -> None:
    whole = {"type": "object", "properties": {"a": schema, "b": NUMBER}, "required": ["a"], "$defs": {"l": LISTS}}
    assert repr(fitted({"a": written, "b": None}, whole)) == repr({"a": read})


def test_a_null_stays_where_it_is_needed_and_what_cannot_be_read_stays() -> None:
    assert fitted({"a": None, "c": None}, {"properties": {"a": NUMBER}, "required": ["a"]}) == {"a": None, "c": None}
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    assert fitted({"a": deep}, {"properties": {"a": {}}})["a"] is deep


@pytest.mark.parametrize("keyword", ["allOf", "anyOf"])
def test_a_schema_that_refers_to_itself_many_times_is_read_in_no_time(keyword: str) -> None:
    many = {keyword: [{"$ref": "#/$defs/a"}] * 50}
    made, _ = plain_parameters({"$defs": {"a": many}, "properties": {"a": {"$ref": "#/$defs/a"}}, **many})
    assert fitted({"a": "[]"}, made) == {"a": "[]"}


def test_names_that_a_provider_refuses() -> None:
    """An argument that may be left out is; else the tool cannot be used. One that is only needed has no type."""
    made, _ = plain(properties={"filter[status]": TEXT, "a": TEXT}, required=["a", "b"])
    assert (made["properties"], made["required"]) == ({"a": TEXT, "b": {}}, ["a", "b"])
    with pytest.raises(ValueError, match=r"no argument of the name 'filter\[status\]'"):
        plain(properties={"filter[status]": TEXT}, required=["filter[status]"])


@pytest.mark.parametrize(
    "schema", [{"properties": {"coin": TEXT, "required": ["coin"]}}, {"required": "a"}, {"properties": [TEXT]}]
)
def test_a_malformed_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="malformed"):
        plain(**schema)


NAMES = st.sampled_from("abc")
OWN = {"properties": st.dictionaries(NAMES, st.sampled_from([TEXT, {}])), "required": st.lists(NAMES, unique=True)}
INNER = st.lists(st.fixed_dictionaries({}, optional=OWN), min_size=1, max_size=3)
SCHEMAS = st.fixed_dictionaries({}, optional=OWN | {"anyOf": INNER, "allOf": INNER, "oneOf": INNER})


@given(SCHEMAS, st.dictionaries(NAMES, st.sampled_from(["x", 1])))
def test_nothing_is_needed_that_the_server_does_without(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    if jsonschema.Draft202012Validator(schema).is_valid(arguments):
        made, _ = plain(**schema)
        assert set(made["required"]) <= set(arguments)
