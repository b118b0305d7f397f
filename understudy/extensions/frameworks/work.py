"""The work of a framework's agent on a message: what agents of all frameworks show, ask, and know of the conversation.

`KeptWork` keeps every reply of a model and every result of a tool as state of the run, before the agent goes on. After
a crash the agent runs again, and is given what was kept; the request or call that was at work is made again. A run
begins with the history with which the run before it in the conversation has ended, so that branches do not mix, and
with the messages since.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final, cast

import msgspec
from attrs import define, evolve, field
from msgspec import UNSET

from understudy.agents.framework import FrameworkWork, OwnCall, Resumed
from understudy.agents.turn import AgentTurn
from understudy.models.items import MessageItem
from understudy.tools.errors import InvalidResult, QuestionUnanswered, ToolError
from understudy.tools.form import Question
from understudy.tools.result import to_json
from understudy.wire.events import Usage

HISTORY: Final = "history"
"""The key of the state that has the history with which a run has ended."""
MAX_BEFORE: Final = 5
"""Runs before this one in which the state of an agent is looked for."""
MAX_TITLE: Final = 300
"""Characters of the title of a question."""
YES_OR_NO: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"allow": {"type": "boolean", "title": "Allow it"}},
    "required": ["allow"],
}


@define(eq=False)
class AgentWork:
    """The work of an agent on one message. `calls` are those that have begun, by the ids of the framework."""

    turn: AgentTurn
    work: FrameworkWork = field(init=False)
    calls: dict[str, OwnCall] = field(factory=dict, init=False)
    thought: list[str] = field(factory=list, init=False, repr=False)  # pieces that are not shown yet

    @work.default
    def _of_turn(self) -> FrameworkWork:
        return cast("FrameworkWork", self.turn.work)

    async def say(self, text: str) -> None:
        """Show the next text of the answer, and before it what was thought."""
        await self.show_thought()
        await self.turn.say(text)

    async def show_thought(self) -> None:
        """Show what was thought, if anything."""
        if thought := "".join(self.thought):
            self.thought.clear()
            await self.turn.think(thought)

    async def messages_since(self, found: Callable[[str], Awaitable[bool]]) -> list[MessageItem]:
        """Return the messages before this run, since the last run of which something was `found`."""
        before = [item for item in self.turn.items if item.origin.run_id != self.turn.run_id]
        for run_id in list(dict.fromkeys(item.origin.run_id for item in reversed(before)))[:MAX_BEFORE]:
            if await found(run_id):
                before = before[max(place for place, item in enumerate(before) if item.origin.run_id == run_id) + 1 :]
                break
        return [item for item in before if isinstance(item, MessageItem) and item.content]


@define(eq=False)
class KeptWork(AgentWork):
    """The work of an agent on one message. `state` is what was kept before it was interrupted."""

    state: dict[str, bytes] = field(factory=dict, init=False, repr=False)

    async def resume(self) -> Resumed:
        """Take over what the run has done and kept. One that has kept its history is finished: all was said."""
        resumed = await self.work.resume()
        self.state = {} if resumed.finished else await self.work.load(self.turn.run_id)
        return evolve(resumed, finished=True) if HISTORY in self.state else resumed

    async def load_history(self) -> tuple[bytes, list[MessageItem]]:
        """Return what the last run that has kept its history has kept, a list of JSON, and the texts since."""
        history = b"[]"

        async def found(run_id: str) -> bool:
            nonlocal history
            kept = (await self.work.load(run_id)).get(HISTORY)
            history = kept or history
            return kept is not None

        since = await self.messages_since(found)
        return history, since

    async def save(self, key: str, body: bytes) -> None:
        """Keep a reply, a result or a decision."""
        await self.work.save({key: body})
        self.state[key] = body

    async def save_history(self, history: bytes) -> None:
        """Keep the history for the next run, unless it is too large, in place of all that was kept."""
        try:
            await self.work.save({HISTORY: history}, tuple(self.state))
        except ToolError:
            await self.work.save({}, tuple(self.state))

    # Decisions of the user: with which `arguments`, None for the call's own, or why it was `denied`

    async def decide_once(self, call_id: str, decide: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return the decision about a call: the one that was kept, or a new one, which is kept."""
        if (key := f"d/{call_id}") not in self.state:
            await self.save(key, msgspec.json.encode(await decide()))
        decided: dict[str, Any] = msgspec.json.decode(self.state[key])
        return decided

    async def ask_consent(self, call_id: str, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for consent to a call that is going to be made. Return the decision."""
        call = OwnCall(tool, given, approval=True)
        try:
            arguments = dict(await call.begin(self.work))
        except ToolError as error:
            return {"denied": error.message}
        self.calls[call_id] = call
        return {"arguments": None if arguments == given else arguments}

    async def ask_whether(self, call_id: str, tool: str, given: Any) -> dict[str, Any]:
        """Ask whether a call may go on that is at work, or none of this run; no answer is no. Return the decision."""
        question = text_question(f"Allow {tool}?", msgspec.json.encode(given).decode(), YES_OR_NO)
        with suppress(QuestionUnanswered):
            if (await self.work.ask_once(question_key(call_id), question))["allow"]:
                return {"arguments": None}
        return {"denied": "The user has not allowed it."}


def question_key(call_id: str) -> str:
    """Return the key of a question about a call."""
    return sha256(call_id.encode()).hexdigest()[:32]


def text_of(output: object) -> str:
    """Return an output that is no text of a model as text: its JSON, unless it is one."""
    plain = as_json(output)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def usage_of(used: Any) -> Usage:
    """Return the usage of a reply as Pydantic AI has it."""
    details = (used.cache_read_tokens, used.output_reasoning_tokens, used.cache_write_tokens)
    cached, reasoning, written = (detail or UNSET for detail in details)
    return Usage(used.input_tokens, used.output_tokens, 1, cached=cached, reasoning=reasoning, cache_written=written)


def text_question(title: str, text: str, schema: Mapping[str, Any] | None = None) -> Question:
    """Return a question whose answer is of this schema, of an object or of the only field `answer`; by default text.

    A long title is moved to the text.
    """
    form = {"type": "string"} if schema is None else schema
    if form.get("type") != "object":
        form = {"type": "object", "properties": {"answer": {"title": "Answer", **form}}, "required": ["answer"]}
    return Question(title[:MAX_TITLE], form, f"{title}\n{text}" if len(title) > MAX_TITLE else text)


def as_json(value: Any, depth: int = 4) -> Any:
    """Return a value of a framework as plain JSON; what cannot be that, as text."""
    try:
        return to_json(value)
    except (InvalidResult, TypeError, ValueError):
        if isinstance(value, Mapping) and depth:
            return {str(name): as_json(member, depth - 1) for name, member in value.items()}
        if isinstance(value, list | tuple) and depth:
            return [as_json(item, depth - 1) for item in value]
        return str(value)
