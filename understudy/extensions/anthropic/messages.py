"""A client of Anthropic's Messages API: sends a turn, and reads the streamed reply."""

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
"""Limit of requests that resume a reply paused by the provider; after these the reply ends as incomplete."""
SEPARATOR: Final = "\n\n"
"""Put between two texts of one reply."""
PAUSED: Final = "pause_turn"


@define
class _ReplyReader(AnswerReader):
    """Reads a reply as it arrives, over several requests if the provider pauses it. `blocks` are its content blocks.

    `places` maps the provider's index of a block to its place in `blocks`, because several may be open at a time.
    `arguments` has the pieces of each call's JSON, by place. `paused`: the provider waits for a request to resume.
    `before` is the usage of the requests before a pause.
    """

    blocks: list[dict[str, Any]] = field(factory=list)
    places: dict[Any, int] = field(factory=dict)
    arguments: dict[int, list[str]] = field(factory=dict)
    arguments_size: int = 0
    counted: dict[str, Any] = field(factory=dict)
    before: Usage = field(factory=Usage)
    paused: bool = False
    most_reasoning: ClassVar[int] = MAX_STATE

    def read(self, event: Mapping[str, Any]) -> list[ModelEvent]:
        """Read an event of the stream, or a whole reply. Return the model's events in it. Raises `ModelUnavailable`."""
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
                if index not in self.places and kind in ("text", "thinking"):  # some gateways send no start of a block
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
        """Take the stop reason, if it has come, and the token counts, which are cumulative."""
        if is_reason(reason):
            self.ended, self.paused = True, reason == PAUSED
            self.note = INCOMPLETE if self.paused else note_of_end(reason)
        if isinstance(usage, Mapping):
            self.counted |= {name: value for name, value in usage.items() if value is not None}
        elif usage is not None:
            read_usage(usage)  # to log that it is malformed
        counted = read_usage(self.counted)
        # The API counts tokens read from its cache or written to it apart from the input.
        cached = sum(count for count in (counted.cached, counted.cache_written) if count is not UNSET)
        self.usage = self.before + evolve(counted, input=counted.input + cached)

    def _rest(self, place: int, whole: Any) -> list[ModelEvent]:
        """Write the text of a block that has not arrived in pieces: some gateways send the whole block at its end."""
        block, text = self.blocks[place], written(member(whole, "text"))
        streamed = block.get("text")
        return self._write(place, text[len(streamed) :]) if streamed is not None and text.startswith(streamed) else []

    def _begin(self, index: Any, content: Any) -> list[ModelEvent]:
        self.places[index] = place = len(self.blocks)
        block = {name: value for name, value in content.items() if value is not None}
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
        """Append text to a block. Return its events; a text that begins a block after another text is set apart."""
        block = self.blocks[place]
        if text and not block["text"] and self.texts:
            text = SEPARATOR + text
        block["text"] += text
        return self.say(text)

    def _close(self, place: int) -> None:
        """Read the arguments of a finished block: after a pause the block is sent back to the provider."""
        if arguments := "".join(self.arguments.get(place, ())):
            self.blocks[place]["input"] = read_or_none(arguments) or {}

    def calls(self) -> list[WrittenCall]:
        """Return the calls."""
        return [
            (written(call.get("id")), written(call.get("name")), self.arguments.get(at) or [written(call.get("input"))])
            for at, call in enumerate(self.blocks)
            if call["type"] == "tool_use"
        ]


class Anthropic(SdkModel):
    """A client of the Messages API."""

    name = "anthropic"
    package, kind = "anthropic", "AsyncAnthropic"

    async def known_models(self) -> list[str]:
        """Return the names of the provider's models, or only this one if it has it. Raises `ModelUnavailable`."""
        try:
            await self.within(self.idle_s, partial(self.sdk.models.retrieve, self.model))
        except ModelUnavailable as error:
            if error.fault is not ModelFault.ADDRESS:
                raise
            return await super().known_models()
        return [self.model]  # the provider accepts a name without its date, but lists no such name

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its thinking. Raises `ModelUnavailable`."""
        if turn.output is not None and not turn.output.strict:
            turn = in_words(turn)

        import anthropic  # a package of an extra

        def build(turn: Turn, _: Adaptation) -> Mapping[str, Any]:
            body = build_request(turn, self.model)
            # transform_schema turns bounds of numbers and texts, which the API refuses, into words of descriptions.
            if form := body.get("output_config", {}).get("format"):
                form["schema"] = anthropic.transform_schema(form["schema"])
            return body

        return await self.ask(turn, emit, build, partial(self._answer, turn))

    async def _answer(self, turn: Turn, body: Mapping[str, Any], emit: Emit) -> Reply:
        reader, messages = _ReplyReader(), body["messages"]
        for _ in range(1 + MAX_PAUSES):
            if blocks := [block for block in reader.blocks if block.get("text", "-")]:
                body = {**body, "messages": [*messages, {"role": "assistant", "content": blocks}]}
            await reader.hear(await self._begin(body), self.next, self.first_token_s, self.idle_s, emit)
            if not reader.paused:
                break
        reply, calls = await reader.reply(turn, emit)
        state = encode_state(reader.blocks, self.model, calls)
        return reply if reader.note or len(reader.reasoning) > MAX_STATE else evolve(reply, state=state)

    async def _begin(self, body: Mapping[str, Any]) -> Any:
        """Send the request. Return the stream of its answer."""
        fields = {name: value for name, value in body.items() if name != "temperature"}
        if "temperature" in body:  # the package has no parameter for it any more
            fields["extra_body"] = {"temperature": body["temperature"]}
        return await self.within(self.first_token_s, partial(self.sdk.messages.create, **fields, stream=True))
