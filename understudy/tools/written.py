"""Reads malformed JSON of language models and gateways if its meaning is beyond doubt. Pure.

Accepted are a Markdown fence around it, JSON encoded as a JSON string, trailing commas, raw line breaks in strings,
Python literals, a repeated object, and empty placeholders beside an object.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from transport.wire.codec import replace_surrogates

MAX_TRIES: Final = 100
"""Places of a text where a value may begin; further values are ignored, or make the text invalid."""
MAX_PYTHON: Final = 50_000
"""Characters of a text that may be a Python literal; parsing one takes a hundred times its size in memory."""
_FENCED: Final = re.compile(r"\s*+```\w*+[ \t]*+\n?(.*?)```\s*+", re.DOTALL)
_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)
_NOTHING: Final = ("", "null", "None", "undefined")
_BLANK: Final = re.compile(r"\s*")


class Contradictory(ValueError):
    """A text has several different objects."""


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_DECODER: Final = json.JSONDecoder(strict=False, parse_constant=_refuse)


def read_object(pieces: Sequence[str]) -> dict[str, Any]:
    """Return the object that a model wrote in pieces, such as the arguments of a call; an empty one for no text.

    Raises `Contradictory`, and ValueError whose text ends the sentence "They are …".
    """
    value: Any = "".join(pieces)
    for _ in range(3):  # levels of JSON encoded as a string
        if not isinstance(value, str):
            break
        fenced = _FENCED.fullmatch(value)
        text = (value if fenced is None else fenced[1]).strip()
        value = {} if text in _NOTHING else read_json(text)
    else:
        raise ValueError("not valid JSON")
    if isinstance(value, list) and len(value) < 2:  # a wrapped object, or the empty one as PHP writes it
        value = value[0] if value else {}
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_json(text: str) -> Any:
    """Return the value of a text. Raises `Contradictory`, ValueError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return _storable(_one_of(list(_values(_COMMA.sub(r"\1", text)))))
    except Contradictory:
        raise
    except (ValueError, RecursionError, OverflowError):
        pass
    if text.startswith(("{", "[")) and len(text) <= MAX_PYTHON and "\\" not in text:
        try:
            return _storable(ast.literal_eval(text))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, msgspec.MsgspecError):
            pass
    raise ValueError("not valid JSON")


def _storable(value: Any) -> Any:
    """Return a value as plain JSON, with halves of surrogate pairs replaced. Raises OverflowError for huge numbers."""
    return msgspec.json.decode(msgspec.json.encode(replace_surrogates(value)))


def read_or_none(text: str) -> Any:
    """Return the value of a text; None if it cannot be read."""
    try:
        return read_json(text)
    except ValueError:
        return None


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost objects in a text. If one is cut off at the end, objects inside it are not yielded."""
    text = _COMMA.sub(r"\1", text)
    at = text.find("{")
    for _ in range(MAX_TRIES):
        if at < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, at)
            value = _storable(value)
        except (ValueError, RecursionError, OverflowError):
            if text.count("{", at) > text.count("}", at):
                return  # an object that is cut off: its members are not answers
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def _values(text: str) -> Iterator[Any]:
    """Yield the values that follow each other in a text. Raises ValueError, RecursionError."""
    at = 0
    for _ in range(MAX_TRIES):
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            return
        value, at = _DECODER.raw_decode(text, at)
        yield value
    raise ValueError


def _one_of(values: Sequence[Any]) -> Any:
    """Return the only value, or the only object beside its repetitions and empty ones. Raises ValueError."""
    if len(values) == 1:
        return values[0]
    if not values or not all(value is None or isinstance(value, dict) for value in values):
        raise ValueError
    distinct = [value for number, value in enumerate(values) if value and value not in values[:number]]
    if len(distinct) > 1:
        raise Contradictory("two objects")
    return distinct[0] if distinct else {}
