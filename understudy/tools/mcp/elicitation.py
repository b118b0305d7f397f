"""Questions of MCP servers (elicitation) as forms for the user, and the check of the answers. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

from understudy.tools.form import Question
from understudy.tools.schema import Misfit

MAX_FIELDS: Final = 30
"""Fields of one question; one with more is refused."""
MAX_TEXT: Final = 2000
"""Characters of the message, and of each text of a field; the rest is cut off."""
_MAX_CHOICES: Final = 200
_KEPT: Final = (
    "type", "title", "description", "default", "enum", "enumNames", "oneOf", "anyOf", "items", "format", "minLength",
    "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems", "const",
)  # fmt: skip
_TYPES: Final[Mapping[str, Any]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list,
}  # fmt: skip
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\Z")


class QuestionRefused(ValueError):
    """A question cannot be asked; the text says why."""


def to_question(server: str, message: str, schema: Mapping[str, Any]) -> Question:
    """Return the question with the fields of `schema`, which are plain values as the protocol has it.

    Raises:
        QuestionRefused: The schema is not of that form, or too large.
    """
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping):
        raise QuestionRefused("it does not ask for the fields of an object")
    if len(properties) > MAX_FIELDS:
        raise QuestionRefused(f"it has {len(properties)} fields, more than {MAX_FIELDS}")
    required = [each for each in schema.get("required") or () if each in properties]
    fields = {str(name)[:100]: _field(each) for name, each in properties.items()}
    asked = {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
    return Question(f"{server} asks", asked, str(message)[:MAX_TEXT])


def check_answer(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Check an answer to a question with this schema. Raises `Misfit`, which names the field."""
    properties = schema["properties"]
    for name in schema["required"]:
        if name not in answer:
            raise Misfit(name, f"{name} is missing")
    for name, value in answer.items():
        if name not in properties:
            raise Misfit(name, "there is no such field")
        _check(name, value, properties[name])


def _field(given: Any) -> dict[str, Any]:
    """Return the schema of one field, with what forms know of it."""
    if not isinstance(given, Mapping) or given.get("type") not in _TYPES:
        raise QuestionRefused("a field is no text, number, choice, or yes or no")
    kept = {name: given[name] for name in _KEPT if given.get(name) is not None}
    for name in ("title", "description"):
        if name in kept:
            kept[name] = str(kept[name])[:MAX_TEXT]
    if max((len(each) for each in kept.values() if isinstance(each, list)), default=0) > _MAX_CHOICES:
        raise QuestionRefused(f"a field has more than {_MAX_CHOICES} choices")
    return kept


def _choices(field: Mapping[str, Any]) -> list[Any] | None:
    if isinstance(field.get("enum"), list):
        return list(field["enum"])
    titled = field.get("oneOf") or field.get("anyOf")
    if isinstance(titled, list):
        return [each["const"] for each in titled if isinstance(each, Mapping) and "const" in each]
    return None


def _check(name: str, value: Any, field: Mapping[str, Any]) -> None:
    wanted = _TYPES[field["type"]]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise Misfit(name, f"a value of type {field['type']} is needed")
    choices = _choices(field)
    if isinstance(value, list):
        items = field.get("items")
        allowed = _choices(items) if isinstance(items, Mapping) else None
        if allowed is not None and any(each not in allowed for each in value):
            raise Misfit(name, "only the given choices fit")
        _check_bounds(name, len(value), field, "minItems", "maxItems")
    elif choices is not None and value not in choices:
        raise Misfit(name, "only the given choices fit")
    elif isinstance(value, str):
        _check_bounds(name, len(value), field, "minLength", "maxLength")
        if field.get("format") == "email" and not _EMAIL.match(value):
            raise Misfit(name, "an e-mail address is needed")
    elif not isinstance(value, bool):
        _check_bounds(name, value, field, "minimum", "maximum")


def _check_bounds(name: str, number: float, field: Mapping[str, Any], low: str, high: str) -> None:
    least, most = field.get(low), field.get(high)
    if isinstance(least, int | float) and number < least:
        raise Misfit(name, f"at least {least} is needed")
    if isinstance(most, int | float) and number > most:
        raise Misfit(name, f"at most {most} is allowed")
