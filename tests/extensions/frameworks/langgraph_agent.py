"""Unchanged agents of LangGraph, for servers that are killed; the last lines put them into the server.

The model wants `first` with the user's text, then `second`, then says what it was told. Words of the text decide what
else happens. Before `second` the agent `careful` asks for consent.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt
from pydantic import BaseModel

from tests.extensions.frameworks.notes import first, note, second
from understudy import Agent
from understudy.extensions.frameworks.langgraph import langgraph

TOOLS = [tool(first), tool(second)]


class Scripted(BaseChatModel):
    """A chat model that follows the script above."""

    def bind_tools(self, *_: Any, **__: Any) -> "Scripted":
        """Return itself: the script names its tools."""
        return self

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        first_chunk, *chunks = self._stream(messages)
        answer = sum(chunks, first_chunk)
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage(**answer.message.model_dump(exclude={"type"})))]
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: Any = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Iterator[ChatGenerationChunk]:
        note("model")
        last = max(place for place, message in enumerate(messages) if message.type == "human")
        results = [message for message in messages[last:] if isinstance(message, ToolMessage)]
        human_count = sum(message.type == "human" for message in messages)
        if len(results) < 2:
            name = ("first", "second")[len(results)]
            arguments = json.dumps({"text": messages[last].content})
            call = {"name": name, "args": arguments, "id": f"{name}-{human_count}", "index": 0}
            pieces = [AIMessageChunk(f"I call {name}. "), AIMessageChunk("", tool_call_chunks=[call])]
        else:
            sentence = f"Message {human_count}: {results[0].content} and {results[1].content}."
            pieces = [AIMessageChunk(f"{part} ") for part in sentence.split()]
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        pieces.append(AIMessageChunk("", usage_metadata=usage, chunk_position="last"))
        for piece in pieces:
            chunk = ChatGenerationChunk(message=piece)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(piece.content), chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        kwargs.pop("run_manager", None)
        for chunk in self._stream(messages):
            await asyncio.sleep(0.001)
            yield chunk


class Form(BaseModel):
    """What the form asks."""

    city: str
    days: int


async def gate(state: MessagesState) -> dict[str, Any]:
    """Ask the user, if the text says so."""
    text = str(state["messages"][-1].content)
    if "form" in text:
        form = interrupt({"question": "Where to?", "why": "for the ticket"}, response_schema=Form)
        return {"messages": [("human", f"{form.city} for {form.days}")]}
    if "yes or no" in text and not interrupt("Shall I?", response_schema=bool):
        return {"messages": [("human", "no")]}
    return {}


async def answer(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await Scripted().ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("gate", gate)
builder.add_node("model", answer)
builder.add_node("tools", ToolNode(TOOLS, handle_tool_errors=True))
builder.add_edge(START, "gate")
builder.add_edge("gate", "model")
builder.add_conditional_edges("model", tools_condition)
builder.add_edge("tools", "model")
graph = builder.compile()

careful_graph = create_agent(Scripted(), TOOLS, middleware=[HumanInTheLoopMiddleware(interrupt_on={"second": True})])

# In the server:
agent = Agent("planner", run=langgraph(graph))
careful = Agent("careful", run=langgraph(careful_graph))
