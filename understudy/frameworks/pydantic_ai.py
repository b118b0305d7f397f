"""`pydantic_ai`: an agent of Pydantic AI as an agent here.

1. A capability is added to each run, which keeps every reply of the model and every result of a tool as state of the
   run, before the agent goes on. After a crash the agent runs again, and is given what was kept; the request or call
   that was at work is made again.
2. A run begins with the messages with which the run before it in the conversation has ended, so that branches do not
   mix, and with the messages since.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import count
from typing import Any, Final

import msgspec
from attrs import define, field, frozen
from pydantic_ai import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDenied
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.durable_exec import JSON_CODEC, CallToolResult
from pydantic_ai.durable_exec._toolset import unwrap_tool_call_result, wrap_tool_call_result
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelAPIError,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
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

from transport.wire.events import Usage
from understudy.agents.framework import (
    FrameworkWork,
    OwnCall,
    as_json,
    framework_work,
    is_allowed,
    messages_since,
    of_framework,
    text_question,
)
from understudy.agents.turn import AgentTurn
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import QuestionUnanswered, ToolError

KEPT: Final = "history"
"""The key of the state that has the messages with which a run has ended."""


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
    """An agent of Pydantic AI, and how the dependencies of a run are made."""

    agent: AbstractAgent[Any, Any]
    deps: Callable[[AgentTurn], Any] | None

    @of_framework
    async def run(self, turn: AgentTurn) -> None:
        """Work on a message."""
        await AgentWork(self, turn, framework_work(turn)).run()


@define(eq=False)
class AgentWork:
    """The work of an agent on one message. `state` is what was kept before it was interrupted.

    `calls` are those that have begun, by the ids of Pydantic AI.
    """

    made: _Agent
    turn: AgentTurn
    work: FrameworkWork
    state: dict[str, bytes] = field(factory=dict, init=False, repr=False)
    calls: dict[str, OwnCall] = field(factory=dict, init=False)
    _requests: int = field(default=0, init=False)
    _live: bool = field(default=True, init=False)  # whether the model's reply is new
    _apart: bool = field(default=False, init=False)  # whether text follows other text of this turn
    _thought: list[str] = field(factory=list, init=False, repr=False)
    _ids: set[str] = field(factory=set, init=False, repr=False)  # of calls: servers may give several the same one
    _text: list[str] = field(factory=list, init=False, repr=False)  # of this reply, if it may be the form of an output

    async def run(self) -> None:
        """Work until the agent has its output.

        Raises ModelUnavailable if its model cannot be asked.
        """
        resumed = await self.work.resume()
        if resumed.finished:
            return
        self._apart = resumed.said
        self.state = await self.work.load(self.turn.run_id)
        if KEPT in self.state:  # and all was said
            return
        history = await self._history()
        deps = None if self.made.deps is None else self.made.deps(self.turn)
        try:
            result = await self.made.agent.run(
                self.turn.message, message_history=history, deps=deps, capabilities=[_Steps(self)]
            )
        except ModelAPIError as error:
            raise ModelUnavailable("The agent's model cannot be asked now.", detail=repr(error)) from error
        if not self._is_plain:
            output = as_json(result.output)
            text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
            await self._say(text, apart=self._apart)
        await self._keep(result.all_messages())

    @property
    def _is_plain(self) -> bool:
        """Whether the output is the text of the model; else that is only its form, or words beside it."""
        return self.made.agent.output_type is str

    async def _keep(self, messages: list[ModelMessage]) -> None:
        """Keep the messages of the conversation for the next run, unless they are too many."""
        kept = ModelMessagesTypeAdapter.dump_json(messages)
        try:
            await self.work.save({KEPT: kept}, tuple(self.state))
        except ToolError:
            await self.work.save({}, tuple(self.state))

    async def _history(self) -> list[ModelMessage]:
        """Return the messages before this one: those of the last run that has kept them, and the texts since."""
        history: list[ModelMessage] = []

        async def found(run_id: str) -> bool:
            if (kept := (await self.work.load(run_id)).get(KEPT)) is not None:
                history.extend(ModelMessagesTypeAdapter.validate_json(kept))
            return bool(history)

        for each in await messages_since(self.turn, found):
            part: Any = UserPromptPart(each.content) if each.role == "user" else TextPart(each.content)
            history.append(ModelRequest([part]) if each.role == "user" else ModelResponse([part]))
        return history

    async def _save(self, key: str, body: bytes) -> None:
        await self.work.save({key: body})
        self.state[key] = body

    # What the capability does

    async def request(self, ask: Callable[[], Awaitable[ModelResponse]]) -> ModelResponse:
        """Return the next reply of the model: the one that was kept, or a new one, which is kept."""
        key, self._requests = f"m/{self._requests:06}", self._requests + 1
        if (kept := self.state.get(key)) is not None:
            self._live = False
            (reply,) = ModelMessagesTypeAdapter.validate_json(kept)
            assert isinstance(reply, ModelResponse)  # noqa: S101 - for the type checker: it was kept as one
            self._ids.update(part.tool_call_id for part in reply.parts if isinstance(part, ToolCallPart))
            return reply
        self._live = True
        reply = self._with_ids(await ask())
        text, self._text = "".join(self._text), []
        if text and any(isinstance(part, ToolCallPart) for part in reply.parts):
            await self._say(text, apart=self._apart)
            self._apart = True
        await self._show_thought()
        await self._save(key, ModelMessagesTypeAdapter.dump_json([reply]))
        used = reply.usage
        usage = Usage(
            used.input_tokens,
            used.output_tokens,
            1,
            cached=used.cache_read_tokens,
            cache_written=used.cache_write_tokens,
        )
        await self.work.count(reply.model_name or "unknown", usage)
        return reply

    def _with_ids(self, reply: ModelResponse) -> ModelResponse:
        """Return a reply each of whose calls has an id that no call of this run had before."""
        parts = list(reply.parts)
        for place, part in enumerate(parts):
            if isinstance(part, ToolCallPart):
                unique = next(each for n in count(1) if (each := _numbered(part.tool_call_id, n)) not in self._ids)
                self._ids.add(unique)
                if unique != part.tool_call_id:
                    parts[place] = replace(part, tool_call_id=unique)
        return replace(reply, parts=parts)

    async def show(self, event: object) -> None:
        """Show what the model writes."""
        if not self._live:
            return
        match event:
            case (
                PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text))
            ) if not self._is_plain:
                self._text.append(text)
            case PartStartEvent(part=TextPart(content=text)):
                await self._say(text, apart=self._apart)
                self._apart = True
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                await self._say(text)
            case (
                PartStartEvent(part=ThinkingPart(content=text))
                | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text))
            ):
                self._thought.append(text or "")

    async def _say(self, text: str, *, apart: bool = False) -> None:
        await self._show_thought()
        await self.turn.say(f"\n\n{text}" if apart else text)

    async def _show_thought(self) -> None:
        if thought := "".join(self._thought):
            self._thought.clear()
            await self.turn.think(thought)

    async def execute(self, call: ToolCallPart, definition: ToolDefinition, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of a call of a tool: the one that was kept, or a new one, which is kept."""
        key, name = f"t/{call.tool_call_id}", call.tool_call_id
        if (kept := self.state.get(key)) is not None:
            return unwrap_tool_call_result(JSON_CODEC.load(CallToolResult, msgspec.json.decode(kept)))
        if (own := self.calls.get(name)) is None:
            about, schema = definition.description or "", definition.parameters_json_schema
            self._apart = False  # a call ends a paragraph
            own = self.calls[name] = OwnCall(call.tool_name, as_json(call.args_as_dict()), about, schema)
            try:
                await own.begin(self.work)
            except ToolError as error:
                raise ToolFailed(error.message) from error
        failed: Exception | None = None

        async def made() -> Any:
            nonlocal failed
            try:
                return await make()
            except (ToolRetryError, ToolFailedError) as error:
                failed = error
                raise (error.__cause__ or error) from None

        try:
            result = await wrap_tool_call_result(_not_deferred(made()))
        except _Deferred as deferred:
            raise deferred.reason from None  # the call goes on when it is decided
        except Exception as error:
            del self.calls[name]
            await own.end(error=error)
            raise failed or error from None
        del self.calls[name]
        await self._save(key, msgspec.json.encode(JSON_CODEC.dump(CallToolResult, result)))
        if failed is not None:
            await own.end(error=ToolError("tool_failed", str(failed.__cause__ or failed)[:1000]))
            raise failed
        try:
            value = unwrap_tool_call_result(result)
        except Exception as error:
            await own.end(error=ToolError("tool_failed", str(error)[:1000]))
            raise
        await own.end(as_json(getattr(value, "return_value", value)))
        return value

    async def decide(self, requests: DeferredToolRequests) -> DeferredToolResults:
        """Ask the user about calls that wait for consent, or for a result from elsewhere."""
        results = DeferredToolResults()
        for call in requests.approvals:
            key = f"d/{call.tool_call_id}"
            if key not in self.state:
                decided = await self._decide(call)
                await self._save(key, msgspec.json.encode(decided))
            decided = msgspec.json.decode(self.state[key])
            if "denied" in decided:
                results.approvals[call.tool_call_id] = ToolDenied(decided["denied"])
            else:
                results.approvals[call.tool_call_id] = ToolApproved(override_args=decided["arguments"])
        for call in requests.calls:
            title = str(call.args_as_dict().get("question") or f"What is the result of {call.tool_name}?")
            given = msgspec.json.encode(as_json(call.args_as_dict())).decode()
            try:
                answer = await self.work.ask_once(_key(call), text_question(title, given))
                results.calls[call.tool_call_id] = answer["answer"]
            except QuestionUnanswered as error:
                results.calls[call.tool_call_id] = ToolFailed(error.message)
        return results

    async def _decide(self, call: ToolCallPart) -> dict[str, Any]:
        """Return the user's decision about a call: with what arguments, None for its own, or why it was denied."""
        given = as_json(call.args_as_dict())
        if call.tool_call_id in self.calls:  # it has begun, and asks while it works
            if await is_allowed(self.work, _key(call), call.tool_name, given):
                return {"arguments": None}
            await self.calls.pop(call.tool_call_id).end(error=ToolError("forbidden", "Not allowed."))
            return {"denied": "The user has not allowed it."}
        own = OwnCall(call.tool_name, given, approval=True)
        try:
            arguments = dict(await own.begin(self.work))
        except ToolError as error:
            return {"denied": error.message}
        self.calls[call.tool_call_id] = own
        return {"arguments": None if arguments == given else arguments}


@dataclass
class _Steps(AbstractCapability[Any]):
    """Has the replies of the model and the results of tools kept by `doing`, and shown."""

    doing: AgentWork

    async def wrap_model_request(self, ctx: RunContext[Any], *, request_context: Any, handler: Any) -> ModelResponse:
        """Ask the model, unless its reply was kept."""
        return await self.doing.request(lambda: handler(request_context))

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, handler: Any
    ) -> Any:
        """Call the tool, unless its result was kept."""
        return await self.doing.execute(call, tool_def, lambda: handler(args))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults:
        """Ask the user."""
        return await self.doing.decide(requests)

    async def on_event(self, ctx: RunContext[Any], *, event: Any) -> None:
        """Show what the model writes."""
        await self.doing.show(event)


class _Deferred(Exception):
    """A call waits for a decision, for this `reason`."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


async def _not_deferred(making: Awaitable[Any]) -> Any:
    """Await a result. Raises _Deferred if the call waits for a decision, which is no result."""
    try:
        return await making
    except (ApprovalRequired, CallDeferred) as reason:
        raise _Deferred(reason) from None


def _numbered(call_id: str, number: int) -> str:
    return call_id if number == 1 else f"{call_id}-{number}"


def _key(call: ToolCallPart) -> str:
    """Return the key of a question about a call."""
    return sha256(call.tool_call_id.encode()).hexdigest()[:32]
