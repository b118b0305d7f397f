"""Builds the messages that an AG-UI client has after the events of a conversation's runs. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from understudy.extensions.agui.vocabulary import AguiEvent


@define
class Messages:
    """Messages in order. Events are applied as the protocol demands of clients."""

    all: list[AguiEvent] = field(factory=list, repr=False)
    _texts: dict[str, AguiEvent] = field(factory=dict, init=False, repr=False)
    _calls: dict[str, AguiEvent] = field(factory=dict, init=False, repr=False)

    def apply(self, events: Iterable[AguiEvent]) -> None:
        """Apply the events of a run; those that change no message are ignored."""
        for event in events:
            match event["type"]:
                case "TEXT_MESSAGE_START":
                    self._begin_text(event["messageId"], "assistant", event)
                case "REASONING_MESSAGE_START":
                    self._begin_text(event["messageId"], "reasoning", event)
                case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
                    self._texts[event["messageId"]]["content"] += event["delta"]
                case "TOOL_CALL_START":
                    self._begin_call(event)
                case "TOOL_CALL_ARGS":
                    self._calls[event["toolCallId"]]["function"]["arguments"] += event["delta"]
                case "TOOL_CALL_RESULT":
                    self._add_result(event)

    def _begin_text(self, name: str, role: str, event: AguiEvent) -> None:
        self._texts[name] = message = {"id": name, "role": role, "content": "", **_attribution(event)}
        self.all.append(message)

    def _begin_call(self, event: AguiEvent) -> None:
        name = event["toolCallId"]
        call = {"id": name, "type": "function", "function": {"name": event["toolCallName"], "arguments": ""}}
        self._calls[name] = call = call | {"metadata": event["metadata"]}
        self.all.append({"id": name, "role": "assistant", "toolCalls": [call], **_attribution(event)})

    def _add_result(self, event: AguiEvent) -> None:
        """Insert a result after its call, because a provider's history, for which applications use it, has it there."""
        members = ("toolCallId", "content", "metadata")
        result = {"id": event["messageId"], "role": "tool", **{name: event[name] for name in members}}
        place = next(at for at in range(len(self.all), 0, -1) if self.all[at - 1]["id"] == event["toolCallId"])
        self.all.insert(place, result | _attribution(event))


def _attribution(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"subagentRunId": event["subagentRunId"]} if "subagentRunId" in event else {}
