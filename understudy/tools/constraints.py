"""Turns the constraints in `Annotated[int, Field(ge=1)]` into keywords of a JSON schema and a check of values. Pure.

They are read by the names of their attributes (`ge`, `max_length`, …), which `Param`, `annotated_types`, `msgspec.Meta`
and the fields of Pydantic share, so none of these has to be imported.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final


def _is_multiple(value: Any, of: Any) -> bool:
    if isinstance(value, float) or isinstance(of, float):
        return math.isclose(value / of, round(value / of), abs_tol=1e-9)
    return bool(value % of == 0)


_BOUNDS: Final[Mapping[str, tuple[str, Callable[[Any, Any], bool], str]]] = {
    "ge": ("minimum", operator.ge, "it must be at least {}"),
    "gt": ("exclusiveMinimum", operator.gt, "it must be more than {}"),
    "le": ("maximum", operator.le, "it must be at most {}"),
    "lt": ("exclusiveMaximum", operator.lt, "it must be less than {}"),
    "minimum": ("minimum", operator.ge, "it must be at least {}"),
    "maximum": ("maximum", operator.le, "it must be at most {}"),
    "multiple_of": ("multipleOf", _is_multiple, "it must be a multiple of {}"),
    "pattern": ("pattern", lambda value, pattern: re.search(pattern, value) is not None, "it must match {}"),
    "min_length": ("min", lambda value, bound: len(value) >= bound, "it must have at least {} {}"),
    "max_length": ("max", lambda value, bound: len(value) <= bound, "it must have at most {} {}"),
}
"""For each attribute: its keyword (of a length, its prefix), the check, and the sentence for a failed check."""
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}
_WORDS: Final[tuple[tuple[type, str, str], ...]] = ((str, "character", "s"), (Mapping, "entr", "ies"))


def read_bounds(extras: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the (attribute, bound) pairs of the metadata in `Annotated`; the attribute of a predicate is ``func``."""
    for extra in extras:
        parts = getattr(extra, "metadata", None)  # a Pydantic field has its constraints there
        if isinstance(parts, list):
            yield from read_bounds(parts)
        elif getattr(extra, "__is_annotated_types_grouped_metadata__", False):
            yield from read_bounds(extra)
        else:
            for name in (*_BOUNDS, "func"):
                bound = getattr(extra, name, None)
                if bound is not None and callable(bound) is not (name != "func"):
                    yield name, bound


def schema_keywords(extras: Iterable[Any], kinds: Iterable[str]) -> dict[str, Any]:
    """Return the schema keywords for values of the JSON types `kinds`. Predicates have no keyword, and are left out."""
    keywords: dict[str, Any] = {}
    for extra in extras:
        if description := getattr(extra, "description", None) or getattr(extra, "documentation", None):  # PEP 727
            keywords["description"] = description
        if examples := getattr(extra, "examples", None):
            keywords["examples"] = list(examples)
        more = getattr(extra, "extra_json_schema", None) or getattr(extra, "json_schema_extra", None)
        if isinstance(more, Mapping):
            keywords |= more
    for name, bound in read_bounds(extras):
        if name in ("min_length", "max_length"):
            prefix = _BOUNDS[name][0]
            keywords |= {prefix + _LENGTHS[kind]: bound for kind in kinds if kind in _LENGTHS}
        elif name == "pattern":
            keywords["pattern"] = getattr(bound, "pattern", bound)
        elif isinstance(bound, int | float | Decimal):
            keywords[_BOUNDS[name][0]] = float(bound) if isinstance(bound, Decimal) else bound
    return keywords


def checks(extras: Iterable[Any]) -> Callable[[Any], None] | None:
    """Return a function that raises ValueError, with a sentence, for a value beyond the constraints; None without any.

    A constraint does not apply to values of another type, such as None in `int | None`.
    """
    bounds = list(read_bounds(extras))
    if not bounds:
        return None

    def check(value: Any) -> None:
        for name, bound in bounds:
            try:
                is_met = bound(value) if name == "func" else _BOUNDS[name][1](value, bound)
            except TypeError:
                continue
            if not is_met:
                raise ValueError(_sentence(name, bound, value))

    return check


def _sentence(name: str, bound: Any, value: Any) -> str:
    if name == "func":
        return f"{getattr(bound, '__name__', 'its check')} does not accept it"
    text = _BOUNDS[name][2]
    if name == "pattern":
        return text.format(getattr(bound, "pattern", bound))
    if name in ("min_length", "max_length"):
        stem, plural = next(((stem, more) for kind, stem, more in _WORDS if isinstance(value, kind)), ("item", "s"))
        singular = "y" if plural == "ies" else ""
        return text.format(bound, stem + (singular if bound == 1 else plural))
    return text.format(f"{bound:g}" if isinstance(bound, float) else bound)
