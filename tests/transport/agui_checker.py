"""What an AG-UI consumer demands of a run, written from the protocol's documentation and not from our code.

https://docs.ag-ui.com/concepts/events: a run opens with RUN_STARTED (only RUN_ERROR may come in its place) and ends
with one RUN_FINISHED or RUN_ERROR, after which nothing comes. What was started is ended before that: text messages,
tool calls, steps, reasoning spans and messages, each by its own name, none opened twice at once.
"""

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
}
ALONE = {"CUSTOM", "TOOL_CALL_RESULT"}


class Broken(AssertionError):
    """A sequence that an AG-UI consumer would refuse."""


@define
class Checker:
    """Takes the events of one run in order; `finish` asks for its end."""

    open: set[tuple[str, str]] = field(factory=set)
    used: set[tuple[str, str]] = field(factory=set)
    calls: dict[str, int] = field(factory=dict)
    started: bool = False
    ended: bool = False
    text: str = ""

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
            if kind == "TEXT_MESSAGE_CONTENT":
                self.text += event["delta"]
        elif kind in CLOSES:
            if self._entity(CLOSES, event) not in self.open:
                raise Broken(f"{kind} of what is not open")
            self.open.remove(self._entity(CLOSES, event))
        elif kind == "TOOL_CALL_RESULT":
            if event["toolCallId"] not in self.calls:
                raise Broken("a result of a call that was not made")
            self.calls[event["toolCallId"]] += 1
        elif kind not in ALONE and not kind.startswith("RUN_"):
            raise Broken(f"{kind} is not known")

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
            waits = {each.get("toolCallId") for each in event.get("outcome", {}).get("interrupts", ())}
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
