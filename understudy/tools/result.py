"""The result of a tool as plain JSON of bounded size, with a one-line summary."""

import dataclasses
import datetime
import enum
import math
import uuid
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any, Final

import attrs
import msgspec
from attrs import define, field, frozen, validators

from understudy.tools.errors import InvalidResult
from understudy.tools.foreign import foreign_to_plain, is_foreign

MAX_VALUE_BYTES: Final = 256 * 1024
"""Bytes of a value as JSON; it travels to the model, into the log and to every open tab of its user."""
MAX_ANSWER: Final = MAX_VALUE_BYTES
"""Characters of an answer that a tool gives."""
MAX_PARTIAL_BYTES: Final = 4 * 1024
"""Bytes as JSON of one yielded item as it is shown while the tool runs; of a larger one a line is shown."""
MAX_ITEMS: Final = 10_000
"""Items that a tool may yield; then it is ended, and its result says so."""
MAX_YIELDED_BYTES: Final = 4 * MAX_VALUE_BYTES
"""Bytes as JSON that a tool may yield; then it is ended. More than a result has, as not all that is shown is kept."""
MAX_SUMMARY: Final = 1000
"""Characters of a summary, which is one line; the rest is cut off."""
MAX_VISUALIZATION_BYTES: Final = 1024 * 1024
"""Bytes of a chart as JSON; it is sent once, with the answer."""
MAX_STEPS: Final = 8
"""Next steps of a result; further ones are left out."""
MAX_STEP_CHARACTERS: Final = 1000
"""Characters of the message of a next step, and of its label."""
# Kinds of a result's value; empty for any other.
ANALYSIS: Final = "analysis"
DRILL_DOWN: Final = "drill_down"
TABLE: Final = "table"
CHART: Final = "chart"
TEXT: Final = "text"
MAX_DEPTH: Final = 64
"""Levels of nesting: far beyond any sensible result, well below Python's recursion limit."""
_SMALL_PARTS: Final = 200
_SMALL_CHARACTERS: Final = 10_000
# JavaScript's Number.MAX_SAFE_INTEGER: readers of JSON lose the digits of larger ones.
_SAFE: Final = 2**53 - 1
# Python refuses to write integers of more than 4300 digits (sys.int_info.default_max_str_digits).
_MAX_BITS: Final = 14_000


@frozen
class NextStep:
    """A request that a user may make next, offered as a button: `label` is on it, `message` is sent by it.

    Raises ValueError if either is empty or has more than 1,000 characters.
    """

    label: str = field(validator=[validators.min_len(1), validators.max_len(MAX_STEP_CHARACTERS)])
    message: str = field(repr=False, validator=[validators.min_len(1), validators.max_len(MAX_STEP_CHARACTERS)])


def _next_steps(given: Iterable[str | NextStep]) -> tuple[NextStep, ...]:
    if isinstance(given, str):
        raise TypeError(f"next_steps is a list, not the one text {given!r}")
    return tuple(each if isinstance(each, NextStep) else NextStep(each, each) for each in given)


@frozen
class ToolResult:
    """The result of a tool call.

    `value` is anything that `to_json` accepts, such as attrs objects, dates and decimals. `summary` is one line for
    people. `visualization` is a chart: ``{"spec": …, "svg": …, "title": …}``. `kind` classifies the value for clients
    that show answers by kind: an ``analysis`` (figures worked out from data), a ``drill_down`` (rows or details behind
    figures), a ``table``, ``chart`` or ``text``, or empty for anything else. `answer`, unless empty, is the answer of
    the run, in Markdown: it is shown to the user, and the model is not asked again. `next_steps` are requests that the
    user is offered as buttons under the answer; a text stands for a step with itself as label and message. More than
    eight are not shown.

    Raises ValueError for any other `kind`.
    """

    value: Any = field(default=None, repr=False)
    summary: str = ""
    visualization: dict[str, Any] | None = field(default=None, repr=False)
    kind: str = field(default="", validator=validators.in_(("", ANALYSIS, DRILL_DOWN, TABLE, CHART, TEXT)))
    answer: str = field(default="", repr=False, validator=validators.instance_of(str))
    next_steps: tuple[NextStep, ...] = field(default=(), repr=False, converter=_next_steps)


def to_result(returned: Any) -> ToolResult:
    """Convert the return value of a tool's function to a `ToolResult`. Raises `InvalidResult`, see
    `to_json`.

    A value of more than 256 KiB is cut, and says so in itself and in the summary. A chart of more than 1 MiB is
    left out, and the summary says so.
    """
    result = returned if isinstance(returned, ToolResult) else ToolResult(returned)
    value = to_json(result.value)
    summary = result.summary or summarise(value)
    # A long text is not encoded whole, which would keep the interpreter from the server for so long.
    long = isinstance(value, str) and len(value) > MAX_VALUE_BYTES
    encoded = b"" if long else msgspec.json.encode(value)
    size = _utf8_bytes(value) + 2 if long else len(encoded)
    if size > MAX_VALUE_BYTES:
        value = _cut(value, encoded)
        summary = f"{summary} (cut: {size:,} bytes are more than the {MAX_VALUE_BYTES:,} a result may have)"
    visualization = None if result.visualization is None else to_json(result.visualization)
    if visualization is not None and len(msgspec.json.encode(visualization)) > MAX_VISUALIZATION_BYTES:
        visualization = None
        summary = f"{summary} (the chart is left out: it has more than {MAX_VISUALIZATION_BYTES:,} bytes)"
    steps = result.next_steps[:MAX_STEPS]
    summary = summary.strip()
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[:MAX_SUMMARY]}…"
    return ToolResult(value, summary, visualization, result.kind, result.answer[:MAX_ANSWER], steps)


@define
class Yielded:
    """The items that a generator has yielded: those are kept that a result has room for, so that memory is bounded."""

    items: list[Any] = field(factory=list, init=False, repr=False)
    _number: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def add(self, item: Any) -> Any:
        """Add an item. Return it as it is shown, as plain JSON of bounded size. Raises `InvalidResult`."""
        value = to_json(item)
        size = len(msgspec.json.encode(value)) + 1  # and a comma
        if len(self.items) == self._number and self._bytes + size < MAX_VALUE_BYTES:
            self.items.append(value)
        self._number += 1
        self._bytes += size
        return value if size <= MAX_PARTIAL_BYTES else summarise(value)

    @property
    def is_full(self) -> bool:
        """Whether the generator is to be ended."""
        return self._number >= MAX_ITEMS or self._bytes >= MAX_YIELDED_BYTES

    def result(self) -> Any:
        """Return the items. If some are missing, or the generator was ended, the value says so too: models read it."""
        kept, of = len(self.items), "" if len(self.items) == self._number else f" of {self._number:,}"
        if self.is_full:
            note = f"The first {kept:,}{of} items: there the tool was ended."
        elif of:
            note = f"The first {kept:,}{of} items: a result has room for {MAX_VALUE_BYTES:,} bytes."
        else:
            return self.items
        return ToolResult({"truncated": True, "note": note, "items": self.items}, note)


def to_json(value: Any, _depth: int = 0) -> Any:
    """Return a copy of `value` as JSON values.

    attrs objects, dataclasses, models, structs and mappings become objects, sets and tuples lists, dates and times ISO
    8601 text, decimals their exact digits as text, enums their values, integers beyond 2**53 text, and NaN and the
    infinities null. Raises `InvalidResult` for bytes, for any other type, and for nesting deeper than `MAX_DEPTH`.
    """
    if value is None or isinstance(value, bool) or type(value) is str:
        return value
    if _depth > MAX_DEPTH:
        raise InvalidResult(f"The tool's result is nested more than {MAX_DEPTH} deep.")
    match value:
        case enum.Enum():
            return to_json(value.value, _depth + 1)
        case str():
            return str(value)
        case int():
            if abs(value) <= _SAFE:
                return int(value)
            if value.bit_length() > _MAX_BITS:
                raise InvalidResult("The tool returned a number with too many digits to write down.")
            return str(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return value.total_seconds()
        case Decimal() | uuid.UUID():
            return str(value)
        case Mapping():
            return {key if type(key) is str else _key(key): to_json(each, _depth + 1) for key, each in value.items()}
        case _ if attrs.has(type(value)):
            return {each.name: to_json(getattr(value, each.name), _depth + 1) for each in attrs.fields(type(value))}
        case _ if is_foreign(type(value)):
            return to_json(foreign_to_plain(value), _depth + 1)
        case _ if dataclasses.is_dataclass(value):
            return {each.name: to_json(getattr(value, each.name), _depth + 1) for each in dataclasses.fields(value)}
        case list() | tuple():
            return [to_json(each, _depth + 1) for each in value]
        case AbstractSet():  # in a fixed order, so that equal results are equal texts
            return [to_json(each, _depth + 1) for each in sorted(value, key=repr)]
        case bytes() | bytearray() | memoryview():
            raise InvalidResult("The tool returned bytes; it must return text or numbers.")
    raise InvalidResult(f"The tool returned a {type(value).__name__}, which cannot be written as JSON.")


_KEYS: Final = (str, int, float, datetime.date, datetime.time, datetime.timedelta, Decimal, uuid.UUID)


def _key(key: Any) -> str:
    while isinstance(key, enum.Enum):
        key = key.value
    plain = to_json(key) if isinstance(key, _KEYS) and not isinstance(key, bool) else None
    if plain is None:
        raise InvalidResult(f"The tool returned an object with a {type(key).__name__} for a key.")
    return str(plain)


def is_small(value: Any) -> bool:
    """Whether a value is converted fast enough for the event loop: at most 200 parts and 10,000 characters."""
    parts, characters, waiting = 0, 0, [value]
    while waiting:
        each = waiting.pop()
        parts += 1
        if isinstance(each, str):
            characters += len(each)
        elif isinstance(each, list | tuple | dict):
            parts += len(each)
            if parts <= _SMALL_PARTS:
                waiting.extend(each.values() if isinstance(each, dict) else each)
        elif isinstance(each, ToolResult):
            waiting += [each.value, each.visualization, each.summary, each.answer]
        elif not (each is None or isinstance(each, int | float)):
            return False  # a class of the user's, whose size is unknown before it is converted
        if parts > _SMALL_PARTS or characters > _SMALL_CHARACTERS:
            return False
    return True


def _utf8_bytes(text: str) -> int:
    """Return the bytes of a text, encoded in pieces: a call for 20 MB would keep the interpreter for 10 ms."""
    if text.isascii():
        return len(text)
    pieces = (text[start : start + MAX_VALUE_BYTES] for start in range(0, len(text), MAX_VALUE_BYTES))
    return sum(len(each.encode(errors="surrogatepass")) for each in pieces)


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
        # JSON writes a character with one to six bytes, so the number that fits is found by trying.
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
        text = ", ".join(f"{key}: {str(each)[:limit]}" for key, each in plain) or f"{len(value):,} fields"
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
