"""A tool's arguments in the form that all model providers take, and as models write them. Pure.

Providers refuse a whole request for one tool's schema: OpenAI and Anthropic for `anyOf`, `oneOf`, `allOf`, `enum` or
`not` at its top, OpenAI for an array without `items`, Anthropic for arguments' names in other characters, and for what
is no JSON Schema 2020-12. The schemas of own tools, of MCP servers and of clients are all written anew here. They may
say less than before: who calls the tool checks the arguments, and says what is wrong with them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from understudy.tools.result import SAFE
from understudy.tools.written import read_or_none

MAX_DEPTH: Final = 8
"""Levels of choices within choices that are looked into."""
MAX_PARTS: Final = 1000
"""Choices and parts of one schema that are read, however often they refer to each other."""
MAX_CHOICES: Final = 8
"""Choices that are named in a description."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_CHOICES: Final = ("anyOf", "oneOf")
_PLACES: Final = ("items", "prefixItems", "additionalItems")
_MAPS: Final = ("properties", "$defs", "definitions", "patternProperties")
_ONE: Final = ("additionalProperties", "contains", "propertyNames", "if", "then", "else")
"""Keywords with schemas by name, and with one schema."""
_KINDS: Final = {
    **{kind: kind for kind in ("string", "number", "integer", "boolean", "object", "array", "null")},
    "str": "string", "text": "string", "float": "number", "int": "integer", "bool": "boolean", "dict": "object",
    "list": "array", "none": "null",
}  # fmt: skip
"""Types by the names that people give them."""
_JSON_KINDS: Final = {type(None): "null", bool: "boolean", int: "integer", float: "number"}
_DROPPED: Final = frozenset({*_CHOICES, "allOf", "not", "enum", "const", "$ref", "$schema"})


def plain_parameters(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a schema without what providers refuse, and a sentence about what it does not say any more, or "".

    Raises ValueError, with the reason, if it cannot be written so.
    """
    properties, required, choices = _read(schema, schema, 0, iter(range(MAX_PARTS)))
    for name in required:
        properties.setdefault(name, {})
    for name in [name for name in properties if not _NAME.match(name)]:
        if name in required:
            raise ValueError(f"model providers take no argument of the name {name[:64]!r}")
        del properties[name]
    parameters = {name: _inner(name, value, schema) for name, value in schema.items() if name not in _DROPPED}
    members = {name: _plain(value, schema) for name, value in properties.items()}
    parameters |= {"type": "object", "properties": members, "required": sorted(required, key=list(properties).index)}
    return parameters, _sentence(choices)


def _read(
    whole: Mapping[str, Any], schema: Mapping[str, Any], depth: int, left: Iterator[int]
) -> tuple[dict[str, Any], set[str], list[list[str]]]:
    """Return the arguments of a schema by name, the names of those that are always needed, and what is needed of each
    choice beyond them."""
    properties, required = _own(schema)
    choices: list[list[str]] = []
    if depth > MAX_DEPTH or next(left, None) is None:
        return properties, required, choices
    referred = [{"$ref": schema["$ref"]}] if "$ref" in schema else []
    for part in (*_objects(whole, referred), *_objects(whole, schema.get("allOf"))):
        others, needed, more = _read(whole, part, depth + 1, left)
        for name, value in others.items():
            properties.setdefault(name, value)
        required |= needed
        choices += more
    for keyword in _CHOICES:
        read = [_read(whole, alternative, depth + 1, left) for alternative in _objects(whole, schema.get(keyword))]
        if not read:
            continue
        for name in dict.fromkeys(name for others, _, _ in read for name in others):
            variants = [others[name] for others, _, _ in read if name in others]
            distinct = [variant for number, variant in enumerate(variants) if variant not in variants[:number]]
            properties.setdefault(name, distinct[0] if len(distinct) == 1 else {"anyOf": distinct})
        required |= set[str].intersection(*(needed for _, needed, _ in read))
        choices += [sorted(needed - required) for _, needed, _ in read if needed - required]
    return properties, required, choices


def _own(schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the arguments that a schema names itself. Raises ValueError if it is malformed."""
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    if not isinstance(properties, Mapping) or not all(isinstance(of, Mapping | bool) for of in properties.values()):
        raise ValueError("its schema is malformed")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("its schema is malformed")
    return {name: {} if value is True else value for name, value in properties.items()}, set(required)


def _objects(whole: Mapping[str, Any], schemas: Any) -> Iterator[Mapping[str, Any]]:
    """Yield those of some schemas that may be met by an object, without references to others."""
    for schema in schemas if isinstance(schemas, list) else ():
        target = schema
        if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
            target = _referred(whole, schema["$ref"])
        if isinstance(target, Mapping) and takes_object(target.get("type", "object")):
            yield target


def _referred(whole: Mapping[str, Any], reference: Any) -> Any:
    """Return what a reference leads to, None if it leads nowhere."""
    target: Any = whole
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        if step:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def takes_object(kind: Any) -> bool:
    """Return whether a schema of this `type` may be met by an object."""
    kinds = _known_kinds(kind)
    return kinds == "object" or (isinstance(kinds, list) and "object" in kinds)


def _plain(schema: Any, whole: Mapping[str, Any]) -> Any:
    """Return a schema as JSON Schema 2020-12 has it, whose arrays say what is in them, at all levels.

    Older drafts and hand-written schemas are met: items by their places, bounds that are true, types of Python, in
    capitals as Google's, references that lead nowhere in the `whole`.
    """
    if not isinstance(schema, Mapping):
        return {}
    made = {name: _inner(name, value, whole) for name, value in schema.items() if name not in _PLACES}
    if "$ref" in made and _referred(whole, made["$ref"]) is None:
        del made["$ref"]
    for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(bound), bool) and made.pop(bound) and plain in made:
            made[bound] = made.pop(plain)
    if not isinstance(made.get("required", []), list):
        del made["required"]
    if made.get("enum") == []:
        del made["enum"]
    if (kinds := _known_kinds(made.pop("type", None))) is not None:
        made["type"] = kinds
    if "array" in (kinds if isinstance(kinds, list) else [kinds]) or any(place in schema for place in _PLACES):
        made["items"] = _items(schema, whole)
    return made


def _inner(name: str, value: Any, whole: Mapping[str, Any]) -> Any:
    """Return what stands in a schema at a keyword, with the schemas in it."""
    if name in _MAPS and isinstance(value, Mapping):
        return {key: _plain(inner, whole) for key, inner in value.items()}
    if name in (*_CHOICES, "allOf") and isinstance(value, list):
        return [_plain(part, whole) for part in value]
    return _plain(value, whole) if name == "not" or (isinstance(value, Mapping) and name in _ONE) else value


def _items(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """Return the schema of an array's items; a choice of those of its places, which not all providers take."""
    items = schema.get("items")
    places = [*schema.get("prefixItems", ()), *(items if isinstance(items, list) else ())]
    schemas = [_plain(item, whole) for item in (*places, *([items] if isinstance(items, Mapping) else ()))]
    distinct = [item for number, item in enumerate(schemas) if item not in schemas[:number]]
    return {"anyOf": distinct} if len(distinct) > 1 else distinct[0] if distinct else {}


def _known_kinds(kinds: Any) -> Any:
    """Return a `type` with the names that JSON Schema has; None if there is none."""
    if isinstance(kinds, list):
        names = [kind for kind in map(_known_kinds, kinds) if kind is not None]
        return names or None
    return _KINDS.get(kinds.lower()) if isinstance(kinds, str) else None


def fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return a value that a model wrote as its schema means it, where that is without doubt.

    A text that is the JSON of a list or an object, in the place of one, is read; it stays where a text may be. So is a
    whole number that is written as 3.0. A null that stands for a default is left out.
    """
    try:
        return _fitted(value, schema, schema)
    except RecursionError:  # its check will say so
        return value


def _fitted(value: Any, schema: Any, whole: Mapping[str, Any]) -> Any:
    is_text = isinstance(value, str) and isinstance(schema, Mapping) and schema.get("type") == "string"
    if is_text or not (choices := list(_alternatives(schema, whole, set()))):
        return value
    kinds = {kind for choice in choices for kind in _kinds_of(choice)}
    if isinstance(value, float) and "number" not in kinds and value.is_integer() and abs(value) <= SAFE:
        return int(value) if "integer" in kinds else value
    if isinstance(value, str) and "string" not in kinds:
        read = read_or_none(value)
        kind = "array" if isinstance(read, list) else "object" if isinstance(read, dict) else ""
        value = read if kind in kinds or (value.strip() == "null" and "null" in kinds) else value
    if isinstance(value, list):
        items: Any = next((choice["items"] for choice in choices if isinstance(choice.get("items"), Mapping)), {})
        return [_fitted(item, items, whole) for item in value]
    if not isinstance(value, dict):
        return value
    of_objects = [choice for choice in choices if "object" in _kinds_of(choice)]
    meant = min(of_objects, key=lambda choice: len(value.keys() - (choice.get("properties") or {}).keys()), default={})
    members, needed = meant.get("properties") or {}, meant.get("required") or ()
    return {
        name: _fitted(member, members.get(name, meant.get("additionalProperties")), whole)
        for name, member in value.items()
        if member is not None or name not in members or name in needed or _takes_null(members[name], whole)
    }


def _takes_null(schema: Any, whole: Mapping[str, Any]) -> bool:
    return any("null" in _kinds_of(alternative) for alternative in _alternatives(schema, whole, set()))


def _alternatives(schema: Any, whole: Mapping[str, Any], seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema, or if it is a choice those that it is one of, each once."""
    if isinstance(schema, Mapping) and isinstance(reference := schema.get("$ref"), str):
        schema = _referred(whole, reference)
    if not isinstance(schema, Mapping) or id(schema) in seen:
        return
    seen.add(id(schema))
    inner = [choice for keyword in _CHOICES for choice in schema.get(keyword) or ()]
    if inner:
        for choice in inner:
            yield from _alternatives(choice, whole, seen)
    else:
        yield schema


def _kinds_of(schema: Mapping[str, Any]) -> Collection[str]:
    """Return the types that a schema without choices may be met by; all of them if it does not say."""
    kinds = schema.get("type")
    if kinds is None and (values := schema.get("enum") or [schema[name] for name in ("const",) if name in schema]):
        kinds = [_JSON_KINDS.get(type(value), "string") for value in values]
    return _KINDS if kinds is None else kinds if isinstance(kinds, list) else [kinds]


def _sentence(choices: list[list[str]]) -> str:
    """Say of which arguments one group is needed."""
    if not choices:
        return ""
    groups = list(dict.fromkeys(" and ".join(choice) for choice in choices))[:MAX_CHOICES]
    return f"Give one of these: {'; '.join(groups)}."
