"""Requests that a user is offered: the starters of an agent, and the next steps after a result.

Each carries the call that it stands for, so that no program has to read its words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import Attribute, field, frozen, validators

from transport.wire.codec import replace_surrogates

MAX_TEXT: Final = 1000
"""Characters of a starter's text, and of a step's label."""
MAX_ARGUMENTS: Final = 32 * 1024
"""Bytes of an offer's arguments as JSON; they are sent with every list of agents, or stored with every result."""


def _is_text(_: Any, attribute: "Attribute[str]", value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise ValueError(f"{attribute.name} must be a text of 1 to {MAX_TEXT:,} characters")


def _is_json(_: Any, attribute: "Attribute[Mapping[str, Any]]", value: Mapping[str, Any]) -> None:
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{attribute.name} must be JSON: {error}") from None
    if not encoded.startswith(b"{") or len(encoded) > MAX_ARGUMENTS:
        raise ValueError(f"{attribute.name} must be an object of at most {MAX_ARGUMENTS:,} bytes as JSON")


@frozen
class NextStep:
    """A call that a user may make next, offered as a button with this `label`.

    The page sends it as `settings.tool`; where `arguments` lack a required one, a form asks for it. The tool is one of
    the agent that was asked, or of a colleague of it.

    Raises ValueError for an empty text, one of more than 1,000 characters, or arguments that are no JSON of at most
    32 KiB.
    """

    label: str = field(validator=_is_text)
    tool: str = field(validator=_is_text)
    arguments: Mapping[str, Any] = field(factory=dict, repr=False, converter=replace_surrogates, validator=_is_json)


@frozen
class Starter:
    """A request that a new chat with an agent offers.

    A language model is asked the `text`. Without one, `tool` of the agent is called with `arguments`; a starter without
    a tool needs a language model. A required argument of format ``table-id`` may be left out: it is the table that is
    attached to the message.

    Raises ValueError as `NextStep` does.
    """

    text: str = field(validator=_is_text)
    tool: str = field(default="", validator=validators.instance_of(str))
    arguments: Mapping[str, Any] = field(factory=dict, repr=False, validator=_is_json)


TABLE_ID: Final = "table-id"
"""The format of a parameter that takes the id of an attached table."""


def with_table(
    parameters: Mapping[str, Any], arguments: Mapping[str, Any], tables: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return arguments with the last of the attached `tables`, ids, where a required one takes a table and has none.

    Also return the names of the required parameters that are still missing. `parameters` is the tool's JSON schema.
    """
    fields, missing = dict(arguments), []
    for name in parameters.get("required", ()):
        if name not in fields and tables and takes_table(parameters, name):
            fields[name] = tables[-1]
        elif name not in fields:
            missing.append(name)
    return fields, missing


def takes_table(parameters: Mapping[str, Any], name: str) -> bool:
    """Return whether a parameter takes the id of an attached table."""
    return bool(parameters.get("properties", {}).get(name, {}).get("format") == TABLE_ID)
