"""Converts the result of a tool to plain JSON of bounded size, with a one-line summary."""

import dataclasses
import datetime
import enum
import inspect
import ipaddress
import math
import os
import re
import uuid
from collections import UserString, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from decimal import Decimal
from numbers import Complex
from typing import Any, Final

import attrs
import msgspec
from attrs import define, evolve, field, frozen, validators

from actors.errors import text_of
from transport.wire.codec import replace_surrogates
from understudy.tools.errors import InvalidResult
from understudy.tools.foreign import foreign_to_plain, is_foreign
from understudy.tools.offers import NextStep as NextStep

MAX_VALUE_BYTES: Final = 256 * 1024
"""Bytes of a value as JSON, because it goes to the model, the log and every open tab of its user. More is cut off."""
MAX_ANSWER: Final = MAX_VALUE_BYTES
"""Characters of an answer that a tool gives; more is cut off."""
MAX_PARTIAL_BYTES: Final = 4 * 1024
"""Bytes as JSON of a yielded item that is shown while the tool runs; of a larger item a summary is shown."""
MAX_ITEMS: Final = 10_000
"""Items that a tool may yield; then it is ended, and its result says so."""
MAX_YIELDED_BYTES: Final = 4 * MAX_VALUE_BYTES
"""Bytes as JSON that a tool may yield; then it is ended. Items beyond `MAX_VALUE_BYTES` are shown, but not kept."""
MAX_SUMMARY: Final = 1000
"""Characters of a summary, which is one line; the rest is cut off."""
MAX_VISUALIZATION_BYTES: Final = 1024 * 1024
"""Bytes of a chart as JSON; it is sent once, with the answer."""
MAX_STEPS: Final = 64
"""Next steps of a result; further ones are left out."""
# Kinds of a result's value; any other value has the kind "".
ANALYSIS: Final = "analysis"
DRILL_DOWN: Final = "drill_down"
TABLE: Final = "table"
CHART: Final = "chart"
TEXT: Final = "text"
MAX_DEPTH: Final = 64
"""Levels of nesting: far beyond any sensible result, well below Python's recursion limit."""
TEXTS: Final = (
    Decimal, uuid.UUID, UserString, Complex, datetime.tzinfo, ipaddress.IPv4Address, ipaddress.IPv6Address,
    ipaddress.IPv4Network, ipaddress.IPv6Network,
)  # fmt: skip
"""Classes whose objects become JSON by `str`."""
PLAIN: Final = (
    str, int, float, type(None), enum.Enum, datetime.date, datetime.time, datetime.timedelta, os.PathLike,
    BaseException, *TEXTS, Mapping, Sequence, Set, ValuesView, Iterator,
)  # fmt: skip
"""Classes whose objects may be a result, in addition to classes with fields."""
_SMALL_PARTS: Final = 200
_SMALL_CHARACTERS: Final = 10_000
SAFE: Final = 2**53 - 1
"""JavaScript's Number.MAX_SAFE_INTEGER: readers of JSON lose digits of larger integers, so those become text."""
_MAX_BITS: Final = 14_000  # Python does not write integers of more than 4300 digits (default_max_str_digits)


def _next_steps(values: Iterable[NextStep]) -> tuple[NextStep, ...]:
    steps = tuple(values)
    for step in steps:
        if not isinstance(step, NextStep):
            raise TypeError(f"next_steps is a list of NextStep(label, tool, arguments), not of {step!r}")
    return steps


@frozen
class ToolResult:
    """The result of a tool call.

    `value` is anything that `to_json` accepts, such as attrs objects, dates and decimals. `summary` is one line for
    people. `visualization` is a chart: ``{"spec": …, "title": …}``. `kind` classifies the value for clients
    that show answers by kind: an ``analysis`` (figures worked out from data), a ``drill_down`` (rows or details behind
    figures), a ``table``, ``chart`` or ``text``, or empty for anything else. `answer`, unless empty, is the answer of
    the run, in Markdown: it is shown to the user, and the model is not asked again. `next_steps` are calls that the
    user is offered as buttons under the answer, 64 at most.

    Raises ValueError for any other `kind`.
    """

    value: Any = field(default=None, repr=False)
    summary: str = ""
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = field(default="", validator=validators.in_(("", ANALYSIS, DRILL_DOWN, TABLE, CHART, TEXT)))
    answer: str = field(default="", repr=False, validator=validators.instance_of(str))
    next_steps: tuple[NextStep, ...] = field(default=(), repr=False, converter=_next_steps)


@frozen
class OwnResult(ToolResult):
    """A result that consists of the server's own words, so it is not scanned for sensitive data."""


def to_result(returned: Any) -> ToolResult:
    """Convert the return value of a tool's function to a `ToolResult` of plain JSON.

    A value of more than 256 KiB is cut, which the value and the summary say. A chart of more than 1 MiB is left out,
    which the summary says. Raises `InvalidResult` as `to_json` does, and for a chart that is no object.
    """
    if isinstance(returned, Iterator):
        yielded = Yielded()
        for item in returned:
            yielded.add(item)
            if yielded.is_full:
                break
        returned = yielded.result()
    result = returned if isinstance(returned, ToolResult) else ToolResult(returned)
    value = to_json(result.value)
    summary = whole_text(result.summary) or summarise(value)
    # A long text is not encoded in one call, which would hold the interpreter's lock for all that time.
    is_long = isinstance(value, str) and len(value) > MAX_VALUE_BYTES
    encoded = b"" if is_long else msgspec.json.encode(value)
    size = _utf8_bytes(value) + 2 if is_long else len(encoded)
    if size > MAX_VALUE_BYTES:
        value = _cut(value, encoded)
        summary = f"{summary} (cut: {size:,} bytes are more than the {MAX_VALUE_BYTES:,} a result may have)"
    visualization = None if result.visualization is None else to_json(result.visualization)
    if not isinstance(visualization, dict | None):
        raise InvalidResult('The tool returned a chart that is no object: {"spec": …, "title": …}.')
    if visualization is not None and len(msgspec.json.encode(visualization)) > MAX_VISUALIZATION_BYTES:
        visualization = None
        summary = f"{summary} (the chart is left out: it has more than {MAX_VISUALIZATION_BYTES:,} bytes)"
    summary = summary.strip()
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[:MAX_SUMMARY]}…"
    answer, steps = whole_text(result.answer[:MAX_ANSWER]), result.next_steps[:MAX_STEPS]
    return evolve(result, value=value, summary=summary, visualization=visualization, answer=answer, next_steps=steps)


@define
class Yielded:
    """The items that a generator has yielded. Only those that fit into a result are kept, so memory is bounded."""

    items: list[Any] = field(factory=list, init=False, repr=False)
    _number: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, item: Any) -> Any:
        """Add an item. Return the JSON of bounded size that is shown for it. Raises `InvalidResult`."""
        value = to_json(item)
        size = len(msgspec.json.encode(value)) + 1  # and a comma
        if len(self.items) == self._number and self._bytes + size < MAX_VALUE_BYTES:
            self.items.append(value)
        self._number += 1
        self._bytes += size
        return value if size <= MAX_PARTIAL_BYTES else summarise(value)

    @property
    def is_full(self) -> bool:
        """Whether the generator must be ended."""
        return self._number >= MAX_ITEMS or self._bytes >= MAX_YIELDED_BYTES

    def result(self) -> Any:
        """Return the items. If some are missing, or the generator was ended, a note in the value tells the model."""
        kept, of_all = len(self.items), "" if len(self.items) == self._number else f" of {self._number:,}"
        if self.is_full:
            note = f"The first {kept:,}{of_all} items: there the tool was ended."
        elif of_all:
            note = f"The first {kept:,}{of_all} items: a result has room for {MAX_VALUE_BYTES:,} bytes."
        else:
            return self.items
        return ToolResult({"truncated": True, "note": note, "items": self.items}, note)


def to_json(value: Any, _depth: int = 0) -> Any:
    """Convert a value to JSON values.

    attrs objects, dataclasses, models, structs, named tuples, mappings and rows of databases become objects; sets,
    tuples and other sequences lists; dates and times ISO 8601 text; decimals their exact digits as text; enums their
    values; paths and exceptions text; integers beyond 2**53 text; NaN and the infinities null; arrays and scalars of
    numpy their contents; tables of pandas and polars lists of their rows. Halves of surrogate pairs are replaced.
    Raises `InvalidResult` for bytes, for any other type, and for nesting deeper than `MAX_DEPTH`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return whole_text(str(value))
    if _depth > MAX_DEPTH:
        raise InvalidResult(f"The tool's result is nested more than {MAX_DEPTH} deep.")
    match value:
        case enum.Enum():
            return to_json(value.value, _depth + 1)
        case int():
            if abs(value) <= SAFE:
                return int(value)
            if value.bit_length() > _MAX_BITS:
                raise InvalidResult("The tool returned a number with too many digits to write down.")
            return str(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case datetime.date() | datetime.time():
            return value.isoformat() if value == value else None  # pandas' NaT
        case datetime.timedelta():
            return value.total_seconds() if value == value else None
        case os.PathLike():
            return whole_text(os.fsdecode(value))
        case BaseException():
            return whole_text(text_of(value))
        case bytes() | bytearray() | memoryview():
            raise InvalidResult("The tool returned bytes: decode them to text, or save them as a file.")
        case _ if hasattr(type(value), "_fields") and hasattr(type(value), "__iter__"):
            return _object(zip(value._fields, value, strict=True), _depth)
        case _ if is_of_arrays(type(value)):
            return to_json(_contents(value), _depth + 1)
        case range() if value[MAX_ITEMS:]:
            return str(value)
        case _ if isinstance(value, TEXTS):
            return whole_text(str(value))
        case Mapping():
            return _object(value.items(), _depth)
        case _ if attrs.has(type(value)):
            return _object(((part.alias, getattr(value, part.name)) for part in attrs.fields(type(value))), _depth)
        case _ if is_foreign(type(value)):
            try:
                plain = foreign_to_plain(value, to_json)
            except ValueError as error:
                raise InvalidResult(f"The tool returned a {type(value).__name__} that is no JSON: {error}") from None
            return to_json(plain, _depth + 1)
        case _ if dataclasses.is_dataclass(type(value)):
            return _object(((member.name, getattr(value, member.name)) for member in dataclasses.fields(value)), _depth)
        case _ if hasattr(type(value), "keys"):  # the row of a database, in which two columns may share a name
            cells = value if isinstance(value, Sequence) else map(value.__getitem__, value.keys())
            return _object(zip(value.keys(), cells, strict=True), _depth)
        case Set():  # sorted, so that equal results give equal texts
            return [to_json(item, _depth + 1) for item in sorted(value, key=repr)]
        case Sequence() | ValuesView() | deque():
            return [to_json(item, _depth + 1) for item in value]
    remedy = "await it" if inspect.isawaitable(value) else "return text, numbers, lists, dicts or objects with fields"
    raise InvalidResult(f"The tool returned a {type(value).__name__}, which cannot be written as JSON: {remedy}.")


def whole_text(text: str) -> str:
    """Return a text with halves of surrogate pairs joined or replaced, because UTF-8 cannot encode them."""
    starts = range(0, len(text), MAX_VALUE_BYTES)  # in pieces, to give the interpreter's lock free between them
    if text.isascii() or not any(_HALF.search(text, start, start + MAX_VALUE_BYTES) for start in starts):
        return text
    return str(replace_surrogates(text))


_HALF: Final = re.compile("[\ud800-\udfff]")


def _object(members: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, member in members:
        name = key if type(key) is str and key.isascii() else _key(key)
        if name in plain:  # the keys 1 and "1" have the same text
            name = f"{name} ({len(plain) + 1})"
        plain[name] = to_json(member, depth + 1)
    return plain


def _key(key: Any) -> str:
    plain = to_json(key)
    if isinstance(plain, list | dict):
        raise InvalidResult(f"The tool returned an object with a {type(key).__name__} for a key: make it a text.")
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def is_of_arrays(kind: type) -> bool:
    """Return whether a class is of numpy, pandas or polars, or of other arrays. None of these is imported here."""
    is_pandas = str(kind.__module__).partition(".")[0] == "pandas"
    return is_pandas or hasattr(kind, "tolist") or hasattr(kind, "to_list") or hasattr(kind, "to_dicts")


def _contents(value: Any) -> Any:
    """Return an array as lists, and a table as an object for each row, with the index unless it only counts rows."""
    shape = getattr(value, "shape", ())
    if shape and shape[0] > MAX_ITEMS:
        note = f"The first {MAX_ITEMS:,} of {shape[0]:,} items."
        return {"truncated": True, "note": note, "items": _contents(value[:MAX_ITEMS])}
    if hasattr(value, "to_dicts"):
        return value.to_dicts()
    if hasattr(value, "reset_index") and (value.index.name is not None or type(value.index).__name__ != "RangeIndex"):
        value = value.reset_index(allow_duplicates=True)
    if hasattr(value, "columns"):
        names = list[Any]()
        for name in value.columns:
            names.append(f"{name} ({len(names) + 1})" if name in names else name)
        return value.set_axis(names, axis="columns").to_dict("records")
    match getattr(getattr(value, "dtype", None), "kind", None):
        case "M" | "m" | "V" if shape:
            return list(value)
        case "M":
            return value.astype(str).tolist() if value == value else None  # NaT
        case "m":
            return value.astype("m8[us]").tolist()
        case "V" if value.dtype.names:
            return {name: value[name] for name in value.dtype.names}
    if hasattr(value, "tolist"):
        plain = value.tolist()
        return str(plain) if type(plain) is type(value) else plain  # a longdouble is its own `tolist`
    if hasattr(value, "to_list"):
        return value.to_list()
    return None if type(value).__name__ == "NAType" else str(value)


def is_small(value: Any) -> bool:
    """Return whether a value is converted fast enough for the event loop: at most 200 parts, 10,000 characters."""
    parts, characters, waiting = 0, 0, [value]
    while waiting:
        part = waiting.pop()
        parts += 1
        if isinstance(part, str):
            characters += len(part)
        elif isinstance(part, list | tuple | dict):
            parts += len(part)
            if parts <= _SMALL_PARTS:
                waiting.extend(part.values() if isinstance(part, dict) else part)
        elif isinstance(part, ToolResult):
            waiting += [part.value, part.visualization, part.summary, part.answer]
        elif not (part is None or isinstance(part, int | float)):
            return False  # an object of a user's class, whose size is unknown before it is converted
        if parts > _SMALL_PARTS or characters > _SMALL_CHARACTERS:
            return False
    return True


def _utf8_bytes(text: str) -> int:
    """Count the bytes of a text, in pieces: encoding 20 MB in one call would hold the interpreter's lock for 10 ms."""
    if text.isascii():
        return len(text)
    pieces = (text[start : start + MAX_VALUE_BYTES] for start in range(0, len(text), MAX_VALUE_BYTES))
    return sum(len(piece.encode(errors="surrogatepass")) for piece in pieces)


def _cut(value: Any, encoded: bytes) -> Any:
    """Return the beginning of a value that is too large, marked as cut."""
    keep = MAX_VALUE_BYTES
    while True:
        if isinstance(value, str):
            left = len(value) - keep
            kept: Any = f"{value[:keep]} […cut here: {left:,} of {len(value):,} characters are left out]"
        else:
            preview = encoded[:keep].decode(errors="ignore")
            kept = {"truncated": True, "size_bytes": len(encoded), "limit_bytes": MAX_VALUE_BYTES, "preview": preview}
        # JSON writes a character with one to six bytes, so the number of characters that fit is found by trying.
        if len(msgspec.json.encode(kept)) <= MAX_VALUE_BYTES:
            return kept
        keep = keep * 3 // 4


def summarise(value: Any, limit: int = 160) -> str:
    """Return one line about a plain JSON value, of at most `limit` characters."""
    if value is None:
        text = "done"
    elif isinstance(value, str):
        text = " ".join(value[: 4 * limit].split())
    elif isinstance(value, list):
        text = f"{len(value):,} item{'' if len(value) == 1 else 's'}"
    elif isinstance(value, dict):
        plain = [(k, v) for k, v in list(value.items())[:6] if not isinstance(v, list | dict)]
        text = ", ".join(f"{key}: {str(member)[:limit]}" for key, member in plain) or f"{len(value):,} fields"
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
