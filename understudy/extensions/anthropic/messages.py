"""Answers from Anthropic's Messages API."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from attrs import define, evolve, field
from msgspec import UNSET

from understudy.extensions.anthropic.request import build_request, encode_state
from understudy.extensions.providers.accepted import Adaptation
from understudy.extensions.providers.answer import (
    INCOMPLETE,
    MAX_ARGUMENTS,
    MAX_CALLS,
    MAX_STATE,
    WHOLE,
    AnswerReader,
    WrittenCall,
    is_reason,
    note_of_end,
    oversized,
    read_usage,
)
from understudy.extensions.providers.client import SdkModel
from understudy.extensions.providers.members import member, written
from understudy.models.model import Emit, ModelEvent, ModelFault, ModelUnavailable, Reply, Turn
from understudy.models.prompt import in_words
from understudy.tools.written import read_or_none
from understudy.wire.events import Usage

MAX_PAUSES: Final = 8
"""Times that a reply which the provider pauses is gone on with."""
SEPARATOR: Final = "\n\n"
"""Put between two texts of one reply."""
PAUSED: Final = "pause_turn"


@define
class _ReplyReader(AnswerReader):
    """A reply as it arrives, which may go on after pauses. `blocks` are the reply's, in order.

    `places` are their places by the index that the provider gives them, as several may be open at a time. `arguments`
    are those of its calls as JSON, by place. `paused`: the provider wants to be asked to go on.
    """

    blocks: list[dict[str, Any]] = field(factory=list)
    places: dict[Any, int] = field(factory=dict)
    arguments: dict[int, list[str]] = field(factory=dict)
    arguments_size: int = 0
    counted: dict[str, Any] = field(factory=dict)
    before: Usage = field(factory=Usage)  # of the requests before a pause
    paused: bool = False
    most_reasoning: ClassVar[int] = MAX_STATE

    def read(self, event: Mapping[str, Any]) -> list[ModelEvent]:
        """Read an event, or a whole reply. Return what it says. Raises `ModelUnavailable`."""
        events: list[ModelEvent] = []
        if (whole := event.get(WHOLE)) is not None:
            event = {"type": "message_start", "message": whole}
        index = event.get("index")
        match event.get("type"):
            case "message_start":
                message = event.get("message")
                self.places.clear()
                self.counted.clear()
                self.before = self.usage if self.paused else self.before
                self.paused = False
                for place, block in enumerate(member(message, "content") or ()):
                    events += self._begin(place, block)
                self._end(member(message, "stop_reason"), member(message, "usage"))
            case "content_block_start":
                events = self._begin(index, event.get("content_block"))
            case "content_block_delta":
                kind = str(member(event["delta"], "type")).removesuffix("_delta")
                if index not in self.places and kind in ("text", "thinking"):  # some gateways begin no block
                    self._begin(index, {"type": kind})
                events = self._extend(self.places[index], event["delta"])
            case "content_block_stop":
                self._close(self.places[index])
                events = self._rest(self.places[index], event.get("content_block"))
            case "message_delta":
                self._end(member(event.get("delta"), "stop_reason"), event.get("usage"))
            case "message_stop":
                for place, block in enumerate(member(event.get("message"), "content") or ()):
                    events += self._rest(place, block) if place < len(self.blocks) else self._begin(place, block)
                self.over = self.ended
        self.writes = bool(self.blocks) and bool(self.blocks[-1].get("text"))
        self.ended = self.ended or bool(whole and self.blocks)
        return events

    def _end(self, reason: Any, usage: Any) -> None:
        """Take the provider's reason for the end, if it has come, and its counts, which are those of all so far."""
        if is_reason(reason):
            self.ended, self.paused = True, reason == PAUSED
            self.note = INCOMPLETE if self.paused else note_of_end(reason)
        if isinstance(usage, Mapping):
            self.counted |= {name: value for name, value in usage.items() if value is not None}
        elif usage is not None:
            read_usage(usage)  # logged as odd
        counted = read_usage(self.counted)
        # What was read from the provider's cache, or written to it, is a part of the input.
        cached = sum(count for count in (counted.cached, counted.cache_written) if count is not UNSET)
        self.usage = self.before + evolve(counted, input=counted.input + cached)

    def _rest(self, place: int, whole: Any) -> list[ModelEvent]:
        """Return what of a text has not come in pieces, of a block that some gateways send whole at its end."""
        block, text = self.blocks[place], written(member(whole, "text"))
        before = block.get("text")
        return self._write(place, text[len(before) :]) if before is not None and text.startswith(before) else []

    def _begin(self, index: Any, given: Any) -> list[ModelEvent]:
        self.places[index] = place = len(self.blocks)
        block = {name: value for name, value in given.items() if value is not None}
        text, thinking = written(block.get("text")), written(block.get("thinking"))
        self.progress += 1
        if block["type"] == "text":
            self.blocks.append({"type": "text", "text": ""})
            return self._write(place, text)
        if block["type"] == "thinking":
            self.blocks.append({"type": "thinking", "thinking": "", "signature": block.get("signature") or ""})
            return self._think(place, thinking)
        self.blocks.append(block)
        if sum("input" in block for block in self.blocks) > MAX_CALLS:
            raise oversized()
        return []

    def _extend(self, place: int, delta: Mapping[str, Any]) -> list[ModelEvent]:
        match delta.get("type"):
            case "text_delta":
                return self._write(place, written(delta.get("text")))
            case "thinking_delta":
                return self._think(place, written(delta.get("thinking")))
            case "signature_delta":
                self.blocks[place]["signature"] += written(delta.get("signature"))
            case "input_json_delta":
                if self.blocks[place]["type"] in ("text", "thinking"):
                    raise ValueError("arguments of a block that has none")
                piece = written(delta.get("partial_json"))
                self.arguments.setdefault(place, []).append(piece)
                self.progress += bool(piece)
                self.arguments_size += len(piece)
                if self.arguments_size > MAX_ARGUMENTS:
                    raise oversized()
        return []

    def _think(self, place: int, thinking: str) -> list[ModelEvent]:
        self.blocks[place]["thinking"] += thinking
        return self.say(reasoning=thinking)

    def _write(self, place: int, text: str) -> list[ModelEvent]:
        """Add text to a block. Return it, set apart if it begins one behind another text."""
        block = self.blocks[place]
        if text and not block["text"] and self.texts:
            text = SEPARATOR + text
        block["text"] += text
        return self.say(text)

    def _close(self, place: int) -> None:
        """Read the arguments of a block that is whole, which goes back to the provider after a pause."""
        if arguments := "".join(self.arguments.get(place, ())):
            self.blocks[place]["input"] = read_or_none(arguments) or {}

    def calls(self) -> list[WrittenCall]:
        """Return the calls."""
        return [
            (written(call.get("id")), written(call.get("name")), self.arguments.get(n) or [written(call.get("input"))])
            for n, call in enumerate(self.blocks)
            if call["type"] == "tool_use"
        ]


class Anthropic(SdkModel):
    """The provider of the Messages API."""

    name = "anthropic"
    package, kind = "anthropic", "AsyncAnthropic"

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has, with this one if it does. Raises `ModelUnavailable`."""
        try:
            await self.within(self.idle_s, partial(self.sdk.models.retrieve, self.model))
        except ModelUnavailable as error:
            if error.fault is not ModelFault.ADDRESS:
                raise
            return await super().known_models()
        return [self.model]  # a name without its date is in no list

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its thinking. Raises `ModelUnavailable`."""
        if turn.output is not None and not turn.output.strict:
            turn = in_words(turn)

        import anthropic  # which is an extra

        def build(asked: Turn, _: Adaptation) -> Mapping[str, Any]:
            body = build_request(asked, self.model)
            if form := body.get("output_config", {}).get("format"):  # bounds of numbers and texts become words of it
                form["schema"] = anthropic.transform_schema(form["schema"])
            return body

        return await self.ask(turn, emit, build, partial(self._answer, turn))

    async def _answer(self, turn: Turn, body: Mapping[str, Any], emit: Emit) -> Reply:
        answer, messages = _ReplyReader(), body["messages"]
        for _ in range(1 + MAX_PAUSES):
            if blocks := [block for block in answer.blocks if block.get("text", "-")]:
                body = {**body, "messages": [*messages, {"role": "assistant", "content": blocks}]}
            await answer.hear(await self._begin(body), self.next, self.first_token_s, self.idle_s, emit)
            if not answer.paused:
                break
        reply, calls = await answer.reply(turn, emit)
        state = encode_state(answer.blocks, self.model, calls)
        return reply if answer.note or len(answer.reasoning) > MAX_STATE else evolve(reply, state=state)

    async def _begin(self, body: Mapping[str, Any]) -> Any:
        """Send the request. Return the stream of its answer."""
        fields = {name: value for name, value in body.items() if name != "temperature"}
        if "temperature" in body:  # the package has no parameter for it any more
            fields["extra_body"] = {"temperature": body["temperature"]}
        return await self.within(self.first_token_s, partial(self.sdk.messages.create, **fields, stream=True))
