"""A tool's arguments in the form that all model providers take. Pure.

Providers refuse a whole request for one tool's schema: OpenAI and Anthropic for `anyOf`, `oneOf`, `allOf`, `enum` or
`not` at its top, OpenAI for an array without `items`, Anthropic for arguments' names in other characters. Such a schema
is written anew, and says less than the server's: the server checks the arguments, and says what is wrong with them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_DEPTH: Final = 8
"""Levels of choices within choices that are looked into."""
MAX_CHOICES: Final = 8
"""Choices that are named in a description."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_CHOICES: Final = ("anyOf", "oneOf")
_DROPPED: Final = frozenset({*_CHOICES, "allOf", "not", "enum", "const", "$ref", "$schema"})


def plain_parameters(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a schema without what providers refuse, and a sentence about what it does not say any more, or "".

    Raises ValueError, with the reason, if it cannot be written so.
    """
    properties, required, choices = _read(schema, schema, 0)
    for name in required:
        properties.setdefault(name, {})
    for name in [each for each in properties if not _NAME.match(each)]:
        if name in required:
            raise ValueError(f"model providers take no argument of the name {name[:64]!r}")
        del properties[name]
    parameters = {name: _with_items(value) for name, value in schema.items() if name not in _DROPPED}
    given = {name: _with_items(value) for name, value in properties.items()}
    parameters |= {"type": "object", "properties": given, "required": sorted(required, key=list(properties).index)}
    return parameters, _sentence(choices)


def _read(
    whole: Mapping[str, Any], schema: Mapping[str, Any], depth: int
) -> tuple[dict[str, Any], set[str], list[list[str]]]:
    """Return the arguments of a schema by name, the names of those that are always needed, and what is needed of each
    choice beyond them."""
    properties, required = _own(schema)
    choices: list[list[str]] = []
    if depth > MAX_DEPTH:
        return properties, required, choices
    for part in _parts(whole, schema):
        others, needed, more = _read(whole, part, depth + 1)
        for name, value in others.items():
            properties.setdefault(name, value)
        required |= needed
        choices += more
    for keyword in _CHOICES:
        read = [_read(whole, each, depth + 1) for each in _objects(whole, schema.get(keyword))]
        if not read:
            continue
        for name in dict.fromkeys(name for others, _, _ in read for name in others):
            said = [others[name] for others, _, _ in read if name in others]
            distinct = [each for number, each in enumerate(said) if each not in said[:number]]
            properties.setdefault(name, distinct[0] if len(distinct) == 1 else {"anyOf": distinct})
        common = set[str].intersection(*(needed for _, needed, _ in read))
        required |= common
        beyond = [sorted(needed - required) for _, needed, _ in read]
        if any(beyond):
            choices += [each for each in beyond if each]
    return properties, required, choices


def _own(schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the arguments that a schema names itself. Raises ValueError if it is malformed."""
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    if not isinstance(properties, Mapping) or not all(isinstance(each, Mapping | bool) for each in properties.values()):
        raise ValueError("its schema is malformed")
    if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
        raise ValueError("its schema is malformed")
    return {name: {} if value is True else value for name, value in properties.items()}, set(required)


def _parts(whole: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas that arguments have to fit besides this one."""
    if "$ref" in schema:
        yield from _objects(whole, [{"$ref": schema["$ref"]}])
    yield from _objects(whole, schema.get("allOf"))


def _objects(whole: Mapping[str, Any], schemas: Any) -> Iterator[Mapping[str, Any]]:
    """Yield those of some schemas that may be met by an object, without references to others."""
    for each in schemas if isinstance(schemas, list) else ():
        found = each
        if isinstance(each, Mapping) and isinstance(each.get("$ref"), str):
            found = _referred(whole, each["$ref"])
        if isinstance(found, Mapping) and takes_object(found.get("type", "object")):
            yield found


def _referred(whole: Mapping[str, Any], reference: str) -> Any:
    found: Any = whole
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return None if found is whole else found


def takes_object(kind: Any) -> bool:
    """Return whether a schema of this `type` may be met by an object."""
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _with_items(schema: Any) -> Any:
    """Return a schema whose arrays say what is in them, at all levels."""
    if isinstance(schema, list):
        return [_with_items(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {name: _with_items(value) for name, value in schema.items()}
    kind = made.get("type")
    if (kind == "array" or (isinstance(kind, list) and "array" in kind)) and not isinstance(made.get("items"), dict):
        made["items"] = {}
    return made


def _sentence(choices: list[list[str]]) -> str:
    """Say of which arguments one group is needed."""
    if not choices:
        return ""
    groups = list(dict.fromkeys(" and ".join(each) for each in choices))[:MAX_CHOICES]
    return f"Give one of these: {'; '.join(groups)}."
