"""Writes the parts of a turn that every provider's request contains: instructions, tools, files, the request to go on.

Each provider's client, in its extension, puts them into its own form. Pure.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import evolve

from understudy.models.items import FileCard, NoteItem
from understudy.models.model import AgentCard, ToolCard, Turn, fenced

HAND_OVER: Final = "hand_over"
_HAND_OVER_DESCRIPTION: Final = (
    "Hand the whole request over to a colleague who has better tools for it. The colleague answers the user."
)
_HAND_OVER_SCHEMA: Final = {"type": "object", "required": ["to", "reason"], "additionalProperties": False}
_REASON: Final = {"type": "string", "description": "why, in one sentence the user may read"}
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
CONTINUE: Final = (
    "Your answer was cut off by an accident where the text above ends, and the user has seen all of that text. Go on "
    "exactly there, if need be in the middle of a word: do not repeat any of it, do not begin again, do not comment."
)
"""The request after the text of an interrupted answer."""
GO_ON: Final = "Go on."
"""The user's message that asks for an answer when the conversation has no other message to answer."""
_IN_JSON: Final = "Your final answer is one JSON object, and nothing else. It fits this schema:"
_BAD_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_COLUMNS: Final = 100
"""Columns of a table that are listed to the model; a tool can profile a wider table."""


def noted(note: str) -> str:
    """Return a note of the server, marked as such, to be put into a user's message."""
    return f"[Note of the server, not of the user: {note}]"


def hand_over_name(tools: Sequence[ToolCard]) -> str:
    """Return the handoff tool's name: ``hand_over``, followed by underscores while a real tool has that name."""
    name = HAND_OVER
    while any(tool.name == name for tool in tools):
        name += "_"
    return name


def offered_tools(turn: Turn) -> list[ToolCard]:
    """Return the tools of a request, the handoff last.

    The last turn of a run, which may not call tools, lists the agent's tools and colleagues too: changed tools would
    lose the provider's prompt cache, and Anthropic's API wants the tools of earlier calls described.
    """
    cards, colleagues = turn.tools or turn.agent.tools, _listed_colleagues(turn)
    tools = [card if card.parameters else evolve(card, parameters=_NO_PARAMETERS) for card in cards]
    if colleagues:
        to = {"type": "string", "enum": [colleague.name for colleague in colleagues]}
        schema = {**_HAND_OVER_SCHEMA, "properties": {"to": to, "reason": _REASON}}
        tools.append(ToolCard(hand_over_name(cards), _HAND_OVER_DESCRIPTION, schema))
    return tools


def tool_choice(turn: Turn) -> str | None:
    """Return ``auto``, ``required``, ``none``, the name of the tool to be called, or None: left to the provider.

    The choice is no longer forced after the run's first call, nor if this user may not call the named tool. Call this
    only for a turn with `offered_tools`.
    """
    choice = turn.settings.tool_choice
    if not (turn.tools or turn.colleagues):
        return "none"
    if choice in ("auto", "none", None):
        return choice
    if choice == "required":
        return "auto" if turn.rounds else choice
    return choice if not turn.rounds and any(tool.name == choice for tool in turn.tools) else None


def _listed_colleagues(turn: Turn) -> Sequence[AgentCard]:
    return turn.listed_colleagues or turn.colleagues


def in_words(turn: Turn, *, is_object: bool = False) -> Turn:
    """Return a turn with its output schema in a note, for an API without schemas. `is_object`: it has a JSON mode."""
    if (output := turn.output) is None:
        return turn
    note = NoteItem(f"{_IN_JSON}\n{msgspec.json.encode(output.schema).decode()}")
    return evolve(turn, output=evolve(output, schema={}) if is_object else None, notes=(*turn.notes, note))


def system_text(turn: Turn) -> str:
    """Return the system message: instructions and colleagues. It is the same in every turn of an agent."""
    parts = [turn.instructions or f"You are {turn.agent.title or turn.agent.name}. {turn.agent.description}".strip()]
    if colleagues := _listed_colleagues(turn):
        listed = "\n".join(f"- {agent.name}: {agent.title}. {agent.description}" for agent in colleagues)
        parts.append(f"Colleagues you may hand the request over to:\n{listed}")
    return "\n\n".join(parts)


def user_text(content: str, files: Sequence[FileCard]) -> str:
    """Return the text of a user's message with the description of its files, fenced: names and columns are untrusted.

    Empty if there is neither; then the message has images.
    """
    return "\n\n".join(part for part in (content, describe_files(files) if files else "") if part.strip())


def describe_files(cards: Sequence[FileCard]) -> str:
    """Return the description of attached files, fenced: names and columns are untrusted."""
    files = []
    for card in cards:
        described = {"id": card.id, "name": card.name, "type": card.media_type or "unknown", "bytes": card.size}
        columns = card.columns or ()
        if card.columns is not None:
            described["columns"] = list(columns[:_MAX_COLUMNS])
        if len(columns) > _MAX_COLUMNS:
            described["more_columns"] = len(columns) - _MAX_COLUMNS
        files.append(described)
    return "Files attached by the user:\n" + fenced(files)


def tool_name(name: str) -> str:
    """Return the name of a called tool in a form that APIs accept: a model may have made up an invalid name."""
    return _BAD_IN_NAMES.sub("_", name)[:64] or "unknown"
