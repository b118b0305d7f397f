"""Reads the stream of a chat completions API. What arrives is read by what it holds: servers differ in the rest. Pure.

1. Calls are told apart by their ids, then by their indexes, then by where a whole one ends: some servers give each call
   the same index, others none.
2. What contradicts itself is `ModelUnavailable`: no call is made of the parts of two, nor one without its arguments.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field, frozen
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.answer import MAX_ARGUMENTS, MAX_CALLS, MAX_STATE, oversized, read_call
from understudy.models.model import (
    ModelEvent,
    ModelUnavailable,
    ProviderState,
    ReasoningDelta,
    TextDelta,
    TextDropped,
    ToolRequest,
    UsageSoFar,
)
from understudy.models.openai_chat_request import REASONING, STATE
from understudy.models.think_tags import Parts, ThinkTags

FAILED: Final = ("error", "abort", "malformed_function_call")
"""Reasons for which an answer ended that is none."""


@define
class _Call:
    """A tool call as it arrives, in pieces. `kept` is the provider's own, to be given back with the call.

    `again`: another call came with its name and index.
    """

    index: int | None
    id: str
    name: str = ""
    arguments: str = ""
    kept: dict[str, Any] = field(factory=dict)
    again: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a whole JSON object: nothing can follow them."""
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False


@frozen
class _Piece:
    """A piece of a call: what a delta holds of it."""

    index: int | None
    id: str
    name: str
    arguments: str

    @classmethod
    def read(cls, given: Any) -> "_Piece":
        """Read a member of `tool_calls`. Raises TypeError."""
        function, index = _get(given, "function"), _get(given, "index")
        name, arguments = _get(function, "name") or "", _get(function, "arguments")
        if isinstance(arguments, Mapping):
            arguments = msgspec.json.encode(arguments).decode()
        call_id = _get(given, "id") or ""
        index = index if isinstance(index, int) else None
        if not isinstance(name, str) or not isinstance(arguments, str | None):
            raise TypeError
        return cls(index, str(call_id), name, arguments or "")


@define
class ChatStream:
    """The part of an answer that has arrived. `ended` is the provider's reason for its end, None before that.

    `reasoning` is the model's, `kept` the provider's own, to be given back with the reply.
    """

    tags: ThinkTags = field(factory=ThinkTags)
    text: list[str] = field(factory=list)
    length: int = 0
    calls: list[_Call] = field(factory=list)
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: str | None = None
    refused: bool = False
    reasoning: list[str] = field(factory=list)
    kept: dict[str, Any] = field(factory=dict)
    kept_bytes: int = 0
    reasons_in: str = ""
    """The field in which reasoning came, empty if it came in the text."""

    def add(self, chunk: Any) -> list[ModelEvent]:
        """Add one chunk of the stream, or a whole answer. Return what it says. Raises `ModelUnavailable`."""
        try:
            return self._add(chunk)
        except (AttributeError, TypeError, LookupError):  # nobody has checked what is read here
            failure = unreadable("no chunk")
        raise failure

    def _add(self, chunk: Any) -> list[ModelEvent]:
        said: list[ModelEvent] = []
        counted = _get(chunk, "usage")
        if counted is not None:
            self.usage = _usage(counted)
        if choices := _get(chunk, "choices"):
            choice = choices[0]
            delta = _get(choice, "delta") or _get(choice, "message")
            if delta is not None:
                said = self._read(delta)
            if (ended := _get(choice, "finish_reason")) is not None:
                self._end(str(ended).lower())
        if counted is not None and self.ended is None:
            said.append(UsageSoFar(self.usage))
        return said

    def _end(self, reason: str) -> None:
        if reason in FAILED:
            raise ModelUnavailable("The language model failed; try again in a moment.", True, f"it ended by {reason}")
        self.ended = {"max_tokens": "length", "safety": "content_filter"}.get(reason, reason)

    def _read(self, delta: Any) -> list[ModelEvent]:
        for each in _get(delta, "tool_calls") or ():
            self._add_call(_Piece.read(each), each)
        if (legacy := _get(delta, "function_call")) is not None:
            self._add_call(_Piece.read({"index": 0, "function": legacy}), {})
        text, reasoning = _texts(_get(delta, "content"))
        if refusal := _get(delta, "refusal"):
            self.refused = True
            text = text or refusal
        more = _more(delta)
        for name in REASONING:
            if not reasoning and isinstance(found := more.get(name), str | list) and found:
                reasoning, self.reasons_in = "".join(_texts(found)), name
        self._keep(self.kept, more, ("reasoning_details",))
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
        return self._say(self.tags.finish())

    # calls

    def _add_call(self, piece: _Piece, given: Any) -> None:
        call = self._call_of(piece)
        if piece.name and piece.name != call.name:
            if call.arguments:
                raise unreadable("two names of a call")
            call.name += piece.name
        call.arguments += piece.arguments
        self._keep(call.kept, _more(given), ("extra_content",))
        if len(self.calls) > MAX_CALLS or len(call.arguments) > MAX_ARGUMENTS:
            raise oversized()

    def _call_of(self, piece: _Piece) -> _Call:
        """Return the call that a piece belongs to, which may begin with it."""
        same = [each for each in self.calls if piece.index is None or each.index == piece.index]
        if piece.id:
            named = [each for each in same if each.id == piece.id]
            same = named or (same if not piece.name else [])  # some servers give each piece an id of its own
        elif piece.index is None and piece.name and same and same[-1].name != piece.name:
            same = []
        call = same[-1] if same else None
        if call is not None and not (piece.name and call.is_whole):
            return call
        if call is not None and not piece.arguments and piece.id == call.id and piece.name == call.name:
            return call  # it only says its name again
        for each in self.calls:
            each.again = each.again or (each.index, each.name) == (piece.index, piece.name)
        if not piece.name:
            raise unreadable("a piece of no call")
        made = _Call(piece.index, piece.id)
        self.calls.append(made)
        return made

    @property
    def _ordered(self) -> list[_Call]:
        """The calls by their indexes; as they began, if these do not tell them apart."""
        indexes = {each.index for each in self.calls}
        if None in indexes or len(indexes) < len(self.calls):
            return self.calls
        return sorted(self.calls, key=lambda each: each.index or 0)

    def requests(self) -> list[ToolRequest]:
        """Return the calls, each with an id of its own. Raises `ModelUnavailable`."""
        ids: set[str] = set()
        read = []
        for number, each in enumerate(self._ordered):
            if not each.arguments.strip() and each.again:
                raise unreadable("a call without its arguments")
            call_id = each.id or f"call-{number}"
            while call_id in ids:
                call_id = f"{call_id}-{number}"
            ids.add(call_id)
            read.append(read_call(call_id, each.name, each.arguments))
        return read

    # the provider's own

    def _keep(self, kept: dict[str, Any], more: Mapping[str, Any], names: Sequence[str]) -> None:
        """Keep fields that the provider wants back, up to `MAX_STATE` bytes in all."""
        for name in names:
            if (value := more.get(name)) is not None:
                self.kept_bytes += len(msgspec.json.encode(value))
                if isinstance(value, list):
                    kept.setdefault(name, []).extend(value)
                else:
                    kept[name] = value

    def state(self, model: str) -> ProviderState | None:
        """Return what is to be given back with the reply, None if that is nothing or too much."""
        message, size = dict(self.kept), self.kept_bytes
        if self.calls and self.reasons_in and not message:  # providers refuse calls without the reasoning before them
            message[self.reasons_in] = "".join(self.reasoning)
            size += len(message[self.reasons_in].encode())
        calls = {str(n): call.kept for n, call in enumerate(self._ordered) if call.kept}
        if not (message or calls) or size > MAX_STATE:
            return None
        return ProviderState(STATE, model, {"message": message, "calls": calls})


def unreadable(why: str) -> ModelUnavailable:
    """Return the error of an answer that cannot be read, or contradicts itself; `why` is for the log."""
    return ModelUnavailable("The language model sent something unreadable.", True, why)


def _get(given: Any, name: str) -> Any:
    """Return a member of an object of JSON, or of one of the SDK; None without it. Raises TypeError for a scalar."""
    if isinstance(given, str | float | int | list):
        raise TypeError
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def _more(given: Any) -> Mapping[str, Any]:
    """Return the members that the SDK does not know."""
    return given if isinstance(given, Mapping) else given.model_extra or {}


def _texts(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning in a `content`: a text, or a list of parts. Raises TypeError."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        raise TypeError
    text, reasoning = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
            continue
        kind = str(_get(part, "type") or "text")
        inner = next((value for name in ("text", kind, "content") if (value := _get(part, name)) is not None), None)
        said = "".join(_texts(inner))
        if "think" in kind or "reason" in kind:
            reasoning += said
        elif "text" in kind:
            text += said
    return text, reasoning


def _usage(counted: Any) -> Usage:
    """Return the usage of a turn as the provider counted it."""
    read, written = _get(counted, "prompt_tokens_details"), _get(counted, "completion_tokens_details")
    cached, reasoning = _get(read, "cached_tokens"), _get(written, "reasoning_tokens")
    return Usage(
        _get(counted, "prompt_tokens") or 0,
        _get(counted, "completion_tokens") or 0,
        1,
        cached=UNSET if cached is None else cached,
        reasoning=UNSET if reasoning is None else reasoning,
    )
