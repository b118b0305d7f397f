"""Converts agents, tools, questions and results of runs to the types of the Model Context Protocol. Pure."""

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
"""Limit of a tool's name in characters, by the protocol."""
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
    """The target of an MCP tool: an agent, or, if `tool` is its name, one of its tools. `described` is listed."""

    agent: Agent
    tool: str | None
    described: Tool


def targets(agents: Mapping[str, Agent]) -> dict[str, McpTarget]:
    """Return the MCP tools of these agents by name: one per agent that asks it, and each of the agents' tools.

    A tool that agents share appears once. Of different tools with one name later ones have their agent's as a prefix.
    """
    by_name: dict[str, McpTarget] = {}
    for agent in agents.values():
        name = f"{ASK}{agent.name}"
        by_name[name] = McpTarget(agent, None, _asking(name, agent))
    first_tools: dict[str, object] = {}
    for agent in agents.values():
        for tool in agent.tools:
            if tool.agent is not None or first_tools.get(tool.name) is tool:
                continue
            name = tool.name if tool.name not in by_name else f"{agent.name}_{tool.name}"[:MAX_NAME]
            first_tools.setdefault(tool.name, tool)
            hints = ToolAnnotations(idempotent_hint=True) if tool.retry_safe else None
            described = Tool(
                name=name, description=tool.description, input_schema=dict(tool.parameters), annotations=hints
            )
            by_name.setdefault(name, McpTarget(agent, tool.name, described))
    return by_name


def _asking(name: str, agent: Agent) -> Tool:
    description = agent.description or "An agent of this server."
    return Tool(
        name=name,
        title=agent.display_title,
        description=f"Asks the agent {agent.display_title}. {description}",
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
    """Return the result of a tool that asked an agent. `files` has the content of the files made, by id."""
    structured = {"answer": final.message, "status": final.status.value, "thread_id": thread_id, "run_id": run_id}
    failed = final.status is RunStatus.FAILED
    return CallToolResult(
        content=[_text(final.message), *files.values()], structured_content=structured, is_error=failed
    )


def tool_result(
    completed: ToolCompleted | None, final: FinalResponse, files: Mapping[str, ContentBlock]
) -> CallToolResult:
    """Return the result of a tool that was called. `completed` is None if the run ended before the tool.

    `files` has the content of the tool's files by id. A file takes the place of its id in the value, or is at the end.
    """
    if completed is None:
        return failure(final.message or "The call was ended before its tool began.")
    if completed.status is not ToolStatus.OK:
        return failure(completed.result_summary)
    value, remaining = completed.result, dict(files)
    parts = value if isinstance(value, list) else [value]
    blocks = [remaining.pop(_file_of(part), None) for part in parts]
    if any(blocks):
        content = [block or _text(_written(part)) for block, part in zip(blocks, parts, strict=True)]
        return CallToolResult(content=[*content, *remaining.values()])
    structured = value if isinstance(value, dict) else {"result": value}
    return CallToolResult(content=[_text(_written(value)), *files.values()], structured_content=structured)


def _file_of(part: Any) -> str:
    """Return the possible file id in a part of a value: the text itself, or the member `file`; empty if it has none."""
    file_id = part.get("file") if isinstance(part, dict) else part
    return file_id if isinstance(file_id, str) else ""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def failure(sentence: str) -> CallToolResult:
    """Return the result of a failed call, with a sentence for the client's model."""
    return CallToolResult(content=[_text(sentence)], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def elicitation(event: ApprovalRequired | QuestionAsked, refusal: str = "") -> ElicitRequest | None:
    """Return the request by which the client asks its user a question; None if the protocol cannot express it.

    A form of the protocol is flat, and must not ask for secrets. `refusal`: why the earlier answer was refused.
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


def is_answer(response: Any) -> bool:
    """Return whether an input response, as JSON, is the answer to a form."""
    try:
        return bool(ElicitResult.model_validate(response))
    except ValidationError:
        return False


def reply(name: str, result: ElicitResult) -> Approve | Respond:
    """Return the command for the user's reply to an elicitation of this name.

    Raises CommandRejected if it is for an approval and the reply is no decision.
    """
    kind, _, wait_id = name.partition(":")
    accepted = result.action == "accept"
    content = result.content or {}
    if f"{kind}:" == QUESTION:
        return Respond(wait_id, content) if accepted else Respond(wait_id, decline=True)
    decision = content.get(DECISION) if accepted else Decision.DENY.value
    if decision not in [choice.value for choice in Decision]:
        raise CommandRejected("invalid_command", f"The {DECISION} is one of {', '.join(Decision)}.")
    return Approve(wait_id, Decision(decision))
