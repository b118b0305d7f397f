"""Converts arguments to the types of a function's annotations, strictly: "5" is not 5, and 5.0 is no whole number.

cattrs does the walking; the hooks below only say no to what cattrs would convert by itself.
"""

import datetime
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typeddict_structure_fn

from understudy.tools.schema import Param

_Hook = Callable[[Any, Any], Any]


class Misfit(ValueError):
    """A value does not fit; `path` says which, as in ``rows[2].price``, and the text is the rest of the sentence."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text

    def __str__(self) -> str:
        return self.text


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
        return f"it does not know {extra}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return str(error)


def kind_of(value: Any) -> str:
    """Return the type of a JSON value in a word or two."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"a {type(value).__name__}"


def _refuse(expected: str, value: Any) -> ValueError:
    return ValueError(f"{expected} is expected, not {kind_of(value)}")


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise _refuse("text", value)


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _refuse("a whole number", value)


def _number(value: Any, _: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise ValueError("that number is too large") from None
        if math.isfinite(number):
            return number
        raise ValueError("a finite number is expected")
    raise _refuse("a number", value)


def _truth(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _refuse("true or false", value)


def _nothing(value: Any, _: Any) -> None:
    if value is not None:
        raise _refuse("null", value)


def _date(value: Any, _: Any) -> datetime.date:
    try:
        return datetime.date.fromisoformat(_text(value, str))
    except ValueError:
        raise ValueError("a date is expected, as in 2026-11-20") from None


def _datetime(value: Any, _: Any) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(_text(value, str))
    except ValueError:
        raise ValueError("a date and time is expected, as in 2026-11-20T06:00:00+00:00") from None


def _one_of(values: Sequence[Any], wanted: Mapping[Any, Any]) -> _Hook:
    """Choose by value and type, so that True is not 1."""

    def hook(value: Any, _: Any) -> Any:
        for plain, meant in wanted.items():
            if value == plain[1] and type(value) is plain[0]:
                return meant
        shown = ", ".join("null" if each is None else str(each) for each in values)
        raise ValueError(f"one of {shown} is expected")

    return hook


def _literal(annotation: Any, _: cattrs.Converter) -> _Hook:
    plain = [each.value if isinstance(each, enum.Enum) else each for each in get_args(annotation)]
    return _one_of(plain, {(type(p), p): each for p, each in zip(plain, get_args(annotation), strict=True)})


def _enum(annotation: Any, _: cattrs.Converter) -> _Hook:
    return _one_of([each.value for each in annotation], {(type(e.value), e.value): e for e in annotation})


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
    bounds = [each for each in extras if isinstance(each, Param)]

    def hook(value: Any, _: Any) -> Any:
        made = converter.structure(value, base)
        for each in bounds:
            if isinstance(made, int | float):
                if each.minimum is not None and made < each.minimum:
                    raise ValueError(f"it must be at least {each.minimum:g}")
                if each.maximum is not None and made > each.maximum:
                    raise ValueError(f"it must be at most {each.maximum:g}")
        return made

    return hook


def _guarded(expected: str, kinds: tuple[type, ...], inner: Callable[[Any, Any], Any]) -> _Hook:
    """Refuse anything but `kinds` before cattrs iterates over it: a text is not a list of letters."""

    def hook(value: Any, wanted: Any) -> Any:
        if not isinstance(value, kinds):
            raise _refuse(expected, value)
        return inner(value, wanted)

    return hook


def _list(annotation: Any, converter: cattrs.Converter) -> _Hook:
    wanted: Any = list[get_args(annotation)[0]] if get_args(annotation) else list[Any]  # type: ignore[misc]
    return _guarded("a list", (list, tuple), list_structure_factory(wanted, converter))


def _dict(annotation: Any, converter: cattrs.Converter) -> _Hook:
    wanted: Any = dict[get_args(annotation)] if get_args(annotation) else dict[str, Any]  # type: ignore[misc]
    return _guarded("an object", (Mapping,), mapping_structure_factory(wanted, converter))


def _attrs(annotation: Any, converter: cattrs.Converter) -> _Hook:
    return _guarded("an object", (Mapping,), make_dict_structure_fn(annotation, converter))


def _typeddict(annotation: Any, converter: cattrs.Converter) -> _Hook:
    return _guarded("an object", (Mapping,), make_typeddict_structure_fn(annotation, converter))


def _origin(*origins: Any) -> Callable[[Any], bool]:
    return lambda annotation: (get_origin(annotation) or annotation) in origins


def _strict() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    scalars: dict[Any, _Hook] = {
        str: _text,
        int: _whole,
        float: _number,
        bool: _truth,
        type(None): _nothing,
        datetime.date: _date,
        datetime.datetime: _datetime,
    }
    for kind, hook in scalars.items():
        converter.register_structure_hook(kind, hook)
    factories: list[tuple[Callable[[Any], bool], Callable[[Any, cattrs.Converter], _Hook]]] = [
        (_origin(list, Sequence), _list),
        (_origin(dict, Mapping), _dict),
        (attrs.has, _attrs),
        (typing.is_typeddict, _typeddict),
        (_origin(Union, types.UnionType), _union),
        (_origin(Annotated), _annotated),
        (_origin(Literal), _literal),
        (lambda each: isinstance(each, type) and issubclass(each, enum.Enum), _enum),
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, factory)
    return converter


_converter: Final = _strict()
