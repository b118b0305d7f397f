"""Reads the stream of OpenAI's Responses API, event by event, as plain data. Pure.

Nothing is assumed about an event: a field may be missing or of another type, and its type may be unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from understudy.extensions.openai.request import STATE
from understudy.extensions.providers.answer import (
    INCOMPLETE,
    MAX_ARGUMENTS,
    MAX_CALLS,
    REFUSED,
    WHOLE,
    AnswerReader,
    WrittenCall,
    make_state,
    note_of_end,
    oversized,
    read_usage,
    unreadable,
)
from understudy.extensions.providers.members import written
from understudy.models.faults import failure_of
from understudy.models.model import ModelEvent, ProviderState
from understudy.tools.written import read_json

_MAX_ITEMS: Final = 4 * MAX_CALLS
_BREAK: Final = "\n\n"


@define
class _Item:
    """A complete item of the output: `given` is the item as it was sent, `place` its index in the output."""

    place: int
    given: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The type of the item."""
        return _text(self.given.get("type"))

    def is_same(self, place: int, given: Mapping[str, Any]) -> bool:
        """Return whether another item is this one sent again. `call_id` identifies a call; an item's id may change."""
        if any(_text(self.given.get(name)) != _text(given.get(name)) for name in ("type", "name")):
            return False
        own_call_id, call_id = _text(self.given.get("call_id")), _text(given.get("call_id"))
        own_id, other_id = _text(self.given.get("id")), _text(given.get("id"))
        if own_call_id and call_id and own_call_id != call_id:
            return False
        if own_id and own_id == other_id:
            return True
        if own_call_id and own_call_id == call_id:  # some servers give two calls one `call_id`
            return self.place == place or _value(self.given) == _value(given)
        return self.place == place and not (own_id and other_id)


@define
class ResponseReader(AnswerReader):
    """An answer as it arrives. `items` are the complete items."""

    items: list[_Item] = field(factory=list)
    _arguments: dict[tuple[str, int], list[str]] = field(factory=dict, init=False)  # pieces by the item's id and place
    _arguments_size: int = field(default=0, init=False)
    _parts: dict[Any, str] = field(factory=dict, init=False)  # the text and reasoning of each part
    _whole: set[Any] = field(factory=set, init=False)  # keys of parts whose end has come
    _newest: dict[bool, Any] = field(factory=dict, init=False)  # key of the newest part, by whether it is reasoning
    _raw: str = field(default="", init=False)  # the text so far, before `tags` take reasoning from it

    def read(self, event: Mapping[str, Any]) -> list[ModelEvent]:
        """Read an event of the stream, or a whole answer, and return its events.

        Raises `ModelUnavailable` for an error of the provider, and for more calls than a turn may have.
        """
        if (whole := event.get(WHOLE)) is not None:
            return self._end("completed", whole) if whole.keys() & {"output", "output_text"} else []
        name, _, state = _text(event.get("type")).removeprefix("response.").partition(".")
        place = _whole(event.get("output_index"))
        known = state in ("delta", "done", "added")
        self.progress, self.writes = self.progress + known, state == "delta" and not name.startswith("reasoning")
        match name, state:
            case (("output_text" | "refusal" | "reasoning_summary_text" | "reasoning_text"), ("delta" | "done")):
                if name == "refusal":
                    self.note = REFUSED
                text = next((_text(event[member]) for member in ("delta", "text", "refusal") if member in event), "")
                key = (place, name, _whole(event.get("summary_index")), _whole(event.get("content_index")))
                return self._say(key, text, whole=state == "done")
            case "content_part", "done":
                return self._say_part(place, _whole(event.get("content_index")), _object(event.get("part")))
            case "function_call_arguments", ("delta" | "done"):
                pieces = self._arguments.setdefault((_text(event.get("item_id")), place), [])
                arguments = written(event.get("delta" if state == "delta" else "arguments"))
                if state == "done" and arguments.strip():
                    self._check(pieces, arguments)
                    pieces.clear()
                pieces.append(arguments)
                self._arguments_size += len(arguments)
                if len(self._arguments) > MAX_CALLS or self._arguments_size > MAX_ARGUMENTS:
                    raise oversized()
            case "output_item", "done":
                item = _object(event.get("item"))
                self._take_item(place, item)
                return self._say_message(place, item)
            case (("completed" | "incomplete" | "failed" | "cancelled" | "done"), ""):
                return self._end(name, _object(event.get("response")))
            case "error", "":
                raise failure_of({name: value for name, value in event.items() if name != "type"})
        return []

    def _say(self, key: Any, text: str, *, whole: bool) -> list[ModelEvent]:
        """Return the events for a piece of a part; for a `whole` part those for the rest that was not streamed. A piece
        after the whole part begins the part anew."""
        streamed = "" if not whole and key in self._whole else self._parts.get(key, "")
        if whole:
            self._whole.add(key)
            if not text.startswith(streamed) or (not streamed and text in self._raw):
                return []
            text = text[len(streamed) :]
        else:
            self._whole.discard(key)
        if not text:
            return []
        self._parts[key] = streamed + text
        reasons = key[1].startswith("reasoning")
        begins = reasons in self._newest and (self._newest[reasons] != key or not streamed)  # after another part
        self._newest[reasons] = key
        piece = _BREAK + text if begins else text
        if reasons:
            return self.say(reasoning=piece)
        self._raw += piece
        return self.say(piece)

    def _say_message(self, place: int, item: Mapping[str, Any]) -> list[ModelEvent]:
        content = item.get("content") if item.get("type") == "message" else None
        parts = enumerate(content if isinstance(content, list) else [{"text": content}])
        return [event for number, part in parts for event in self._say_part(place, number, _object(part))]

    def _say_part(self, place: int, number: int, part: Mapping[str, Any]) -> list[ModelEvent]:
        """Return the events for a whole part of a message, as far as it has not come before."""
        events: list[ModelEvent] = []
        for name, member in (("output_text", "text"), ("refusal", "refusal")):
            if text := _text(part.get(member)):
                self.note = REFUSED if name == "refusal" else self.note
                events += self._say((place, name, 0, number), text, whole=True)
        return events

    def _take_item(self, place: int, item: Mapping[str, Any]) -> None:
        """Add a complete item, or replace the one that it repeats. Raises `ModelUnavailable` if they differ."""
        earlier_item = next((earlier for earlier in self.items if earlier.is_same(place, item)), None)
        if earlier_item is None:
            self.items.append(_Item(place, item))
        elif _value(earlier_item.given) != _value(item) and not (_is_blank(earlier_item.given) or _is_blank(item)):
            raise unreadable("the end contradicts the stream")
        elif not _is_blank(item) or _is_blank(earlier_item.given):
            earlier_item.given = item
        if len(self.items) > _MAX_ITEMS or len(written(item.get("arguments"))) > MAX_ARGUMENTS:
            raise oversized()

    def _end(self, kind: str, response: Mapping[str, Any]) -> list[ModelEvent]:
        """Read the end of the answer. Its `status` counts, whatever the type of its event says."""
        status = _text(response.get("status")) or kind
        self.usage = read_usage(response.get("usage"))
        failed = status in ("failed", "cancelled")
        if kind in ("failed", "cancelled") or response.get("error") or (failed and not self._raw):
            raise failure_of(response.get("error") or response.get("incomplete_details"))
        reason = _object(response.get("incomplete_details")).get("reason")
        if failed or status == "incomplete" or reason:
            self.note = note_of_end(reason or "incomplete") or INCOMPLETE
        self.ended = self.over = True
        output = response.get("output")
        items = [_object(item) for item in output] if isinstance(output, list) else []
        streamed, events = bool(self.items), self._rest(items)
        if not self._raw:
            events += self._say((0, "output_text", 0, 0), _text(response.get("output_text")), whole=True)
        for index, item in enumerate(items):
            if not streamed or (item.get("type") == "function_call" and not self.note):
                self._take_item(index, item)
        calls = [(index, call) for index, call in enumerate(items) if call.get("type") == "function_call"]
        called = {(_text(call.get("call_id")) or index, repr(_value(call))) for index, call in calls}
        if items and not self.note and len(called) != len(self._in_order("function_call")):
            raise unreadable("the end contradicts the stream")
        return events

    def _rest(self, output: Sequence[Mapping[str, Any]]) -> list[ModelEvent]:
        """Return the events for the text of a whole answer that was not streamed."""
        if not self._raw:
            return [event for index, item in enumerate(output) for event in self._say_message(index, item)]
        parts = [_object(part) for item in output if isinstance(item.get("content"), list) for part in item["content"]]
        text = _BREAK.join(part_text for part in parts if (part_text := _text(part.get("text"))))
        unsent = text[len(self._raw) :] if text.startswith(self._raw) else ""
        return self.say(unsent)

    def calls(self) -> list[WrittenCall]:
        """Return the calls of a complete answer. Raises `ModelUnavailable` if it contradicts itself."""
        calls: list[WrittenCall] = []
        for item in self._in_order("function_call"):
            arguments, pieces = written(item.given.get("arguments")), self._arguments_of(item)
            if not _is_blank(item.given):
                self._check(pieces, arguments)
                pieces = [arguments]
            calls.append((_text(item.given.get("call_id")), _text(item.given.get("name")), pieces))
        return calls

    def _check(self, pieces: Sequence[str], arguments: str) -> None:
        """Raise `ModelUnavailable` if arguments came in pieces, are not blank, and differ from the final arguments."""
        if (streamed := _read("".join(pieces))) and streamed != _read(arguments):
            raise unreadable("the end contradicts the stream")

    def _arguments_of(self, item: _Item) -> list[str]:
        """Return the pieces of a call's arguments: those with its id, or if its own arguments are blank, its place."""
        by_id = [pieces for (name, _), pieces in self._arguments.items() if name and name == item.given.get("id")]
        by_place = [pieces for (_, index), pieces in self._arguments.items() if index == item.place]
        matches = by_id or (by_place if _is_blank(item.given) else [])
        return [piece for pieces in matches for piece in pieces]

    def state(self, model: str, calls: Sequence[WrittenCall]) -> ProviderState | None:
        """Return the state to send back with the reply that has these calls; None if it is empty or too large.

        Summaries of reasoning are left out: the model does not need them, and they are shown and stored separately, as
        far as the content policy allows.
        """
        outline: list[Mapping[str, Any]] = []
        for entry in self._in_order("reasoning", "message", "function_call"):
            item, kind, phase = entry.given, entry.kind, entry.given.get("phase")
            if kind == "reasoning":
                sealed, name = _text(item.get("encrypted_content")), _text(item.get("id"))
                if sealed and name:
                    outline.append({"type": kind, "id": name, "summary": [], "encrypted_content": sealed})
            elif kind == "message":  # all texts of a reply are sent back as one message
                outline = [mark for mark in outline if mark["type"] != kind]
                outline.append({"type": kind} | ({"phase": phase} if isinstance(phase, str) else {}))
            else:
                outline.append({"type": kind})
        has_state = any(mark["type"] == "reasoning" or "phase" in mark for mark in outline)
        return make_state(STATE, model, outline if has_state else [], calls)

    def _in_order(self, *kinds: str) -> list[_Item]:
        return [item for item in sorted(self.items, key=lambda entry: entry.place) if item.kind in kinds]


def _value(item: Mapping[str, Any]) -> Any:
    """Return the decoded arguments of an item, or their text if it is not JSON."""
    return _read(written(item.get("arguments")))


def _is_blank(item: Mapping[str, Any]) -> bool:
    """Return whether the arguments of an item are empty, as the placeholders of some gateways are."""
    return not _value(item)


def _read(text: str) -> Any:
    """Return the value of a JSON text; the stripped text itself if it is not JSON."""
    try:
        return read_json(text)
    except ValueError:
        return text.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
