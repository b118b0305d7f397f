"""Tracks the parts of a run that are open for its client: the text, calls, steps and subagents. Pure.

Each part that is opened is closed, by its own event or by `OpenParts.close`. The events here have no timestamp yet.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

from transport.wire.codec import json_text
from understudy.extensions.agui.interrupts import Interrupts
from understudy.extensions.agui.subagents import Subagents
from understudy.extensions.agui.vocabulary import METADATA_KEY, AguiEvent
from understudy.wire.events import ANSWER, Envelope, ToolExecuting


@define
class OpenParts:
    """The open parts of the server's run `run_id`. `result_ids` are the client's ids of calls' results, by call."""

    _result_ids: Mapping[str, str] = field(repr=False)
    run_id: str | None = None
    subagents: Subagents = field(factory=Subagents, init=False)
    callers: dict[str, str] = field(factory=dict, init=False)  # agent id by call id
    unanswered: dict[str, None] = field(factory=dict, init=False)  # calls without a result, in order
    text: str = field(default="", init=False, repr=False)  # of the answer so far
    _steps: dict[str, str] = field(factory=dict, init=False)
    _thoughts: int = field(default=0, init=False)

    def joined(self) -> list[AguiEvent]:
        """Return the events that tell a joining client of the run's open subagents and steps."""
        steps = [{"type": "STEP_STARTED", "stepName": name} for name in self._steps.values()]
        return [*self.subagents.joined(), *steps]

    def step_started(self, agent_id: str, envelope: Envelope) -> list[AguiEvent]:
        """Open the step of an agent, named by its type and pillar."""
        if agent_id in self._steps:
            return []
        name = "/".join(part for part in (envelope.agent_type, envelope.pillar) if part)
        if not name or name in self._steps.values():
            name = agent_id
        self._steps[agent_id] = name
        return [{"type": "STEP_STARTED", "stepName": name}]

    def step_finished(self, agent_id: str) -> list[AguiEvent]:
        """Close the step of an agent."""
        name = self._steps.pop(agent_id, None)
        return [] if name is None else [{"type": "STEP_FINISHED", "stepName": name}]

    def thought(self, thought: str, agent_id: str) -> list[AguiEvent]:
        """Return the events of a thought: a reasoning part that is closed at once."""
        self._thoughts += 1
        part = {"messageId": f"thought-{self.run_id}-{self._thoughts}", **self.subagents.attribution(agent_id)}
        return [
            {"type": "REASONING_START", **part},
            {"type": "REASONING_MESSAGE_START", "role": "reasoning", **part},
            {"type": "REASONING_MESSAGE_CONTENT", "delta": thought, **part},
            {"type": "REASONING_MESSAGE_END", **part},
            {"type": "REASONING_END", **part},
        ]

    def tool_call(self, call: ToolExecuting) -> list[AguiEvent]:
        """Open a call that is being made and has no result yet."""
        name = call.call_id
        if name in self.callers:
            return []
        self.callers[name], self.unanswered[name] = call.agent_id, None
        metadata, part = {METADATA_KEY: {"description": call.description}}, self._call(name)
        return [
            {"type": "TOOL_CALL_START", "toolCallName": call.tool_name, "metadata": metadata, **part},
            {"type": "TOOL_CALL_ARGS", "delta": json_text(call.parameters), **part},
            {"type": "TOOL_CALL_END", **part},
        ]

    def result(self, call_id: str, content: str, details: Mapping[str, Any]) -> AguiEvent:
        """Close a call with its result."""
        self.unanswered.pop(call_id, None)
        return {
            "type": "TOOL_CALL_RESULT",
            "messageId": self._result_ids.get(call_id, f"result-{call_id}"),
            "content": content,
            "role": "tool",
            "metadata": {METADATA_KEY: dict(details)},
            **self._call(call_id),
        }

    def _call(self, call_id: str) -> dict[str, str]:
        return {"toolCallId": call_id, **self.subagents.attribution(self.callers[call_id])}

    def more_text(self, fresh: str) -> list[AguiEvent]:
        """Append to the text of the answer; the first piece opens it."""
        if not fresh:
            return []
        name = f"{ANSWER}{self.run_id}"
        opened = [] if self.text else [{"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"}]
        self.text += fresh
        return [*opened, {"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": fresh}]

    def rest_of_text(self, text: str) -> list[AguiEvent]:
        """Append the part of the whole text that was not sent yet; nothing if the text sent is no prefix of it."""
        return self.more_text(text[len(self.text) :] if text.startswith(self.text) else "")

    def close(self, waits: Interrupts, *, calls: bool) -> list[AguiEvent]:
        """Close all open parts. `calls`: also calls without a result, which a client would take for its own to make.
        They stay open in a run that pauses, because they continue later."""
        ended = {"type": "TEXT_MESSAGE_END", "messageId": f"{ANSWER}{self.run_id}"}
        events: list[AguiEvent] = [ended] if self.text else []
        if calls:
            events += [self.result(call_id, "", {"status": "unknown"}) for call_id in list(self.unanswered)]
        events += self.subagents.close(waits)
        for agent_id in list(reversed(self._steps)):
            events += self.step_finished(agent_id)
        return events
