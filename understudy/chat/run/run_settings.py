"""Settings of one run that a client sends with its message, within the limits of agent and server. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from transport.wire.errors import CommandRejected


@frozen
class RunSettings:
    """The settings of one run. None means the limit of the agent and the server.

    `timeout_s` is the time the run may work, in seconds. `max_turns` is the number of turns of its model; the last one
    offers it no tools, so that the run ends with a text.
    """

    timeout_s: float | None = None
    max_turns: int | None = None


NAMES: Final = tuple(each.name for each in attrs.fields(RunSettings))


def check_settings(given: Mapping[str, Any], *, timeout_s: float, max_turns: int) -> dict[str, Any]:
    """Return the settings that a client sent, without those that are null.

    `timeout_s` and `max_turns` are the upper limits for this run.

    Raises:
        CommandRejected: `invalid_command`, naming the setting: it is unknown, of a wrong type, or beyond its limit.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    unknown = next((name for name in settings if name not in NAMES), None)
    if unknown is not None:
        shown = "".join(each if each.isprintable() else "?" for each in unknown[:40])
        raise _invalid(shown, f"is not known; the settings are {' and '.join(NAMES)}")
    given_s = settings.get("timeout_s", timeout_s)
    if isinstance(given_s, bool) or not isinstance(given_s, int | float):
        raise _invalid("timeout_s", "must be a number")
    if not 0 < given_s <= timeout_s:
        raise _invalid("timeout_s", f"must be more than 0 and at most {timeout_s:g} for this agent")
    turns = settings.get("max_turns", max_turns)
    if isinstance(turns, bool) or not isinstance(turns, int):
        raise _invalid("max_turns", "must be a whole number")
    if not 1 <= turns <= max_turns:
        raise _invalid("max_turns", f"must be from 1 to {max_turns} for this agent")
    return settings


def _invalid(name: str, complaint: str) -> CommandRejected:
    return CommandRejected("invalid_command", f"The field `settings.{name}` {complaint}.")


def read_settings(logged: Mapping[str, Any] | None) -> RunSettings:
    """Return the settings logged with a message. Names that this release does not know are ignored."""
    known = logged or {}
    return RunSettings(known.get("timeout_s"), known.get("max_turns"))
