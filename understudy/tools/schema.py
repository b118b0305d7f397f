"""JSON schema of a type. Pure; `arguments.structure` accepts exactly what these schemas describe."""

import datetime
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from understudy.tools.result import to_json

_SCALARS: Final[Mapping[Any, Mapping[str, str]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
}
_LISTS: Final = (list, Sequence)
_DICTS: Final = (dict, Mapping)


class Unsupported(TypeError):
    """An annotation without a schema; the text names an alternative."""


@frozen
class Param:
    """Details of a parameter beyond its annotation: ``Annotated[str, Param("what to compute", format="expression")]``.

    `format` says what kind of value it is; models use it to fill the argument. Known formats are file-id,
    table-id, expression, sql, text, column, aggregate, cash-flows, percentage and identifier; others are passed
    on. `minimum` and `maximum` bound a number (both inclusive) and are enforced.
    """

    description: str = ""
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    def schema(self) -> dict[str, Any]:
        """Return the schema keywords for the fields that are set."""
        return {name: value for name, value in attrs.asdict(self).items() if value not in (None, "")}


def schema_of(annotation: Any, _within: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the JSON schema of a type. Raises `Unsupported`."""
    if annotation in _within:
        raise Unsupported(f"{_name(annotation)} contains itself, which a schema here cannot say; flatten it")
    if _hashable(annotation) and annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if annotation is Any or annotation is object:
        return {}
    within = (*_within, annotation)
    origin = get_origin(annotation) or annotation
    if origin is Annotated:
        base, *extras = get_args(annotation)
        schema = schema_of(base, _within)
        for extra in extras:
            if isinstance(extra, Param):
                schema.update(extra.schema())
        return schema
    if origin is Union or origin is types.UnionType:
        return {"anyOf": [schema_of(each, _within) for each in get_args(annotation)]}
    if origin is Literal:
        return _choice(get_args(annotation))
    if origin in _LISTS:
        items = get_args(annotation)
        return {"type": "array", "items": schema_of(items[0], within)} if items else {"type": "array"}
    if origin in _DICTS:
        return _mapping(annotation, within)
    return _class(annotation, within)


def _mapping(annotation: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    arguments = get_args(annotation)
    if not arguments:
        return {"type": "object"}
    if arguments[0] is not str:
        raise Unsupported(f"the keys of {_name(annotation)} must be str, as JSON's are")
    values = schema_of(arguments[1], within)
    return {"type": "object", "additionalProperties": values} if values else {"type": "object"}


def _choice(values: Sequence[Any]) -> dict[str, Any]:
    plain = [to_json(each) for each in values]
    kinds = {type(each) for each in plain}
    if not kinds <= {str, int, float, bool, type(None)}:
        raise Unsupported("the values of a choice must be texts, numbers, booleans or None")
    schema: dict[str, Any] = dict(_SCALARS[kinds.pop()]) if len(kinds) == 1 else {}
    return {**schema, "enum": plain}


def _class(annotation: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    if isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return _choice([each.value for each in annotation])
        if attrs.has(annotation):
            fields = attrs.fields(attrs.resolve_types(annotation, include_extras=True))
            needed = [each.name for each in fields if each.init and each.default is attrs.NOTHING]
            return _object({each.name: each.type for each in fields if each.init}, needed, within)
        if typing.is_typeddict(annotation):
            hints = get_type_hints(annotation, include_extras=True)
            needed = [name for name in hints if name in annotation.__required_keys__]  # type: ignore[attr-defined]
            return _object({name: _bare(hint) for name, hint in hints.items()}, needed, within)
    raise Unsupported(
        f"{_name(annotation)} has no schema; use str, int, float, bool, None, list, dict, Literal, an enum, "
        "a TypedDict, an attrs class, date or datetime"
    )


def _object(members: Mapping[str, Any], needed: list[str], within: tuple[Any, ...]) -> dict[str, Any]:
    for name, each in members.items():
        if each is None:
            raise Unsupported(f"{_name(within[-1])}.{name} has no annotation")
    properties = {name: schema_of(each, within) for name, each in members.items()}
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def _bare(hint: Any) -> Any:
    """A TypedDict's field without Required and NotRequired."""
    return get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint


def _hashable(annotation: Any) -> bool:
    return isinstance(annotation, type)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
