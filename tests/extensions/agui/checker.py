"""What an AG-UI consumer demands of a run, written from the protocol's documentation and not from our code.

https://docs.ag-ui.com/concepts/events: a run opens with RUN_STARTED (only RUN_ERROR may come in its place) and ends
with one RUN_FINISHED or RUN_ERROR, after which nothing comes. What was started is ended before that: text messages,
tool calls, steps, subagents, reasoning spans and messages, each by its own name, none opened twice at once. A snapshot
of the messages replaces those before it; a patch of the state changes what the last snapshot of it was.
"""

import copy
from collections.abc import Sequence
from typing import Any

from ag_ui.core import Event
from attrs import define, field
from pydantic import TypeAdapter

MODELS: TypeAdapter[Any] = TypeAdapter(Event)

OPENS = {
    "STEP_STARTED": ("step", "stepName"),
    "TEXT_MESSAGE_START": ("text", "messageId"),
    "TOOL_CALL_START": ("call", "toolCallId"),
    "REASONING_START": ("span", "messageId"),
    "REASONING_MESSAGE_START": ("thought", "messageId"),
    "SUBAGENT_STARTED": ("subagent", "subagentRunId"),
}
GOES_ON = {
    "TEXT_MESSAGE_CONTENT": ("text", "messageId"),
    "TOOL_CALL_ARGS": ("call", "toolCallId"),
    "REASONING_MESSAGE_CONTENT": ("thought", "messageId"),
}
CLOSES = {
    "STEP_FINISHED": ("step", "stepName"),
    "TEXT_MESSAGE_END": ("text", "messageId"),
    "TOOL_CALL_END": ("call", "toolCallId"),
    "REASONING_END": ("span", "messageId"),
    "REASONING_MESSAGE_END": ("thought", "messageId"),
    "SUBAGENT_FINISHED": ("subagent", "subagentRunId"),
    "SUBAGENT_ERROR": ("subagent", "subagentRunId"),
}
ALONE = {"CUSTOM", "TOOL_CALL_RESULT"}


class Broken(AssertionError):
    """A sequence that an AG-UI consumer would refuse."""


@define
class Checker:
    """Takes the events of one run in order. `messages` and `state` are those of its client, who had none before."""

    open: set[tuple[str, str]] = field(factory=set)
    used: set[tuple[str, str]] = field(factory=set)
    calls: dict[str, int] = field(factory=dict)
    started: bool = False
    ended: bool = False
    suspended: set[str] = field(factory=set)
    asking: dict[str, str] = field(factory=dict)
    messages: list[dict[str, Any]] = field(factory=list)
    state: Any = None

    @property
    def text(self) -> str:
        texts = [item["content"] for item in self.messages if item["role"] == "assistant" and "content" in item]
        return texts[-1] if texts else ""

    @property
    def calls_made(self) -> list[tuple[str, str, str | None]]:
        """The tool, the arguments and the result of each call in the conversation; None if there is no result."""
        results = {message["toolCallId"]: message["content"] for message in self.messages if message["role"] == "tool"}
        calls = [call for message in self.messages for call in message.get("toolCalls", ())]
        return [(call["function"]["name"], call["function"]["arguments"], results.get(call["id"])) for call in calls]

    def take(self, event: dict[str, Any]) -> None:
        """Raise Broken, or pydantic's error, for an event that must not come here."""
        no_nulls(event)
        MODELS.validate_python(event)
        kind = event["type"]
        self._in_run(kind, event)
        if kind in OPENS:
            self._opened(*self._entity(OPENS, event), event)
        elif kind in GOES_ON:
            if self._entity(GOES_ON, event) not in self.open:
                raise Broken(f"{kind} of what is not open")
        elif kind in CLOSES:
            if self._entity(CLOSES, event) not in self.open:
                raise Broken(f"{kind} of what is not open")
            self.open.remove(self._entity(CLOSES, event))
        elif kind == "TOOL_CALL_RESULT":
            if event["toolCallId"] not in self.calls:
                raise Broken("a result of a call that was not made")
            self.calls[event["toolCallId"]] += 1
        elif kind == "MESSAGES_SNAPSHOT":
            self._replaced(event["messages"])
        elif kind == "STATE_SNAPSHOT":
            self.state = copy.deepcopy(event["snapshot"])
        elif kind == "STATE_DELTA":
            self._patch(event["delta"])
        elif kind not in ALONE and not kind.startswith("RUN_"):
            raise Broken(f"{kind} is not known")
        self._apply(kind, event)

    def _apply(self, kind: str, event: dict[str, Any]) -> None:
        """Change the messages as the protocol has a client do it."""
        if kind == "SUBAGENT_STARTED":
            self.asking[event["subagentRunId"]] = event["parentToolCallId"]
        elif kind == "SUBAGENT_FINISHED" and event["outcome"]["type"] == "suspended":
            self.suspended.add(self.asking[event["subagentRunId"]])
        if kind in ("TEXT_MESSAGE_START", "REASONING_MESSAGE_START"):
            role = event.get("role", "assistant")
            if all(message["id"] != event["messageId"] for message in self.messages):
                self.messages.append({"id": event["messageId"], "role": role, "content": ""})
        elif kind in ("TEXT_MESSAGE_CONTENT", "REASONING_MESSAGE_CONTENT"):
            self._message(event["messageId"])["content"] += event["delta"]
        elif kind == "TOOL_CALL_START":
            call = {"id": event["toolCallId"], "function": {"name": event["toolCallName"], "arguments": ""}}
            self.messages.append({"id": event["toolCallId"], "role": "assistant", "toolCalls": [call]})
        elif kind == "TOOL_CALL_ARGS":
            self._message(event["toolCallId"])["toolCalls"][0]["function"]["arguments"] += event["delta"]
        elif kind == "TOOL_CALL_RESULT":
            names = ("toolCallId", "content")
            self.messages.append({"id": event["messageId"], "role": "tool", **{name: event[name] for name in names}})

    def _patch(self, delta: list[dict[str, Any]]) -> None:
        """Apply additions and replacements (RFC 6902); a replacement needs something to replace."""
        for change in delta:
            *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:])
            inside = self.state
            for part in parents:
                inside = inside[part]
            if change["op"] not in ("add", "replace") or (change["op"] == "replace" and last not in inside):
                raise Broken(f"a patch that does not apply: {change}")
            inside[last] = change["value"]

    def _message(self, name: str) -> dict[str, Any]:
        return next(message for message in self.messages if message["id"] == name)

    def _replaced(self, messages: list[dict[str, Any]]) -> None:
        """Take a snapshot: its calls are known from now on, and the unanswered ones may get a result."""
        if self.messages:
            raise Broken("a snapshot after other messages")
        self.messages = copy.deepcopy(messages)
        if len({message["id"] for message in messages}) < len(messages):
            raise Broken("two messages of one name")
        for name in [call["id"] for message in messages for call in message.get("toolCalls", ())]:
            self.calls[name] = sum(message["role"] == "tool" and message["toolCallId"] == name for message in messages)

    def _in_run(self, kind: str, event: dict[str, Any]) -> None:
        if self.ended:
            raise Broken(f"{kind} after the end")
        if kind == "RUN_STARTED":
            if self.started:
                raise Broken("RUN_STARTED twice")
            self.started = True
        elif not self.started and kind != "RUN_ERROR":
            raise Broken(f"{kind} before RUN_STARTED")
        if kind in ("RUN_FINISHED", "RUN_ERROR"):
            if self.open:
                raise Broken(f"{kind} while open: {sorted(self.open)}")
            waits = {stop.get("toolCallId") for stop in event.get("outcome", {}).get("interrupts", ())} | self.suspended
            waits |= set(event.get("outcome", {}).get("pendingToolCallIds", ()))
            if kind == "RUN_FINISHED" and any(times != (name not in waits) for name, times in self.calls.items()):
                raise Broken(f"calls without one result each: {self.calls}")
            self.ended = True

    def _entity(self, table: dict[str, tuple[str, str]], event: dict[str, Any]) -> tuple[str, str]:
        sort, name = table[event["type"]]
        return sort, event[name]

    def _opened(self, sort: str, name: str, event: dict[str, Any]) -> None:
        if (sort, name) in self.open:
            raise Broken(f"{event['type']} of what is open")
        if sort != "step" and (sort, name) in self.used:
            raise Broken(f"{event['type']} of a name that was used")
        self.open.add((sort, name))
        self.used.add((sort, name))
        if sort == "call":
            self.calls[name] = 0


def no_nulls(event: dict[str, Any]) -> None:
    """A member that does not apply is left out: consumers refuse null on the protocol's own members."""
    missing = [name for name, value in event.items() if value is None]
    if missing:
        raise Broken(f"null members: {missing}")


def check_run(events: Sequence[dict[str, Any]]) -> Checker:
    """Check that the events are a whole run, and return the checker with its counts. Raises Broken."""
    checker = Checker()
    for event in events:
        checker.take(event)
    if not checker.ended:
        raise Broken("the run has no end")
    return checker
