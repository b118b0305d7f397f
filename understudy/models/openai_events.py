"""Reads the stream of OpenAI's Responses API, event by event, as plain data. Pure.

Nothing is taken for granted: a field may be missing or of another type, and types of events may be unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import define, field
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.answer import (
    CUT,
    FILTERED,
    INCOMPLETE,
    MAX_ARGUMENTS,
    MAX_CALLS,
    MAX_STATE,
    REFUSED,
    oversized,
    read_call,
)
from understudy.models.model import ModelUnavailable, ProviderState, ToolRequest
from understudy.models.openai_client import failure_of
from understudy.models.openai_request import STATE

WRITING: Final = frozenset(
    ("response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta")
)
"""Events of a model that writes: the next one follows within seconds."""
PROGRESS: Final = WRITING | {
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.refusal.done",
    "response.function_call_arguments.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
}
"""Events that bring an answer on; others, and unknown ones, do not keep it alive."""
_REASONING: Final = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_NOTES: Final = {"max_output_tokens": CUT, "content_filter": FILTERED}
_MAX_ITEMS: Final = 4 * MAX_CALLS
_BREAK: Final = "\n\n"


@define
class ResponseReader:
    """The part of an answer that has arrived. `ended`: it has come to its end, with `note` if it is not whole.

    `length` counts its characters, and each event as one at least, so that it bounds any stream.
    """

    text: list[str] = field(factory=list)
    reasoning: list[str] = field(factory=list)
    length: int = 0
    items: list["_Item"] = field(factory=list)
    usage: Usage = field(factory=lambda: Usage(turns=1))
    ended: bool = False
    note: str = ""
    _arguments: dict[Any, "_Arguments"] = field(factory=dict, init=False)  # by the item's id, or its place
    _text_at: Any = field(default=None, init=False)
    _reasoning_at: Any = field(default=None, init=False)

    def add(self, event: Mapping[str, Any]) -> tuple[str, str]:
        """Add an event. Return its text and its reasoning.

        Raises `ModelUnavailable` for an error of the provider, or more calls than a turn may have.
        """
        self.length += 1
        kind, place = event.get("type"), _whole(event.get("output_index"))
        if kind == "response.output_text.delta" or kind == "response.refusal.delta":
            if kind == "response.refusal.delta":
                self.note = REFUSED
            part = (place, event.get("content_index"), None)
            text, self._text_at = _piece(event.get("delta"), self.text, part, self._text_at)
            self.length += len(text)
            return text, ""
        if kind in _REASONING:
            part = (place, event.get("summary_index"), event.get("content_index"))
            reasoning, self._reasoning_at = _piece(event.get("delta"), self.reasoning, part, self._reasoning_at)
            self.length += len(reasoning)
            return "", reasoning
        if kind == "response.function_call_arguments.delta":
            self._arguments_of(event).add(_text(event.get("delta")))
            if len(self._arguments) > MAX_CALLS:
                raise oversized()
        elif kind == "response.function_call_arguments.done":
            self._arguments_of(event).whole = _text(event.get("arguments"))
        elif kind == "response.output_item.done":
            self._take(place, _object(event.get("item")))
        elif kind in ("response.completed", "response.incomplete"):
            self._end(kind, _object(event.get("response")))
        elif kind == "response.failed":
            raise failure_of(_object(_object(event.get("response")).get("error")).get("code"))
        elif kind == "error":
            raise failure_of(event.get("code"))
        return "", ""

    def _arguments_of(self, event: Mapping[str, Any]) -> "_Arguments":
        key = _text(event.get("item_id")) or _whole(event.get("output_index"))
        return self._arguments.setdefault(key, _Arguments())

    def _take(self, place: int, item: Mapping[str, Any]) -> None:
        """Take an item that is whole: one that was sent before, or another one, also with its place or its id."""
        if item.get("type") == "function_call":
            streamed = self._arguments.get(_text(item.get("id"))) or self._arguments.get(place) or _Arguments()
            item = {**item, "arguments": streamed.checked(_text(item.get("arguments")))}
        key = tuple(_text(item.get(name)) for name in ("type", "id", "call_id", "name"))
        known = next((each for each in self.items if each.key == key and (any(key[1:3]) or each.place == place)), None)
        if known is None:
            self.items.append(_Item(place, key, item))
        elif not _same_arguments(known.given, item):
            raise contradiction()
        else:
            known.given = item
        if len(self.items) > _MAX_ITEMS or len(_text(item.get("arguments"))) > MAX_ARGUMENTS:
            raise oversized()

    def _end(self, kind: str, response: Mapping[str, Any]) -> None:
        self.ended = True
        self.usage = _usage(_object(response.get("usage")))
        if kind == "response.incomplete":
            reason = _object(response.get("incomplete_details")).get("reason")
            self.note = _NOTES.get(_text(reason), INCOMPLETE)
        output = response.get("output")
        whole = [_object(item) for item in output] if isinstance(output, list) else []
        streamed = bool(self.items)
        for place, item in enumerate(whole):
            if not streamed or (item.get("type") == "function_call" and not self.note):
                self._take(place, item)
        called = [each for each in whole if each.get("type") == "function_call"]
        if whole and not self.note and len(called) != len(self._in_order("function_call")):
            raise contradiction()

    def rest(self) -> str:
        """Return the text of a whole answer, if none of it was streamed."""
        if self.text:
            return ""
        found: list[str] = []
        for item in self._in_order("message"):
            content = item.get("content")
            for part in map(_object, content if isinstance(content, list) else ()):
                if refusal := _text(part.get("refusal")):
                    self.note = REFUSED
                if text := _text(part.get("text")) or refusal:
                    found.append(text)
        self.text.append(_BREAK.join(found))
        return self.text[0]

    def calls(self) -> list[ToolRequest]:
        """Return the calls of a whole answer. Raises `ModelUnavailable` if they are too many."""
        found = list(self._in_order("function_call"))
        if len(found) > MAX_CALLS:
            raise oversized()
        return [
            read_call(_text(each.get("call_id")) or f"call-{n}", _text(each.get("name")), _text(each.get("arguments")))
            for n, each in enumerate(found)
        ]

    def state(self, model: str) -> ProviderState | None:
        """Return what is to be given back with the reply, None if that is nothing or too much.

        Summaries are left out: they are shown and stored apart, as far as the content policy lets them, and the model
        does not need them.
        """
        outline: list[Mapping[str, Any]] = []
        for item in self._in_order("reasoning", "message", "function_call"):
            kind, phase = item["type"], item.get("phase")
            if kind == "reasoning":
                sealed, name = _text(item.get("encrypted_content")), _text(item.get("id"))
                if sealed and name:
                    outline.append({"type": kind, "id": name, "summary": [], "encrypted_content": sealed})
            elif kind == "message":  # all texts of a reply are one message later
                outline = [each for each in outline if each["type"] != kind]
                outline.append({"type": kind} | ({"phase": phase} if isinstance(phase, str) else {}))
            else:
                outline.append({"type": kind})
        if not any(each["type"] == "reasoning" or "phase" in each for each in outline):
            return None
        return None if len(msgspec.json.encode(outline)) > MAX_STATE else ProviderState(STATE, model, outline)

    def _in_order(self, *kinds: str) -> Sequence[Mapping[str, Any]]:
        return [each.given for each in sorted(self.items, key=lambda each: each.place) if each.key[0] in kinds]


@define
class _Item:
    """An item of the answer: its place, by which it is known (type, ids, name), and what it is."""

    place: int
    key: tuple[str, ...]
    given: Mapping[str, Any]


@define
class _Arguments:
    """The arguments of a call as they were streamed: in pieces, and the `whole` as the provider says at their end."""

    pieces: list[str] = field(factory=list)
    size: int = 0
    whole: str = ""

    def add(self, piece: str) -> None:
        """Add a piece. Raises `ModelUnavailable` if they are too long."""
        self.pieces.append(piece)
        self.size += len(piece)
        if self.size > MAX_ARGUMENTS:
            raise oversized()

    def checked(self, given: str) -> str:
        """Return the arguments of the call, whose item has those that are `given`. Raises if they are not the same."""
        said = [each for each in (given, self.whole, "".join(self.pieces)) if each.strip()]
        if any(_json(each) != _json(said[0]) for each in said[1:]):
            raise contradiction()
        return said[0] if said else given


def contradiction() -> ModelUnavailable:
    """Return the error of an answer whose end does not agree with what was streamed."""
    return ModelUnavailable("The language model sent something unreadable.", True, "the end contradicts the stream")


def _same_arguments(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(_json(_text(one.get("arguments"))) == _json(_text(other.get("arguments"))))


def _json(text: str) -> Any:
    """Return what a JSON text says; the text itself if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text.strip()


def _piece(delta: Any, pieces: list[str], part: Any, before: Any) -> tuple[str, Any]:
    """Add a piece to a text. Return it, with a break before it if it begins another part, and its part."""
    text = _text(delta)
    if text and pieces and part != before:
        text = _BREAK + text
    if text:
        pieces.append(text)
    return text, part if text else before


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(counted: Mapping[str, Any]) -> Usage:
    """Return the usage of a turn as the provider counted it."""
    read, written = _object(counted.get("input_tokens_details")), _object(counted.get("output_tokens_details"))
    cached, reasoning = read.get("cached_tokens"), written.get("reasoning_tokens")
    return Usage(
        _whole(counted.get("input_tokens")),
        _whole(counted.get("output_tokens")),
        1,
        cached=cached if isinstance(cached, int) else UNSET,
        reasoning=reasoning if isinstance(reasoning, int) else UNSET,
    )
