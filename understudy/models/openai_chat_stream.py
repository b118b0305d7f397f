"""Reads the stream of a chat completions API. What arrives is read by what it holds: servers differ in the rest. Pure.

What cannot be read, or contradicts itself, is `ModelUnavailable`.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.members import further, member, texts, unreadable
from understudy.models.model import (
    ModelEvent,
    ModelUnavailable,
    ProviderState,
    ReasoningDelta,
    TextDelta,
    TextDropped,
    UsageSoFar,
)
from understudy.models.openai_chat_calls import Calls
from understudy.models.openai_chat_state import REASONING, Kept
from understudy.models.think_tags import Parts, ThinkTags

FAILED: Final = ("error", "abort", "malformed_function_call")
"""Reasons for which an answer ended that is none."""


@define
class ChatStream:
    """The part of an answer that has arrived. `ended` is the provider's reason for its end, None before that.

    `reasoning` is the model's, `kept` the provider's own, to be given back with the reply. `reasons_in` is the field in
    which reasoning came, empty if it came in the text.
    """

    tags: ThinkTags = field(factory=ThinkTags)
    text: list[str] = field(factory=list)
    length: int = 0
    calls: Calls = field(factory=Calls)
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: str | None = None
    refused: bool = False
    reasoning: list[str] = field(factory=list)
    kept: Kept = field(factory=Kept)
    reasons_in: str = ""

    def add(self, chunk: Any) -> list[ModelEvent]:
        """Add one chunk of the stream, or a whole answer. Return what it says. Raises `ModelUnavailable`."""
        try:
            return self._add(chunk)
        except (AttributeError, TypeError, LookupError):  # nobody has checked what is read here
            failure = unreadable("no chunk")
        raise failure

    def add_whole(self, body: Mapping[str, Any] | None) -> list[ModelEvent]:
        """Add an answer that came whole, if one did. Return what it says. Raises `ModelUnavailable`."""
        said = [] if body is None else self.add(body)
        if body is not None and self.has_begun:
            self.ended = self.ended or "stop"
        return said

    @property
    def has_begun(self) -> bool:
        """Whether anything has been said."""
        return bool(self.length or self.calls.begun)

    def _add(self, chunk: Any) -> list[ModelEvent]:
        said: list[ModelEvent] = []
        counted = member(chunk, "usage")
        if counted is not None:
            self.usage = _usage(counted)
        for choice in member(chunk, "choices") or ():  # one was asked for; some gateways put calls into a second one
            delta = member(choice, "delta") or member(choice, "message")
            if delta is not None:
                said += self._read(delta)
            if ended := member(choice, "finish_reason"):
                self._end(str(ended).lower())
        if counted is not None and self.ended is None:
            said.append(UsageSoFar(self.usage))
        return said

    def _end(self, reason: str) -> None:
        if reason in FAILED:
            raise ModelUnavailable("The language model failed; try again in a moment.", True, f"it ended by {reason}")
        self.ended = {"max_tokens": "length", "safety": "content_filter"}.get(reason, reason)

    def _read(self, delta: Any) -> list[ModelEvent]:
        for each in member(delta, "tool_calls") or ():
            self.kept.of_call(self.calls.add(each).kept, further(each))
        if (legacy := member(delta, "function_call")) is not None:
            self.calls.add({"index": 0, "function": legacy})
        text, reasoning = texts(member(delta, "content"))
        if refusal := member(delta, "refusal"):
            self.refused = True
            text = text or refusal
        more = further(delta)
        for name in REASONING:
            if not reasoning and isinstance(found := more.get(name), str | list | Mapping) and found:
                reasoning, self.reasons_in = "".join(texts(found)), name
        if not reasoning and isinstance(details := more.get("reasoning_details"), list):
            reasoning = texts(details)[1]
        self.kept.of_message(more)
        parts = self.tags.feed(text) if text else Parts()
        return self._say(Parts(reasoning + parts.reasoning, parts.text, parts.dropped))

    def _say(self, parts: Parts) -> list[ModelEvent]:
        said: list[ModelEvent] = []
        if parts.dropped:
            self.text.clear()
            said.append(TextDropped())
        if parts.reasoning:
            self.reasoning.append(parts.reasoning)
            said.append(ReasoningDelta(parts.reasoning))
        if parts.text:
            self.text.append(parts.text)
            said.append(TextDelta(parts.text))
        self.length += len(parts.text) + len(parts.reasoning)
        return said

    def finish(self) -> list[ModelEvent]:
        """Return what was held back until the end."""
        return self._say(self.tags.finish(cut=self.ended == "length"))

    def state(self, model: str, *, worked: bool) -> ProviderState | None:
        """Return what is to be given back with the reply, None if that is nothing or too much.

        `worked`: there were calls before. Providers refuse calls, and what follows them, without the reasoning before.
        """
        goes_back = self.reasons_in and (worked or self.calls.begun)
        reasoning = {self.reasons_in: "".join(self.reasoning)} if goes_back else {}
        return self.kept.state(model, [each.kept for each in self.calls.ordered], reasoning)


def _usage(counted: Any) -> Usage:
    """Return the usage of a turn as the provider counted it."""
    read, written = member(counted, "prompt_tokens_details"), member(counted, "completion_tokens_details")
    cached, reasoning = member(read, "cached_tokens"), member(written, "reasoning_tokens")
    return Usage(
        member(counted, "prompt_tokens") or 0,
        member(counted, "completion_tokens") or 0,
        1,
        cached=UNSET if cached is None else cached,
        reasoning=UNSET if reasoning is None else reasoning,
    )
