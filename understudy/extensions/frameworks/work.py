"""The work of a framework's agent on a message: the code that the modules of all frameworks share.

`KeptWork` saves every reply of a model and every result of a tool as state of the run before the agent goes on. After a
crash the agent runs again and gets what was saved; an unfinished request or call is made again. A run begins with the
history saved by the run before it in the conversation, so that branches do not mix, and the messages since.
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
"""The key of the history in the state of a finished run."""
MAX_BEFORE: Final = 5
"""Limit of earlier runs in which a state of the agent is searched."""
MAX_TITLE: Final = 300
"""Limit of a question's title in characters."""
YES_OR_NO: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"allow": {"type": "boolean", "title": "Allow it"}},
    "required": ["allow"],
}


@define(eq=False)
class AgentWork:
    """The work of an agent on one message. `calls` are the calls that have begun, by the framework's ids."""

    turn: AgentTurn
    work: FrameworkWork = field(init=False)
    calls: dict[str, OwnCall] = field(factory=dict, init=False)
    thought: list[str] = field(factory=list, init=False, repr=False)  # pieces of thinking that are not shown yet

    @work.default
    def _of_turn(self) -> FrameworkWork:
        return cast("FrameworkWork", self.turn.work)

    async def say(self, text: str) -> None:
        """Show the next text of the answer, after the thinking before it."""
        await self.show_thought()
        await self.turn.say(text)

    async def show_thought(self) -> None:
        """Show the thinking that is not shown yet, if any."""
        if thought := "".join(self.thought):
            self.thought.clear()
            await self.turn.think(thought)

    async def messages_since(self, found: Callable[[str], Awaitable[bool]]) -> list[MessageItem]:
        """Return the messages before this run, since the last run for which `found` returns True."""
        earlier = [item for item in self.turn.items if item.origin.run_id != self.turn.run_id]
        for run_id in list(dict.fromkeys(item.origin.run_id for item in reversed(earlier)))[:MAX_BEFORE]:
            if await found(run_id):
                earlier = earlier[max(at for at, item in enumerate(earlier) if item.origin.run_id == run_id) + 1 :]
                break
        return [item for item in earlier if isinstance(item, MessageItem) and item.content]


@define(eq=False)
class KeptWork(AgentWork):
    """The work of an agent on one message. `state` has the entries saved before an interruption, and since."""

    state: dict[str, bytes] = field(factory=dict, init=False, repr=False)

    async def resume(self) -> Resumed:
        """Take over the steps and the state of the run. A run with a saved history is finished: it has said all."""
        resumed = await self.work.resume()
        self.state = {} if resumed.finished else await self.work.load(self.turn.run_id)
        return evolve(resumed, finished=True) if HISTORY in self.state else resumed

    async def load_history(self) -> tuple[bytes, list[MessageItem]]:
        """Return the history that the last run has saved, a JSON list, and the messages since that run."""
        history = b"[]"

        async def found(run_id: str) -> bool:
            nonlocal history
            saved = (await self.work.load(run_id)).get(HISTORY)
            history = saved or history
            return saved is not None

        since = await self.messages_since(found)
        return history, since

    async def save(self, key: str, body: bytes) -> None:
        """Save a reply, a result or a decision."""
        await self.work.save({key: body})
        self.state[key] = body

    async def save_history(self, history: bytes) -> None:
        """Replace all saved entries by the history for the next run, or by nothing if that is too large."""
        try:
            await self.work.save({HISTORY: history}, tuple(self.state))
        except ToolError:
            await self.work.save({}, tuple(self.state))

    # A decision of the user has the `arguments` (None for the call's own), or the reason why it was `denied`.

    async def decide_once(self, call_id: str, decide: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return the decision about a call: the saved one, or a new one, which is then saved."""
        if (key := f"d/{call_id}") not in self.state:
            await self.save(key, msgspec.json.encode(await decide()))
        decision: dict[str, Any] = msgspec.json.decode(self.state[key])
        return decision

    async def ask_consent(self, call_id: str, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for consent to a call that has not begun. Return the decision."""
        call = OwnCall(tool, arguments, approval=True)
        try:
            changed = dict(await call.begin(self.work))
        except ToolError as error:
            return {"denied": error.message}
        self.calls[call_id] = call
        return {"arguments": None if changed == arguments else changed}

    async def ask_whether(self, call_id: str, tool: str, arguments: Any) -> dict[str, Any]:
        """Ask whether a call that has begun, or is not of this run, may go on. Return the decision; no answer is no."""
        question = text_question(f"Allow {tool}?", msgspec.json.encode(arguments).decode(), YES_OR_NO)
        with suppress(QuestionUnanswered):
            if (await self.work.ask_once(question_key(call_id), question))["allow"]:
                return {"arguments": None}
        return {"denied": "The user has not allowed it."}


def question_key(call_id: str) -> str:
    """Return the key of a question about a call."""
    return sha256(call_id.encode()).hexdigest()[:32]


def text_of(output: object) -> str:
    """Return an agent's output as text: itself if it is a text, else its JSON."""
    plain = as_json(output)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def usage_of(usage: Any) -> Usage:
    """Convert Pydantic AI's usage of a reply."""
    details = (usage.cache_read_tokens, usage.output_reasoning_tokens, usage.cache_write_tokens)
    cached, reasoning, written = (detail or UNSET for detail in details)
    return Usage(usage.input_tokens, usage.output_tokens, 1, cached=cached, reasoning=reasoning, cache_written=written)


def text_question(title: str, text: str, schema: Mapping[str, Any] | None = None) -> Question:
    """Return a question with this schema of the answer, by default a text; no object becomes the field `answer`.

    A long title is moved to the text.
    """
    form = {"type": "string"} if schema is None else schema
    if form.get("type") != "object":
        form = {"type": "object", "properties": {"answer": {"title": "Answer", **form}}, "required": ["answer"]}
    return Question(title[:MAX_TITLE], form, f"{title}\n{text}" if len(title) > MAX_TITLE else text)


def as_json(value: Any, depth: int = 4) -> Any:
    """Return a value of a framework as plain JSON, with values that have no JSON as text."""
    try:
        return to_json(value)
    except (InvalidResult, TypeError, ValueError):
        if isinstance(value, Mapping) and depth:
            return {str(name): as_json(member, depth - 1) for name, member in value.items()}
        if isinstance(value, list | tuple) and depth:
            return [as_json(item, depth - 1) for item in value]
        return str(value)
