"""Converts questions of MCP servers (elicitation) to forms for the user, and checks the answers. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, SchemaError

from understudy.tools.form import Question
from understudy.tools.schema import Misfit

MAX_FIELDS: Final = 30
"""Limit of the fields of a question; a question with more is refused."""
MAX_TEXT: Final = 2000
"""Limit in characters of the message and of each text of a field; the rest is cut off."""
_MAX_CHOICES: Final = 200
_KEPT: Final = (
    "type", "title", "description", "default", "enum", "enumNames", "oneOf", "anyOf", "items", "format", "minLength",
    "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems", "const",
)  # fmt: skip
_TYPES: Final = ("string", "integer", "number", "boolean", "array")


class QuestionRefused(ValueError):
    """A question cannot be asked; the text is the reason."""


def to_question(server: str, message: str, schema: Mapping[str, Any]) -> Question:
    """Return the question with the fields of `schema`, which must be plain values, as the protocol demands.

    Raises:
        QuestionRefused: The schema is not of that form, or too large.
    """
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, Mapping):
        raise QuestionRefused("it does not ask for the fields of an object")
    if len(properties) > MAX_FIELDS:
        raise QuestionRefused(f"it has {len(properties)} fields, more than {MAX_FIELDS}")
    required = [name for name in schema.get("required") or () if name in properties]
    fields = {str(name)[:100]: _field(member) for name, member in properties.items()}
    form = {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        raise QuestionRefused(f"its schema is malformed: {error.message[:200]}") from None
    return Question(f"{server} asks", form, str(message)[:MAX_TEXT])


def check_answer(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Check an answer to a question with this schema. Raises `Misfit`, which names the field."""
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for error in validator.iter_errors(answer):
        unknown = next((name for name in answer if name not in schema["properties"]), "")
        missing = next((name for name in schema["required"] if name not in answer), "")
        raise Misfit(str(error.path[0]) if error.path else missing or unknown, error.message)


def _field(schema: Any) -> dict[str, Any]:
    """Return the schema of one field, reduced to the keywords that forms support."""
    if not isinstance(schema, Mapping) or schema.get("type") not in _TYPES:
        raise QuestionRefused("a field is no text, number, choice, or yes or no")
    field: dict[str, Any] = _reduced(schema)
    for name in ("title", "description"):
        if name in field:
            field[name] = str(field[name])[:MAX_TEXT]
    if max((len(value) for value in field.values() if isinstance(value, list)), default=0) > _MAX_CHOICES:
        raise QuestionRefused(f"a field has more than {_MAX_CHOICES} choices")
    return field


def _reduced(schema: Any) -> Any:
    """Return a schema with only the keywords of `_KEPT`: none is fetched or takes long to match."""
    if isinstance(schema, Mapping):
        return {name: _reduced(schema[name]) for name in _KEPT if schema.get(name) is not None}
    return [_reduced(value) for value in schema] if isinstance(schema, list) else schema
