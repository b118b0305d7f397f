"""Answers from Anthropic's Messages API.

1. Every wait has a deadline: `first_token_s` until the answer begins and while the model thinks or writes a call, which
   may come in one piece; `idle_s` between two pieces of text. What is no progress, such as a ping, moves neither.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. A stream that ends without a stop reason is a failure, not a short answer.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec
import trio
from attrs import define, evolve, field
from msgspec import UNSET

from transport.wire.events import Usage
from understudy.models.answer import (
    CUT,
    INCOMPLETE,
    MAX_ARGUMENTS,
    MAX_CALLS,
    MAX_STATE,
    MAX_TEXT,
    REFUSED,
    cut_reply,
    oversized,
    read_call,
    whole_reply,
)
from understudy.models.anthropic_client import AnthropicClient
from understudy.models.anthropic_request import EFFORTS, Abilities, build_request, encode_state
from understudy.models.model import (
    Emit,
    ModelLimits,
    ModelUnavailable,
    ReasoningDelta,
    Reply,
    TextDelta,
    Turn,
)
from understudy.models.timeouts import IDLE_S

FIRST_TOKEN_S: Final = 120.0
"""Seconds until an answer begins, as models may think before, and between two pieces of its text."""
ABILITIES_S: Final = 10.0
"""Seconds for the provider to say what a model accepts; without that it is taken for a newer one."""
MAX_PAUSES: Final = 8
"""Times that a reply which the provider pauses is gone on with."""
SEPARATOR: Final = "\n\n"
"""Put between two texts of one reply."""
NOTES: Final = {"max_tokens": CUT, "model_context_window_exceeded": CUT, "refusal": REFUSED, "pause_turn": INCOMPLETE}
"""Notes at the end of a reply that is not whole, by the reason why it ended."""


@define
class _Answer:
    """The part of a reply that has arrived. `ended` is the provider's reason for its end, None before that.

    `blocks` are the reply's, in order; `places` are their places by the index that the provider gives them, as several
    may be open at a time. `arguments` are those of its calls as JSON, by place. `said` is its text as it came.
    """

    blocks: list[dict[str, Any]] = field(factory=list)
    places: dict[Any, int] = field(factory=dict)
    said: list[str] = field(factory=list)
    arguments: dict[int, list[str]] = field(factory=dict)
    counted: dict[str, int] = field(factory=dict)
    ended: str | None = None
    size: int = 0
    apart: bool = False  # whether its first text is put apart from a text before

    def add(self, event: Any) -> tuple[str, str]:
        """Add an event of the stream. Return the text and the thinking in it."""
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                self.places[event.index] = len(self.blocks)
                return self._begin(event.content_block.model_dump(exclude_none=True))
            case "content_block_delta":
                return self._extend(self._place(event), event.delta)
            case "content_block_stop":
                self._close(self._place(event))
            case "message_delta":
                self.ended = event.delta.stop_reason or self.ended
                self._count(event.usage)
        return "", ""

    def _place(self, event: Any) -> int:
        """Return the place of an event's block. Raises ValueError for one that has not begun."""
        if (place := self.places.get(event.index)) is None:
            raise ValueError("a delta before its block")
        return place

    def _begin(self, block: dict[str, Any]) -> tuple[str, str]:
        text, thinking = block.get("text") or "", block.get("thinking") or ""
        match block["type"]:
            case "text":
                self.apart = self.apart or any(each["type"] == "text" and each["text"] for each in self.blocks)
                self.blocks.append({"type": "text", "text": ""})
                return self._write(len(self.blocks) - 1, text), ""
            case "thinking":
                block = {"type": "thinking", "thinking": thinking, "signature": block.get("signature") or ""}
            case _:
                thinking = ""
        self.blocks.append(block)
        if sum("input" in each for each in self.blocks) > MAX_CALLS:
            raise oversized()
        self.size += len(thinking)
        return "", thinking

    def _extend(self, place: int, delta: Any) -> tuple[str, str]:
        match delta.type:
            case "text_delta":
                return self._write(place, delta.text), ""
            case "thinking_delta":
                self.blocks[place]["thinking"] += delta.thinking
                self.size += len(delta.thinking)
                return "", delta.thinking
            case "signature_delta":
                self.blocks[place]["signature"] += delta.signature
            case "input_json_delta":
                if self.blocks[place]["type"] in ("text", "thinking"):
                    raise ValueError("arguments of a block that has none")
                pieces = self.arguments.setdefault(place, [])
                pieces.append(delta.partial_json)
                self.size += len(delta.partial_json)
                if sum(map(len, pieces)) > MAX_ARGUMENTS:
                    raise oversized()
        return "", ""

    def _write(self, place: int, text: str) -> str:
        """Add text to a block. Return it, set apart if that block is to be."""
        if text and self.apart:
            text, self.apart = SEPARATOR + text, False
        self.blocks[place]["text"] += text
        self.said.append(text)
        self.size += len(text)
        return text

    def _close(self, number: int) -> None:
        """Read the arguments of a call that is whole; those that are no JSON stay as they are."""
        if number in self.arguments and (arguments := "".join(self.arguments[number])):
            try:
                self.blocks[number]["input"] = msgspec.json.decode(arguments)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                self.blocks[number]["input"] = {}

    def _count(self, usage: Any) -> None:
        """Take the provider's counts, which are those of the whole reply so far."""
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        found = {name: getattr(usage, name, None) for name in names}
        found["thinking_tokens"] = getattr(getattr(usage, "output_tokens_details", None), "thinking_tokens", None)
        self.counted |= {name: value for name, value in found.items() if isinstance(value, int)}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.said)

    @property
    def thinking(self) -> str:
        """The thinking so far, as far as the provider shows it."""
        return "".join(each["thinking"] for each in self.blocks if each["type"] == "thinking")

    @property
    def is_writing(self) -> bool:
        """Whether the newest block is a text that has begun."""
        return bool(self.blocks) and self.blocks[-1]["type"] == "text" and bool(self.blocks[-1]["text"])

    def calls(self) -> list[tuple[str, str, str]]:
        """Return id, name and arguments as JSON of each call."""
        found = []
        for number, each in enumerate(self.blocks):
            if each["type"] == "tool_use":
                given = "".join(self.arguments.get(number, ())) or msgspec.json.encode(each.get("input") or {}).decode()
                found.append((each.get("id") or f"call-{number}", each.get("name") or "", given))
        return found

    @property
    def usage(self) -> Usage:
        """The usage so far. What was read from the provider's cache, or written to it, is a part of the input."""
        counted = self.counted
        read, written = counted.get("cache_read_input_tokens"), counted.get("cache_creation_input_tokens")
        return Usage(
            counted.get("input_tokens", 0) + (read or 0) + (written or 0),
            counted.get("output_tokens", 0),
            1,
            cached=UNSET if read is None else read,
            reasoning=counted.get("thinking_tokens", UNSET),
            cache_written=UNSET if written is None else written,
        )


class Anthropic:
    """The provider. Raises `AnthropicNotInstalled` if the extra `anthropic` is missing, and ValueError without a key.

    `api_key` and `base_url` default to the variables ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL. A request is retried
    `retries` times, and only before its answer begins. `limits` are the model's. The client holds connections: close it
    with `aclose`.
    """

    name = "anthropic"
    titles = True

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        first_token_s: float = FIRST_TOKEN_S,
        idle_s: float = IDLE_S,
        retries: int = 0,
        limits: ModelLimits | None = None,
    ) -> None:
        for name, value in (("first_token_s", first_token_s), ("idle_s", idle_s)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number of seconds above 0, not {value!r}")
        # The package's own timeout only frees a connection that trio's clock has given up already.
        timeout_s = 2 * max(first_token_s, idle_s)
        self.client = AnthropicClient(model, api_key=api_key, base_url=base_url, timeout_s=timeout_s, retries=retries)
        self.model = model
        self.limits = limits or ModelLimits()
        self.notice = f"Answers come from the language model {model}; check what matters."
        self._first_token_s, self._idle_s = first_token_s, idle_s
        self._abilities: Abilities | None = None

    def __repr__(self) -> str:
        return f"Anthropic(model={self.model!r})"

    async def aclose(self) -> None:
        """Close the client's idle connections. The provider cannot be used afterwards."""
        await self.client.aclose()

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has, with this one if it does. Raises `ModelUnavailable`."""
        models = self.client.sdk.models
        try:
            await self.client.within(ABILITIES_S, partial(models.retrieve, self.model))
        except ModelUnavailable as error:
            if "404" not in error.detail:
                raise
            page = await self.client.within(ABILITIES_S, partial(models.list, limit=1_000))
            return [each.id for each in page.data]
        return [self.model]  # a name without its date is in no list

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its thinking. Raises `ModelUnavailable`."""
        special = turn.settings.effort is not None or turn.output is not None
        abilities = await self._ask_abilities() if special else Abilities()
        body = build_request(turn, self.model, abilities)
        if form := body.get("output_config", {}).get("format"):  # bounds of numbers and texts become words of it
            form["schema"] = self.client.transform_schema(form["schema"])
        asked, answers = body["messages"], [await self._stream(body, emit, _Answer())]
        while answers[-1].ended == "pause_turn" and len(answers) <= MAX_PAUSES:
            said = [block for each in answers for block in each.blocks if block.get("text", "-")]
            body = body | {"messages": [*asked, {"role": "assistant", "content": said}]}
            answers.append(await self._stream(body, emit, _Answer(apart=any(each.text for each in answers))))
        ended, usage = answers[-1].ended, sum((each.usage for each in answers), Usage())
        text, reasoning = "".join(each.text for each in answers), "".join(each.thinking for each in answers)
        if (note := NOTES.get(ended or "")) is not None:
            return evolve(await cut_reply(text, note, usage, emit), reasoning=reasoning[:MAX_STATE])
        calls = [read_call(*call) for each in answers for call in each.calls()]
        reply = await whole_reply(turn, text, calls, usage, emit)
        state = encode_state([block for each in answers for block in each.blocks], self.model)
        if len(reasoning) > MAX_STATE or (state is not None and len(msgspec.json.encode(state.value)) > MAX_STATE):
            state = None
        return evolve(reply, reasoning=reasoning[:MAX_STATE], state=state)

    async def _stream(self, body: Mapping[str, Any], emit: Emit, answer: _Answer) -> _Answer:
        """Ask, and read the stream into `answer`. Return it when it has ended."""
        fields = {name: value for name, value in body.items() if name != "temperature"}
        if "temperature" in body:  # the package has no parameter for it any more
            fields["extra_body"] = {"temperature": body["temperature"]}
        client, seen = self.client, (0, 0)
        request = partial(client.sdk.messages.create, **fields, stream=True)
        begin_s = self._first_token_s * (1 + client.sdk.max_retries)
        async with await client.within(begin_s, request) as events:

            async def read() -> tuple[Any, str, str]:
                event = await anext(events, None)
                return (event, *(("", "") if event is None else answer.add(event)))

            began = trio.current_time()
            while answer.size <= MAX_TEXT:
                wait_s = self._idle_s if answer.is_writing else self._first_token_s
                try:
                    event, text, thinking = await client.within(began + wait_s - trio.current_time(), read)
                except ModelUnavailable:
                    if answer.ended is None:
                        raise
                    break  # the answer is complete; only the end marker is missing
                if event is None or event.type == "message_stop":
                    break
                if (answer.size, len(answer.blocks)) != seen:
                    began, seen = trio.current_time(), (answer.size, len(answer.blocks))
                if thinking:
                    await emit(ReasoningDelta(thinking))
                if text:
                    await emit(TextDelta(text))
            else:
                answer.ended = "max_tokens"
        if answer.ended is None:
            if answer.size or answer.blocks:
                raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")
        return answer

    async def _ask_abilities(self) -> Abilities:
        """Return what the model accepts, as the provider says; asked once."""
        if self._abilities is None:
            try:
                retrieve = partial(self.client.sdk.models.retrieve, self.model)
                self._abilities = read_abilities(await self.client.within(ABILITIES_S, retrieve))
            except ModelUnavailable as error:
                if error.retryable:
                    return Abilities()
                self._abilities = (
                    Abilities()
                )  # the server has no list of models, or the request itself says what is wrong
        return self._abilities


def read_abilities(info: Any) -> Abilities:
    """Return the abilities in the provider's description of a model; those of newer ones if it has none."""
    if (found := getattr(info, "capabilities", None)) is None:
        return evolve(Abilities(), max_output=info.max_tokens)
    kinds, levels = found.thinking.types, found.effort
    return Abilities(
        adaptive=kinds.adaptive.supported,
        budget=kinds.enabled.supported,
        off=kinds.disabled.supported,
        efforts=frozenset(name for name in EFFORTS if (level := getattr(levels, name, None)) and level.supported),
        structured=found.structured_outputs.supported,
        max_output=info.max_tokens,
    )
