"""`langgraph`: a compiled graph of LangGraph as an agent.

1. The graph's checkpoints are stored as state of the run. After a crash the graph goes on from the last one: nodes that
   had finished are not run again, one that was at work is.
2. A run begins with the checkpoint of the run before it in the conversation, so that branches do not mix. Messages that
   no run of the graph has seen are given to it, too.
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
"""The key of a graph's state that has the conversation."""
AT_ONCE: Final = 6
"""Calls whose beginning is waited for; the run lets eight work at a time."""
TICKS: Final = 10
"""Turns of the loop in which an event gets from a graph to who reads its stream: two or three."""
STORED_S: Final = 0.5
"""Seconds until a result is shown that is not stored."""
MAX_ROUNDS: Final = 50
"""Interrupts of one run, one after the other."""
TITLES: Final = ("question", "message", "title")
"""Keys of an interrupt's value that may have its question."""
PARAGRAPH: Final = "\n\n"

STRUCTURED: Final = "structured_response"
"""The key of the state in which LangChain's agents leave an answer that has a schema."""

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

    `make_input` makes the graph's input of a turn; by default `{"messages": […]}`, with the message. The text of the
    nodes named by `nodes` is the answer, by default of all; and what the graph ends with, unless that was shown: its
    last message, or its structured response. `config` is given to the graph beside the thread, such as its
    `recursion_limit`; `context` makes what its `context_schema` describes. The graph's checkpointer is replaced by one
    that stores with the conversation.

    Raises:
        TypeError: It is no compiled graph.
        ValueError: It has no `messages`, and there is no `make_input`; or it keeps differences (`DeltaChannel`).
    """
    if not isinstance(graph, Pregel):
        raise TypeError(f"{graph!r} is no compiled graph: give the result of `.compile()`, or of `create_agent`")
    if make_input is None and MESSAGES not in graph.channels:
        raise ValueError("the graph has no `messages`: say what its input is, with langgraph(graph, make_input=…)")
    if kept := [name for name, channel in graph.channels.items() if isinstance(channel, DeltaChannel)]:
        raise ValueError(f"the graph keeps differences of {kept[0]!r} (DeltaChannel): only whole states are stored")
    return GraphAgent(graph, make_input, None if nodes is None else frozenset(nodes), dict(config or {}), context).run


@frozen
class GraphAgent:
    """A graph, how its input and its context are made, the nodes whose text is shown, and its config."""

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
    allowed: list[OwnCall] = field(factory=list, init=False)  # which the user has allowed, and that have not begun
    _usage: dict[str, tuple[str, Usage]] = field(factory=dict, init=False)  # of each message, by its id
    _checkpoints: RunCheckpoints = field(init=False, repr=False)
    _ends: set["asyncio.Task[None]"] = field(factory=set, init=False, repr=False)  # of calls that have their result
    _waits: asyncio.Event = field(init=False)  # set while the stream has nothing
    _number: int = field(default=0, init=False)  # of events that were shown
    _said: dict[str, str] = field(factory=dict, init=False, repr=False)  # the text of each message, by its id

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
                if self._number or not resumed.said:  # before a crash
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
        """Say what the graph has ended with, unless it was shown as it came.

        A node may return a message as a dict or a pair, and a tool its result as the answer: these are not streamed.
        """
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
        """Return the graph's input, with the messages since the last run that left a checkpoint, which is used."""
        since = await self.messages_since(checkpoints.start_after)
        if self.agent.make_input is not None:
            return self.agent.make_input(self.turn)
        messages = [(HumanMessage if message.role == "user" else AIMessage)(message.content) for message in since]
        return {MESSAGES: [*messages, HumanMessage(self.turn.message)]}

    # Events

    async def _stream(self, graph: Any, given: Any, config: Any) -> None:
        """Run the graph until it ends or interrupts itself, and show what it does."""
        modes = ["messages", "tools"]
        more = {} if self.agent.context is None else {"context": self.agent.context(self.turn)}
        stream = graph.astream(given, config, stream_mode=modes, subgraphs=True, durability="sync", **more)
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
        """Wait until there is nothing in the stream that is not shown."""
        while True:
            await self._waits.wait()
            number = self._number
            for _ in range(TICKS):  # what has been streamed is taken within them
                await asyncio.sleep(0)
            if self._waits.is_set() and number == self._number:
                return

    async def _show_message(self, message: Any, about: Mapping[str, Any]) -> None:
        if not isinstance(message, AIMessage | AIMessageChunk):
            return
        name = str(message.id)
        if message.usage_metadata is not None:
            if name not in self._usage:
                await self._count()
            model = str(about.get("ls_model_name") or message.response_metadata.get("model_name") or "unknown")
            used = usage_of(message.usage_metadata)
            self._usage[name] = model, used if name not in self._usage else self._usage[name][1] + used
        if getattr(message, "chunk_position", None) == "last":
            await self._count()
        if self.agent.nodes is not None and about.get("langgraph_node") not in self.agent.nodes:
            return
        for block in message.content_blocks:
            if block["type"] == "reasoning":
                self.thought.append(str(block.get("reasoning") or ""))
        if text := str(message.text):
            apart = PARAGRAPH if self.speaker not in (None, name) else ""
            self.speaker = name
            self._said[name] = self._said.get(name, "") + text
            await self.say(apart + text)

    async def _show_tool(self, payload: Mapping[str, Any]) -> None:
        name = str(payload["tool_call_id"])
        call = self.calls.get(name)
        match payload["event"]:
            case "tool-started" if call is None:  # else it goes on after an interrupt
                await self.show_thought()
                await self._count()
                self.speaker = None  # a call ends a paragraph
                made = self._own_call(str(payload["tool_name"]), payload.get("input"))
                self.calls[name] = made
                if made in self.allowed:
                    self.allowed.remove(made)
                elif len(self.calls) <= AT_ONCE:
                    await made.begin(self.work)
                else:
                    made.begin_soon(self.work)
            case "tool-finished" if call is not None:
                del self.calls[name]
                output = payload["output"]
                value = output.content if isinstance(output, BaseMessage) else output
                self._ends.add(asyncio.create_task(self._end_stored(call, value, self._checkpoints.stored)))
            case "tool-error" if call is not None:
                del self.calls[name]
                await call.end(error=RuntimeError(payload["message"]))

    async def _end_stored(self, call: OwnCall, value: Any, stored: asyncio.Event) -> None:
        """Show the result of a call when it is stored, as it will not be made again then, or after `STORED_S`.

        A node that calls several tools is stored as a whole, at its end.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(stored.wait(), STORED_S)
        await call.end(as_json(value))

    def _own_call(self, tool: str, given: Any) -> OwnCall:
        """Return the call of a tool: the one that the user has allowed before, if there is one."""
        arguments = as_json(given) if isinstance(given, Mapping) else {"input": as_json(given)}
        before = (call for call in self.allowed if call.name == tool and call.arguments == arguments)
        return next(before, None) or OwnCall(tool, arguments)

    async def _count(self) -> None:
        """Count what the requests to models have used that are over."""
        for model, usage in self._usage.values():
            await self.work.count(model, usage)
        self._usage.clear()

    # Interrupts

    async def _ask(self, interrupt: Interrupt[Any]) -> Any:
        """Ask the user what the graph asks. Return what it is resumed with. Raises QuestionUnanswered."""
        value, schema = interrupt.value, interrupt.response_schema
        if isinstance(value, Mapping) and "action_requests" in value:
            return {"decisions": [await self._decide(request) for request in value["action_requests"]]}
        if isinstance(value, Mapping) and value.get("type") == "tool_approval":
            return await self._decide(value)
        fields = value if isinstance(value, Mapping) else {"question": value}
        title = next((str(fields[title]) for title in TITLES if fields.get(title)), "The agent asks")
        rest = {name: as_json(member) for name, member in fields.items() if name not in TITLES}
        text = "\n".join(
            f"{name}: {member if isinstance(member, str) else json.dumps(member)}" for name, member in rest.items()
        )
        question = text_question(title, text, as_json(schema) if isinstance(schema, Mapping) else None)
        answer = await self.work.ask_once(interrupt.id, question)
        whole = isinstance(schema, Mapping) and schema.get("type") == "object"
        return dict(answer) if whole else answer["answer"]

    async def _decide(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the user's consent to a call that the graph is going to make. Return the decision."""
        name, arguments = str(request["name"]), as_json(request.get("args") or {})
        call = OwnCall(name, arguments, str(request.get("description") or ""), approval=True)
        try:
            answer = dict(await call.begin(self.work))
        except ToolError as error:
            return {"type": "reject", "message": error.message}
        self.allowed.append(call)
        if answer == arguments:
            return {"type": "approve"}
        call.arguments = answer
        return {"type": "edit", "edited_action": {"name": name, "args": answer}}


def _same(one: str, other: str) -> bool:
    """Whether two texts say the same, as JSON or as they are."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one.strip() == other.strip()


def usage_of(given: Mapping[str, Any]) -> Usage:
    """Return the usage of a message of LangChain."""
    inputs, outputs = given.get("input_token_details") or {}, given.get("output_token_details") or {}
    details = {"cached": inputs.get("cache_read"), "cache_written": inputs.get("cache_creation")}
    details["reasoning"] = outputs.get("reasoning")
    counts = {name: int(value) for name, value in details.items() if value is not None}
    return Usage(int(given.get("input_tokens", 0)), int(given.get("output_tokens", 0)), 1, **counts)
