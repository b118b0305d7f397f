"""Adapts a compiled graph of LangGraph to the `run` of an agent.

1. The graph's checkpoints are stored as state of the run. After a crash the graph resumes from the last checkpoint:
   finished nodes are not run again, an unfinished one is.
2. A run begins with the checkpoint of the run before it in the conversation, so that branches do not mix. Messages that
   no run of the graph has seen are added to its input.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, field, frozen
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt

from understudy.agents.framework import OwnCall, of_framework
from understudy.agents.turn import AgentTurn
from understudy.extensions.frameworks.langgraph_checkpoints import RunCheckpoints
from understudy.extensions.frameworks.work import AgentWork, as_json, text_question
from understudy.tools.errors import QuestionUnanswered, ToolError
from understudy.wire.events import Usage

MESSAGES: Final = "messages"
"""The key of the conversation in a graph's state."""
AT_ONCE: Final = 6
"""Open calls up to which the start of a call is awaited; below the eight calls that a run makes at a time."""
TICKS: Final = 10
"""Iterations of the loop within which an event passes from a graph to the reader of its stream (it needs three)."""
STORED_S: Final = 0.5
"""Seconds after which the result of a call is shown although it is not stored yet."""
MAX_ROUNDS: Final = 50
"""Limit of the interrupts of one run, one after the other."""
TITLES: Final = ("question", "message", "title")
"""Keys of an interrupt's value that may have its question."""
PARAGRAPH: Final = "\n\n"

STRUCTURED: Final = "structured_response"
"""The key of an answer with a schema in the state of LangChain's agents."""

Input = Callable[[AgentTurn], Mapping[str, Any]]


def langgraph(
    graph: Any,
    *,
    make_input: Input | None = None,
    nodes: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    context: Callable[[AgentTurn], Any] | None = None,
) -> Callable[[AgentTurn], Awaitable[None]]:
    """Return the `run` of an agent that is a compiled graph: `Agent("planner", run=langgraph(graph))`.

    `make_input` makes the graph's input of a turn; by default `{"messages": […]}`, with the message. The answer is the
    text of the nodes named by `nodes`, by default of all nodes, and the graph's result, its last message or structured
    response, if that was not shown yet. `config` is passed to the graph, for example its `recursion_limit`; `context`
    makes the object that its `context_schema` describes. The graph's checkpointer is replaced by one that stores with
    the conversation.

    Raises:
        TypeError: `graph` is no compiled graph.
        ValueError: It has no `messages`, and there is no `make_input`; or it stores differences (`DeltaChannel`).
    """
    if not isinstance(graph, Pregel):
        raise TypeError(f"{graph!r} is no compiled graph: give the result of `.compile()`, or of `create_agent`")
    if make_input is None and MESSAGES not in graph.channels:
        raise ValueError("the graph has no `messages`: say what its input is, with langgraph(graph, make_input=…)")
    if deltas := [name for name, channel in graph.channels.items() if isinstance(channel, DeltaChannel)]:
        raise ValueError(f"the graph keeps differences of {deltas[0]!r} (DeltaChannel): only whole states are stored")
    return GraphAgent(graph, make_input, None if nodes is None else frozenset(nodes), dict(config or {}), context).run


@frozen
class GraphAgent:
    """A graph with its config, the functions that make its input and context, and the nodes whose text is shown."""

    graph: "Pregel[Any, Any, Any, Any]"
    make_input: Input | None
    nodes: frozenset[str] | None
    config: dict[str, Any]
    context: Callable[[AgentTurn], Any] | None = None

    @of_framework
    async def run(self, turn: AgentTurn) -> None:
        """Work on a message."""
        await GraphWork(turn, self).run()


@define(eq=False)
class GraphWork(AgentWork):
    """The work of a graph on one message."""

    agent: GraphAgent
    speaker: str | None = field(default=None, init=False)  # id of the message whose text was said last in this turn
    allowed: list[OwnCall] = field(factory=list, init=False)  # calls that the user allowed, and that have not begun
    _usage: dict[str, tuple[str, Usage]] = field(factory=dict, init=False)  # model and usage by message id
    _checkpoints: RunCheckpoints = field(init=False, repr=False)
    _ends: set["asyncio.Task[None]"] = field(factory=set, init=False, repr=False)  # tasks that show results of calls
    _waits: asyncio.Event = field(init=False)  # set while no event of the stream is being shown
    _number: int = field(default=0, init=False)  # number of events shown
    _said: dict[str, str] = field(factory=dict, init=False, repr=False)  # text by message id

    def __attrs_post_init__(self) -> None:
        self._waits = asyncio.Event()
        self._waits.set()

    async def run(self) -> None:
        """Work until the graph has ended."""
        resumed = await self.work.resume()
        if resumed.finished:
            return
        self.speaker = "" if resumed.said else None
        checkpoints = self._checkpoints = RunCheckpoints(self.agent.graph, self.work, self._shown)
        await checkpoints.load(self.turn.run_id)
        graph = self.agent.graph.copy({"checkpointer": checkpoints})
        config = self._config()
        graph_input: Any = None if checkpoints.begun else await self._input(checkpoints)
        for _ in range(MAX_ROUNDS):
            state = await graph.aget_state(config) if graph_input is None else None
            interrupts = [] if state is None else [interrupt for task in state.tasks for interrupt in task.interrupts]
            if state is not None and not state.tasks:
                if self._number or not resumed.said:  # else the result was said before a crash
                    await self._say_result(state.values)
                break
            if interrupts:
                try:
                    graph_input = Command(resume={interrupt.id: await self._ask(interrupt) for interrupt in interrupts})
                except QuestionUnanswered as error:
                    await self.turn.say(f"Stopped: {error.message}")
                    return
            await self._stream(graph, graph_input, config)
            graph_input = None
        else:
            raise ToolError("tool_failed", f"The graph has interrupted itself {MAX_ROUNDS} times.")
        await checkpoints.finish()

    async def _say_result(self, values: Any) -> None:
        """Say the graph's result, unless it was streamed. Messages that a node returns as a dict or a pair, and a
        tool's result that is the answer, are not streamed."""
        values = values if isinstance(values, Mapping) else {"output": values}
        streamed = "".join(self._said.values())
        if (structured := values.get(STRUCTURED)) is not None:
            answer = as_json(structured)
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            if _same(text, streamed) or any(_same(text, shown) for shown in self._said.values()):
                return
        elif MESSAGES in values:
            last = values[MESSAGES][-1] if values[MESSAGES] else None
            if not isinstance(last, AIMessage | ToolMessage) or str(last.id) in self._said:
                return
            if streamed and self.agent.nodes is not None:
                return
            text = str(last.text)
        else:
            text = "" if streamed else json.dumps(as_json(values), ensure_ascii=False)
        if text:
            await self.turn.say((PARAGRAPH if self.speaker is not None else "") + text)

    def _config(self) -> Any:
        config = self.agent.config
        ids = {"thread_id": self.turn.thread_id, "run_id": self.turn.run_id, "user_id": self.turn.owner}
        return config | {"configurable": {**config.get("configurable", {}), **ids}}

    async def _input(self, checkpoints: RunCheckpoints) -> Mapping[str, Any]:
        """Start from the checkpoint of the last run that has one. Return the graph's input with the messages since."""
        since = await self.messages_since(checkpoints.start_after)
        if self.agent.make_input is not None:
            return self.agent.make_input(self.turn)
        messages = [(HumanMessage if message.role == "user" else AIMessage)(message.content) for message in since]
        return {MESSAGES: [*messages, HumanMessage(self.turn.message)]}

    async def _stream(self, graph: Any, graph_input: Any, config: Any) -> None:
        """Run the graph until it ends or interrupts itself, showing its texts, thoughts and calls."""
        modes = ["messages", "tools"]
        more = {} if self.agent.context is None else {"context": self.agent.context(self.turn)}
        stream = graph.astream(graph_input, config, stream_mode=modes, subgraphs=True, durability="sync", **more)
        try:
            async for _, mode, payload in stream:
                self._waits.clear()
                if mode == "messages":
                    await self._show_message(*payload)
                else:
                    await self._show_tool(payload)
                self._number += 1
                self._waits.set()
        finally:
            self._waits.set()
            await asyncio.gather(*self._ends)
        await self.show_thought()
        await self._count()

    async def _shown(self) -> None:
        """Wait until all events of the stream have been shown."""
        while True:
            await self._waits.wait()
            number = self._number
            for _ in range(TICKS):  # an event that is on its way arrives within them
                await asyncio.sleep(0)
            if self._waits.is_set() and number == self._number:
                return

    async def _show_message(self, message: Any, metadata: Mapping[str, Any]) -> None:
        if not isinstance(message, AIMessage | AIMessageChunk):
            return
        message_id = str(message.id)
        if message.usage_metadata is not None:
            if message_id not in self._usage:
                await self._count()
            model = str(metadata.get("ls_model_name") or message.response_metadata.get("model_name") or "unknown")
            usage = usage_of(message.usage_metadata)
            self._usage[message_id] = (
                model,
                usage if message_id not in self._usage else self._usage[message_id][1] + usage,
            )
        if getattr(message, "chunk_position", None) == "last":
            await self._count()
        if self.agent.nodes is not None and metadata.get("langgraph_node") not in self.agent.nodes:
            return
        for block in message.content_blocks:
            if block["type"] == "reasoning":
                self.thought.append(str(block.get("reasoning") or ""))
        if text := str(message.text):
            separator = PARAGRAPH if self.speaker not in (None, message_id) else ""
            self.speaker = message_id
            self._said[message_id] = self._said.get(message_id, "") + text
            await self.say(separator + text)

    async def _show_tool(self, payload: Mapping[str, Any]) -> None:
        call_id = str(payload["tool_call_id"])
        call = self.calls.get(call_id)
        match payload["event"]:
            case "tool-started" if call is None:  # else the call continues after an interrupt
                await self.show_thought()
                await self._count()
                self.speaker = None  # a call ends a paragraph
                new_call = self._own_call(str(payload["tool_name"]), payload.get("input"))
                self.calls[call_id] = new_call
                if new_call in self.allowed:
                    self.allowed.remove(new_call)
                elif len(self.calls) <= AT_ONCE:
                    await new_call.begin(self.work)
                else:
                    new_call.begin_soon(self.work)
            case "tool-finished" if call is not None:
                del self.calls[call_id]
                output = payload["output"]
                value = output.content if isinstance(output, BaseMessage) else output
                self._ends.add(asyncio.create_task(self._end_stored(call, value, self._checkpoints.stored)))
            case "tool-error" if call is not None:
                del self.calls[call_id]
                await call.end(error=RuntimeError(payload["message"]))

    async def _end_stored(self, call: OwnCall, value: Any, stored: asyncio.Event) -> None:
        """Show the result of a call once it is stored, because the call is not repeated then, or after `STORED_S`. The
        results of a node that calls several tools are stored together, at the end of the node."""
        with suppress(TimeoutError):
            await asyncio.wait_for(stored.wait(), STORED_S)
        await call.end(as_json(value))

    def _own_call(self, tool: str, tool_input: Any) -> OwnCall:
        """Return the call of a tool that the user has allowed already, or a new one."""
        arguments = as_json(tool_input) if isinstance(tool_input, Mapping) else {"input": as_json(tool_input)}
        matching = (call for call in self.allowed if call.name == tool and call.arguments == arguments)
        return next(matching, None) or OwnCall(tool, arguments)

    async def _count(self) -> None:
        """Count the usage of the finished requests to models."""
        for model, usage in self._usage.values():
            await self.work.count(model, usage)
        self._usage.clear()

    async def _ask(self, interrupt: Interrupt[Any]) -> Any:
        """Ask the user the question of an interrupt. Return the value to resume with. Raises QuestionUnanswered."""
        value, schema = interrupt.value, interrupt.response_schema
        if isinstance(value, Mapping) and "action_requests" in value:
            return {"decisions": [await self._decide(request) for request in value["action_requests"]]}
        if isinstance(value, Mapping) and value.get("type") == "tool_approval":
            return await self._decide(value)
        fields = value if isinstance(value, Mapping) else {"question": value}
        title = next((str(fields[title]) for title in TITLES if fields.get(title)), "The agent asks")
        details = {name: as_json(member) for name, member in fields.items() if name not in TITLES}
        text = "\n".join(
            f"{name}: {member if isinstance(member, str) else json.dumps(member)}" for name, member in details.items()
        )
        question = text_question(title, text, as_json(schema) if isinstance(schema, Mapping) else None)
        answer = await self.work.ask_once(interrupt.id, question)
        is_object = isinstance(schema, Mapping) and schema.get("type") == "object"
        return dict(answer) if is_object else answer["answer"]

    async def _decide(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the user's consent to a call that the graph will make. Return LangChain's form of the decision."""
        name, arguments = str(request["name"]), as_json(request.get("args") or {})
        call = OwnCall(name, arguments, str(request.get("description") or ""), approval=True)
        try:
            allowed_arguments = dict(await call.begin(self.work))
        except ToolError as error:
            return {"type": "reject", "message": error.message}
        self.allowed.append(call)
        if allowed_arguments == arguments:
            return {"type": "approve"}
        call.arguments = allowed_arguments
        return {"type": "edit", "edited_action": {"name": name, "args": allowed_arguments}}


def _same(one: str, other: str) -> bool:
    """Return whether two texts are equal, as JSON if they are JSON."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one.strip() == other.strip()


def usage_of(metadata: Mapping[str, Any]) -> Usage:
    """Return the usage in the metadata of a LangChain message."""
    inputs, outputs = metadata.get("input_token_details") or {}, metadata.get("output_token_details") or {}
    details = {"cached": inputs.get("cache_read"), "cache_written": inputs.get("cache_creation")}
    details["reasoning"] = outputs.get("reasoning")
    counts = {name: int(value) for name, value in details.items() if value is not None}
    return Usage(int(metadata.get("input_tokens", 0)), int(metadata.get("output_tokens", 0)), 1, **counts)
