"""JSON Schemas in the terms that draft-07 and 2020-12 share. Pure."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}


def object_of(properties: Mapping[str, Schema], required: Collection[str] = (), **more: Any) -> Schema:
    """Build the schema of an object with these members. Others are allowed, because later versions may add some."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    return schema | more


def record(*optional: str, **members: Schema) -> Schema:
    """Build the schema of an object with these members, all required but the `optional` ones."""
    return object_of(members, [name for name in members if name not in optional])


def one_of(texts: Iterable[str]) -> Schema:
    """Build the schema of a text that is one of these."""
    return {"type": "string", "enum": list(texts)}


def array_of(items: Schema, **more: Any) -> Schema:
    """Build the schema of a list of `items`."""
    return {"type": "array", "items": items} | more


def or_null(schema: Schema) -> Schema:
    """Add null to a schema."""
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def components_of(kind: Any, template: str) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of a type, and those of the classes in it by name, to which it refers by this template."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=template)
    for component in components.values():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
    return schema, components


def whole(schema: Schema) -> Schema:
    """Return the schema of a class as it is encoded: with its members that have a default too."""
    members, required = schema.get("properties", {}), schema.get("required", ())
    needed = [name for name, part in members.items() if name in required or "default" in part]
    plain = {name: {key: value for key, value in part.items() if key != "default"} for name, part in members.items()}
    return schema | ({"properties": plain, "required": needed} if members else {})


def members_of(kind: type[Any]) -> dict[str, Schema]:
    """Return the schema of each field of a class, by its name in Python, with those of other classes in it."""
    _, parts = components_of(kind, "{name}")

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            return (
                inline(parts[value["$ref"]]) if "$ref" in value else {key: inline(part) for key, part in value.items()}
            )
        return list(map(inline, value)) if isinstance(value, list) else value

    parts = {name: whole(schema) for name, schema in parts.items()}
    members: dict[str, Schema] = inline(parts[kind.__name__]["properties"])
    return members
