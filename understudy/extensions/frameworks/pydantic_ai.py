"""Adapts an agent of Pydantic AI to the `run` of an agent here.

A capability is added to each run, which saves replies and results as `KeptWork` describes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from typing import Any, Final

import msgspec
from attrs import define, field, frozen
from pydantic_ai import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDenied, exceptions
from pydantic_ai.agent import AbstractAgent, WrapperAgent
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.durable_exec import JSON_CODEC, CallToolResult
from pydantic_ai.durable_exec._toolset import unwrap_tool_call_result, wrap_tool_call_result
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from transport.wire.codec import replace_surrogates
from understudy.agents.framework import OwnCall, of_framework
from understudy.agents.turn import AgentTurn
from understudy.extensions.frameworks.work import KeptWork, as_json, question_key, text_of, text_question, usage_of
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import QuestionUnanswered, ToolError

_OF_OUTPUT: Final = ("before_output_process", "after_output_process", "wrap_output_process", "after_model_request")
"""Methods of capabilities that may change or refuse a reply or an output."""


def pydantic_ai(
    agent: AbstractAgent[Any, Any], *, deps: Callable[[AgentTurn], Any] | None = None
) -> Callable[[AgentTurn], Awaitable[None]]:
    """Return the `run` of an agent that is one of Pydantic AI: `Agent("planner", run=pydantic_ai(agent))`.

    `deps` makes the dependencies of a run. Raises TypeError if it is no agent of Pydantic AI.
    """
    if not isinstance(agent, AbstractAgent):
        raise TypeError(f"{agent!r} is no agent of Pydantic AI")
    return _Agent(agent, deps).run


@frozen
class _Agent:
    """An agent of Pydantic AI, and the function that makes the dependencies of a run."""

    agent: AbstractAgent[Any, Any]
    deps: Callable[[AgentTurn], Any] | None

    @of_framework
    async def run(self, turn: AgentTurn) -> None:
        """Work on a message."""
        await PydanticWork(turn, self).run()


@define(eq=False)
class PydanticWork(KeptWork):
    """The work of an agent on one message."""

    declaration: _Agent
    _requests: int = field(default=0, init=False)
    _live: bool = field(default=True, init=False)  # whether the model's reply is new, not a saved one
    _apart: bool = field(default=False, init=False)  # whether text follows other text of this turn
    _ids: set[str] = field(factory=set, init=False, repr=False)  # ids of calls, which some servers use repeatedly
    _beside: str = field(default="", init=False, repr=False)  # text of the last reply beside an output in it

    async def run(self) -> None:
        """Work until the agent has its output. Raises ModelUnavailable if its model cannot be asked."""
        resumed = await self.resume()
        if resumed.finished:
            return
        self._apart = resumed.said
        history = await self._history()
        deps = None if self.declaration.deps is None else self.declaration.deps(self.turn)
        try:
            result = await self.declaration.agent.run(
                self.turn.message, message_history=history, deps=deps, capabilities=[_Steps(self)]
            )
        except exceptions.ModelAPIError as error:
            raise ModelUnavailable("The agent's model cannot be asked now.", detail=repr(error)) from error
        if not self._is_plain:
            await self._begin("\n\n".join(filter(None, (self._beside, text_of(result.output)))))
        await self.save_history(_dump(result.all_messages()))

    @property
    def _is_plain(self) -> bool:
        """Whether the output is the model's streamed text. If not, the text may only be a form of the output or
        accompany it, or may be refused or changed when complete."""
        inner, capabilities = self.declaration.agent, list[AbstractCapability[Any]]()
        inner.root_capability.apply(capabilities.append)
        while isinstance(inner, WrapperAgent):
            inner = inner.wrapped
        checks = getattr(inner, "_output_validators", True) or any(map(_checks_output, capabilities))
        return inner.output_type is str and not checks

    async def _history(self) -> list[ModelMessage]:
        """Return the earlier messages: those that the last run has saved, and the texts since."""
        saved, since = await self.load_history()
        history = ModelMessagesTypeAdapter.validate_json(saved)
        for message in since:
            part: Any = UserPromptPart(message.content) if message.role == "user" else TextPart(message.content)
            history.append(ModelRequest([part]) if message.role == "user" else ModelResponse([part]))
        return history

    async def request(self, outputs: set[str], ask: Callable[[], Awaitable[ModelResponse]]) -> ModelResponse:
        """Return the next reply of the model: the saved one, or a new one, which is then saved.

        `outputs` are the names of the tools by which the model gives its output.
        """
        reply = await self._reply(ask)
        text = "".join(part.content for part in reply.parts if isinstance(part, TextPart))
        called = {part.tool_name for part in reply.parts if isinstance(part, ToolCallPart)}
        self._beside = text if called and called <= outputs else ""  # replaced if the output is refused
        if self._live and not self._is_plain and text and called - outputs:
            await self._begin(text)
        return reply

    async def _reply(self, ask: Callable[[], Awaitable[ModelResponse]]) -> ModelResponse:
        key, self._requests = f"m/{self._requests:06}", self._requests + 1
        if (saved := self.state.get(key)) is not None:
            self._live = False
            (reply,) = ModelMessagesTypeAdapter.validate_json(saved)
            assert isinstance(reply, ModelResponse)  # noqa: S101 - for the type checker: it was kept as one
            self._ids.update(part.tool_call_id for part in reply.parts if isinstance(part, ToolCallPart))
            return reply
        self._live = True
        reply = self._with_ids(await ask())
        await self.show_thought()
        await self.save(key, _dump([reply]))
        await self.work.count(reply.model_name or "unknown", usage_of(reply.usage))
        return reply

    def _with_ids(self, reply: ModelResponse) -> ModelResponse:
        """Return a reply whose calls have ids that no earlier call of this run had."""
        parts = list(reply.parts)
        for place, part in enumerate(parts):
            if isinstance(part, ToolCallPart):
                candidates = chain([part.tool_call_id], (f"{part.tool_call_id}-{number}" for number in count(2)))
                unique = next(name for name in candidates if name not in self._ids)
                self._ids.add(unique)
                if unique != part.tool_call_id:
                    parts[place] = replace(part, tool_call_id=unique)
        return replace(reply, parts=parts)

    async def show(self, event: object) -> None:
        """Show the text or the thinking in an event of the model."""
        if not self._live:
            return
        match event:
            case PartStartEvent(part=TextPart(content=text)) if self._is_plain:
                await self._begin(text)
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if self._is_plain:
                await self.say(text)
            case (
                PartStartEvent(part=ThinkingPart(content=text))
                | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text))
            ):
                self.thought.append(text or "")

    async def _begin(self, text: str) -> None:
        """Show the beginning of a text, set apart from an earlier text."""
        await self.say(f"\n\n{text}" if self._apart else text)
        self._apart = True

    async def execute(self, call: ToolCallPart, definition: ToolDefinition, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of a call of a tool: the saved one, or a new one, which is then saved."""
        key, call_id = f"t/{call.tool_call_id}", call.tool_call_id
        if (saved := self.state.get(key)) is not None:
            return unwrap_tool_call_result(JSON_CODEC.load(CallToolResult, msgspec.json.decode(saved)))
        if (own_call := self.calls.get(call_id)) is None:
            description, schema = definition.description or "", definition.parameters_json_schema
            self._apart = False  # a call ends a paragraph
            own_call = self.calls[call_id] = OwnCall(call.tool_name, as_json(call.args_as_dict()), description, schema)
            try:
                await own_call.begin(self.work)
            except ToolError as error:
                raise exceptions.ToolFailed(error.message) from error
        failed: Exception | None = None
        value: Any = None

        async def made() -> Any:
            nonlocal failed
            try:
                return await make()
            except (exceptions.ToolRetryError, exceptions.ToolFailedError) as error:
                failed = error
                raise (error.__cause__ or error) from None

        try:
            result = await wrap_tool_call_result(made())
        except Exception as error:
            await self.calls.pop(call_id).end(error=error)
            raise failed or error from None
        try:
            value = unwrap_tool_call_result(result)
        except (exceptions.ApprovalRequired, exceptions.CallDeferred):
            raise  # the call continues after the user's decision
        except Exception as error:
            failed = failed or error
        del self.calls[call_id]
        await self.save(key, msgspec.json.encode(replace_surrogates(JSON_CODEC.dump(CallToolResult, result))))
        if failed is not None:
            await own_call.end(error=ToolError("tool_failed", str(failed.__cause__ or failed)[:1000]))
            raise failed
        await own_call.end(as_json(getattr(value, "return_value", value)))
        return value

    async def decide(self, requests: DeferredToolRequests) -> DeferredToolResults:
        """Ask the user for consent to calls, and for the results of calls that are made elsewhere."""
        results = DeferredToolResults()
        for call in requests.approvals:
            decision = await self.decide_once(call.tool_call_id, partial(self._decide, call))
            if "denied" in decision:
                results.approvals[call.tool_call_id] = ToolDenied(decision["denied"])
            else:
                results.approvals[call.tool_call_id] = ToolApproved(override_args=decision["arguments"])
        for call in requests.calls:
            title = str(call.args_as_dict().get("question") or f"What is the result of {call.tool_name}?")
            arguments = msgspec.json.encode(as_json(call.args_as_dict())).decode()
            try:
                answer = await self.work.ask_once(question_key(call.tool_call_id), text_question(title, arguments))
                results.calls[call.tool_call_id] = answer["answer"]
            except QuestionUnanswered as error:
                results.calls[call.tool_call_id] = exceptions.ToolFailed(error.message)
        return results

    async def _decide(self, call: ToolCallPart) -> dict[str, Any]:
        """Return the user's decision about a call."""
        name, arguments = call.tool_call_id, as_json(call.args_as_dict())
        if name not in self.calls:
            return await self.ask_consent(name, call.tool_name, arguments)
        decision = await self.ask_whether(
            name, call.tool_name, arguments
        )  # the call has begun, and asks while it works
        if "denied" in decision:
            await self.calls.pop(name).end(error=ToolError("forbidden", "Not allowed."))
        return decision


@dataclass
class _Steps(AbstractCapability[Any]):
    """The capability by which `work` saves and shows the replies of the model and the results of tools."""

    work: PydanticWork

    async def wrap_model_request(self, ctx: RunContext[Any], *, request_context: Any, handler: Any) -> ModelResponse:
        """Return the saved reply, or ask the model."""
        outputs = {tool.name for tool in request_context.model_request_parameters.output_tools}
        return await self.work.request(outputs, lambda: handler(request_context))

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """Return the saved result, or call the tool."""
        return await self.work.execute(call, tool_def, lambda: handler(args))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        """Ask the user about the deferred calls."""
        return await self.work.decide(requests)

    async def on_event(self, ctx: RunContext[Any], *, event: Any) -> None:
        """Show the text or the thinking in an event."""
        await self.work.show(event)


def _dump(messages: list[ModelMessage]) -> bytes:
    return msgspec.json.encode(replace_surrogates(ModelMessagesTypeAdapter.dump_python(messages, mode="json")))


def _checks_output(capability: AbstractCapability[Any]) -> bool:
    """Return whether a capability may refuse or change an output."""
    kind = type(capability)
    overridden = [name for name in _OF_OUTPUT if getattr(kind, name) is not getattr(AbstractCapability, name)]
    return bool(overridden) and not isinstance(capability, Instrumentation)
