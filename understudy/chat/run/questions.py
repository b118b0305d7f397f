"""Questions that a run asks its user, and the answers that come for them.

1. A question has one answer: the first that fits. An answer that does not fit is refused, and the question stays open.
   Answers are checked in order of arrival by the task that waits for one, as code of the tool's author takes part.
2. An answer is acknowledged only after it was committed, so an acknowledged answer survives a crash of the server.
3. The id of a question names its run, its call, and which question of the call it is. A call that is made again after a
   crash asks the same questions under the same ids, and is given the answers that the log has.
4. The values of secret fields are in no event. They are handed to the call that asked; if it is made again, it asks
   again.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, TypeAlias

import trio
from attrs import define, field, frozen

from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from transport.wire.events import Event
from understudy.chat.messages import AnswerQuestion
from understudy.storage.records import RunRecord
from understudy.storage.store import Store
from understudy.tools.errors import ToolError
from understudy.tools.form import describe_misfit, secret_fields
from understudy.tools.schema import Misfit
from understudy.wire.events import AnswerOutcome, QuestionAnswered, QuestionAsked
from understudy.wire.vocabulary import from_log

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Bytes of JSON of an answer; a larger one is refused."""
MAX_QUESTIONS: Final = 20
"""Questions of one tool call; the next one fails, so that a tool in a loop cannot flood its user."""

Check: TypeAlias = Callable[[JsonObject], Awaitable[object]]
"""Raises `Misfit` for an answer that does not fit, `ToolError` if it cannot be checked."""


def question_id(run_id: str, call_id: str, which: int | str) -> str:
    """Return the id of a question of a call: `which` counts those of its tool from 1, or names one of the server's."""
    return f"{run_id}.{call_id}.{which}"


def run_of_question(question_id: str) -> str:
    """Return the id of the run that asked a question."""
    return question_id.partition(".")[0]


@frozen
class LoggedQuestion:
    """A question in the log of a run, and its answer if it has one."""

    asked: QuestionAsked
    answered: QuestionAnswered | None = None


@define(eq=False)
class OpenQuestion:
    """A question that waits for its user's answer. `reply` is None until it was answered, declined or has expired.

    `given` is the answer with the values of the fields `secrets`, which the reply is without. `stored`: the reply was
    committed. `asks` are the requests that it acknowledges; `pending` those that are not checked yet.
    """

    question_id: str
    check: Check
    secrets: Collection[str] = ()
    reply: QuestionAnswered | None = field(default=None, init=False)
    given: JsonObject | None = field(default=None, init=False, repr=False)
    stored: bool = field(default=False, init=False, repr=False)
    asks: list[AnswerQuestion] = field(factory=list, init=False, repr=False)
    pending: deque[AnswerQuestion] = field(factory=deque, init=False, repr=False)
    _news: trio.Event = field(factory=trio.Event, init=False, repr=False)

    def accept(self, ask: AnswerQuestion) -> None:
        """Accept an answer, which counts if it is the first that fits; else it is refused, unless it is the same.

        The request is answered by `confirm_stored`.
        """
        if self.reply is None:
            self.pending.append(ask)
            self._news.set()
        elif self.reply.outcome is AnswerOutcome.EXPIRED or ask.answer != self.given:
            ask.reply(False)
        elif self.stored:
            ask.reply(True)
        else:
            self.asks.append(ask)

    def confirm_stored(self) -> None:
        """Acknowledge the answer: it was committed."""
        self.stored = True
        for ask in self.asks:
            ask.reply(True)

    def fail_stored(self, error: Exception) -> None:
        """Fail the requests: the answer could not be committed."""
        for ask in self.asks:
            ask.fail(error)

    async def wait(self, deadline: float) -> QuestionAnswered:
        """Wait for the answer until `deadline` (trio's clock); then the question has expired."""
        reply = None
        with trio.move_on_at(deadline):
            while (reply := await self._next_reply()) is None:
                await self._news.wait()
        self.reply = reply or QuestionAnswered(self.question_id, AnswerOutcome.EXPIRED)
        while self.pending:
            self.accept(self.pending.popleft())
        return self.reply

    async def _next_reply(self) -> QuestionAnswered | None:
        """Return the reply with the first answer that fits; None if none does."""
        while self.pending:
            ask = self.pending[0]
            if ask.answer is None:
                return QuestionAnswered(self.question_id, AnswerOutcome.DECLINED, None, ask.by, ask.door)
            try:
                await self.check(ask.answer)
            except Misfit as misfit:
                ask.fail(CommandRejected("invalid_command", describe_misfit(misfit)))
            except ToolError as error:
                ask.fail(CommandRejected("busy", error.message))
            else:
                self.given = ask.answer
                shown = {name: value for name, value in ask.answer.items() if name not in self.secrets}
                withheld = sorted(ask.answer.keys() - shown.keys()) or None
                return QuestionAnswered(self.question_id, AnswerOutcome.ANSWERED, shown, ask.by, ask.door, withheld)
            self.pending.popleft()
        self._news = trio.Event()
        return None


@define(eq=False)
class Questions:
    """The questions of one run. `logged` are those of its log, by id.

    `early` are answers that came before the question was asked again. `unsure` are the questions in `logged` whose last
    event may be in the log or not, as their call was killed while it was sent.
    """

    logged: dict[str, LoggedQuestion] = field(factory=dict, repr=False)
    unsure: set[str] = field(factory=set, init=False)
    open: dict[str, OpenQuestion] = field(factory=dict, init=False)
    early: dict[str, list[AnswerQuestion]] = field(factory=dict, init=False, repr=False)

    def accept(self, ask: AnswerQuestion) -> None:
        """Accept an answer, now or when its question is asked again."""
        if (question := self.open.get(ask.question_id)) is not None:
            question.accept(ask)
        else:
            self.early.setdefault(ask.question_id, []).append(ask)

    def ask(self, question_id: str, check: Check, secrets: Collection[str] = ()) -> OpenQuestion:
        """Open a question with these secret fields. Answers that came early are accepted first."""
        question = self.open[question_id] = OpenQuestion(question_id, check, secrets)
        for ask in self.early.pop(question_id, ()):
            question.accept(ask)
        return question

    def abandon(self, question: OpenQuestion) -> None:
        """Close a question that is no longer waited for; what was said to it counts if it is asked again."""
        if not question.stored:
            self.open.pop(question.question_id, None)
            self.early.setdefault(question.question_id, []).extend([*question.asks, *question.pending])

    def confirm_early(self, reply: QuestionAnswered) -> None:
        """Acknowledge the answers that came early and are the one in the log; refuse the others."""
        for ask in self.early.pop(reply.question_id, ()):
            ask.reply(reply.outcome is not AnswerOutcome.EXPIRED and ask.answer == reply.answer)

    def forget(self, call_id: str) -> None:
        """Refuse the answers to questions that the call, which has ended, did not ask again."""
        for name in [name for name in self.early if name.split(".")[1:2] == [call_id]]:
            for ask in self.early.pop(name):
                ask.reply(False)


def calls_that_ask(questions: Mapping[str, LoggedQuestion]) -> set[str]:
    """Return the calls whose tools wait for the answer to the first question that they asked.

    Tools ask before they act: such a call has had no effect. After an answer it may have.
    """
    by_tools = [each for each in questions.values() if each.asked.asked_by != "server" and each.asked.call_id]
    waiting = {str(each.asked.call_id) for each in by_tools if each.answered is None}
    return waiting - {str(each.asked.call_id) for each in by_tools if each.answered is not None}


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


def collect_questions(events: Iterable[Event]) -> dict[str, LoggedQuestion]:
    """Return the questions of a run's events, by id."""
    found: dict[str, LoggedQuestion] = {}
    for event in events:
        match event:
            case QuestionAsked(question_id=name):
                found[name] = LoggedQuestion(event)
            case QuestionAnswered(question_id=name) if name in found:
                found[name] = LoggedQuestion(found[name].asked, event)
    return found
