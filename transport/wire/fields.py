"""Checks of the fields of commands, which are untrusted JSON values, each with the schema that says the same. Pure.

A check returns the value to use, or raises InvalidField.
"""

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from attrs import frozen

from transport.wire.json_schema import COUNT, FLAG, OBJECT, TEXT, Schema, one_of

MAX_NAME: Final = 200  # characters, as all bounds here but those of threads and chunks
# Ids become keys of the log. A UUID has 36 characters, one with a prefix or two some 62.
MAX_ID: Final = 128
MAX_NOTE: Final = 2000
MAX_THREADS: Final = 1000  # in one `resume`
MAX_CHUNKS: Final = 10_000  # of one frame
# Header lines of web servers are commonly bounded at 8 KiB, and tokens travel in them too.
MAX_TOKEN: Final = 8192

E = TypeVar("E", bound=enum.StrEnum)
R = TypeVar("R", str, int)


class InvalidField(ValueError):
    """A field is invalid: `complaint` says why, `at` where inside it (such as `[2].id`)."""

    def __init__(self, complaint: str, at: str = "") -> None:
        super().__init__(complaint)
        self.complaint = complaint
        self.at = at


@frozen
class Check:
    """The check of a field: `read` returns its value, or raises InvalidField; `schema` describes the same values."""

    read: Callable[[Any], Any]
    schema: Schema


def printable(text: str) -> str:
    """Return a client's text for use in an error message: at most 40 characters, without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text[:40])


def read_text(value: Any) -> str:
    """Return a text. Raises InvalidField."""
    if not isinstance(value, str):
        raise InvalidField("must be text")
    return value


def read_name(value: Any) -> str:
    """Return a text of at most MAX_NAME characters, without control characters. Raises InvalidField."""
    if not isinstance(value, str):
        raise InvalidField("must be text")
    if len(value) > MAX_NAME:
        raise InvalidField(f"may have at most {MAX_NAME} characters")
    if not value.isprintable():
        raise InvalidField("must not contain control characters")
    return value


def read_id(value: Any) -> str:
    """Return an id: a name of at most MAX_ID characters that is not blank. Raises InvalidField."""
    if isinstance(value, str) and len(value) <= MAX_ID and value.isprintable() and not value.isspace() and value:
        return value
    if not read_name(value).strip():
        raise InvalidField("must not be blank")
    raise InvalidField(f"may have at most {MAX_ID} characters")


def is_id(value: Any) -> bool:
    """Return whether a value is an id."""
    try:
        return bool(read_id(value))
    except InvalidField:
        return False


def _token(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidField("must be text")
    if len(value) > MAX_TOKEN:
        raise InvalidField(f"may have at most {MAX_TOKEN} characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidField("must be true or false")
    return value


def _note(value: Any) -> str:
    if len(read_text(value)) > MAX_NOTE:
        raise InvalidField(f"may have at most {MAX_NOTE} characters")
    return str(value)


def _one_of(words: type[E]) -> Callable[[Any], E]:
    def check(value: Any) -> E:
        word = read_text(value)
        try:
            return words(word)
        except ValueError:
            raise InvalidField(f"must be one of {', '.join(words)}") from None

    return check


def _seq(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidField("must be a whole number, 0 or more")
    return value


def _count(value: Any) -> int:
    if not 1 <= _seq(value) <= MAX_CHUNKS:
        raise InvalidField(f"must be from 1 to {MAX_CHUNKS}")
    return int(value)


def read_object(value: Any) -> dict[str, Any]:
    """Return an object. Raises InvalidField."""
    if not isinstance(value, dict):
        raise InvalidField("must be an object")
    return value


def _threads(value: Any) -> dict[str, int]:
    threads = read_object(value)
    if len(threads) > MAX_THREADS:
        raise InvalidField(f"may name at most {MAX_THREADS} threads")
    return {read_id(thread): within(f".{printable(thread)}", _seq, seq) for thread, seq in threads.items()}


def within(at: str, check: Callable[[Any], R], value: Any) -> R:
    """Check a value that stands inside a field, at `at`. Raises InvalidField, which says where."""
    try:
        return check(value)
    except InvalidField as wrong:
        raise InvalidField(wrong.complaint, at + wrong.at) from None


def words_of(kind: type[enum.StrEnum]) -> Check:
    """Return the check of a field that is one of the words of an enum."""
    return Check(_one_of(kind), one_of(kind))


# Text without control characters: roughly what Python calls printable.
NAMED: Final = Check(read_name, {"type": "string", "maxLength": MAX_NAME, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"})
ID: Final = Check(read_id, {
    "type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$",
})  # fmt: skip
PLAIN_TEXT: Final = Check(read_text, TEXT)
ANY_OBJECT: Final = Check(read_object, OBJECT)
YES_OR_NO: Final = Check(_flag, FLAG)
NOTE: Final = Check(_note, {"type": "string", "maxLength": MAX_NOTE})
CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **dict.fromkeys(("id", "message_id", "thread_id"), ID),
        **dict.fromkeys(("batch", "chunk", "gzip"), YES_OR_NO),
        **dict.fromkeys(("seq", "index"), Check(_seq, COUNT)),
        "data": PLAIN_TEXT,
        "nonce": NAMED,
        "session_token": Check(_token, {"type": "string", "maxLength": MAX_TOKEN}),
        "threads": Check(_threads, {
            "type": "object", "propertyNames": ID.schema, "additionalProperties": COUNT, "maxProperties": MAX_THREADS,
        }),
        "count": Check(_count, {"type": "integer", "minimum": 1, "maximum": MAX_CHUNKS}),
    }
)  # fmt: skip
"""The fields of this package's commands, and ids that a program's own may have."""
