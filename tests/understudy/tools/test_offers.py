"""Starters and next steps: what they may hold, and the table that a call lacks."""

from typing import Any

import pytest

from understudy.tools.offers import NextStep, Starter, with_table

SCHEMA = {
    "properties": {"file_id": {"type": "string", "format": "table-id"}, "x": {"type": "string"}},
    "required": ["file_id", "x"],
}


@pytest.mark.parametrize("text", ["", "x" * 1_001, 5, None])
def test_a_text_is_short_and_there(text: Any) -> None:
    for kind in (NextStep, Starter):
        with pytest.raises(ValueError, match="must be a text"):
            kind(text, "tool")


@pytest.mark.parametrize("arguments", [[], "x", {"x": object()}, {"x": "y" * 40_000}, {1: {2}, "a": object()}])
def test_arguments_are_an_object_of_json(arguments: Any) -> None:
    for kind in (NextStep, Starter):
        with pytest.raises(ValueError, match="arguments must be"):
            kind("More", "tool", arguments)


def test_a_starter_may_have_no_tool_and_a_step_must() -> None:
    assert Starter("Hello").tool == ""
    with pytest.raises(ValueError, match="tool must be"):
        NextStep("More", "")


@pytest.mark.parametrize(
    ("arguments", "tables", "completed", "missing"),
    [
        ({}, [], {}, ["file_id", "x"]),
        ({}, ["a", "b"], {"file_id": "b"}, ["x"]),
        ({"file_id": "c", "x": "m"}, ["a"], {"file_id": "c", "x": "m"}, []),
        ({"x": "m"}, ["a"], {"x": "m", "file_id": "a"}, []),
    ],
)
def test_a_table_that_is_attached_is_the_one_that_a_call_lacks(
    arguments: dict[str, str], tables: list[str], completed: dict[str, str], missing: list[str]
) -> None:
    assert with_table(SCHEMA, arguments, tables) == (completed, missing)
