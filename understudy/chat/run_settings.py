"""The settings of a message: limits of its run, and what its client gives the agent for this run. Pure."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
from attrs import frozen

from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent
from understudy.agents.budget import LIMIT_OF, WHOLE, Budget
from understudy.chat.messages import RunRequest
from understudy.chat.run_state.turns import RECALL
from understudy.storage.records import LoggedEvent
from understudy.storage.write import Write
from understudy.tools.parameters import plain_parameters

WRITTEN: Final = ("instructions", "tools", "history", "metadata")
"""Settings with text of the client's: they are filtered as the message itself is."""
KNOWN: Final = ("timeout_s", "max_turns", "budget", "tool", *WRITTEN)
"""The settings that a client may send, beside those of extensions."""
MAX_NAMED: Final = 10
WIDGET_SETTING: Final = "widget"
"""The setting of a `WidgetCall`, which clients cannot send: the `server` whose user interface calls the `tool`, and the
`call_id` whose user interface it is."""
MAX_BYTES: Final = {"instructions": 32 * 1024, "tools": 64 * 1024, "history": 128 * 1024, "metadata": 16 * 1024}
"""Bytes of JSON of each of these settings; a larger one is refused, as the log and each turn of the model have it."""
CONTEXT_BYTES: Final = 32 * 1024
"""Bytes of JSON in the context of a message; more is refused, as each turn of the model is given all of it."""
MAX_TOOLS: Final = 64
"""Tools of a client in one message; more are refused. Models choose badly among more."""
MAX_EARLIER: Final = 400
"""Earlier messages that a client can send along; more are refused."""
_TOOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")


@frozen
class MessageSetting:
    """A setting that an extension has: `check` raises ValueError with why a value cannot be, and `writes` returns what
    is stored with an event of the run of a message that has it."""

    check: Callable[[object], object]
    writes: Callable[[RunRequest, LoggedEvent], Iterable[Write]]


def unknown_settings(settings: JsonObject, others: Collection[str] = ()) -> str:
    """Return the names of settings that this server does not know, as it may show them: programs send those of other
    servers along, such as `model` and `temperature`."""
    names = [name for name in settings if name not in KNOWN and name not in others]
    shown = ["".join(char if char.isprintable() else "?" for char in name[:40]) for name in names[:MAX_NAMED]]
    return ", ".join(shown + [f"{len(names) - MAX_NAMED} more"] * (len(names) > MAX_NAMED))


def check_settings(
    given: JsonObject,
    limit_s: float,
    most: Budget,
    agent: Agent,
    tools: Collection[str] = (),
    others: Mapping[str, MessageSetting] = MappingProxyType({}),
) -> JsonObject:
    """Return the settings of a run that a client sent, without those that are null or not known (`unknown_settings`).

    A run may work for `limit_s`, and spend `most`. `tools` are those that it may call in place of asking a model.
    `others` are the settings of extensions.

    Raises:
        CommandRejected: `invalid_command`, naming the setting: it is of a wrong type, or beyond its limit.
    """
    settings = {name: given[name] for name in (*KNOWN, *others) if given.get(name) is not None}
    max_turns = most.turns or math.inf
    seconds, turns = settings.get("timeout_s", limit_s), settings.get("max_turns", max_turns)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        name, complaint = "timeout_s", "must be a number"
    elif not 0 < seconds <= limit_s:
        name, complaint = "timeout_s", f"must be more than 0 and at most {limit_s:g} for this agent"
    elif isinstance(turns, bool) or not isinstance(turns, int):
        name, complaint = "max_turns", "must be a whole number"
    elif not 1 <= turns <= max_turns:
        name, complaint = "max_turns", f"must be from 1 to {max_turns} for this agent"
    elif "tool" in settings and settings["tool"] not in tools:
        name, complaint = "tool", "must be the name of a tool of the agent"
    elif wrong := _wrong_budget(settings.get("budget", {}), most) or _wrong_written(settings, agent):
        name, complaint = wrong
    else:
        for name in others.keys() & settings.keys():
            try:
                others[name].check(settings[name])
            except ValueError as refused:
                complaint = str(refused)
                break
        else:
            return settings
    raise CommandRejected("invalid_command", f"The field `settings.{name}` {complaint}.")


def tool_names(settings: JsonObject) -> frozenset[str]:
    """Return the names of the client's tools in the settings of a message."""
    return frozenset(tool["name"] for tool in settings.get("tools", ()))


def _wrong_budget(budget: Any, most: Budget) -> tuple[str, str] | None:
    """Return the wrong field of the budget that a client sent for a run, and what it must be; None if all are right."""
    if not isinstance(budget, Mapping) or any(name not in LIMIT_OF for name in budget):
        return "budget", f"must be an object with some of {', '.join(LIMIT_OF)}"
    for name, value in budget.items():
        try:
            Budget(**{name: value})
        except TypeError:
            return f"budget.{name}", f"must be {'a whole number' if name in WHOLE else 'a number'}"
        except ValueError:
            return f"budget.{name}", "must be more than 0"
        if value is not None and (limit := getattr(most, name)) is not None and value > limit:
            return f"budget.{name}", f"must be at most {limit:g} for this agent"
    return None


def _wrong_written(settings: JsonObject, agent: Agent) -> tuple[str, str] | None:
    """Return the wrong one of the settings `WRITTEN`, and what it must be; None if all are right."""
    for name in WRITTEN:
        if name in settings and len(msgspec.json.encode(settings[name])) > MAX_BYTES[name]:
            return name, f"may have at most {MAX_BYTES[name]:,} bytes of JSON"
    if not isinstance(settings.get("instructions", ""), str):
        return "instructions", "must be a text"
    if not isinstance(settings.get("metadata", {}), Mapping):
        return "metadata", "must be an object"
    return _wrong_history(settings.get("history", [])) or _wrong_tools(settings.get("tools", []), agent)


def _wrong_history(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, list | tuple) or len(value) > MAX_EARLIER:
        return "history", f"must be a list of at most {MAX_EARLIER} messages"
    for number, message in enumerate(value):
        right = isinstance(message, Mapping) and isinstance(message.get("content"), str)
        if not right or message.get("role") not in ("user", "assistant", "tool"):
            return f"history.{number}", "must have a `role`, user, assistant or tool, and a text as `content`"
        if message["role"] == "tool" and not isinstance(message.get("call_id"), str):
            return f"history.{number}", "must have the `call_id` of the call whose result it is"
        if not isinstance(calls := message.get("calls", []), list | tuple) or not all(map(_is_call, calls)):
            return f"history.{number}", "must have calls with an `id`, a `name` and an object as `arguments`"
    return None


def _is_call(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("arguments"), Mapping):
        return False
    return all(isinstance(value.get(name), str) for name in ("id", "name"))


def _wrong_tools(value: Any, agent: Agent) -> tuple[str, str] | None:
    if not isinstance(value, list | tuple) or len(value) > MAX_TOOLS:
        return "tools", f"must be a list of at most {MAX_TOOLS} tools"
    if value and not agent.takes_client_tools:
        return "tools", f"cannot be given to {agent.name}: it calls the tools that it has"
    names: set[str] = set()
    for number, tool in enumerate(value):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not _TOOL_NAME.match(name):
            return f"tools.{number}", "must have a `name` of at most 64 letters, digits, '_' and '-'"
        if name in names or name == RECALL or agent.may_have(name):
            return f"tools.{number}", f"has a name that another tool has: {name}"
        names.add(name)
        parameters = tool.get("parameters", {})
        if not isinstance(tool.get("description", ""), str) or not isinstance(parameters, Mapping):
            return f"tools.{number}", "must have a text as `description`, and a JSON schema as `parameters`"
        if parameters.get("type", "object") != "object":
            return f"tools.{number}", "must have parameters of type object"
        try:
            plain_parameters(parameters)
        except (ValueError, RecursionError) as error:
            return f"tools.{number}", f"must have other parameters: {error}"
    return None
