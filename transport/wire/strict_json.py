"""JSON from strangers: bounded in depth and in the number of its values, and with no name twice in an object. Pure.

The number of values is counted before any of them is made: eight megabytes of `[],[],…` would become half a gigabyte of
objects, in one call that nothing can interrupt.
"""

import re
from typing import Any, Final

import msgspec

from transport.wire.errors import CommandRejected

# Deeper nesting has no use in a command, and every later reader of the value would recurse as deep.
MAX_DEPTH: Final = 64
# A command is no place for a table; walking this many values takes about a millisecond.
MAX_VALUES: Final = 10_000
# What a database's integer column and every client but JavaScript hold exactly.
MAX_INTEGER: Final = 2**63 - 1
# A string, or one that does not end, to the end of the text: possessive, so that it takes linear time on anything.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def decode(body: bytes, max_values: int = MAX_VALUES) -> Any:
    """The value of a JSON text.

    Raises CommandRejected: `bad_json` for what is no JSON, too deep, or has a name twice in an object or an integer of
    more than 64 bits; `invalid_command` for more than `max_values` values.
    """
    # In valid JSON each string is a value or a member's name. So many are looked at and no more.
    marks, strings = _STRING.subn(b"", body, 2 * max_values + 2)
    # All others but a few have a comma or a colon beside them, as brackets without any only nest.
    if strings > 2 * max_values + 1 or marks.count(b",") + marks.count(b":") > max_values:
        raise CommandRejected("invalid_command", f"A command may hold at most {max_values} values.")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.ValidationError:  # the only one that untyped decoding has
        raise CommandRejected("bad_json", "A number in that JSON is too large.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CommandRejected("bad_json") from None
    # A name that stands twice in one object would silently lose its first value. The document has one colon
    # outside its strings for each member it wrote; the value has one entry for each member that was kept.
    if _members(value) != marks.count(b":"):
        raise CommandRejected("bad_json", "A name stands twice in one JSON object.")
    return value


def _members(value: Any) -> int:
    """Members of all objects in `value`, level by level; refuses what is too deep or too large on the way."""
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
