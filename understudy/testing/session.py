"""Runs agents in the process of a test, without sockets, on a temporary database."""

import mimetypes
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import trio
from attrs import define, evolve, field, frozen

from transport.auth.identity import Identity
from transport.wire.commands import JsonObject
from transport.wire.events import Error, Event
from understudy.agents.agent import Agent
from understudy.app.build import build_app
from understudy.app.settings import Settings, with_values
from understudy.chat.chat import Message
from understudy.chat.envelope_stream import EnvelopeStream
from understudy.installed import NONE
from understudy.storage.limits import Limits
from understudy.web.context import WebContext
from understudy.wire.commands import Approve, Continue, Decision, Respond
from understudy.wire.commands import Say as SayCommand
from understudy.wire.events import (
    TERMINAL,
    ApprovalRequired,
    Envelope,
    FinalResponse,
    MessageAccepted,
    QuestionAsked,
    RunStatus,
    ToolCompleted,
    ToolExecuting,
    ToolStatus,
    Usage,
)

E = TypeVar("E", bound=Event)

Approval: TypeAlias = bool | Callable[[ApprovalRequired], bool | JsonObject]
RUN_S: Final = 30.0
"""Seconds for a run, unless its agent has a longer limit; then `trio.TooSlowError` is raised."""
LIMITS: Final = Limits(connections_per_user=1000, messages_per_minute=100_000, operations_per_minute=100_000)
"""Default limits of a session. Those for clients are so high that a test does not reach them."""


class NotAnswered(LookupError):
    """A run waits for an approval or an answer that the test did not give. The text names the call or the question."""


@frozen
class CallRecord:
    """A call of a tool in a run. `result` is None while the call is open; that of a failed call is `{"error": {…}}`."""

    tool: str
    arguments: JsonObject = field(repr=False)
    status: ToolStatus | None = None
    result: Any = None
    summary: str = ""


@frozen
class AgentRun:
    """The run of one message.

    `text` is the answer, empty if the run failed; then `error` says why. `agent` is the pillar, or the `agent_type`, of
    the agent that answered. `events` are all events of the run in order, `calls` its tool calls in the order of their
    starts. `data` and `visualization` are those of the answer.
    """

    text: str
    status: RunStatus
    agent: str
    events: tuple[Event, ...] = field(repr=False)
    calls: tuple[CallRecord, ...]
    usage: Usage
    error: Error | None = None
    data: JsonObject | None = field(default=None, repr=False)
    visualization: JsonObject | None = field(default=None, repr=False)

    @property
    def output(self) -> Any:
        """The answer of an agent with an output type, as a JSON object; else None."""
        return (self.data or {}).get("output")

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of this type, such as `AgentThinking`."""
        return [event for event in self.events if isinstance(event, kind)]


@define
class AgentSession:
    """One user's conversation with agents. `say` sends a message, waits for its run and returns it."""

    identity: Identity
    _context: WebContext = field(repr=False)

    async def say(
        self,
        message: str,
        *,
        agent: str | None = None,
        thread_id: str = "test",
        files: Mapping[str, bytes] | None = None,
        approve: Approval | None = None,
        answers: Sequence[JsonObject | None] = (),
        timeout_s: float | None = None,
        **fields: Any,
    ) -> AgentRun:
        """Send a message to an agent, by default the session's first, and wait for the end of its run.

        `files` are attached, by name. `approve` decides about calls that wait for approval; a function may return the
        parameters with which a call is allowed. `answers` are the answers to the run's questions, in order; None
        declines. `fields` are other fields of the message, such as `context`.

        Raises:
            CommandRejected: The message was refused, for example by the content policy.
            NotAnswered: The run waits for an approval or an answer that was not given. It is left waiting.
            trio.TooSlowError: The run did not end within `timeout_s`, by default the longer of the agent's own and
                `RUN_S`; a note lists the events so far.
        """
        agents = self._context.agents
        addressed = agents[agent or next(iter(agents))]
        store = self._context.services.attachments(self.identity.user)
        saved = [await store.save(name, _media_type(name), body) for name, body in (files or {}).items()]
        say = SayCommand(
            message,
            thread_id,
            uuid.uuid4().hex,
            agent_type=addressed.agent_type,
            pillar=addressed.pillar,
            references=tuple(file.id for file in saved),
        )
        run = _RunReader(say.message_id or "", approve, list(answers))
        limit_s = max(addressed.timeout_s or 0.0, RUN_S) if timeout_s is None else timeout_s
        return await self._follow(thread_id, evolve(say, **fields), run, limit_s)

    async def continue_answer(
        self,
        run: AgentRun | str,
        *,
        thread_id: str = "test",
        approve: Approval | None = None,
        answers: Sequence[JsonObject | None] = (),
        timeout_s: float = RUN_S,
    ) -> AgentRun:
        """Continue an answer that was cut off, in another run, and wait for the end of that run.

        `run` may be its id. The arguments and errors are those of `say`; `CommandRejected` has the code
        `not_continuable` if the answer is whole.
        """
        run_id = run if isinstance(run, str) else run.of(MessageAccepted)[0].run_id
        reader = _RunReader("", approve, list(answers), continues=run_id)
        return await self._follow(thread_id, Continue(run_id), reader, timeout_s)

    async def cancel(self, run_id: str) -> None:
        """Stop a run."""
        await self._context.chat.stop(self.identity, run_id, limited=False)

    async def _follow(self, thread_id: str, start: Message, run: "_RunReader", timeout_s: float) -> AgentRun:
        chat, stream = self._context.chat, EnvelopeStream()
        try:
            with trio.fail_after(timeout_s):
                async for envelope in await chat.follow(self.identity, thread_id, stream, start, door="test"):
                    if (reply := run.take(envelope)) is not None:
                        await chat.answer(self.identity, reply)
                    if run.ended:
                        break
        except trio.TooSlowError as error:
            error.add_note(f"after {', '.join(event.type for event in run.events) or 'no event'}")
            raise
        finally:
            await stream.aclose()
        return run.result()


@define
class _RunReader:
    """Collects the events of the run that answers `message_id` or continues the run `continues`, and replies as its
    user."""

    message_id: str
    approve: Approval | None
    answers: list[JsonObject | None]
    continues: str | None = None
    run_id: str | None = None
    agent: str = ""
    events: list[Event] = field(factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], TERMINAL)

    def take(self, envelope: Envelope) -> Approve | Respond | None:
        """Add an event. Return the user's reply to it, or None. Raises NotAnswered."""
        if self.run_id is None and isinstance(envelope.event, MessageAccepted):
            answers_message = envelope.message_id == self.message_id
            is_run = answers_message if self.continues is None else envelope.event.continues == self.continues
            self.run_id = envelope.run_id if is_run else None
        if self.run_id is None or envelope.run_id != self.run_id:
            return None
        self.events.append(envelope.event)
        self.agent = envelope.pillar or envelope.agent_type or ""
        match envelope.event:
            case ApprovalRequired() as request:
                if self.approve is None:
                    raise NotAnswered(f"a call of {request.tool_name} waits for approval: give `approve` to `say`")
                verdict = self.approve if isinstance(self.approve, bool) else self.approve(request)
                changed = None if isinstance(verdict, bool) else verdict
                allowed = changed is not None or bool(verdict)
                return Approve(request.call_id, Decision.ALLOW if allowed else Decision.DENY, parameters=changed)
            case QuestionAsked() as question:
                if not self.answers:
                    raise NotAnswered(f"the question {question.title!r} has no answer: give `answers` to `say`")
                answer = self.answers.pop(0)
                return Respond(question.question_id, answer, decline=answer is None)
        return None

    def result(self) -> AgentRun:
        records: dict[str, CallRecord] = {}
        for event in self.events:
            match event:
                case ToolExecuting(call_id=call_id):
                    records[call_id] = CallRecord(event.tool_name, event.parameters)
                case ToolCompleted(call_id=call_id) if call_id in records:
                    records[call_id] = evolve(
                        records[call_id], status=event.status, result=event.result, summary=event.result_summary
                    )
        events, calls = tuple(self.events), tuple(records.values())
        match self.events[-1] if self.events else None:
            case FinalResponse() as final:
                return AgentRun(
                    final.message, final.status, self.agent, events, calls, final.usage,
                    data=final.data, visualization=final.visualization,
                )  # fmt: skip
            case Error() as error:
                return AgentRun("", RunStatus.FAILED, self.agent, events, calls, Usage(), error)
        raise RuntimeError("the server closed the connection before the run ended")


@asynccontextmanager
async def open_session(
    *agents: Agent,
    user: str = "tester",
    roles: Sequence[str] = (),
    groups: Sequence[str] = (),
    titles: bool = False,
    **settings: Any,
) -> AsyncIterator[AgentSession]:
    """Open a session of a user with these agents, on a temporary database; the first one is the default agent.

    `settings` are fields of `understudy.app.settings.Settings`. Without `builtin_agents` there are only `agents`;
    without `titles` no model is asked for a title.

    Raises:
        ValueError: The agents contradict each other, or a setting is wrong; the text says why.
    """
    identity = Identity(user, uuid.uuid4().hex, roles=tuple(roles), groups=tuple(groups))
    # Errors are ignored: a database thread whose reader was cancelled may close its file later, which makes a file.
    with tempfile.TemporaryDirectory(prefix="understudy-test-", ignore_cleanup_errors=True) as folder:
        options: dict[str, Any] = {
            "data_dir": Path(folder),
            "builtin_agents": [],
            "default_agent": agents[0].name if agents else "",
            "models_words_per_s": 100_000.0,
            "limits": LIMITS,
        }
        if not titles and (extensions := list(settings.get("extensions", ()))) != [NONE]:
            settings["extensions"] = [*extensions, "-titles"]  # else only slow tests would have the request of a title
        async with build_app(with_values(Settings(), **options | settings), agents) as app:
            yield AgentSession(identity, app.http_app.extensions["context"])


def _media_type(name: str) -> str:
    """Return the media type that a browser would give a file of this name."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def run_agent(
    agent: Agent,
    message: str,
    *,
    others: Sequence[Agent] = (),
    files: Mapping[str, bytes] | None = None,
    approve: Approval | None = None,
    answers: Sequence[JsonObject | None] = (),
    timeout_s: float | None = None,
    **options: Any,
) -> AgentRun:
    """Send one message to an agent, in a new session, and return its run.

    `others` are further agents, such as its colleagues. `options` are those of `open_session`. See `AgentSession.say`
    for the other parameters, and the errors that are raised.
    """
    async with open_session(agent, *others, **options) as session:
        return await session.say(message, files=files, approve=approve, answers=answers, timeout_s=timeout_s)
