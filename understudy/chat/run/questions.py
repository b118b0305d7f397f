"""Questions that a run asks its user, and the answers that come for them.

1. A question has one answer: the first that fits. An answer that does not fit is refused, and the question stays open.
2. An answer is acknowledged only after it was committed, so an acknowledged answer survives a crash of the server.
3. The id of a question names its run, its call, and which question of the call it is. A call that is made again after a
   crash asks the same questions under the same ids, and is given the answers that the log has.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import trio
from attrs import define, field, frozen

from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected
from transport.wire.events import AnswerOutcome, Event, QuestionAnswered, QuestionAsked
from understudy.chat.messages import AnswerQuestion
from understudy.tools.form import describe_misfit
from understudy.tools.schema import Misfit

MAX_ANSWER_BYTES: Final = 64 * 1024
"""Bytes of JSON of an answer; a larger one is refused."""
MAX_QUESTIONS: Final = 20
"""Questions of one tool call; the next one fails, so that a tool in a loop cannot flood its user."""

Check: TypeAlias = Callable[[JsonObject], object]
"""Raises `Misfit` for an answer that does not fit."""


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

    `stored`: the reply was committed. `asks` are the requests that it acknowledges.
    """

    question_id: str
    check: Check
    reply: QuestionAnswered | None = field(default=None, init=False)
    _replied: trio.Event = field(factory=trio.Event, init=False, repr=False)
    stored: bool = field(default=False, init=False, repr=False)
    asks: list[AnswerQuestion] = field(factory=list, init=False, repr=False)

    def accept(self, ask: AnswerQuestion) -> None:
        """Accept the first answer that fits; `confirm_stored` answers the request. Refuse a different one."""
        if self.reply is None:
            if ask.answer is not None:
                try:
                    self.check(ask.answer)
                except Misfit as misfit:
                    ask.fail(CommandRejected("invalid_command", describe_misfit(misfit)))
                    return
            outcome = AnswerOutcome.DECLINED if ask.answer is None else AnswerOutcome.ANSWERED
            self._set_reply(QuestionAnswered(self.question_id, outcome, ask.answer, ask.by, ask.door))
        reply = self.reply
        if reply is None or reply.outcome is AnswerOutcome.EXPIRED or ask.answer != reply.answer:
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
        with trio.move_on_at(deadline):
            await self._replied.wait()
        if self.reply is None:
            self._set_reply(QuestionAnswered(self.question_id, AnswerOutcome.EXPIRED))
        assert self.reply is not None  # noqa: S101 - for the type checker: just set
        return self.reply

    def _set_reply(self, reply: QuestionAnswered) -> None:
        self.reply = reply
        self._replied.set()


@define(eq=False)
class Questions:
    """The questions of one run. `logged` are those of its log, by id.

    `early` are answers that came before the question was asked again.
    """

    logged: dict[str, LoggedQuestion] = field(factory=dict, repr=False)
    open: dict[str, OpenQuestion] = field(factory=dict, init=False)
    early: dict[str, list[AnswerQuestion]] = field(factory=dict, init=False, repr=False)

    def accept(self, ask: AnswerQuestion) -> None:
        """Accept an answer, now or when its question is asked again."""
        if (question := self.open.get(ask.question_id)) is not None:
            question.accept(ask)
        else:
            self.early.setdefault(ask.question_id, []).append(ask)

    def ask(self, question_id: str, check: Check) -> OpenQuestion:
        """Open a question. Answers that came early are accepted first."""
        question = self.open[question_id] = OpenQuestion(question_id, check)
        for ask in self.early.pop(question_id, ()):
            question.accept(ask)
        return question

    def abandon(self, question: OpenQuestion) -> None:
        """Close a question that is no longer waited for; what was said to it counts if it is asked again."""
        if not question.stored:
            self.open.pop(question.question_id, None)
            self.early.setdefault(question.question_id, []).extend(question.asks)

    def forget(self, call_id: str) -> None:
        """Refuse the answers to questions that the call, which has ended, did not ask again."""
        for name in [name for name in self.early if name.split(".")[1:2] == [call_id]]:
            for ask in self.early.pop(name):
                ask.reply(False)


def calls_that_ask(questions: Mapping[str, LoggedQuestion]) -> set[str]:
    """Return the calls whose tools wait for the answer to the first question that they asked.

    Tools ask before they act: such a call has had no effect. After an answer it may have.
    """
    by_tools = [each for each in questions.values() if each.asked.asked_by == "tool" and each.asked.call_id]
    waiting = {str(each.asked.call_id) for each in by_tools if each.answered is None}
    return waiting - {str(each.asked.call_id) for each in by_tools if each.answered is not None}


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
