"""Reads the stream of a chat completions API. Pure.

A chunk is interpreted by the members that it has, because servers differ in everything else. A chunk that cannot be
read, or contradicts another, raises `ModelUnavailable`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field

from understudy.extensions.openai.chat_calls import Calls
from understudy.extensions.providers.answer import (
    MAX_STATE,
    REFUSED,
    WHOLE,
    AnswerReader,
    WrittenCall,
    is_reason,
    make_state,
    note_of_end,
    read_usage,
)
from understudy.extensions.providers.members import member, texts
from understudy.models.model import ModelEvent, ProviderState, UsageSoFar

STATE: Final = "openai"
"""The provider's name in states of this API; it is older than the other API of OpenAI."""
REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message for its reasoning. A server that sends one needs it back with calls (DeepSeek) or ignores it."""
OF_MESSAGE: Final = ("reasoning_details", "thinking_blocks")
OF_CALL: Final = ("extra_content",)
"""Fields of a message and of a call with members that the provider has signed (OpenRouter, LiteLLM; Gemini)."""
_JOINED: Final = ("text", "thinking", "summary", "data", "signature")
"""Members of a part whose text comes in pieces."""


@define
class ChatStream(AnswerReader):
    """An answer as it arrives. `kept` are the members of its message that must be sent back with it, by name, and
    `kept_size` their bytes with those of its calls. `reasons_in` is the field in which reasoning came, empty if none
    did."""

    begun: Calls = field(factory=Calls)
    kept: dict[str, Any] = field(factory=dict)
    kept_size: int = 0
    reasons_in: str = ""

    def read(self, event: Mapping[str, Any]) -> list[ModelEvent]:
        """Read one chunk of the stream, or a whole answer, and return its events. Raises `ModelUnavailable`."""
        events: list[ModelEvent] = []
        chunk = event.get(WHOLE) or event
        choices = chunk.get("choices") or ()
        counted = next((usage for holder in (chunk, *choices) if (usage := member(holder, "usage")) is not None), None)
        if counted is not None:
            self.usage = read_usage(counted)
        for choice in choices:  # one was requested, but some gateways put calls into a second one
            if (delta := member(choice, "delta")) is not None:
                events += self._read(delta)
            if (message := member(choice, "message")) is not None:
                events += self._read(message, whole=True)
            elif isinstance(text := member(choice, "text"), str):
                events += self.say(text)
            if is_reason(reason := member(choice, "finish_reason")):
                self.ended, self.note = True, self.note or note_of_end(reason)
        self.writes = bool(self.texts)
        self.ended = self.ended or (self.progress > 0 and WHOLE in event)
        if counted is not None and not self.ended:
            events.append(UsageSoFar(self.usage))
        return events

    def calls(self) -> list[WrittenCall]:
        """Return the calls. Raises `ModelUnavailable` if the arguments of a call came as another call."""
        return self.begun.written()

    def _read(self, delta: Mapping[str, Any], *, whole: bool = False) -> list[ModelEvent]:
        """Read a piece of the message, and return its events. Of a `whole` message only the unread rest counts."""
        calls = member(delta, "tool_calls") or ()
        for call in [calls] if isinstance(calls, Mapping) else calls:
            self._keep(self.begun.add(call).kept, call, OF_CALL)
            self.progress += 1
        if (legacy := delta.get("function_call")) is not None:
            self.begun.add({"index": 0, "function": legacy})
        text, reasoning = texts(delta.get("content"))
        if refusal := delta.get("refusal"):
            self.note = REFUSED
            text = text or refusal
        for name in REASONING:
            if not reasoning and isinstance(value := delta.get(name), str | list | Mapping) and value:
                reasoning, self.reasons_in = "".join(texts(value)), name
        if not reasoning and isinstance(details := delta.get("reasoning_details"), list):
            reasoning = texts(details)[1]
        self._keep(self.kept, delta, OF_MESSAGE)
        if whole:
            text = text[len(self.text) :] if text.startswith(self.text) else ""
            reasoning = "" if self.thoughts else reasoning
        return self.say(text, reasoning)

    def _keep(self, kept: dict[str, Any], source: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            if (value := source.get(name)) is None or self.kept_size > MAX_STATE:
                continue
            self.kept_size += len(msgspec.json.encode(value))
            if isinstance(value, list):
                parts = kept.setdefault(name, [])
                for part in value:
                    _join(parts, part)
            else:
                kept[name] = value

    def state(self, model: str, calls: Sequence[WrittenCall], *, worked: bool) -> ProviderState | None:
        """Return the state to send back with the reply that has these calls; None if it is empty or too large.

        The reasoning is sent back unless `kept` has it in the provider's own form. `worked`: the run had calls before.
        Providers refuse calls, and replies after calls, without the reasoning before them.
        """
        goes_back = self.reasons_in and (worked or calls)
        message = self.kept or ({self.reasons_in: self.reasoning} if goes_back else {})
        by_place = {str(n): call.kept for n, call in enumerate(self.begun.ordered) if call.kept}
        fits = self.kept_size <= MAX_STATE and (message or by_place)
        value = {"message": message, "calls": by_place} if fits else {}
        return make_state(STATE, model, value, calls)


def _join(parts: list[Any], piece: Any) -> None:
    """Append a piece to the part that it continues; otherwise add it as a new part, as signatures cover whole parts."""
    continued = next((part for part in reversed(parts) if _continues(part, piece)), None)
    if continued is None:
        parts.append(dict(piece) if isinstance(piece, Mapping) else piece)
        return
    for name, value in piece.items():
        if name in _JOINED and isinstance(value, str) and isinstance(continued.get(name), str):
            continued[name] += value
        elif value is not None and (name in _JOINED or continued.get(name) is None):
            continued[name] = value


def _continues(part: Any, piece: Any) -> bool:
    if not (isinstance(part, dict) and isinstance(piece, Mapping)):
        return False
    if any(part.get(name) != piece.get(name) for name in ("type", "index")):
        return False
    if part.get("id") and piece.get("id") and part["id"] != piece["id"]:
        return False
    return part.get("index") is not None or not (part.get("signature") or part.get("data"))
