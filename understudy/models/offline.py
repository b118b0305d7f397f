"""Answers turns on a server without a language model, by fixed rules.

1. A text that equals a starter makes the starter's call; arithmetic is calculated; an attached table is profiled. The
   agent makes the call, or hands over to the colleague that has the tool.
2. Any other text is answered with the list of tools that have a form, and how to connect a language model.
3. The same turn gets the same answer, so an interrupted answer continues after the text that was shown.
"""

import math
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import trio
from attrs import evolve, frozen

from actors import sleep
from understudy.models.model import (
    AgentCard,
    Emit,
    FileCard,
    Handoff,
    ModelUnavailable,
    Reply,
    ResultItem,
    TextDelta,
    Thought,
    ToolCard,
    ToolRequest,
    Turn,
    unfenced,
)
from understudy.tools.arithmetic import find_expression
from understudy.tools.markdown import answer_of, label
from understudy.tools.offers import takes_table, with_table
from understudy.wire.events import Usage

NOTICE: Final = "No language model is connected: forms, starters and arithmetic work; other texts are not understood."
ABILITIES: Final = "abilities"
"""The tool that lists what can be done without a language model."""
_TABLES: Final = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_CLOSING: Final = ".?!…:"
MAX_TEXT: Final = 2_000
"""Characters of the longest text that is compared with starters, or read as arithmetic."""
PACE_S: Final = 3.0
"""Seconds of pauses in one answer; a longer answer is written faster, because pauses count as work of the run."""
LATE_S: Final = 0.01
"""Seconds of delay that an answer makes up for, because a sleep may end 8 ms late. A longer delay stays."""


@frozen
class Wanted:
    """The call that a message stands for. `agent`, which has the tool, is the agent of the turn or a colleague."""

    agent: AgentCard
    tool: ToolCard
    arguments: Mapping[str, Any]
    reason: str


class OfflineModel:
    """Stands in for a language model on a server without one.

    `words_per_s` slows answers down to the pace of a reader, long ones to `PACE_S` in all; 0: no pauses. `new_id` makes
    the ids of calls, which must be unique in a thread.

    Raises ValueError for a negative or infinite `words_per_s`.
    """

    name = "offline"
    notice = NOTICE

    def __init__(
        self, words_per_s: float = 0.0, new_id: Callable[[], str] = lambda: f"call-{uuid.uuid4().hex}"
    ) -> None:
        if not 0 <= words_per_s < math.inf:
            raise ValueError(f"words_per_s must be 0 or more, not {words_per_s!r}")
        self._pause_s = 1 / words_per_s if words_per_s else 0.0
        self._new_id = new_id

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn: with a call, a handoff to the colleague who has the tool, or the results as text.

        Raises `ModelUnavailable` for a summary, a title, or an answer with a schema: only a language model writes them.
        """
        await trio.lowlevel.checkpoint()
        if turn.output is not None or turn.purpose != "answer":
            raise ModelUnavailable("No language model is connected, and only one can write this answer.", False)
        results = [item for item in turn.work if isinstance(item, ResultItem)]
        if results:
            return await self._say("\n\n".join(map(_answer_of, results)), turn, emit)
        call = find_call(turn)
        if call is None:
            if not any(tool.name == ABILITIES for tool in turn.tools):
                return await self._say(NOTICE, turn, emit)
            abilities = ToolRequest(self._new_id(), ABILITIES, {}, "What can be done without a language model")
            await emit(Thought("No language model is connected to read this, so I list what can be done by a form."))
            return Reply("", (abilities,), usage=_usage(turn, ""))
        if call.agent.name != turn.agent.name:
            reason = f"{call.reason}, which {call.agent.title or call.agent.name} can do."
            await emit(Thought(reason))
            return Reply("", handoff=Handoff(call.agent.name, reason), usage=_usage(turn, ""))
        tables = [file.id for file in turn.files if is_table(file)]
        arguments, missing = with_table(call.tool.parameters, call.arguments, tables)
        if missing:
            text = f"{call.reason}. It needs `{missing[0]}`, which the message does not bring."
            if takes_table(call.tool.parameters, missing[0]):
                text = f"{call.reason}. Attach the table to the message: a CSV, TSV, JSON or Parquet file."
            return await self._say(text, turn, emit)
        await emit(Thought(f"{call.reason}, so I use {call.tool.name.replace('_', ' ')}."))
        request = ToolRequest(self._new_id(), call.tool.name, arguments, label(call.tool.name))
        return Reply("", (request,), usage=_usage(turn, ""))

    async def _say(self, text: str, turn: Turn, emit: Emit) -> Reply:
        """Write the part of a text that was not shown before, word by word."""
        text = text.removeprefix(turn.partial_text)
        words = text.split(" ")
        pause_s = min(self._pause_s, PACE_S / len(words))
        due = trio.current_time()
        for index, word in enumerate(words):
            if piece := f" {word}" if index else word:
                await emit(TextDelta(piece))
                now = trio.current_time()
                due = max(due + pause_s, now - LATE_S)
                await sleep(max(0.0, due - now))  # 0 seconds are a checkpoint
        return Reply(text, usage=_usage(turn, text))


def find_call(turn: Turn) -> Wanted | None:
    """Return the call that the newest message stands for: a starter's, a calculation, or the profile of a table."""
    text = turn.request if len(turn.request) <= MAX_TEXT else ""
    agents = (evolve(turn.agent, tools=turn.tools), *turn.colleagues)
    return _starter(text, agents) or _calculation(text, agents) or _profile(turn, agents)


def _starter(text: str, agents: Iterable[AgentCard]) -> Wanted | None:
    words = _plain(text)
    for agent in agents if words else ():
        for starter in agent.starters:
            tool = next((tool for tool in agent.tools if tool.name == starter.tool), None)
            if tool is not None and _plain(starter.text) == words:
                reason = f"“{starter.text}” is a starter of {agent.title or agent.name}"
                return Wanted(agent, tool, starter.arguments, reason)
    return None


def _calculation(text: str, agents: Iterable[AgentCard]) -> Wanted | None:
    expression = find_expression(text)
    for agent in agents if expression is not None else ():
        for tool in agent.tools:
            if tool.name == "calculate":
                return Wanted(agent, tool, {"expression": expression}, "That is arithmetic")
    return None


def _profile(turn: Turn, agents: Iterable[AgentCard]) -> Wanted | None:
    """Return a call of the first tool whose only required argument is an attached table."""
    if not any(map(is_table, turn.files)):
        return None
    for agent in agents:
        for tool in agent.tools:
            required = tool.parameters.get("required", ())
            if len(required) == 1 and takes_table(tool.parameters, required[0]):
                return Wanted(agent, tool, {}, "A table is attached")
    return None


def is_table(card: FileCard) -> bool:
    """Return whether a file is a table, by its columns or the end of its name."""
    return card.columns is not None or card.name.lower().endswith(_TABLES)


def _plain(text: str) -> str:
    """Return a text without case, spaces and closing punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(folded.split()).rstrip(_CLOSING)


def _answer_of(result: ResultItem) -> str:
    """Return the outcome of a call as text; any content that `tool_result` did not write is shown as it is."""
    try:
        body = msgspec.json.decode(unfenced(result.content))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return result.content
    body = body if isinstance(body, dict) else {"value": body}
    summary = str(body.get("summary") or body.get("error") or "")
    return answer_of(result.name or "tool", result.status or "ok", summary, body.get("value"))


def _usage(turn: Turn, text: str) -> Usage:
    """Count words of input and output by spaces."""
    return Usage(turn.request.count(" ") + 1, text.count(" ") + 1 if text else 0, 1)
