"""Adapts an agent of the OpenAI Agents SDK to the `run` of an agent here.

A copy of the user's agent runs, whose model and tools save their results as `KeptWork` describes. Its history is that
of a session of the SDK.
"""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec
import openai
from agents import (
    Agent,
    FunctionTool,
    Handoff,
    Model,
    RunConfig,
    RunHooks,
    Runner,
    ToolOutputFileContent,
    ToolOutputImage,
    ToolOutputText,
)
from agents.items import MessageOutputItem, ToolApprovalItem
from agents.tool_context import ToolContext
from attrs import define, field, frozen
from openai.types.responses import Response, ResponseCompletedEvent

from transport.wire.codec import replace_surrogates
from understudy.agents.framework import OwnCall, of_framework
from understudy.agents.turn import AgentTurn
from understudy.extensions.frameworks.work import KeptWork, text_of
from understudy.models.model import ModelUnavailable
from understudy.tools.errors import ToolError
from understudy.wire.events import Usage

MAX_TURNS: Final = 10
"""Default limit of requests to models per run, as in the SDK."""
TEXT: Final = ("response.output_text.delta", "response.refusal.delta")
THOUGHT: Final = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
OUTPUTS: Final = (str, int, float, dict, list, type(None), ToolOutputText, ToolOutputImage, ToolOutputFileContent)
"""Types of tools' results that are saved unchanged; the model gets any other result as text."""


def openai_agents(
    agent: "Agent[Any]",
    *,
    context: Callable[[AgentTurn], Any] | None = None,
    run_config: RunConfig | None = None,
    max_turns: int = MAX_TURNS,
) -> Callable[[AgentTurn], Awaitable[None]]:
    """Return the `run` of an agent that is one of the SDK: `Agent("planner", run=openai_agents(agent))`.

    `context` makes the context of a run. `run_config` and `max_turns` are those of the SDK's `Runner`. Raises TypeError
    if it is no agent of the SDK.
    """
    if not isinstance(agent, Agent):
        raise TypeError(f"{agent!r} is no agent of the OpenAI Agents SDK")
    return _Agent(agent, context, run_config or RunConfig(), max_turns).run


@frozen
class _Agent:
    """An agent of the SDK, the function that makes the context of a run, and options of the SDK's runner."""

    agent: "Agent[Any]"
    context: Callable[[AgentTurn], Any] | None
    config: RunConfig
    max_turns: int

    @of_framework
    async def run(self, turn: AgentTurn) -> None:
        """Work on a message."""
        await SdkWork(turn, self).run()


@define(eq=False)
class SdkSession:
    """The conversation as a session of the SDK, in memory: the history, then the items of this run."""

    session_id: str
    items: list[Any] = field(repr=False)
    session_settings: Any = None

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the last `limit` items, or all."""
        return self.items[-limit:] if limit else list(self.items)

    async def add_items(self, items: list[Any]) -> None:
        """Add items to the end."""
        self.items.extend(items)

    async def pop_item(self) -> Any:
        """Remove and return the last item, or return None if there is none."""
        return self.items.pop() if self.items else None

    async def clear_session(self) -> None:
        """Remove all items."""
        self.items.clear()


@define(eq=False)
class SdkWork(KeptWork):
    """The work of an agent on one message. `copies` are the agents that run, by the ids of the user's agents."""

    declaration: _Agent
    copies: dict[int, "Agent[Any]"] = field(factory=dict, init=False, repr=False)
    _requests: int = field(default=0, init=False)
    _speaker: tuple[int, str] | None = field(default=None, init=False)  # the request and item that spoke last

    async def run(self) -> None:
        """Work until the agent has its output. Raises ModelUnavailable if its model cannot be asked."""
        resumed = await self.resume()
        if resumed.finished:
            return
        self._speaker = (0, "") if resumed.said else None
        history_json, since = await self.load_history()
        history = msgspec.json.decode(history_json) + [
            {"role": message.role, "content": message.content} for message in since
        ]
        session = SdkSession(self.turn.thread_id, history)
        context = None if self.declaration.context is None else self.declaration.context(self.turn)
        try:
            result = await self._stream(self.turn.message, session, context)
            while result.interruptions:
                state = result.to_state()
                for interruption in result.interruptions:
                    decision = await self.decide_once(str(interruption.call_id), partial(self._decide, interruption))
                    if "denied" in decision:
                        state.reject(interruption, rejection_message=decision["denied"])
                    else:
                        state.approve(interruption)
                result = await self._stream(state, session, None)
        except openai.APIError as error:
            raise ModelUnavailable("The agent's model cannot be asked now.", detail=repr(error)) from error
        if not any(isinstance(item, MessageOutputItem) for item in result.new_items[-1:]):  # a tool's result
            await self.turn.say(text_of(result.final_output))
        await self.save_history(_encoded(session.items))

    async def _stream(self, agent_input: Any, session: SdkSession, context: Any) -> Any:
        """Run the agent until it has its output or interrupts itself. Return the SDK's result."""
        config = replace(self.declaration.config, model=None)  # the copies have their models
        agent, hooks, limit = self.copied(self.declaration.agent), _Ends(self), self.declaration.max_turns
        result = Runner.run_streamed(
            agent, agent_input, context=context, max_turns=limit, hooks=hooks, run_config=config, session=session
        )
        try:
            async for _ in result.stream_events():
                pass
        finally:
            result.cancel()  # the SDK runs the agent in a task of its own
        return result

    def copied(self, agent: "Agent[Any]") -> "Agent[Any]":
        """Return a copy of an agent whose model and tools save their results; agents it hands off to are copied too."""
        if id(agent) in self.copies:
            return self.copies[id(agent)]
        duplicate = self.copies[id(agent)] = copy.copy(agent)
        self.copies[id(duplicate)] = duplicate
        config = self.declaration.config
        model = config.model or agent.model
        duplicate.model = _KeptModel(
            self, model if isinstance(model, Model) else config.model_provider.get_model(model)
        )
        duplicate.tools = [self._tool(tool) for tool in agent.tools]
        duplicate.handoffs = [self._handoff(handoff) for handoff in agent.handoffs]

        async def mcp_tools(context: Any) -> list[Any]:
            return [self._tool(tool) for tool in await agent.get_mcp_tools(context)]

        vars(duplicate)["get_mcp_tools"] = mcp_tools
        return duplicate

    def _handoff(self, handoff: Any) -> Any:
        if not isinstance(handoff, Handoff):
            return self.copied(handoff)
        invoke = handoff.on_invoke_handoff

        async def invoked(context: Any, handoff_input: str) -> Any:
            return self.copied(await invoke(context, handoff_input))

        return replace(handoff, on_invoke_handoff=invoked)

    def _tool(self, tool: Any) -> Any:
        if not isinstance(tool, FunctionTool):
            return tool
        duplicate, invoke = copy.copy(tool), tool.on_invoke_tool

        async def invoked(context: ToolContext[Any], arguments: str) -> Any:
            return await self.execute(tool, context, arguments, invoke)

        duplicate.on_invoke_tool = invoked
        return duplicate

    async def request(self, ask: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Stream the next reply of a model: the saved one, or a new one, which is then saved."""
        self._requests += 1
        key = f"m/{self._requests:06}"
        if (saved := self.state.get(key)) is not None:
            reply = Response.construct(**msgspec.json.decode(saved))
            yield ResponseCompletedEvent(response=reply, sequence_number=0, type="response.completed")
            return
        async for event in ask():
            if event.type in TEXT:
                await self._say(event.delta, (self._requests, event.item_id))
            elif event.type in THOUGHT:
                self.thought.append(event.delta)
            elif event.type == "response.completed":
                await self.show_thought()
                dumped = event.response.model_dump(mode="json", exclude_unset=True, warnings=False)
                await self.save(key, _encoded(dumped))
                await self._count(event.response)
            yield event

    async def _say(self, text: str, speaker: tuple[int, str]) -> None:
        separator = "\n\n" if self._speaker not in (None, speaker) else ""
        self._speaker = speaker
        await self.say(separator + text)

    async def _count(self, reply: Response) -> None:
        """Count the usage of a request to a model, as far as its provider reports it."""
        reported = reply.usage
        inputs, outputs = reported and reported.input_tokens_details, reported and reported.output_tokens_details
        details: dict[str, int] = {
            "cached": getattr(inputs, "cached_tokens", None) or 0,
            "cache_written": getattr(inputs, "cache_write_tokens", None) or 0,
            "reasoning": getattr(outputs, "reasoning_tokens", None) or 0,
        }
        usage = Usage(reported.input_tokens if reported else 0, reported.output_tokens if reported else 0, 1, **details)
        await self.work.count(str(reply.model or "unknown"), usage)

    async def execute(
        self, tool: FunctionTool, context: Any, arguments_json: str, invoke: Callable[..., Awaitable[Any]]
    ) -> Any:
        """Return the result of a call of a tool: the saved one, or a new one, which `ended` saves."""
        call_id = context.tool_call_id
        if (saved := self.state.get(f"t/{call_id}")) is not None:
            return msgspec.json.decode(saved)
        decision = self.state.get(f"d/{call_id}")
        changed_arguments = None if decision is None else msgspec.json.decode(decision).get("arguments")
        if call_id not in self.calls:
            self._speaker = None  # a call ends a paragraph
            arguments = _arguments(arguments_json) if changed_arguments is None else changed_arguments
            call = self.calls[call_id] = OwnCall(tool.name, arguments, tool.description, tool.params_json_schema)
            try:
                await call.begin(self.work)
            except ToolError as error:
                del self.calls[call_id]
                return error.message
        try:
            return await invoke(
                context,
                arguments_json if changed_arguments is None else msgspec.json.encode(changed_arguments).decode(),
            )
        except Exception as error:
            await self.calls.pop(call_id).end(error=error)
            raise

    async def ended(self, call_id: str, result: object) -> None:
        """Save the result of a call, and show it."""
        if (call := self.calls.pop(call_id, None)) is None:
            return
        encoded = _encoded(result if isinstance(result, OUTPUTS) else str(result))
        await self.save(f"t/{call_id}", encoded)
        await call.end(msgspec.json.decode(encoded))

    async def _decide(self, item: ToolApprovalItem) -> dict[str, Any]:
        """Return the user's decision about a call."""
        name, tool, arguments = str(item.call_id), str(item.name), _arguments(item.arguments or "{}")
        if id(item.agent) not in self.copies or getattr(item.raw_item, "type", None) != "function_call":
            return await self.ask_whether(name, tool, arguments)  # a call of a tool's own agent, or of the provider
        self._speaker = None
        return await self.ask_consent(name, tool, arguments)


class _KeptModel(Model):
    """A model whose streamed replies are saved and shown by `work`."""

    def __init__(self, work: SdkWork, model: Model) -> None:
        self.work, self.model = work, model

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the model without saving its reply; a runner that streams does not call this."""
        return await self.model.get_response(*args, **kwargs)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Return the saved reply, or ask the model."""
        return self.work.request(lambda: self.model.stream_response(*args, **kwargs))

    def get_retry_advice(self, request: Any) -> Any:
        """Return the model's advice."""
        return self.model.get_retry_advice(request)


class _Ends(RunHooks[Any]):
    """Hooks by which `work` saves and shows the results of tools."""

    def __init__(self, work: SdkWork) -> None:
        self.work = work

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: object) -> None:
        """Save the result of a tool. The SDK does not call this for an agent as a tool that waits for consent."""
        if isinstance(tool, FunctionTool):
            await self.work.ended(context.tool_call_id, result)


def _arguments(text: str) -> Mapping[str, Any]:
    """Return the arguments of a call. A text that is no JSON object becomes the argument `input`."""
    try:
        arguments = msgspec.json.decode(text)
    except msgspec.DecodeError:
        arguments = text
    return arguments if isinstance(arguments, dict) else {"input": arguments}


def _encoded(value: object) -> bytes:
    """Return a value of the SDK as JSON."""
    return msgspec.json.encode(replace_surrogates(value), enc_hook=_plain)


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return replace_surrogates(str(value) if dump is None else dump(mode="json", exclude_none=True))
