"""The types of a tool's parameters: their JSON schema, and the strict conversion of arguments to them. Pure.

`structure` accepts exactly the values that the schemas describe: "5" is not 5, and 5.0 is no whole number. cattrs walks
the types; the hooks here refuse values that cattrs would convert by itself. Types of Pydantic and msgspec's structs
bring their own schema and checks, see `tools.foreign`.
"""

import dataclasses
import datetime
import enum
import functools
import math
import types
import uuid
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    TypedDict,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
import cattrs
from attrs import frozen
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen.typeddicts import make_dict_structure_fn

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
    Path: {"type": "string", "format": "path"},
    Any: {},
    object: {},
}
_ARRAYS: Final[Mapping[Any, Callable[[list[Any]], Any]]] = {
    **dict.fromkeys((list, Sequence, MutableSequence, Collection, Iterable), list),
    **{tuple: tuple, deque: deque, set: set, MutableSet: set, frozenset: frozenset, AbstractSet: frozenset},
}
"""The function that makes the value of each annotation from a list."""
_SETS: Final = (set, MutableSet, frozenset, AbstractSet)
_DICTS: Final = (dict, Mapping, MutableMapping)
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

    `format` says what kind of value it is. Forms know ``table-id``, ``multiline``, ``password``, ``date`` and
    ``date-time``; others are passed on. `minimum` and `maximum` bound a number (both inclusive) and are enforced.
    """

    description: str = ""
    format: str | None = None
    minimum: float | None = None
    maximum: float | None = None

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]) -> Any:
        """Return the schema of a field of a Pydantic model, which would be without `format` otherwise."""
        schema = handler(core_schema)
        return schema | {"format": self.format} if self.format else schema


Secret: TypeAlias = Annotated[str, Param(format="password")]
"""A text of a form that is given to the tool alone: hidden while it is entered, and neither stored nor shown."""


# schemas


def schema_of(annotation: Any, _within: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return the JSON schema of a type. Raises `Unsupported`."""
    if annotation in _within:
        raise Unsupported(f"{_name(annotation)} contains itself, which a schema here cannot say; flatten it")
    if annotation is Any or (isinstance(annotation, type) and annotation in _SCALARS):
        return dict(_SCALARS[annotation])
    if is_foreign(annotation):
        try:
            return foreign_schema(annotation)
        except (ContainsItself, TypeError) as error:
            raise Unsupported(f"{_name(annotation)}: {error}") from None
    within = (*_within, annotation)
    if (target := _named_type(annotation)) is not None:
        return schema_of(target, within)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        schema = schema_of(arguments[0], _within)
        for argument in arguments[1:]:
            if isinstance(argument, Param) and argument.format:
                schema["format"] = argument.format
        kinds = {part["type"] for part in (schema, *schema.get("anyOf", ())) if "type" in part}
        return schema | schema_keywords(arguments[1:], kinds)
    if origin in _UNIONS:
        return {"anyOf": [schema_of(argument, _within) for argument in arguments]}
    if origin is Literal:
        return _choice(annotation)
    if origin is tuple and arguments and arguments[-1] is not ...:
        if any(getattr(argument, "__unpacked__", False) for argument in arguments):
            raise Unsupported(f"{_name(annotation)} has no schema; use a list, or a tuple of a fixed length")
        places = [schema_of(argument, within) for argument in arguments]
        return {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}
    if origin in _ARRAYS:
        items = schema_of(arguments[0], within) if arguments else {}
        return {"type": "array", "items": items} | ({"uniqueItems": True} if origin in _SETS else {})
    if origin in _DICTS:
        if arguments and schema_of(arguments[0], within).get("type") != "string":
            raise Unsupported(f"the keys of {_name(annotation)} must be texts, as JSON's are: use str for them")
        values = schema_of(arguments[1], within) if arguments else {}
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    return _class(annotation, within)


def is_plain(annotation: Any) -> bool:
    """Return whether `structure` runs no code of the tool's author: no class, validator or predicate."""
    if (target := _named_type(annotation)) is not None:
        return is_plain(target)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return True
    is_object = _is_object(annotation)
    if is_foreign(annotation) or (is_object and not issubclass(origin, dict)):
        return False
    if origin is Annotated:
        return is_plain(arguments[0]) and all(name != "func" for name, _ in read_bounds(arguments[1:]))
    return all(map(is_plain, members_of(annotation)[0].values() if is_object else arguments))


def _named_type(annotation: Any) -> Any:
    """Return the type that a `NewType` or an alias names; None for any other annotation."""
    if (base := getattr(annotation, "__supertype__", None)) is not None:
        return base
    value = getattr(get_origin(annotation) or annotation, "__value__", None)
    return value[get_args(annotation)] if value is not None and get_args(annotation) else value


def _choices(annotation: Any) -> list[tuple[Any, Any]]:
    """Return the values of a Literal or an enum, each as a pair of its JSON and the value itself."""
    values = get_args(annotation) or list(annotation)
    return [(to_json(value) if isinstance(value, enum.Enum) else value, value) for value in values]


def _choice(annotation: Any) -> dict[str, Any]:
    plain = [choice for choice, _ in _choices(annotation)]
    kinds = {type(value) for value in plain}
    if not kinds <= {str, int, float, bool, type(None)}:
        raise Unsupported("the values of a choice must be texts, numbers, booleans or None")
    schema: dict[str, Any] = dict(_SCALARS[kinds.pop()]) if len(kinds) == 1 else {}
    return {**schema, "enum": plain}


def _class(annotation: Any, within: tuple[Any, ...]) -> dict[str, Any]:
    if _is_class(annotation, enum.Flag):
        bits = ", ".join(f"{bit.value} for {bit.name}" for bit in annotation)
        return {"type": "integer", "minimum": 0, "description": f"The sum of those that are wanted of: {bits}"}
    if _is_class(annotation, enum.Enum):
        return _choice(annotation)
    if not _is_object(annotation):
        raise Unsupported(
            f"{_name(annotation)} has no schema; use str, int, float, bool, None, list, set, tuple, dict, Literal, an "
            "enum, a TypedDict, a dataclass, an attrs class, a Pydantic model, date, datetime, Decimal, Path or UUID"
        )
    members, defaults = members_of(annotation)
    for name, hint in members.items():
        if hint is None:
            raise Unsupported(f"{_name(annotation)}.{name} has no annotation")
    properties = {name: schema_of(hint, within) for name, hint in members.items()}
    required = [name for name in members if name not in defaults]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _is_class(annotation: Any, kind: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kind)


def _is_object(annotation: Any) -> bool:
    """Return whether values of a type are objects with named members."""
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return False
    is_dict = issubclass(kind, dict) and hasattr(kind, "__required_keys__")
    return is_dict or attrs.has(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "_field_defaults")


def members_of(annotation: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the types of the members by name, and the defaults of the optional members.

    The default is `attrs.NOTHING` if a factory makes it, or for a member of a TypedDict.
    """
    kind, missing = get_origin(annotation) or annotation, dataclasses.MISSING
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    defaults: dict[str, Any]
    if attrs.has(kind):
        fields = [field for field in attrs.fields(attrs.resolve_types(kind, include_extras=True)) if field.init]
        members = {field.alias: field.type for field in fields}
        factory: Any = attrs.Factory
        defaults = {field.alias: field.default for field in fields if field.default is not attrs.NOTHING}
        defaults = {name: attrs.NOTHING if isinstance(value, factory) else value for name, value in defaults.items()}
    elif dataclasses.is_dataclass(kind):
        passed = {name: hint.type for name, hint in hints.items() if isinstance(hint, dataclasses.InitVar)}
        hints |= passed
        parts = [field for field in dataclasses.fields(kind) if field.init]
        parts += [kind.__dataclass_fields__[name] for name in passed]
        members = {part.name: hints[part.name] for part in parts}
        defaults = {part.name: attrs.NOTHING for part in parts if part.default_factory is not missing}
        defaults |= {part.name: part.default for part in parts if part.default is not missing}
    elif hasattr(kind, "_field_defaults"):
        members, defaults = {name: hints.get(name) for name in kind._fields}, kind._field_defaults
    else:
        read = {name: _unqualified(hint, name in kind.__required_keys__) for name, hint in hints.items()}
        members = {name: hint for name, (hint, _) in read.items()}
        defaults = {name: attrs.NOTHING for name, (_, needed) in read.items() if not needed}
    bound = dict(zip(getattr(kind, "__parameters__", ()), get_args(annotation), strict=False))
    return {name: _applied(hint, bound) for name, hint in members.items()}, defaults


def _unqualified(hint: Any, required: bool) -> tuple[Any, bool]:
    """Return the type of a TypedDict's member without `Required`, `NotRequired` and `ReadOnly`, and if it is required.
    `__required_keys__` is not reliable in a module with `from __future__ import annotations`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, required = _unqualified(arguments[0], required)
        return Annotated[inner, *arguments[1:]], required
    if (word := getattr(origin, "_name", "")) in ("Required", "NotRequired", "ReadOnly"):
        return _unqualified(arguments[0], required if word == "ReadOnly" else word == "Required")
    return hint, required


def _applied(hint: Any, arguments: Mapping[Any, Any]) -> Any:
    """Return a type with the type variables of a generic class replaced by its arguments."""
    if isinstance(hint, TypeVar):
        return arguments.get(hint, hint)
    variables = getattr(hint, "__parameters__", ()) if get_args(hint) else ()
    return hint[tuple(arguments.get(variable, variable) for variable in variables)] if variables else hint


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


# conversion


def structure(value: Any, annotation: Any, path: str) -> Any:
    """Convert a value to the annotated type; `path` names it in errors. Raises `Misfit`."""
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
    shown = next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")
    return ValueError(f"{expected} is expected, not {shown}")


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


def _choice_hook(annotation: Any, _: cattrs.Converter) -> _Hook:
    """Build the hook that finds a choice by its JSON: 1.0 equals 1, but True does not."""
    choices = _choices(annotation)

    def hook(value: Any, _: Any) -> Any:
        for plain, choice in choices:
            if value == plain and isinstance(value, bool) is isinstance(plain, bool):
                return choice
        shown = ", ".join("null" if plain is None else str(plain) for plain, _ in choices)
        raise ValueError(f"one of {shown} is expected")

    return hook


def _flag(annotation: Any, _: cattrs.Converter) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        whole = sum(bit.value for bit in annotation)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value & ~whole:
            raise ValueError(f"a sum of {', '.join(str(bit.value) for bit in annotation)} is expected")
        return annotation(value)

    return hook


def _union(annotation: Any, converter: cattrs.Converter) -> _Hook:
    # Enums come first, because their values are texts too, and float last, so that 5 stays an int.
    members = sorted(get_args(annotation), key=lambda kind: (not _is_class(kind, enum.Enum), kind is float))

    def hook(value: Any, _: Any) -> Any:
        errors: list[Exception] = []
        for member in members:
            try:
                return converter.structure(value, member)
            except Exception as error:
                errors.append(error)
        not_none = [member for member in members if member is not type(None)]
        if len(not_none) == 1:
            raise errors[members.index(not_none[0])]
        raise ValueError("; ".join(cattrs.transform_error(e, "", _sentence)[0].rpartition(" @ ")[0] for e in errors))

    return hook


def _named(annotation: Any, converter: cattrs.Converter) -> _Hook:
    target = _named_type(annotation)
    return lambda value, _: converter.structure(value, target)


def _annotated(annotation: Any, converter: cattrs.Converter) -> _Hook:
    base, *extras = get_args(annotation)
    convert = converter.get_structure_hook(base)
    check = checks(extras)
    if check is None:
        return lambda value, _: convert(value, base)

    def hook(value: Any, _: Any) -> Any:
        converted = convert(value, base)
        check(converted)
        return converted

    return hook


def _array(annotation: Any, converter: cattrs.Converter) -> _Hook:
    """Build the hook for a list, a set or a tuple, which is made from a list."""
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is tuple and arguments and arguments[-1] is not ...:
        hooks = [converter.get_structure_hook(argument) for argument in arguments]

        def places(value: Any, _: Any) -> Any:
            if len(value) != len(hooks):
                raise ValueError(f"{len(hooks)} items are expected, not {len(value)}")
            return tuple(hook(item, of) for hook, item, of in zip(hooks, value, arguments, strict=True))

        return places
    listed: Any = list[arguments[0]] if arguments else list[Any]  # type: ignore[valid-type]
    items = list_structure_factory(listed, converter)
    return lambda value, wanted: _ARRAYS[origin](items(value, wanted))


def _object(annotation: Any, converter: cattrs.Converter) -> _Hook:
    """Build the hook for a class with members, which is made from a dict of them."""
    members, defaults = members_of(annotation)
    kind = get_origin(annotation) or annotation
    hints: Any = {name: NotRequired[hint] if name in defaults else Required[hint] for name, hint in members.items()}
    read = make_dict_structure_fn(TypedDict(kind.__name__, hints), converter)  # type: ignore[operator]
    return lambda value, wanted: kind(**read(dict(value), wanted))


def _dict(annotation: Any, converter: cattrs.Converter) -> _Hook:
    wanted: Any = dict[get_args(annotation)] if get_args(annotation) else dict[str, Any]  # type: ignore[misc]
    return mapping_structure_factory(wanted, converter)


def _only(expected: str, kinds: Any, make: _Factory) -> _Factory:
    """Refuse values that are not of `kinds` before cattrs iterates over them: a text is not a list of letters."""

    def factory(annotation: Any, converter: cattrs.Converter) -> _Hook:
        inner = make(annotation, converter)

        def hook(value: Any, wanted: Any) -> Any:
            if not isinstance(value, kinds):
                raise _refuse(expected, value)
            return inner(value, wanted)

        return hook

    return factory


_OF_CLASSES: Final[list[tuple[Callable[[Any], bool], _Factory]]] = [  # the last row that fits wins
    (lambda annotation: get_origin(annotation) is Literal or _is_class(annotation, enum.Enum), _choice_hook),
    (lambda annotation: _is_class(annotation, enum.Flag), _flag),
    (is_foreign, lambda annotation, _: lambda value, _: foreign_value(value, annotation)),
]


def _exactly(kind: Any, hook: _Hook, converter: cattrs.Converter) -> _Hook:
    """Restrict a hook to the class itself: cattrs would also use it for subclasses, such as an `IntEnum`."""

    @functools.cache
    def of(wanted: Any) -> _Hook:
        return next((make(wanted, converter) for fits, make in reversed(_OF_CLASSES) if fits(wanted)), hook)

    return lambda value, wanted: (hook if wanted is kind else of(wanted))(value, wanted)


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
        Path: _text_form(Path, "a path", "reports/june.csv"),
    }
    for kind, hook in scalars.items():
        converter.register_structure_hook(kind, _exactly(kind, hook, converter))

    def origin(*origins: Any) -> Callable[[Any], bool]:
        return lambda annotation: (get_origin(annotation) or annotation) in origins

    factories: list[tuple[Callable[[Any], bool], _Factory]] = [
        (origin(*_ARRAYS), _only("a list", (list, tuple), _array)),
        (origin(*_DICTS), _only("an object", Mapping, _dict)),
        (_is_object, _only("an object", Mapping, _object)),
        (origin(*_UNIONS), _union),
        (origin(Annotated), _annotated),
        (lambda annotation: annotation is object, lambda *_: lambda value, _: value),
        (lambda annotation: _named_type(annotation) is not None, _named),
        *_OF_CLASSES,
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, factory)
    return converter


_converter: Final = _strict()
