"""An agent as its model is told of it: with the tools that it has for this user at this point of the run, and the tool
`recall_result`, which shows a model an earlier result of the thread that it is shown shortened."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from attrs import evolve, frozen

from understudy.agents.agent import Agent
from understudy.agents.permissions import Rules
from understudy.chat.messages import RunRequest
from understudy.chat.run.client_tools import client_tools
from understudy.chat.run.window import estimate, tools_tokens
from understudy.chat.run_state.records import RecordedResult
from understudy.chat.run_state.turns import RECALL
from understudy.chat.services import Services
from understudy.models.model import FENCE_NOTE, AgentCard, ToolCard
from understudy.models.offline import ABILITIES
from understudy.models.providers import OFFLINE
from understudy.storage import queries
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import Tool, ToolContext, tool

PART: Final = 8_000
"""Characters of a result in one answer; `offset` leads to the next part."""


def recall_tool(store: Store) -> Tool:
    """Return the tool. It reads results of the thread it is called in, and of its owner only."""

    @tool(name=RECALL, retry_safe=True, timeout_s=10.0)
    async def recall_result(
        context: ToolContext,
        call_id: Annotated[str, Param("The call_id of a result that was folded or cut.")],
        offset: Annotated[int, Param("Where to begin, in characters.", minimum=0)] = 0,
    ) -> ToolResult:
        """Show the result of an earlier tool call of this conversation, of which only the beginning was shown."""
        row = await store.read(queries.step_of_call, call_id)
        if row is None or (row[1].owner, row[1].thread_id) != (context.owner, context.thread_id):
            raise ToolError("not_found", f"There is no result of a call {call_id[:64]} in this conversation.")
        step, _ = row
        try:
            kept: Any = msgspec.convert(step.result, RecordedResult)
        except (msgspec.ValidationError, TypeError):
            raise ToolError("not_found", f"The call {call_id[:64]} has no result.") from None
        whole = msgspec.json.encode(kept.value).decode()
        part = whole[offset : offset + PART]
        more = max(0, len(whole) - offset - len(part))
        value = {"tool": step.name, "status": step.status, "part": part, "offset": offset, "more_characters": more}
        return ToolResult(value, f"{len(part):,} of {len(whole):,} characters of the result of {step.name}")

    return recall_result


@frozen
class Equipped:
    """An agent at work; `recalls`: with the tool that reads shortened results. `rules` were in force when it was made.

    `tools` are those that it can call, by name: its own and those of the client. `card` describes it to its model, with
    the tools that the user may use. `instructions` are the agent's, with the note about fences: they are always the
    same. They and the tools have about `tokens` tokens.
    """

    recalls: bool
    rules: Rules
    tools: Mapping[str, Tool]
    card: AgentCard
    instructions: str
    tokens: int


def equip(agent: Agent, request: RunRequest, services: Services, *, recalls: bool) -> Equipped:
    """Describe an agent to its model. It takes as long as its tools have schemas, so it is done once for many turns.

    Without a language model it has the tool that lists what can be done by a form.
    """
    permissions, named = services.permissions, {tool.name: tool for tool in agent.tools}
    more = list(client_tools(request.settings["tools"], named)) if "tools" in request.settings else []
    if recalls and RECALL not in named:
        more.append(recall_tool(services.store))
    if agent.run is None and ABILITIES not in named and services.models.of(agent.model).name == OFFLINE:
        more.append(services.abilities)
    card = permissions.for_user(agent, request).card
    callable_tools = (tool for tool in more if permissions.may_call(tool, request))
    cards = [ToolCard(tool.name, tool.description, tool.parameters) for tool in callable_tools]
    card = evolve(card, tools=(*card.tools, *cards))
    tools = named | {tool.name: tool for tool in more}
    instructions = agent.instructions or f"You are {agent.display_title}. {agent.description}".strip()
    instructions = f"{instructions}\n\n{FENCE_NOTE}"
    tokens = estimate(instructions) + tools_tokens(card.tools)
    return Equipped(recalls, permissions.rules, tools, card, instructions, tokens)
