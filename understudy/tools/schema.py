"""The types of a tool's parameters: their JSON schema, and the strict conversion of arguments to them. Pure.

`structure` accepts exactly what the schemas describe: "5" is not 5, and 5.0 is no whole number. cattrs walks the types;
the hooks here refuse what cattrs would convert by itself. Types of Pydantic and msgspec's structs bring their own
schema and checks, see `tools.foreign`.
"""

import dataclasses
import datetime
import enum
import math
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
import cattrs
from attrs import frozen
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typeddict_structure_fn

from understudy.tools.constraints import checks, read_bounds, schema_keywords
from understudy.tools.foreign import ContainsItself, foreign_schema, foreign_value, is_foreign
from understudy.tools.result import to_json

_Hook = Callable[[Any, Any], Any]
_Factory = Callable[[Any, cattrs.Converter], _Hook]

_SCALARS: Final[Mapping[Any, Mapping[str, Any]]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "number", "format": "seconds"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    Decimal: {"anyOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]},
}
_LISTS: Final = (list, Sequence, Iterable)
_SETS: Final = (set, frozenset, AbstractSet)
_DICTS: Final = (dict, Mapping)
_UNIONS: Final = (Union, types.UnionType)


class Unsupported(TypeError):
    """An annotation without a schema; the text names an alternative."""


class Misfit(ValueError):
    """A value does not fit its type. `path` names it, as in ``rows[2].price``; the text is the rest of the sentence."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text

    def __str__(self) -> str:
        return self.text


@frozen
class Param:
    """Details of a parameter beyond its annotation: ``Annotated[str, Param("what to compute", format="expression")]``.

    `format` says what kind of value it is; models use it to fill the argument. Known formats are file-id,
    table-id, expression, sql, text, column, aggregate, cash-flows, amounts, selection, choices, period, percentage and
    identifier; others are passed on. `minimum` and `maximum` bound a number (both inclusive) and are enforced.
    """

    description: str = ""
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]) -> Any:
        """Return the schema of a field of a Pydantic model, which would be without `format` otherwise."""
        given = handler(core_schema)
        return given | {"format": self.format} if self.format else given


Secret: TypeAlias = Annotated[str, Param(format="password")]
"""A text of a form that only the tool is given: hidden as it is entered, and neither stored nor shown to anybody."""


# schemas


def schema_of(annotation: Any, _within: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the JSON schema of a type. Raises `Unsupported`."""
    if annotation in _within:
        raise Unsupported(f"{_name(annotation)} contains itself, which a schema here cannot say; flatten it")
    if isinstance(annotation, type) and annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if annotation is Any or annotation is object:
        return {}
    if is_foreign(annotation):
        try:
            return foreign_schema(annotation)
        except (ContainsItself, TypeError) as error:
            raise Unsupported(f"{_name(annotation)}: {error}") from None
    if (base := getattr(annotation, "__supertype__", None)) is not None:  # of a NewType
        return schema_of(base, _within)
    within = (*_within, annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        schema = schema_of(arguments[0], _within)
        for each in arguments[1:]:
            if isinstance(each, Param) and each.format:
                schema["format"] = each.format
        return schema | schema_keywords(arguments[1:], _json_types(schema))
    if origin in _UNIONS:
        return {"anyOf": [schema_of(each, _within) for each in arguments]}
    if origin is Literal:
        return _choice(arguments)
    if origin in _LISTS:
        return {"type": "array", "items": schema_of(arguments[0], within)} if arguments else {"type": "array"}
    if origin in _SETS:
        items = {"items": schema_of(arguments[0], within)} if arguments else {}
        return {"type": "array", **items, "uniqueItems": True}
    if origin is tuple and arguments and arguments[-1] is not ...:
        places = [schema_of(each, within) for each in arguments]
        return {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0], within)} if arguments else {"type": "array"}
    if origin in _DICTS:
        if arguments and arguments[0] is not str:
            raise Unsupported(f"the keys of {_name(annotation)} must be str, as JSON's are")
        values = schema_of(arguments[1], within) if arguments else {}
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    return _class(annotation, within)


def is_plain(annotation: Any) -> bool:
    """Return whether no code of a user takes part in `structure`: no class, validator or predicate of theirs."""
    if (base := getattr(annotation, "__supertype__", None)) is not None:
        return is_plain(base)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return True
    if is_foreign(annotation) or attrs.has(origin) or dataclasses.is_dataclass(origin):
        return False
    if origin is Annotated:
        return is_plain(arguments[0]) and all(name != "func" for name, _ in read_bounds(arguments[1:]))
    parts = get_type_hints(origin, include_extras=True).values() if typing.is_typeddict(origin) else arguments
    return all(map(is_plain, parts))


def _json_types(schema: Mapping[str, Any]) -> set[str]:
    return {each["type"] for each in (schema, *schema.get("anyOf", ())) if "type" in each}


def _choice(values: Sequence[Any]) -> dict[str, Any]:
    plain = [to_json(each) for each in values]
    kinds = {type(each) for each in plain}
    if not kinds <= {str, int, float, bool, type(None)}:
        raise Unsupported("the values of a choice must be texts, numbers, booleans or None")
    schema: dict[str, Any] = dict(_SCALARS[kinds.pop()]) if len(kinds) == 1 else {}
    return {**schema, "enum": plain}


def _class(annotation: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choice([each.value for each in annotation])
    if isinstance(annotation, type) and attrs.has(annotation):
        fields = [each for each in attrs.fields(attrs.resolve_types(annotation, include_extras=True)) if each.init]
        members = {each.name: each.type for each in fields}
        required = [each.name for each in fields if each.default is attrs.NOTHING]
    elif isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        hints, parts = get_type_hints(annotation, include_extras=True), dataclasses.fields(annotation)
        members = {each.name: hints[each.name] for each in parts if each.init}
        missing = dataclasses.MISSING
        required = [
            each.name for each in parts if each.init and each.default is missing and each.default_factory is missing
        ]
    elif typing.is_typeddict(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        members = {
            name: get_args(hint)[0] if get_origin(hint) in (Required, NotRequired) else hint
            for name, hint in hints.items()
        }
        required = [name for name in hints if name in annotation.__required_keys__]
    else:
        raise Unsupported(
            f"{_name(annotation)} has no schema; use str, int, float, bool, None, list, set, tuple, dict, Literal, an "
            "enum, a TypedDict, a dataclass, an attrs class, a Pydantic model, date, datetime, Decimal or UUID"
        )
    for name, each in members.items():
        if each is None:
            raise Unsupported(f"{_name(annotation)}.{name} has no annotation")
    properties = {name: schema_of(each, within) for name, each in members.items()}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


# conversion


def structure(value: Any, annotation: Any, path: str) -> Any:
    """Return the value in the annotated type; `path` names it in errors. Raises `Misfit`."""
    try:
        return _converter.structure(value, annotation)
    except Exception as error:
        first = cattrs.transform_error(error, path, _sentence)[0]
        text, _, where = first.rpartition(" @ ")
        raise Misfit(where.replace("['", ".").replace("']", ""), text) from None


def _sentence(error: BaseException, _type: type | None) -> str:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        extra = ", ".join(sorted(map(str, error.extra_fields)))
        return f"there is no field {extra}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)


_KINDS: Final[Sequence[tuple[Any, str]]] = (
    (type(None), "null"),
    (bool, "true or false"),  # before int, whose subclass it is
    (str, "text"),
    (int, "a whole number"),
    (float, "a number"),
    ((list, tuple), "a list"),
    (Mapping, "an object"),
)


def _refuse(expected: str, value: Any) -> ValueError:
    given = next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")
    return ValueError(f"{expected} is expected, not {given}")


def _scalar(expected: str, kind: type) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        raise _refuse(expected, value)

    return hook


def _number(value: Any, _: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _refuse("a number", value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("that number is too large") from None
    if not math.isfinite(number):
        raise ValueError("a finite number is expected")
    return number


def _text_form(read: Callable[[str], Any], expected: str, example: str) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        try:
            return read(value)
        except (TypeError, ValueError, AttributeError):
            raise ValueError(f"{expected} is expected, as in {example}") from None

    return hook


def _decimal(value: Any, _: Any) -> Decimal:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _refuse("a number", value)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("a number is expected, as in 12.50") from None
    if not number.is_finite():
        raise ValueError("a finite number is expected")
    return number


def _seconds(value: Any, _: Any) -> datetime.timedelta:
    try:
        return datetime.timedelta(seconds=_number(value, _))
    except OverflowError:
        raise ValueError("that number is too large") from None


def _one_of(meanings: Sequence[tuple[Any, Any]]) -> _Hook:
    """Choose a meaning by its plain value and the value's type, so that True is not 1."""

    def hook(value: Any, _: Any) -> Any:
        for plain, meant in meanings:
            if value == plain and type(value) is type(plain):
                return meant
        shown = ", ".join("null" if plain is None else str(plain) for plain, _ in meanings)
        raise ValueError(f"one of {shown} is expected")

    return hook


def _choice_hook(annotation: Any, _: cattrs.Converter) -> _Hook:
    """Build the hook for a Literal or an enum."""
    meanings = get_args(annotation) or list(annotation)
    return _one_of([(each.value if isinstance(each, enum.Enum) else each, each) for each in meanings])


def _union(annotation: Any, converter: cattrs.Converter) -> _Hook:
    # int before float, so that 5 stays 5; otherwise in the order they are written.
    members = sorted(get_args(annotation), key=lambda each: each is float)

    def hook(value: Any, _: Any) -> Any:
        errors: list[Exception] = []
        for each in members:
            try:
                return converter.structure(value, each)
            except Exception as error:
                errors.append(error)
        wanted = [each for each in members if each is not type(None)]
        if len(wanted) == 1:
            raise errors[members.index(wanted[0])]
        raise ValueError("; ".join(cattrs.transform_error(e, "", _sentence)[0].rpartition(" @ ")[0] for e in errors))

    return hook


def _annotated(annotation: Any, converter: cattrs.Converter) -> _Hook:
    base, *extras = get_args(annotation)
    convert = converter.get_structure_hook(base)
    check = checks(extras)
    if check is None:
        return convert

    def hook(value: Any, _: Any) -> Any:
        made = convert(value, base)
        check(made)
        return made

    return hook


def _list(annotation: Any, converter: cattrs.Converter) -> _Hook:
    wanted: Any = list[get_args(annotation)[0]] if get_args(annotation) else list[Any]  # type: ignore[misc]
    return list_structure_factory(wanted, converter)


def _collection(annotation: Any, converter: cattrs.Converter) -> _Hook:
    """Build the hook for a set or a tuple, by way of a list."""
    kind = tuple if get_origin(annotation) in (tuple, None) and annotation not in _SETS else frozenset
    arguments = get_args(annotation)
    if kind is tuple and arguments and arguments[-1] is not ...:
        hooks = [converter.get_structure_hook(each) for each in arguments]

        def places(value: Any, _: Any) -> Any:
            if len(value) != len(hooks):
                raise ValueError(f"{len(hooks)} items are expected, not {len(value)}")
            return tuple(hook(each, of) for hook, each, of in zip(hooks, value, arguments, strict=True))

        return places
    listed: Any = list[arguments[0]] if arguments else list[Any]  # type: ignore[valid-type]
    items = list_structure_factory(listed, converter)
    kept = set if (get_origin(annotation) or annotation) is set else kind
    return lambda value, wanted: kept(items(value, wanted))


def _dict(annotation: Any, converter: cattrs.Converter) -> _Hook:
    wanted: Any = dict[get_args(annotation)] if get_args(annotation) else dict[str, Any]  # type: ignore[misc]
    return mapping_structure_factory(wanted, converter)


def _only(expected: str, kinds: Any, make: _Factory) -> _Factory:
    """Refuse anything but `kinds` before cattrs iterates over it: a text is not a list of letters."""

    def factory(annotation: Any, converter: cattrs.Converter) -> _Hook:
        inner = make(annotation, converter)

        def hook(value: Any, wanted: Any) -> Any:
            if not isinstance(value, kinds):
                raise _refuse(expected, value)
            return inner(value, wanted)

        return hook

    return factory


def _strict() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    scalars: dict[Any, _Hook] = {
        str: _scalar("text", str),
        int: _scalar("a whole number", int),
        float: _number,
        bool: _scalar("true or false", bool),
        type(None): _scalar("null", type(None)),
        datetime.date: _text_form(datetime.date.fromisoformat, "a date", "2026-11-20"),
        datetime.datetime: _text_form(datetime.datetime.fromisoformat, "a date and time", "2026-11-20T06:00:00+00:00"),
        datetime.time: _text_form(datetime.time.fromisoformat, "a time", "06:30:00"),
        datetime.timedelta: _seconds,
        uuid.UUID: _text_form(uuid.UUID, "a UUID", "123e4567-e89b-12d3-a456-426614174000"),
        Decimal: _decimal,
    }
    for kind, hook in scalars.items():
        converter.register_structure_hook(kind, hook)

    def origin(*origins: Any) -> Callable[[Any], bool]:
        return lambda annotation: (get_origin(annotation) or annotation) in origins

    factories: list[tuple[Callable[[Any], bool], _Factory]] = [
        (origin(*_LISTS), _only("a list", (list, tuple), _list)),
        (origin(*_DICTS), _only("an object", Mapping, _dict)),
        (origin(tuple, *_SETS), _only("a list", (list, tuple), _collection)),
        (dataclasses.is_dataclass, _only("an object", Mapping, make_dict_structure_fn)),
        (attrs.has, _only("an object", Mapping, make_dict_structure_fn)),
        (typing.is_typeddict, _only("an object", Mapping, make_typeddict_structure_fn)),
        (origin(*_UNIONS), _union),
        (origin(Annotated), _annotated),
        (origin(Literal), _choice_hook),
        (lambda each: isinstance(each, type) and issubclass(each, enum.Enum), _choice_hook),
        (is_foreign, lambda annotation, _: lambda value, _: foreign_value(value, annotation)),  # the last wins
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, factory)
    return converter


_converter: Final = _strict()
