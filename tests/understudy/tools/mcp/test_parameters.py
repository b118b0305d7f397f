"""Schemas of tools as model providers take them: nothing that they refuse is left, and no argument is lost."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools.mcp.parameters import plain_parameters

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
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
    """Those that each choice needs are needed; one that two describe otherwise has both descriptions."""
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


def test_what_a_schema_refers_to_is_part_of_it() -> None:
    """Also through `allOf`, and one that refers to itself has an end."""
    made, sentence = plain_parameters(
        {
            "$defs": {"a": {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "allOf": [{"$ref": "#"}]}},
            "$ref": "#/$defs/a",
            "allOf": [{"properties": {"b": NUMBER}, "required": ["b"]}, {"$ref": "#/$defs/none"}],
        }
    )
    assert (made["properties"], made["required"], sentence) == ({"a": TEXT, "b": NUMBER}, ["a", "b"], "")
    assert not REFUSED & set(made)


def test_arrays_say_what_is_in_them() -> None:
    made, _ = plain(properties={"a": {"type": "array"}, "b": {"type": ["array", "null"], "items": TEXT}})
    assert made["properties"] == {"a": {"type": "array", "items": {}}, "b": {"type": ["array", "null"], "items": TEXT}}


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
