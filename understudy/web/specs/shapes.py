"""JSON Schemas of attrs classes, in the words that draft-07 and 2020-12 share. Pure."""

import enum
import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}
ANYTHING: Final[Schema] = {}
ISO_TIME: Final[Schema] = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
}
_SIMPLE: Final[Mapping[Any, Schema]] = {str: TEXT, int: WHOLE, float: NUMBER, bool: FLAG, Any: ANYTHING}


def object_of(properties: Mapping[str, Schema], required: Collection[str] = (), **more: Any) -> Schema:
    """Build the schema of an object with these members. Others are allowed, because later versions may add some."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    return schema | more


def array_of(items: Schema, **more: Any) -> Schema:
    """Build the schema of a list of `items`."""
    return {"type": "array", "items": items} | more


def or_null(schema: Schema) -> Schema:
    """Add null to a schema."""
    if schema == ANYTHING:
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def schema_of(kind: Any) -> Schema:
    """Build the schema of an annotated type. Raises TypeError for a type without a JSON form."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"type": "string", "enum": [member.value for member in kind]}
    if attrs.has(kind):
        return schema_of_fields(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType) and type(None) in arguments:
        (inner,) = (each for each in arguments if each is not type(None))
        return or_null(schema_of(inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        values = schema_of(arguments[1])
        return OBJECT if values == ANYTHING else {"type": "object", "additionalProperties": values}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return array_of(schema_of(arguments[0]))
    raise TypeError(f"{kind!r} has no JSON form")


def members_of(kind: Any) -> dict[str, Schema]:
    """Return the schema of each field of an attrs class, by its name in Python."""
    hints = get_type_hints(kind)
    return {each.name: schema_of(hints[each.name]) for each in attrs.fields(kind)}


def schema_of_fields(kind: Any, leave_out: Collection[str] = ()) -> Schema:
    """Build the schema of an attrs class encoded with every field, those that are null included."""
    members = {name: schema for name, schema in members_of(kind).items() if name not in leave_out}
    return object_of(members, list(members))
