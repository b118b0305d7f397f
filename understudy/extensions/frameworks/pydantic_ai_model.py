"""Clients by Pydantic AI for models without an API of the other extensions: Gemini, Bedrock's Converse, Cohere.

1. Every wait has a deadline: `first_token_s` until the answer begins and while the model thinks or writes a call;
   `idle_s` between two pieces of text.
2. The stream is closed however a turn ends; cancelling a turn closes its connection.
3. Errors raised here contain neither the key, nor the address, nor the provider's own text.
4. The opaque members that a model needs back with its reply (signatures, hidden thinking) are stored by their place in
   the reply. The texts are not; they are taken from the conversation, where secrets are redacted.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import trio
from attrs import define, evolve, field
from pydantic_ai import exceptions, messages
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from understudy.extensions.frameworks.work import usage_of
from understudy.extensions.providers import answer
from understudy.models import items
from understudy.models.faults import SLOW, failure, read_error
from understudy.models.model import Emit, ModelEvent, ModelFault, ModelLimits, ModelUnavailable, Reply, Turn
from understudy.models.prompt import (
    CONTINUE,
    GO_ON,
    in_words,
    noted,
    offered_tools,
    system_text,
    tool_choice,
    tool_name,
    user_text,
)
from understudy.models.timeouts import IDLE_S

T = TypeVar("T")
STATE: Final = "pydantic-ai"
"""The name of the provider in the states of these models."""
FIRST_TOKEN_S: Final = 120.0
SEPARATOR: Final = "\n\n"
"""Put between two texts of one reply that have other parts between them."""
CHAT: Final = frozenset({"OpenAIChatModel", "GroqModel", "MistralModel", "HuggingFaceModel"})
"""Classes of Pydantic AI for models that speak chat completions; subclasses of them do so too."""


@define
class _Answer(answer.AnswerReader):
    """The part of a reply that has arrived. `whole` is the complete reply, None until it has ended."""

    whole: messages.ModelResponse | None = None
    most_reasoning: ClassVar[int] = answer.MAX_STATE

    def read(self, event: Any) -> list[ModelEvent]:
        """Read an event of the stream. Return the model's events in it. Raises `ModelUnavailable`."""
        match event:
            case messages.PartStartEvent(part=part):
                kind, content = str(part.part_kind), getattr(part, "content", None)
                if kind == "text" and self.texts and event.previous_part_kind not in (None, "text"):
                    content = f"{SEPARATOR}{content}"
            case messages.PartDeltaEvent(delta=delta):
                kind, content = str(delta.part_delta_kind), getattr(delta, "content_delta", None)
                self.size += len(str(getattr(delta, "args_delta", None) or ""))
            case _:
                return []
        self.writes = kind == "text"
        if not isinstance(content, str) or kind not in ("text", "thinking"):
            return []
        return self.say(content) if kind == "text" else self.say("", content)

    def end(self, whole: messages.ModelResponse) -> None:
        """Take the reply after its stream has ended. Raises `ModelUnavailable` if it gives no reason for its end."""
        self.whole, self.usage = whole, usage_of(whole.usage)
        if self.size > answer.MAX_TEXT:
            self.note = answer.CUT
        elif whole.finish_reason is not None:
            self.note = answer.note_of_end(whole.finish_reason)
        elif whole.parts:
            raise ModelUnavailable("The language model stopped in the middle of its answer.", True, "cut short")
        else:
            raise ModelUnavailable("The language model sent no answer; try again in a moment.", True, "no answer")

    def calls(self) -> list[answer.WrittenCall]:
        """Return the calls of a complete answer."""
        calls = [] if self.whole is None else self.whole.tool_calls
        return [(call.tool_call_id, call.tool_name, [call.args_as_json_str()]) for call in calls]


@define(eq=False)
class PydanticAIModel:
    """A `Model` that is one of Pydantic AI's. `close` frees its connections. Raises ValueError for a model that speaks
    chat completions."""

    model: Model[Any]
    limits: ModelLimits = field(factory=ModelLimits)
    first_token_s: float = FIRST_TOKEN_S
    idle_s: float = IDLE_S
    close: Callable[[], Awaitable[None]] | None = None
    name: str = field(default="pydantic-ai", init=False)
    titles: bool = field(default=True, init=False)
    notice: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        inner: Any = self.model
        while (wrapped := getattr(inner, "wrapped", None)) is not None:
            inner = wrapped
        if CHAT & {base.__name__ for base in type(inner).__mro__}:
            kind = type(inner).__name__
            raise ValueError(f"{kind} speaks chat completions: use a provider with url, [understudy.providers.NAME]")
        self.notice = f"Answers come from the language model {self.model.model_name}; check what matters."

    async def aclose(self) -> None:
        """Close the idle connections. The model cannot be used afterwards."""
        if self.close is not None:
            await self.close()

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn, streaming its text and its thinking. Raises `ModelUnavailable`."""
        arrived, parameters = _Answer(), self._parameters(turn)
        asked_turn = in_words(turn) if parameters.output_object is None else turn
        history = build_messages(asked_turn, self.model.model_name, self.model.system)
        opening = model_request_stream(
            self.model, history, model_settings=self._settings(turn), model_request_parameters=parameters
        )
        try:
            with trio.CancelScope(deadline=trio.current_time() + self.first_token_s) as scope:
                async with AsyncExitStack() as stack:
                    stream = await self._step(lambda: stack.enter_async_context(opening))
                    events = aiter(stream)
                    while arrived.size <= answer.MAX_TEXT:
                        if (event := await self._step(lambda: anext(events, None))) is None:
                            break
                        scope.deadline = math.inf  # a slow reader of the answer is not the model's fault
                        for emitted in arrived.add(event):
                            await emit(emitted)
                        scope.deadline = trio.current_time() + (self.idle_s if arrived.writes else self.first_token_s)
                    arrived.end(stream.get())
                    scope.deadline = trio.current_time() + answer.GOODBYE_S
            if arrived.whole is None:
                raise ModelUnavailable(SLOW, True, "timeout", fault=ModelFault.AWAY)
        except ModelUnavailable as error:
            error.used = arrived.usage if arrived.size else None
            raise
        reply, calls = await arrived.reply(turn, emit)
        return evolve(reply, state=encode_state(arrived.whole, arrived.reasoning, self.model.model_name, calls))

    def _settings(self, turn: Turn) -> Any:
        options, choice = turn.settings, tool_choice(turn) if offered_tools(turn) else None
        settings = {
            "max_tokens": options.max_output,
            "temperature": options.temperature,
            "thinking": False if options.effort == "none" else options.effort,
            "parallel_tool_calls": options.parallel_calls,
            "tool_choice": choice if choice in ("auto", "required", "none", None) else [choice],
            "max_retries": 0,
        }
        refused = self.model.unsupported_settings
        return {name: value for name, value in settings.items() if value is not None and name not in refused}

    def _parameters(self, turn: Turn) -> ModelRequestParameters:
        tools = [
            ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters))
            for tool in offered_tools(turn)
        ]
        # Many models that accept a schema of the answer do not accept it together with tools.
        if turn.output is None or tools or not self.model.profile.get("supports_json_schema_output"):
            return ModelRequestParameters(function_tools=tools)
        form = OutputObjectDefinition(dict(turn.output.schema), turn.output.name, strict=turn.output.strict)
        return ModelRequestParameters(function_tools=tools, output_mode="native", output_object=form)

    async def _step(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run one step of the exchange. Raises `ModelUnavailable` for every failure. The failure is raised outside the
        except clause, so that it does not carry the provider's error and its texts."""
        try:
            return await step()
        except Exception as error:  # Pydantic AI, four SDKs and their HTTP clients raise errors of many types
            failure = _failure(error)
        raise failure


def build_messages(turn: Turn, model: str, system: str) -> list[messages.ModelMessage]:
    """Return the conversation of a turn: alternate requests and replies of `model`, first and last a request. `system`
    is Pydantic AI's name of the model's provider."""
    history: list[messages.ModelMessage] = []
    reply: list[items.ReasoningItem | items.MessageItem | items.CallItem] = []

    def ask(part: Any) -> None:
        if history and isinstance(history[-1], messages.ModelRequest):
            history[-1].parts = [*history[-1].parts, part]
        else:
            history.append(messages.ModelRequest([part]))

    def end_reply() -> None:
        parts = reply_parts(reply, model) if reply else []
        reply.clear()
        if parts and history and isinstance(history[-1], messages.ModelResponse):
            history[-1].parts = [*history[-1].parts, *parts]
        elif parts:
            if not history:
                ask(messages.UserPromptPart(items.NO_TEXT))
            history.append(messages.ModelResponse(parts, model_name=model, provider_name=system))

    all_items: list[items.Item] = [*turn.items, *turn.notes]
    if turn.partial_text.strip():
        all_items += [items.MessageItem("assistant", turn.partial_text), items.NoteItem(CONTINUE)]
    for item in items.settled(all_items, STATE, model):
        if isinstance(item, items.CallItem):
            reply.append(item)
            continue
        if not (isinstance(item, items.MessageItem) and len(reply) == 1 and isinstance(reply[0], items.ReasoningItem)):
            end_reply()
        match item:
            case items.ReasoningItem() | items.MessageItem(role="assistant"):
                reply.append(item)
            case items.MessageItem(content=content, files=files):
                attached = [
                    messages.BinaryContent(part.content, media_type=getattr(part, "media_type", "application/pdf"))
                    for part in list[items.Part]((*item.documents, *item.images))
                ]
                text = user_text(content, files)
                ask(messages.UserPromptPart([*attached, *([text] if text else [])] if attached else text))
            case items.ResultItem(call_id=call_id, name=name, status=status, content=content):
                tool_return = messages.ToolReturnPart(tool_name(name), content, tool_call_id=call_id)
                ask(tool_return if status == "ok" else replace(tool_return, outcome="failed"))
            case _:
                ask(messages.UserPromptPart(noted(item.content)))
    end_reply()
    if not history or isinstance(history[-1], messages.ModelResponse):
        ask(messages.UserPromptPart(noted(GO_ON)))
    history[0].parts = [messages.SystemPromptPart(system_text(turn)), *history[0].parts]
    return history


def encode_state(
    reply: messages.ModelResponse, reasoning: str, model: str, calls: Sequence[answer.WrittenCall]
) -> items.ProviderState | None:
    """Return the state to store with a reply: the kinds, sizes and opaque members of its parts, without their texts.
    Return None if the state is empty or too large."""
    shapes: list[dict[str, Any]] = []
    text = ""
    for part in reply.parts:
        if part.part_kind not in ("text", "thinking", "tool-call"):
            continue
        size = len(getattr(part, "content", ""))
        if part.part_kind == "text":
            size += len(SEPARATOR) if text and shapes[-1]["kind"] != "text" else 0
            text += part.content
        shapes.append({"kind": part.part_kind, "size": size, **_opaque(part)})
    opaque = any(shape.keys() > {"kind", "size"} for shape in shapes) and len(reasoning) <= answer.MAX_STATE
    value = {"parts": shapes, "reasoning": items.digest(reasoning)} if opaque else {}
    return answer.make_state(STATE, model, value, calls)


def _opaque(part: Any) -> dict[str, Any]:
    """Return the members of a part that only its provider reads: signatures, and the ids that belong to them."""
    details = {name: value for name, value in (part.provider_details or {}).items() if "signature" in name}
    members = {"signature": getattr(part, "signature", None), "provider_details": details or None}
    if not any(members.values()):
        return {}
    members |= {"id": part.id, "provider_name": part.provider_name}
    return {name: value for name, value in members.items() if value is not None}


def reply_parts(reply: Sequence[items.ReasoningItem | items.MessageItem | items.CallItem], model: str) -> list[Any]:
    """Return the parts of a stored reply, with the opaque members of its state if those still fit texts and calls."""
    text = "".join(item.content for item in reply if isinstance(item, items.MessageItem))
    calls = [item for item in reply if isinstance(item, items.CallItem)]
    shapes, thought = list[Mapping[str, Any]](), ""
    reasoning = reply[0] if isinstance(reply[0], items.ReasoningItem) else items.ReasoningItem()
    if value := reasoning.own_state(STATE, model):
        is_unchanged = items.digest(reasoning.content) == value["reasoning"]  # else a part was redacted
        thought = reasoning.content if is_unchanged else ""
        shapes = [part for part in value["parts"] if is_unchanged or part["kind"] != "thinking" or not part["size"]]
    # If the stored shapes do not fit the calls or the text (redacted, or edited), these lose their opaque members.
    if sum(part["kind"] == "tool-call" for part in shapes) != len(calls):
        shapes = [{"kind": "tool-call"} for _ in calls]
    if sum(part["size"] for part in shapes if part["kind"] == "text") != len(text):
        first = next((index for index, part in enumerate(shapes) if part["kind"] != "thinking"), len(shapes))
        shapes = [part for part in shapes if part["kind"] != "text"]
        shapes.insert(first, {"kind": "text", "size": len(text)})
    parts: list[Any] = []
    start, remaining_calls = {"text": 0, "thinking": 0}, list(calls)
    for part in shapes:
        kind, size = part["kind"], part.get("size", 0)
        opaque = {name: value for name, value in part.items() if name not in ("kind", "size")}
        if kind == "tool-call":
            call = remaining_calls.pop(0)
            arguments = call.arguments if isinstance(call.arguments, dict) else {}
            parts.append(messages.ToolCallPart(tool_name(call.name), arguments, call.id, **opaque))
            continue
        source = text if kind == "text" else thought
        piece, start[kind] = source[start[kind] : start[kind] + size], start[kind] + size
        if opaque or (kind == "text" and piece.strip()):
            parts.append((messages.TextPart if kind == "text" else messages.ThinkingPart)(piece, **opaque))
    return parts


def _failure(error: Exception) -> ModelUnavailable:
    """Return the error for the user that stands for an error of Pydantic AI or an SDK."""
    kind = type(error).__name__.lstrip("_")
    if isinstance(error, ModelUnavailable):
        return error
    match error:
        case exceptions.ModelTimeoutError():
            return ModelUnavailable(SLOW, True, "timeout", fault=ModelFault.AWAY)
        case exceptions.ModelConnectionError():
            return ModelUnavailable("The connection to the language model was lost.", True, kind, fault=ModelFault.AWAY)
        case exceptions.UserError() | exceptions.ContentFilterError():
            return failure(read_error(None, 400, f"{kind}: {error}"), kind)
        case exceptions.ModelAPIError():
            refusal = read_error(error.body, getattr(error, "status_code", 0), f"{error.provider_error_code} {error}")
            return failure(refusal, kind, retry_after_s=error.retry_after)
    return answer.unreadable(kind)


def gemini(name: str, *, api_key: str, base_url: str | None, limits: ModelLimits, **times: float) -> PydanticAIModel:
    """Return a model of Gemini's own API."""
    import httpx2
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    http = httpx2.AsyncClient(timeout=_sdk_s(times))
    provider = GoogleProvider(api_key=api_key, base_url=base_url, http_client=http)
    return PydanticAIModel(GoogleModel(name, provider=provider), limits, **times, close=http.aclose)


def converse(
    name: str, *, api_key: str | None, base_url: str | None, limits: ModelLimits, region: str = "", **times: float
) -> PydanticAIModel:
    """Return a model of Bedrock's Converse API. Without a key the credentials of this machine are used."""
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    options: dict[str, Any] = {"api_key": api_key, "base_url": base_url, "region_name": region or None}
    try:
        provider = BedrockProvider(**options, aws_read_timeout=_sdk_s(times), aws_connect_timeout=30.0)
    except exceptions.UserError:
        raise ValueError("it needs a region: set region, or AWS_DEFAULT_REGION") from None
    client: Any = provider.client
    client.meta.events.unregister("needs-retry.bedrock-runtime", unique_id="retry-config-bedrock-runtime")

    close = partial(trio.to_thread.run_sync, client.close)
    return PydanticAIModel(BedrockConverseModel(name, provider=provider), limits, **times, close=close)


def cohere(name: str, *, api_key: str, base_url: str | None, limits: ModelLimits, **times: float) -> PydanticAIModel:
    """Return a model of Cohere's own API."""
    import httpx
    from cohere import AsyncClientV2
    from pydantic_ai.models.cohere import CohereModel
    from pydantic_ai.providers.cohere import CohereProvider

    http = httpx.AsyncClient(timeout=_sdk_s(times))
    client = AsyncClientV2(api_key=api_key, base_url=base_url, httpx_client=http)
    model = CohereModel(name, provider=CohereProvider(cohere_client=client))
    return PydanticAIModel(model, limits, **times, close=http.aclose)


def _sdk_s(times: Mapping[str, float]) -> float:
    """Return the timeout of an SDK in seconds: twice the deadline here, so that it only frees abandoned connections."""
    return 2 * max(times.get("first_token_s", FIRST_TOKEN_S), times.get("idle_s", IDLE_S))
