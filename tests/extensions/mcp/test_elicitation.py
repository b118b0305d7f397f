"""Questions of servers as forms."""

from typing import Any

import pytest

from understudy.extensions.mcp.elicitation import QuestionRefused, check_answer, to_question
from understudy.tools.schema import Misfit

FIELDS = {
    "colour": {"type": "string", "enum": ["red", "blue"], "x-script": "<script>"},
    "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "l", "title": "Large"}]},
    "count": {"type": "integer", "minimum": 1, "maximum": 9},
    "mail": {"type": "string", "format": "email"},
    "sure": {"type": "boolean", "default": False},
    "some": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 1},
}
QUESTION = to_question("demo", "Which?", {"type": "object", "properties": FIELDS, "required": ["colour"]})


def test_a_question_has_what_forms_know() -> None:
    assert (QUESTION.title, QUESTION.text) == ("demo asks", "Which?")
    assert QUESTION.schema["properties"]["colour"] == {"type": "string", "enum": ["red", "blue"]}
    check_answer(
        QUESTION.schema, {"colour": "red", "size": "l", "count": 9, "mail": "a@b", "sure": True, "some": ["a"]}
    )


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ({}, "colour"), ({"colour": "green"}, "colour"), ({"colour": 1}, "colour"),
        ({"colour": "red", "size": "m"}, "size"), ({"colour": "red", "count": 0}, "count"),
        ({"colour": "red", "count": True}, "count"), ({"colour": "red", "count": 1.5}, "count"),
        ({"colour": "red", "mail": "nobody"}, "mail"), ({"colour": "red", "other": 1}, "other"),
        ({"colour": "red", "some": ["c"]}, "some"), ({"colour": "red", "some": ["a", "b"]}, "some"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_names_the_field(answer: dict[str, Any], field: str) -> None:
    with pytest.raises(Misfit) as misfit:
        check_answer(QUESTION.schema, answer)
    assert misfit.value.path == field


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {str(number): {"type": "string"} for number in range(31)}},
        {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"] * 201}}},
    ],
)
def test_a_question_that_is_no_form_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(QuestionRefused):
        to_question("demo", "?", schema)
