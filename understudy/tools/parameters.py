"""Rewrites the schema of a tool's arguments for all model providers (`plain_parameters`), and fits the arguments that
models write to it (`fitted`). Pure.

Providers refuse a whole request for one tool's schema: OpenAI and Anthropic for `anyOf`, `oneOf`, `allOf`, `enum` or
`not` at its top, OpenAI for an array without `items`, Anthropic for names of arguments in other characters, and for
anything that is not JSON Schema 2020-12. So the schemas of the server's own tools, of MCP servers and of clients are
rewritten here. The result may say less than the original, because the tool's caller checks the arguments anyway.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from understudy.tools.result import SAFE
from understudy.tools.written import read_or_none

MAX_DEPTH: Final = 8
"""Nested levels of choices that are read; deeper ones are ignored."""
MAX_PARTS: Final = 1000
"""Parts of one schema that are read, because parts may refer to each other; further ones are ignored."""
MAX_CHOICES: Final = 8
"""Choices that a description names; further ones are left out."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")  # of an argument, as all providers accept it
_CHOICES: Final = ("anyOf", "oneOf")
_OF_ITEMS: Final = ("items", "prefixItems", "additionalItems")
_SCHEMAS_BY_NAME: Final = ("properties", "$defs", "definitions", "patternProperties")
_ONE_SCHEMA: Final = ("additionalProperties", "contains", "propertyNames", "if", "then", "else")
"""Keywords by the form of their values."""
_KINDS: Final = {
    **{kind: kind for kind in ("string", "number", "integer", "boolean", "object", "array", "null")},
    "str": "string", "text": "string", "float": "number", "int": "integer", "bool": "boolean", "dict": "object",
    "list": "array", "none": "null",
}  # fmt: skip
"""JSON types by the names that schemas have for them, also hand-written ones."""
_JSON_KINDS: Final = {type(None): "null", bool: "boolean", int: "integer", float: "number"}
_DROPPED: Final = frozenset({*_CHOICES, "allOf", "not", "enum", "const", "$ref", "$schema"})  # at the top of a schema


def plain_parameters(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a schema that no provider refuses, and a sentence about the choices that it lost, or "".

    Raises ValueError, with the reason, if the schema is malformed or requires an argument of an impossible name.
    """
    properties, required, choices = _read(schema, schema, 0, iter(range(MAX_PARTS)))
    for name in required:
        properties.setdefault(name, {})
    for name in [name for name in properties if not _NAME.match(name)]:
        if name in required:
            raise ValueError(f"model providers take no argument of the name {name[:64]!r}")
        del properties[name]
    parameters = {name: _plain_value(name, value, schema) for name, value in schema.items() if name not in _DROPPED}
    members = {name: _plain(value, schema) for name, value in properties.items()}
    parameters |= {"type": "object", "properties": members, "required": sorted(required, key=list(properties).index)}
    return parameters, _sentence(choices)


def _read(
    whole: Mapping[str, Any], schema: Mapping[str, Any], depth: int, budget: Iterator[int]
) -> tuple[dict[str, Any], set[str], list[list[str]]]:
    """Return the arguments of a schema and its parts by name, the names that are always required, and for each choice
    the names that it requires in addition. `whole` resolves references; `budget` has an item for each part to read."""
    properties, required = _own_arguments(schema)
    choices: list[list[str]] = []
    if depth > MAX_DEPTH or next(budget, None) is None:
        return properties, required, choices
    references = [{"$ref": schema["$ref"]}] if "$ref" in schema else []
    for part in (*_objects(whole, references), *_objects(whole, schema.get("allOf"))):  # all of these hold
        part_properties, part_required, part_choices = _read(whole, part, depth + 1, budget)
        for name, value in part_properties.items():
            properties.setdefault(name, value)
        required |= part_required
        choices += part_choices
    for keyword in _CHOICES:  # one of these holds: a name is required if all alternatives require it
        alternatives = [_read(whole, part, depth + 1, budget) for part in _objects(whole, schema.get(keyword))]
        if not alternatives:
            continue
        for name in dict.fromkeys(name for members, _, _ in alternatives for name in members):
            variants = [members[name] for members, _, _ in alternatives if name in members]
            distinct = [variant for number, variant in enumerate(variants) if variant not in variants[:number]]
            properties.setdefault(name, distinct[0] if len(distinct) == 1 else {"anyOf": distinct})
        required |= set[str].intersection(*(needed for _, needed, _ in alternatives))
        choices += [sorted(needed - required) for _, needed, _ in alternatives if needed - required]
    return properties, required, choices


def _own_arguments(schema: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Return the properties and the required names of a schema without its parts. Raises ValueError if malformed."""
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    is_mapping = isinstance(properties, Mapping)
    if not is_mapping or not all(isinstance(value, Mapping | bool) for value in properties.values()):
        raise ValueError("its schema is malformed")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ValueError("its schema is malformed")
    return {name: {} if value is True else value for name, value in properties.items()}, set(required)


def _objects(whole: Mapping[str, Any], schemas: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas in a list that may describe an object, references resolved."""
    for schema in schemas if isinstance(schemas, list) else ():
        target = schema
        if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
            target = _resolve(whole, schema["$ref"])
        if isinstance(target, Mapping) and takes_object(target.get("type", "object")):
            yield target


def _resolve(whole: Mapping[str, Any], reference: Any) -> Any:
    """Return the target of a reference; None if it has none."""
    target: Any = whole
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        if step:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def takes_object(kind: Any) -> bool:
    """Return whether a schema of this `type` may describe an object."""
    kinds = _known_kinds(kind)
    return kinds == "object" or (isinstance(kinds, list) and "object" in kinds)


def _plain(schema: Any, whole: Mapping[str, Any]) -> Any:
    """Return a schema in JSON Schema 2020-12, at all levels, in which every array has `items`.

    Older drafts and hand-written schemas are accepted: items by position, boolean bounds, names of types from Python or
    in capitals as Google's, references without a target in `whole`.
    """
    if not isinstance(schema, Mapping):
        return {}
    plain = {name: _plain_value(name, value, whole) for name, value in schema.items() if name not in _OF_ITEMS}
    if "$ref" in plain and _resolve(whole, plain["$ref"]) is None:
        del plain["$ref"]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(plain.get(exclusive), bool) and plain.pop(exclusive) and inclusive in plain:
            plain[exclusive] = plain.pop(inclusive)
    if not isinstance(plain.get("required", []), list):
        del plain["required"]
    if plain.get("enum") == []:
        del plain["enum"]
    if (kinds := _known_kinds(plain.pop("type", None))) is not None:
        plain["type"] = kinds
    if "array" in (kinds if isinstance(kinds, list) else [kinds]) or any(keyword in schema for keyword in _OF_ITEMS):
        plain["items"] = _items(schema, whole)
    return plain


def _plain_value(name: str, value: Any, whole: Mapping[str, Any]) -> Any:
    """Return the value of the keyword `name` of a schema, with the schemas in it made plain."""
    if name in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
        return {key: _plain(inner, whole) for key, inner in value.items()}
    if name in (*_CHOICES, "allOf") and isinstance(value, list):
        return [_plain(part, whole) for part in value]
    return _plain(value, whole) if name == "not" or (isinstance(value, Mapping) and name in _ONE_SCHEMA) else value


def _items(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """Return one schema for all items of an array. Not all providers take schemas by position: they become a choice."""
    items = schema.get("items")
    by_position = [*schema.get("prefixItems", ()), *(items if isinstance(items, list) else ())]
    schemas = [_plain(item, whole) for item in (*by_position, *([items] if isinstance(items, Mapping) else ()))]
    distinct = [item for number, item in enumerate(schemas) if item not in schemas[:number]]
    return {"anyOf": distinct} if len(distinct) > 1 else distinct[0] if distinct else {}


def _known_kinds(kinds: Any) -> Any:
    """Return a `type` with the names of JSON Schema; None if none of its names is known."""
    if isinstance(kinds, list):
        names = [kind for kind in map(_known_kinds, kinds) if kind is not None]
        return names or None
    return _KINDS.get(kinds.lower()) if isinstance(kinds, str) else None


def fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Convert a model's value to the types of its schema, when the meaning is beyond doubt.

    JSON text in place of a list or an object is decoded, unless the schema allows a text; 3.0 becomes the integer 3 in
    place of one. A null in place of a default is left out.
    """
    try:
        return _fitted(value, schema, schema)
    except RecursionError:  # the check of the arguments will refuse the value
        return value


def _fitted(value: Any, schema: Any, whole: Mapping[str, Any]) -> Any:
    """Convert a value: first itself to a type that the schema allows, then the members of a list or an object."""
    is_text = isinstance(value, str) and isinstance(schema, Mapping) and schema.get("type") == "string"
    if is_text or not (choices := list(_alternatives(schema, whole, set()))):
        return value
    kinds = {kind for choice in choices for kind in _kinds_of(choice)}
    if isinstance(value, float) and "number" not in kinds and value.is_integer() and abs(value) <= SAFE:
        return int(value) if "integer" in kinds else value
    if isinstance(value, str) and "string" not in kinds:
        decoded = read_or_none(value)
        kind = "array" if isinstance(decoded, list) else "object" if isinstance(decoded, dict) else ""
        value = decoded if kind in kinds or (value.strip() == "null" and "null" in kinds) else value
    if isinstance(value, list):
        items: Any = next((choice["items"] for choice in choices if isinstance(choice.get("items"), Mapping)), {})
        return [_fitted(item, items, whole) for item in value]
    if not isinstance(value, dict):
        return value
    of_objects = [choice for choice in choices if "object" in _kinds_of(choice)]
    best = min(of_objects, key=lambda choice: len(value.keys() - (choice.get("properties") or {}).keys()), default={})
    properties, required = best.get("properties") or {}, best.get("required") or ()
    return {
        name: _fitted(member, properties.get(name, best.get("additionalProperties")), whole)
        for name, member in value.items()
        if member is not None or name not in properties or name in required or _takes_null(properties[name], whole)
    }


def _takes_null(schema: Any, whole: Mapping[str, Any]) -> bool:
    return any("null" in _kinds_of(choice) for choice in _alternatives(schema, whole, set()))


def _alternatives(schema: Any, whole: Mapping[str, Any], seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """Yield the schema itself, or the alternatives of a choice, each once. References are resolved."""
    if isinstance(schema, Mapping) and isinstance(reference := schema.get("$ref"), str):
        schema = _resolve(whole, reference)
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
    """Return the types of the values that a schema without choices allows; all types if it names none."""
    kinds = schema.get("type")
    if kinds is None and (values := schema.get("enum") or [schema[name] for name in ("const",) if name in schema]):
        kinds = [_JSON_KINDS.get(type(value), "string") for value in values]
    return _KINDS if kinds is None else kinds if isinstance(kinds, list) else [kinds]


def _sentence(choices: list[list[str]]) -> str:
    """Return a sentence that lists the groups of arguments of which one is required."""
    if not choices:
        return ""
    groups = list(dict.fromkeys(" and ".join(choice) for choice in choices))[:MAX_CHOICES]
    return f"Give one of these: {'; '.join(groups)}."
