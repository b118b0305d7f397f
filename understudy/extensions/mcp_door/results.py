"""Agents, tools, questions and ends of runs as the types of the Model Context Protocol. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from mcp_types import (
    CallToolResult,
    ContentBlock,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import ValidationError

from transport.wire.errors import CommandRejected
from understudy.agents.agent import REQUEST, Agent
from understudy.tools.form import secret_fields
from understudy.wire.commands import Approve, Decision, Respond
from understudy.wire.events import ApprovalRequired, FinalResponse, QuestionAsked, RunStatus, ToolCompleted, ToolStatus

ASK: Final = "ask_"
"""Prefix of the names of tools that ask an agent."""
MAX_NAME: Final = 128
"""Characters of a tool's name, by the protocol."""
DECISION: Final = "decision"
APPROVAL: Final = "approval:"
QUESTION: Final = "question:"
ANSWERED: Final = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "The agent's answer, in Markdown."},
        "status": {"type": "string", "enum": [status.value for status in RunStatus]},
        "thread_id": {"type": "string", "description": "The conversation; give it to go on in it."},
        "run_id": {"type": "string"},
    },
    "required": ["answer", "status", "thread_id", "run_id"],
}
"""JSON schema of the structured result of a tool that asks an agent."""


@frozen
class McpTarget:
    """What an MCP tool stands for: an agent, or one of its tools by name."""

    agent: Agent
    tool: str | None
    described: Tool


def targets(agents: Mapping[str, Agent]) -> dict[str, McpTarget]:
    """Return the MCP tools of these agents by name: one that asks each agent, and each of the agents' tools.

    Agents that share a tool have it once. Different tools of one name have the names of their agents before theirs.
    """
    by_name: dict[str, McpTarget] = {}
    for agent in agents.values():
        name = f"{ASK}{agent.name}"
        by_name[name] = McpTarget(agent, None, _asking(name, agent))
    seen: dict[str, object] = {}
    for agent in agents.values():
        for tool in agent.tools:
            if tool.agent is not None or seen.get(tool.name) is tool:
                continue
            name = tool.name if tool.name not in by_name else f"{agent.name}_{tool.name}"[:MAX_NAME]
            seen.setdefault(tool.name, tool)
            hints = ToolAnnotations(idempotent_hint=True) if tool.retry_safe else None
            shown = Tool(name=name, description=tool.description, input_schema=dict(tool.parameters), annotations=hints)
            by_name.setdefault(name, McpTarget(agent, tool.name, shown))
    return by_name


def _asking(name: str, agent: Agent) -> Tool:
    about = agent.description or "An agent of this server."
    return Tool(
        name=name,
        title=agent.display_title,
        description=f"Asks the agent {agent.display_title}. {about}",
        input_schema={
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": REQUEST},
                "thread_id": {"type": "string", "description": "The conversation to go on in; without it, a new one."},
            },
            "required": ["message"],
            "additionalProperties": False,
        },
        output_schema=ANSWERED,
    )


def answer_result(
    final: FinalResponse, thread_id: str, run_id: str, files: Mapping[str, ContentBlock]
) -> CallToolResult:
    """Return the result of a tool that asked an agent; `files` are those that were made, by id."""
    told = {"answer": final.message, "status": final.status.value, "thread_id": thread_id, "run_id": run_id}
    failed = final.status is RunStatus.FAILED
    return CallToolResult(content=[_text(final.message), *files.values()], structured_content=told, is_error=failed)


def tool_result(
    completed: ToolCompleted | None, final: FinalResponse, files: Mapping[str, ContentBlock]
) -> CallToolResult:
    """Return the result of a tool that was called. `completed` is None if its run ended before.

    `files` are those that the tool saved, by id. Each stands where the value names it, the others at the end.
    """
    if completed is None:
        return failure(final.message or "The call was ended before its tool began.")
    if completed.status is not ToolStatus.OK:
        return failure(completed.result_summary)
    value, left = completed.result, dict(files)
    parts = value if isinstance(value, list) else [value]
    blocks = [left.pop(_file_of(part), None) for part in parts]
    if any(blocks):
        content = [block or _text(_written(part)) for block, part in zip(blocks, parts, strict=True)]
        return CallToolResult(content=[*content, *left.values()])
    structured = value if isinstance(value, dict) else {"result": value}
    return CallToolResult(content=[_text(_written(value)), *files.values()], structured_content=structured)


def _file_of(part: Any) -> str:
    """Return the id that a part of a value is, or that it describes as tools of MCP servers do; empty: none."""
    named = part.get("file") if isinstance(part, dict) else part
    return named if isinstance(named, str) else ""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def failure(sentence: str) -> CallToolResult:
    """Return the result of a call that failed, with a sentence that the client's model reads."""
    return CallToolResult(content=[_text(sentence)], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def elicitation(event: ApprovalRequired | QuestionAsked, refusal: str = "") -> ElicitRequest | None:
    """Return a question as one that the client asks its user; None if the protocol has no form for it.

    A form of the protocol is flat, and asks for no secret. `refusal`: why the answer before was refused.
    """
    if isinstance(event, ApprovalRequired):
        arguments = json.dumps(dict(event.parameters), ensure_ascii=False)
        lines: list[str | None] = [f"May the tool {event.tool_name} be called with {arguments}?"]
        choices = {"type": "string", "title": "Decision", "enum": [decision.value for decision in Decision]}
        schema: dict[str, Any] = {"type": "object", "properties": {DECISION: choices}, "required": [DECISION]}
    else:
        lines, schema = [event.title, event.text], dict(event.schema)
        if secret_fields(schema):
            return None
    message = "\n".join(filter(None, (refusal, *lines)))
    try:
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))
    except ValidationError:
        return None


def is_answer(given: Any) -> bool:
    """Return whether an input response, as JSON, is the answer to a form."""
    try:
        return bool(ElicitResult.model_validate(given))
    except ValidationError:
        return False


def reply(name: str, result: ElicitResult) -> Approve | Respond:
    """Return the command for the user's reply to an elicitation of this name.

    Raises CommandRejected if it is an approval, and the reply no decision.
    """
    kind, _, wanted = name.partition(":")
    accepted = result.action == "accept"
    content = result.content or {}
    if f"{kind}:" == QUESTION:
        return Respond(wanted, content) if accepted else Respond(wanted, decline=True)
    decision = content.get(DECISION) if accepted else Decision.DENY.value
    if decision not in [choice.value for choice in Decision]:
        raise CommandRejected("invalid_command", f"The {DECISION} is one of {', '.join(Decision)}.")
    return Approve(wanted, Decision(decision))
