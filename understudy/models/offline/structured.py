"""Puts an answer of rules into the form of a JSON schema, so that agents with an output type work offline. Pure.

Texts get the answer, numbers the numbers in it, in order, a choice the first of its values that the answer names; what
is left gets the least value that the schema allows. It is a stand-in: what belongs where is not understood.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?![\w.])")
_DATE: Final = re.compile(r"\b\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b")
_MAX_TEXT: Final = 2_000
_EXAMPLES: Final[Mapping[str, str]] = {
    "date-time": "2000-01-01T00:00:00+00:00",
    "time": "00:00:00",
    "email": "nobody@example.org",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "decimal": "0",
}


def structured(schema: Mapping[str, Any], answer: str) -> str:
    """Return JSON that fits a schema without patterns, with what the answer says."""
    answer = answer[:_MAX_TEXT]
    numbers = iter(_NUMBER.findall(answer))
    return msgspec.json.encode(_value(schema, answer, numbers)).decode()


def _value(schema: Mapping[str, Any], answer: str, numbers: Iterator[str]) -> Any:
    if "const" in schema:
        return schema["const"]
    if choices := schema.get("enum"):
        return next((each for each in choices if each and str(each).lower() in answer.lower()), choices[0])
    if unions := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        empty = any(each.get("type") == "null" for each in unions)
        return None if empty else _value(unions[0], answer, numbers)
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            needed = schema.get("required", ())
            return {name: _value(each, answer, numbers) for name, each in members.items() if name in needed}
        case "array":
            return [_value(schema.get("items", {}), answer, numbers) for _ in range(schema.get("minItems", 0))]
        case "string":
            return _text(schema, answer)
        case "integer" | "number" as kind:
            return _number(schema, numbers, whole=kind == "integer")
        case "boolean":
            return False
    return None


def _text(schema: Mapping[str, Any], answer: str) -> str:
    form = schema.get("format", "")
    if form == "date":
        found = _DATE.search(answer)
        return "2000-01-01" if found is None else found[0]
    text = _EXAMPLES.get(form, answer)
    return text[: schema.get("maxLength", _MAX_TEXT)].ljust(schema.get("minLength", 0), ".")


def _number(schema: Mapping[str, Any], numbers: Iterator[str], *, whole: bool) -> float:
    low = max(schema.get("minimum", float("-inf")), schema.get("exclusiveMinimum", float("-inf")) + 1)
    high = min(schema.get("maximum", float("inf")), schema.get("exclusiveMaximum", float("inf")) - 1)
    number = min(max(float(next(numbers, 0)), low), high)
    return int(number) if whole else number
