"""Questions of a run to its user: consent to a call, forms of tools, the client's tools, sign-in, doubts to settle.

1. A question has one reply: the first that fits. One that does not fit is refused, and the question stays open. Replies
   are checked in order of arrival by the task that waits for one, as code of the tool's author takes part. If none
   comes in time, the question has expired.
2. A reply is acknowledged only after it was committed, so an acknowledged reply survives a crash of the server.
3. The id of a question names its run, its call, and which question of the call it is; consent to a call has the id of
   the call. A call that is made again after a crash asks the same questions under the same ids, and is given the
   answers that the log has.
4. The values of secret fields are in no event. They are handed to the call that asked; if it is made again, it asks
   again.
5. The arguments that a user is shown are the arguments that run: they are copied once, shown whole, and given to the
   tool from that copy. A call whose arguments are too large to be shown whole fails without asking. The user may change
   them: then what runs is what the user wrote, checked against the tool, and the log has it.
6. While every call of a run waits for its user, the run's deadline is suspended.
"""

import functools
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import trio
from attrs import define, evolve, field

from actors import Context
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from understudy.chat.messages import AnswerQuestion, Decide
from understudy.chat.run.client_tools import CLIENT, ClientWait
from understudy.chat.run.deadline import PausableDeadline, suspend_deadlines
from understudy.chat.run_state.records import QuestionRecord
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import RunRecord
from understudy.storage.store import Store
from understudy.tools.errors import QuestionDeclined, QuestionExpired, ToolError
from understudy.tools.form import Question, describe_misfit, secret_fields
from understudy.tools.schema import Misfit
from understudy.tools.threads import tool_threads
from understudy.tools.tool import Tool
from understudy.wire.codes import ERRORS
from understudy.wire.events import (
    AnswerOutcome,
    ApprovalDecided,
    ApprovalDecision,
    ApprovalRequired,
    QuestionAnswered,
    QuestionAsked,
)
from understudy.wire.vocabulary import from_log

if TYPE_CHECKING:
    from understudy.chat.run.executor import ToolExecutor

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Bytes of JSON of an answer; a larger one is refused."""
MAX_ARGUMENT_BYTES: Final = 64 * 1024
"""Bytes of JSON of the arguments that a user is shown, in every open tab; a call with more fails."""
MAX_NOTE: Final = 1000
"""Characters of the note with a decision; a longer one is refused."""
MAX_QUESTIONS: Final = 20
"""Questions of one tool call; the next one fails, so that a tool in a loop cannot flood its user."""
CHECK_S: Final = 5.0
"""Seconds for the check of an answer: as long as the command that brought it waits."""
AWAITING_APPROVAL: Final = "Waiting for your consent to"
AWAITING_ANSWER: Final = "Waiting for your answer:"

Reply: TypeAlias = Decide | AnswerQuestion
Outcome: TypeAlias = ApprovalDecided | QuestionAnswered
"""The event that ends a question."""
Check: TypeAlias = Callable[[JsonObject], Awaitable[object]]
"""Raises `Misfit` for an answer that does not fit, `ToolError` if it cannot be checked."""


def question_id(run_id: str, call_id: str, which: int | str) -> str:
    """Return the id of a question of a call: `which` counts those of its tool from 1, or names one of the server's."""
    return f"{run_id}.{call_id}.{which}"


def client_question_id(run_id: str, call_id: str) -> str:
    """Return the id of the question whose answer is the result of a client's tool."""
    return question_id(run_id, call_id, 1)


def run_of_question(question_id: str) -> str:
    """Return the id of the run that asked a question."""
    return question_id.partition(".")[0]


@define(eq=False)
class OpenQuestion:
    """A question that waits for its user. `outcome` is None until a reply that fits is `taken`, or it has expired.

    `read` checks a reply and returns the outcome that it means; it raises `CommandRejected` for one that does not fit.
    `expired` is the outcome without a reply. `pending` are the replies that are not checked yet, `unacknowledged` those
    that say what was taken, until the outcome is `stored`: committed.
    """

    name: str
    title: str
    read: Callable[[Any], Awaitable[Outcome]]
    expired: Outcome
    outcome: Outcome | None = field(default=None, init=False)
    taken: Reply | None = field(default=None, init=False, repr=False)
    stored: bool = field(default=False, init=False, repr=False)
    unacknowledged: list[Reply] = field(factory=list, init=False, repr=False)
    pending: deque[Reply] = field(factory=deque, init=False, repr=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)

    def accept(self, reply: Reply) -> None:
        """Accept a reply: it is taken if it is the first that fits, and refused after that, unless it says the same.

        Its sender is answered when the outcome is stored.
        """
        if self.outcome is None:
            self.pending.append(reply)
            self._news.set()
        elif self.taken is None or _words(reply) != _words(self.taken):
            reply.reply(False)
        elif self.stored:
            reply.reply(True)
        else:
            self.unacknowledged.append(reply)

    def confirm_stored(self) -> None:
        """Acknowledge the reply: the outcome was committed."""
        self.stored = True
        for reply in self.unacknowledged:
            reply.reply(True)

    def fail_stored(self, error: Exception) -> None:
        """Fail the replies that are not acknowledged: the outcome could not be committed."""
        for reply in self.unacknowledged:
            reply.fail(error)

    async def wait(self, deadline: float) -> Outcome:
        """Wait for the outcome until `deadline` (trio's clock); then the question has expired."""
        outcome = None
        with trio.move_on_at(deadline):
            while (outcome := await self._next_outcome()) is None:
                await self._news.wait()
        self.outcome = outcome or self.expired
        while self.pending:
            self.accept(self.pending.popleft())
        return self.outcome

    async def _next_outcome(self) -> Outcome | None:
        """Return the outcome of the first reply that fits; None if none does."""
        while self.pending:
            reply = self.pending[0]
            try:
                outcome = await self.read(reply)
            except CommandRejected as refused:
                reply.fail(refused)
                self.pending.popleft()
            else:
                self.taken = reply
                return outcome
        self._news = trio.Event()
        return None


def _words(reply: Reply) -> object:
    """Return what a reply says: one that says the same again is no second reply."""
    return (reply.decision, reply.parameters) if isinstance(reply, Decide) else reply.answer


def consent_question(tool: Tool, required: ApprovalRequired, owner: str) -> OpenQuestion:
    """Return the question whether the user `owner` allows a call."""
    call_id = required.call_id

    async def read(reply: Decide) -> ApprovalDecided:
        if (changed := reply.parameters) is not None:
            try:
                copy_arguments(changed)
                await tool.check_aside(changed, owner)
            except ToolError as error:
                raise CommandRejected("invalid_command", error.message) from None
        note, remember = reply.note or None, reply.remember or None
        return ApprovalDecided(call_id, reply.decision, note, changed, remember, reply.by, reply.door)

    return OpenQuestion(call_id, required.tool_name, read, ApprovalDecided(call_id, ApprovalDecision.EXPIRED))


def form_question(name: str, question: Question, check: Check) -> OpenQuestion:
    """Return the question of a form. Its outcome is without the values of the secret fields."""
    secrets = secret_fields(question.schema)

    async def read(reply: AnswerQuestion) -> QuestionAnswered:
        if reply.answer is None:
            return QuestionAnswered(name, AnswerOutcome.DECLINED, None, reply.by, reply.door)
        try:
            await check(reply.answer)
        except Misfit as misfit:
            raise CommandRejected("invalid_command", describe_misfit(misfit)) from None
        except ToolError as error:
            raise CommandRejected("busy", error.message) from None
        visible = {key: value for key, value in reply.answer.items() if key not in secrets}
        withheld = sorted(reply.answer.keys() - visible.keys()) or None
        return QuestionAnswered(name, AnswerOutcome.ANSWERED, visible, reply.by, reply.door, withheld)

    return OpenQuestion(name, question.title, read, QuestionAnswered(name, AnswerOutcome.EXPIRED))


@define(eq=False)
class Questions:
    """The questions of one run, and the calls that may ask them.

    By the id of the question: `logged` are those that the log has, `open` those that wait, `early` the replies that
    came before their question was asked again. `calls` are the calls that have not ended, by their id, also those of
    subagents, and hand-written agents that have asked.
    """

    deadline: PausableDeadline
    logged: dict[str, QuestionRecord] = field(factory=dict, repr=False)
    open: dict[str, OpenQuestion] = field(factory=dict, init=False)
    early: dict[str, list[Reply]] = field(factory=dict, init=False, repr=False)
    calls: "dict[str, Asker]" = field(factory=dict, init=False, repr=False)

    def accept(self, reply: Reply) -> None:
        """Accept a reply, now or when its question is asked again."""
        name = reply.call_id if isinstance(reply, Decide) else reply.question_id
        if (question := self.open.get(name)) is not None:
            question.accept(reply)
        else:
            self.early.setdefault(name, []).append(reply)

    def begin(self, question: OpenQuestion) -> None:
        """Open a question. Replies that came early are accepted first."""
        self.open[question.name] = question
        for reply in self.early.pop(question.name, ()):
            question.accept(reply)

    def abandon(self, question: OpenQuestion) -> None:
        """Close a question, unless it is stored: nothing waits for it, and its replies count when it is asked again."""
        if not question.stored:
            self.open.pop(question.name, None)
            self.early.setdefault(question.name, []).extend([*question.unacknowledged, *question.pending])

    def confirm_early(self, outcome: QuestionAnswered) -> None:
        """Acknowledge the answers that came early and are the one in the log; refuse the others."""
        for reply in self.early.pop(outcome.question_id, ()):
            reply.reply(outcome.outcome is not AnswerOutcome.EXPIRED and _words(reply) == outcome.answer)

    def forget(self, call_id: str) -> None:
        """Drop a call that has ended, and refuse the replies to questions that it did not ask again."""
        self.calls.pop(call_id, None)
        ids = [name for name in self.early if name == call_id or name.split(".")[1:2] == [call_id]]  # see `question_id`
        for reply in (reply for name in ids for reply in self.early.pop(name)):
            reply.reply(False)

    def consents(self) -> list[OpenQuestion]:
        """Return the questions about consent that calls wait for."""
        return [question for question in self._asked() if isinstance(question.expired, ApprovalDecided)]

    def note(self) -> str:
        """Return a line about the permit or reply that the run waits for; empty if it does not wait."""
        if note := self.deadline.waiting_note:
            return note
        if names := [question.title for question in self.consents() if question.outcome is None]:
            return f"{AWAITING_APPROVAL} {', '.join(names)}"
        titles = [question.title for question in self._asked() if isinstance(question.expired, QuestionAnswered)]
        return f"{AWAITING_ANSWER} {titles[0]}" if titles else ""

    def _asked(self) -> list[OpenQuestion]:
        return [call.waits_for for call in self.calls.values() if call.waits_for is not None]

    def pause_if_all_wait(self) -> None:
        """Suspend the run's deadline if calls wait for the user, and no other call works."""
        if self._asked() and all(call.rests or call.waits_for is not None for call in self.calls.values()):
            self.deadline.pause()

    @contextmanager
    def resting(self) -> Generator[None]:
        """Count the calls that work now as resting within the block: their agent waits for its user."""
        working = [call for call in self.calls.values() if not call.rests]
        for call in working:
            call.rests = True
        try:
            yield
        finally:
            for call in working:
                call.rests = False


@define(eq=False)
class Asker:
    """What may ask the user: a call of `executor`, or a hand-written agent, which asks under its own id.

    `waits_for` is the question that it asks now. It `rests` while it does nothing itself: another call has its turn, or
    its subagent makes calls. `waited_s` is how long it has waited for the user; its time `limits` are suspended then.
    `count` is how many questions its tool has asked. `unanswered` is the sentence with which the server told the tool
    that the user did not answer.
    """

    executor: "ToolExecutor"
    context: Context
    call_id: str
    agent_id: str
    name: str
    rests: bool = False
    waits_for: OpenQuestion | None = field(default=None, init=False)
    waited_s: float = field(default=0.0, init=False)
    count: int = field(default=0, init=False)
    limits: list[trio.CancelScope] = field(factory=list, init=False, repr=False)
    unanswered: str = field(default="", init=False)
    _one_at_a_time: trio.Lock | None = field(default=None, init=False, repr=False)

    async def ask(
        self,
        question: Question,
        check: Callable[[Mapping[str, Any]], object],
        wait: ClientWait | None = None,
        which: str = "",
    ) -> Mapping[str, Any]:
        """Ask a question of a running tool, whose time limits are suspended meanwhile. Return the answer.

        `wait` is given for a tool of the client's. `which` names the question, if it is not known by its number.
        `check` is code of the tool's author: it runs in a worker thread.

        Raises:
            QuestionDeclined, QuestionExpired: There is no answer.
            ToolError: The question could not be stored, is blocked, or is one too many.
        """
        executor, label = self.executor, f"form of {self.name}"

        async def check_aside(answer: Mapping[str, Any]) -> None:
            await tool_threads().run(functools.partial(check, answer), executor.request.owner, label, CHECK_S)

        self._one_at_a_time = self._one_at_a_time or trio.Lock()
        async with self._one_at_a_time:
            self.count += 1
            if self.count > MAX_QUESTIONS:
                raise ToolError("tool_failed", f"A tool may ask {MAX_QUESTIONS} questions in one call.")
            content_filter = executor.services.content_filter
            clean = await content_filter.filter_value([question.title, question.text], content_filter.tool)
            if clean.blocked:
                raise ToolError("content_blocked", content_filter.blocked_error("Not asked", clean.texts).message)
            question = evolve(question, title=clean.value[0], text=clean.value[1])
            name = question_id(executor.request.run_id, self.call_id, which or self.count)
            with suspend_deadlines(self.limits):
                try:
                    asked_by = "tool" if wait is None else CLIENT
                    reply = await self.ask_as(asked_by, name, question, check_aside, wait)
                except StorageUnavailable:
                    raise ToolError("storage_unavailable", ERRORS["storage_unavailable"].text) from None
        if reply.answer is not None:
            return reply.answer
        declined = reply.outcome is AnswerOutcome.DECLINED
        sentence = f"The user {'declined to answer' if declined else 'did not answer in time'}: {question.title}"
        if not clean.findings:  # in the title, which is the tool's; the rest is the server's own
            self.unanswered = sentence
        raise (QuestionDeclined if declined else QuestionExpired)("forbidden", sentence)

    async def ask_as(
        self, asked_by: str, name: str, question: Question, check: Check, wait: ClientWait | None = None
    ) -> QuestionAnswered:
        """Ask the user a question under the id `name`. Return the answer, which the log may have already.

        An answer with secret fields is not in the log whole: then the question is asked again, under another id.
        `asked_by` is `tool`, `server` or `client`, which comes with a `wait`. Another call has the slot meanwhile.

        Raises:
            StorageUnavailable: The question or its answer could not be recorded.
            ToolError: `tool_failed`: the log has another question under that id.
        """
        executor, questions, request = self.executor, self.executor.questions, self.executor.request
        began, services = executor.services.clock(), executor.services
        # A client's program answers at once, or not any more.
        present = wait is not None or bool(services.presence.outboxes(request.owner, request.thread_id))
        while (logged := await self._logged(name)) and logged.answered and logged.answered.withheld:
            name = f"{name}.again"
        if logged is not None and logged.asked.schema != question.schema:
            raise ToolError("tool_failed", "The tool asks something else than before the server restarted.")
        if logged is not None and logged.answered is not None:
            questions.confirm_early(logged.answered)
            return logged.answered
        event = QuestionAsked(
            question_id=name,
            agent_id=self.agent_id,
            title=question.title,
            schema=question.schema,
            expires_at=began + services.patience.wait_s(request.owner, present=present),
            asked_by=asked_by,
            call_id=None if self.call_id == self.agent_id else self.call_id,
            text=question.text or None,
            choices=question.choices or None,
            calls=None if wait is None else wait.calls,
            said=None if wait is None else wait.said,
            usage=None if wait is None else wait.usage,
            sign_in=question.sign_in,
        )
        event = event if logged is None else logged.asked
        questions.logged[name] = QuestionRecord(event)  # a call that is made again asks under the same id
        waiting = form_question(name, evolve(question, title=event.title), check)

        async def begin() -> None:
            if logged is None:
                await executor.log.record(event)

        async def store(outcome: QuestionAnswered) -> None:
            await executor.log.record(outcome)
            questions.logged[name] = QuestionRecord(event, "answered", outcome)

        executor.slots.release()  # other calls run while this one waits for its user
        try:
            reply: QuestionAnswered = await self.wait_for(waiting, event.expires_at, begin, store)
        finally:
            with trio.CancelScope(shield=True):  # the slot of this call, which its caller releases
                await executor.slots.acquire()
            self.waited_s += max(0.0, services.clock() - began)
        return evolve(reply, answer=waiting.taken.answer) if isinstance(waiting.taken, AnswerQuestion) else reply

    async def wait_for(
        self,
        question: OpenQuestion,
        expires_at: float,
        begin: Callable[[], Awaitable[None]],
        store: Callable[[Any], Awaitable[None]],
    ) -> Any:
        """Wait for the outcome of a question that expires at `expires_at` (Unix seconds). Return it once it is stored.

        `begin` commits the question, unless the log has it, and `store` the outcome. Raises `StorageUnavailable`.
        """
        executor, questions = self.executor, self.executor.questions
        patience, owner = executor.services.patience, executor.request.owner
        left_s = min(max(0.0, expires_at - executor.services.clock()), patience.longest_s())
        deadline = trio.current_time() + left_s
        questions.calls.setdefault(self.call_id, self)
        questions.begin(question)
        self.waits_for = question
        patience.begin(owner, left_s)
        try:
            await begin()
            questions.pause_if_all_wait()
            outcome = await question.wait(deadline)
            try:
                await store(outcome)
            except StorageUnavailable as error:
                question.fail_stored(error)
                raise
            question.confirm_stored()
            await questions.deadline.resume(self.context.ref)
        finally:
            patience.end(owner, left_s)
            questions.abandon(question)
            self.waits_for = None
        return outcome

    async def _logged(self, name: str) -> QuestionRecord | None:
        """Return the question `name` if it is in the log, with its answer if the log has one. The log decides: a call
        may have been killed while its question or its answer was on the way there."""
        if name not in self.executor.questions.logged:
            return None
        return (await self.executor.log.read_state()).questions.get(name)


def copy_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a call's arguments by way of JSON, to be shown and to run.

    Raises:
        ToolError: `invalid_arguments`: they are not JSON, or too large to be shown whole.
    """
    try:
        encoded = msgspec.json.encode(arguments)
    except (TypeError, ValueError, RecursionError):
        raise ToolError("invalid_arguments", "The arguments are not plain JSON.") from None
    if len(encoded) > MAX_ARGUMENT_BYTES:
        raise ToolError(
            "invalid_arguments",
            f"This needs the user's consent, and more than {MAX_ARGUMENT_BYTES:,} bytes cannot be shown for it.",
        )
    copy: dict[str, Any] = msgspec.json.decode(encoded)
    return copy


def check_note(note: str) -> str:
    """Return the note of a decision if it can be stored.

    Raises:
        CommandRejected: `invalid_command`: it is too long, or cannot be encoded as UTF-8.
    """
    if len(note) > MAX_NOTE:
        raise CommandRejected("invalid_command", f"A note has at most {MAX_NOTE:,} characters.")
    try:
        note.encode()
    except UnicodeEncodeError:
        raise CommandRejected("invalid_command", "That text cannot be stored.") from None
    return note


async def needs_approval(tool: Tool, arguments: Mapping[str, Any], owner: str) -> bool:
    """Return whether a call needs its user's approval. The tool's own `approval` is given a copy of the arguments.

    Raises:
        ToolError: `invalid_arguments`: they do not fit the tool, or cannot be shown whole; see `Tool.check_aside`.
        Exception: Raised by the tool's own `approval`.
    """
    if tool.approval is False:
        return False
    await tool.check_aside(arguments, owner)
    return await tool.needs_approval(copy_arguments(arguments), owner)


async def read_secret_fields(store: Store, run: RunRecord, question_id: str) -> frozenset[str]:
    """Return the names of the secret fields of a question of a run.

    Raises:
        UnreadableEvent: An event in the log is damaged.
    """
    for row in await store.run_events(run.owner, run.thread_id, run.id):
        if row.type == QuestionAsked.type:
            event = from_log(row.body).event
            if isinstance(event, QuestionAsked) and event.question_id == question_id:
                return secret_fields(event.schema)
    return frozenset()
