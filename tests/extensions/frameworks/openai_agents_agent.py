"""Unchanged agents of the OpenAI Agents SDK, for servers that are killed; the last lines put them into the server.

The model wants `first` with the user's text, then `second`, then says what it was told. Words of the text decide what
else happens. The tool `second` of the agent `careful` needs approval.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent as SdkAgent
from agents import Model, Usage, function_tool, set_tracing_disabled
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import ResponseReasoningItem

from tests.extensions.frameworks.notes import first, note, second
from understudy import Agent
from understudy.extensions.frameworks.openai_agents import openai_agents

set_tracing_disabled(True)  # no test speaks to the provider


class Scripted(Model):
    """A model that follows the script above."""

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        return await self.reply(kwargs["input"]).get_response(*args, **kwargs)

    async def stream_response(self, instructions: Any, items: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for event in self.reply(items).stream_response(instructions, items, *args, **kwargs):
            await asyncio.sleep(0.001)
            yield event

    def reply(self, input_items: Any) -> ScriptedModel:
        note("model")
        items = [{"role": "user", "content": input_items}] if isinstance(input_items, str) else input_items
        user_places = [place for place, item in enumerate(items) if item.get("role") == "user"]
        outputs = [item for item in items[user_places[-1] :] if item.get("type") == "function_call_output"]
        results = [output["output"] for output in outputs if output["call_id"].startswith(("first", "second"))]
        if len(results) < 2:
            name = ("first", "second")[len(results)]
            thought = {"id": f"r-{name}", "summary": [{"type": "summary_text", "text": f"I need {name}"}]}
            arguments = json.dumps({"text": items[user_places[-1]]["content"]})
            reply: list[Any] = [
                ResponseReasoningItem(type="reasoning", **thought),
                assistant_message(f"I call {name}. "),
                function_call(name, arguments, call_id=f"{name}-{len(user_places)}"),
            ]
        else:
            reply = [assistant_message(f"Message {len(user_places)}: {results[0]} and {results[1]}.")]
        step = ModelStep(output=reply, usage=Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15))
        return ScriptedModel([step])


tools = [function_tool(first), function_tool(second)]
approved = [function_tool(first), function_tool(second, needs_approval=True)]
planner = SdkAgent("planner", model=Scripted(), tools=tools)
careful_planner = SdkAgent("careful", model=Scripted(), tools=approved)
handed = SdkAgent(
    "front",
    model=ScriptedModel([[function_call("transfer_to_planner", {}, call_id="h")]]),
    handoffs=[planner],
)
over = SdkAgent(
    "over",
    model=ScriptedModel(
        [[function_call("careful", {"input": "hello"}, call_id="c")], [assistant_message("Done.")]] * 2
    ),
    tools=[careful_planner.as_tool("careful", "Work carefully.")],
)

# In the server:
agent = Agent("planner", run=openai_agents(planner))
careful = Agent("careful", run=openai_agents(careful_planner))
handing = Agent("handing", run=openai_agents(handed))
asking = Agent("asking", run=openai_agents(over))
