"""Decode untrusted JSON: bounded in depth and number of values, without duplicate names in an object. Pure.

Values are counted before any of them is created: 8 MB of `[],[],…` would become half a gigabyte of objects in one call
that cannot be interrupted.
"""

import re
from typing import Any, Final

import msgspec

from transport.wire.errors import CommandRejected

# Commands need no deeper nesting, and later readers of the value would recurse as deep.
MAX_DEPTH: Final = 64
# Values in a command; more are refused. Walking this many takes about 1 ms.
MAX_VALUES: Final = 10_000
# The range of a database's integer column, exact in every client but JavaScript.
MAX_INTEGER: Final = 2**63 - 1
# A string, or an unterminated one to the end of the text. Possessive, so that matching takes linear time.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def decode(body: bytes, max_values: int = MAX_VALUES) -> Any:
    """Decode a JSON text.

    Raises CommandRejected: `bad_json` if it is not JSON, nested too deep, or has a duplicate name in an object or an
    integer of more than 64 bits; `invalid_command` for more than `max_values` values.
    """
    # In valid JSON each string is a value or a member's name, so no more than this many need to be scanned.
    marks, strings = _STRING.subn(b"", body, 2 * max_values + 2)
    # All other values but a few have a comma or a colon beside them; brackets without either only nest.
    if strings > 2 * max_values + 1 or marks.count(b",") + marks.count(b":") > max_values:
        raise CommandRejected("invalid_command", f"A command may hold at most {max_values} values.")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:  # the only one that untyped decoding raises
        raise CommandRejected("bad_json", "A number in that JSON is too large.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandRejected("bad_json") from None
    # A duplicate name in an object would silently lose its first value. The document has one colon outside its strings
    # per member; the value has one entry per distinct member.
    if _members(value) != marks.count(b":"):
        raise CommandRejected("bad_json", "A name stands twice in one JSON object.")
    return value


def _members(value: Any) -> int:
    """Count the members of all objects in `value`, level by level. Raises CommandRejected beyond the bounds."""
    members = 0
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for container in level:
            for item in container.values() if isinstance(container, dict) else container:
                if isinstance(item, dict):
                    members += len(item)
                    below.append(item)
                elif isinstance(item, list):
                    below.append(item)
                elif isinstance(item, int) and abs(item) > MAX_INTEGER:
                    raise CommandRejected("bad_json", "A number in that JSON is too large.")
        if not below:
            return members
        level = below
    raise _too_deep()


def _too_deep() -> CommandRejected:
    return CommandRejected("bad_json", f"That JSON is nested deeper than {MAX_DEPTH} levels.")
