"""Unchanged agents of Pydantic AI, for servers that are killed; the last lines put them into the server.

The model wants `first` with the user's text, then `second`, then says what it was told. Words of the text decide what
else happens. The tool `second` of the agent `careful` needs approval.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import ApprovalRequired, CallDeferred, ModelRetry, RunContext, Tool
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

from tests.extensions.frameworks import notes
from tests.extensions.frameworks.notes import first, note
from understudy import Agent
from understudy.extensions.frameworks.pydantic_ai import pydantic_ai


async def script(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    """Follow the script above."""
    note("model")
    parts = [part for message in messages for part in message.parts]
    prompts = [part for part in parts if isinstance(part, UserPromptPart)]
    results = [part for part in parts[parts.index(prompts[-1]) :] if isinstance(part, ToolReturnPart)]
    settled = [part for part in results if part.outcome in ("success", "denied", "failed")]
    text = str(prompts[-1].content)
    if info.output_tools and len(settled) == 2:
        yield {0: DeltaToolCall(info.output_tools[0].name, json.dumps({"city": "Oslo", "days": 2}), tool_call_id="out")}
    elif len(settled) < 2:
        name = ("first", "second")[len(settled)]
        yield {0: DeltaThinkingPart(content=f"I need {name}")}
        yield "I call "
        yield f"{name}. "
        yield {1: DeltaToolCall(name, json.dumps({"text": text}), tool_call_id=f"{name}-{len(prompts)}-{len(results)}")}
    else:
        for word in f"Message {len(prompts)}: {settled[0].content} and {settled[1].content}.".split():
            await asyncio.sleep(0.001)
            yield f"{word} "


tried: list[str] = []


async def second(context: RunContext[None], text: str) -> str:
    """Do the second thing; hang, if the text says so, until its server is killed."""
    if "ask" in text and not context.tool_call_approved:
        raise ApprovalRequired
    if "elsewhere" in text:
        raise CallDeferred
    if "retry" in text and not tried:
        tried.append(text)
        raise ModelRetry("once more")
    return await notes.second(text)


class Trip(BaseModel):
    """What an agent answers with."""

    city: str
    days: int


model = FunctionModel(stream_function=script)
planner = PydanticAgent(model, tools=[first, second])
careful_planner = PydanticAgent(model, tools=[first, Tool(second, requires_approval=True)])
typed_planner = PydanticAgent(model, tools=[first, second], output_type=Trip)

# In the server:
agent = Agent("planner", run=pydantic_ai(planner))
careful = Agent("careful", run=pydantic_ai(careful_planner))
typed = Agent("typed", run=pydantic_ai(typed_planner))
