"""Types that bring their own schema and checks: Pydantic's, and msgspec's structs. Pure.

Pydantic is optional and not imported here: where one of its types comes in, its module is loaded already.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec


class ContainsItself(TypeError):
    """A schema refers to itself, and cannot be written out."""


def is_foreign(annotation: Any) -> bool:
    """Return whether a type has its own schema: a model, dataclass or other type of Pydantic, a type annotated with
    validators of Pydantic, or a struct of msgspec."""
    if get_origin(annotation) is Annotated:
        base, *extras = get_args(annotation)
        return is_foreign(base) or any(_is_validator(extra) for extra in extras)
    return _is_pydantic(annotation) or (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct))


def _is_pydantic(annotation: Any) -> bool:
    if not isinstance(annotation, type):
        return False
    return hasattr(annotation, "__pydantic_core_schema__") or hasattr(annotation, "__get_pydantic_core_schema__")


def _is_validator(extra: Any) -> bool:
    # `FieldInfo` has constraints, which `tools.constraints` reads; Pydantic's other annotations convert values.
    kind = type(extra)
    return kind.__module__.partition(".")[0] == "pydantic" and kind.__name__ != "FieldInfo"


def _is_struct(annotation: Any) -> bool:
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return isinstance(base, type) and issubclass(base, msgspec.Struct)


@functools.cache
def _adapter_of_class(kind: Any) -> Any:
    return sys.modules["pydantic"].TypeAdapter(kind)


def _adapter(annotation: Any) -> Any:
    # Only classes are cached: the metadata of `Annotated` need not be hashable.
    make = _adapter_of_class if isinstance(annotation, type) else _adapter_of_class.__wrapped__
    return make(annotation)


def foreign_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON schema of a type, with its references resolved. Raises `ContainsItself`, TypeError."""
    if _is_struct(annotation):
        schema = msgspec.json.schema(annotation)
    else:
        try:
            schema = _adapter(annotation).json_schema()
        except sys.modules["pydantic"].PydanticUserError as error:
            raise TypeError(str(error).partition("\n")[0]) from None
    resolved: dict[str, Any] = _resolved(schema, schema.get("$defs", {}), ())
    return resolved


def _resolved(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(schema, list):
        return [_resolved(part, definitions, within) for part in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    # The mapping of a discriminator has references too; without it a union is matched by its members.
    members = {
        key: _resolved(value, definitions, within)
        for key, value in schema.items()
        if key not in ("$ref", "$defs") and not (key == "discriminator" and isinstance(value, dict))
    }
    if not isinstance(reference, str):
        return members
    name = reference.rpartition("/")[2]
    if name in within:
        raise ContainsItself(f"{name} contains itself, which a schema here cannot say; flatten it")
    return _resolved(definitions[name], definitions, (*within, name)) | members


def foreign_value(value: Any, annotation: Any) -> Any:
    """Convert a plain JSON value to the type. A model is as strict as its configuration says.

    Raises ValueError with a sentence, and any error of the type's validators.
    """
    if _is_struct(annotation):
        try:
            return msgspec.convert(value, annotation)
        except msgspec.ValidationError as error:
            text, _, where = str(error).partition(" - at `$")
            raise ValueError(_sentence(where.rstrip("`").lstrip("."), text)) from None
    try:
        return _adapter(annotation).validate_json(msgspec.json.encode(value))
    except sys.modules["pydantic_core"].ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        raise ValueError(_sentence(where.lstrip("."), first["msg"])) from None


def _sentence(where: str, text: str) -> str:
    text = text.rstrip(".")
    return (f"in {where}, " if where else "") + text[:1].lower() + text[1:]


def foreign_to_plain(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert a value of a foreign type to JSON values, or to values of types that `tools.result.to_json` converts.

    `convert` converts the parts that Pydantic cannot. Raises ValueError, and the errors of `convert`.
    """
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        members = {encoded: getattr(value, name) for encoded, name in names}
        tag = {} if config.tag is None else {config.tag_field: config.tag}
        return tag | {name: member for name, member in members.items() if member is not msgspec.UNSET}
    return _adapter(type(value)).dump_python(value, mode="json", fallback=convert)
