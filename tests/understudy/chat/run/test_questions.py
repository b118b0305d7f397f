"""Questions: the first answer that fits counts, and it is acknowledged once stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from actors import Actor, ActorSystem, ChildSpec, Context
from transport.wire.errors import CommandRejected
from understudy.chat.messages import AnswerQuestion
from understudy.chat.run.questions import LoggedQuestion, Questions, collect_questions, question_id, run_of_question
from understudy.storage.errors import StorageUnavailable
from understudy.tools.schema import Misfit
from understudy.wire.events import AnswerOutcome, QuestionAnswered, QuestionAsked

NAME = question_id("run", "call", 1)
SIX = {"count": 6}


class Forwarder(Actor):
    def __init__(self, questions: Questions) -> None:
        self.questions = questions

    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, AnswerQuestion)
        self.questions.accept(message)


async def check(answer: Any) -> None:
    """Accept counts up to 6, after a while."""
    await trio.sleep(0.1)
    if answer["count"] > 6:
        raise Misfit(".count", "it must be at most 6")


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[Questions, Callable[[Any], Awaitable[None]], list[object]]]:
    """Yield questions, a function that answers one, and the (answer, reply) pairs in order of the replies."""
    questions, replies = Questions(), list[object]()
    async with (
        ActorSystem("s", [ChildSpec("asked", lambda: Forwarder(questions))]) as system,
        trio.open_nursery() as nursery,
    ):
        (ref,) = system.root.children()

        async def send(answer: Any) -> None:
            try:
                replies.append((answer, await ref.ask(AnswerQuestion(NAME, answer, "ada", "socket"))))
            except (CommandRejected, StorageUnavailable) as error:
                replies.append((answer, str(error)))

        async def give(answer: Any) -> None:
            nursery.start_soon(send, answer)
            await trio.testing.wait_all_tasks_blocked()

        yield questions, give, replies
        nursery.cancel_scope.cancel()


async def test_the_first_answer_that_fits_counts(autojump_clock: trio.testing.MockClock) -> None:
    async with answering() as (questions, give, replies):
        question = questions.ask(NAME, check)
        for each in ({"count": 7}, SIX, {"count": 5}, SIX):
            await give(each)
        assert not replies
        reply = await question.wait(trio.current_time() + 1)
        await trio.testing.wait_all_tasks_blocked()
        assert replies[0] == ({"count": 7}, "The field `count` is wrong: it must be at most 6.")
        assert replies[1:] == [({"count": 5}, False)]
        assert reply == QuestionAnswered(NAME, AnswerOutcome.ANSWERED, SIX, "ada", "socket")
        question.confirm_stored()
        await give(None)
        assert replies[2:] == [(SIX, True), (SIX, True), (None, False)]


async def test_the_values_of_secret_fields_are_in_no_event(autojump_clock: trio.testing.MockClock) -> None:
    async with answering() as (questions, give, replies):
        question = questions.ask(NAME, check, {"pin"})
        whole = {"count": 6, "pin": "1234"}
        await give(whole)
        reply = await question.wait(trio.current_time() + 1)
        assert reply == QuestionAnswered(NAME, AnswerOutcome.ANSWERED, SIX, "ada", "socket", ["pin"])
        assert question.given == whole
        question.confirm_stored()
        await give({"count": 6, "pin": "4321"})
        assert replies == [(whole, True), ({"count": 6, "pin": "4321"}, False)]


async def test_an_answer_that_came_early_is_taken_when_the_question_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with answering() as (questions, give, replies):
        await give({"count": 7})
        await give(None)
        question = questions.ask(NAME, check)
        assert (await question.wait(trio.current_time() + 1)).outcome is AnswerOutcome.DECLINED
        await trio.testing.wait_all_tasks_blocked()
        question.fail_stored(StorageUnavailable("it is away"))
        await trio.testing.wait_all_tasks_blocked()
        assert [answer for answer, _ in replies] == [{"count": 7}, None]  # type: ignore[misc]
        assert "it is away" in replies[1][1]  # type: ignore[index]


async def test_answers_to_what_is_not_asked_again_are_refused_with_the_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with answering() as (questions, give, replies):
        await give(SIX)
        questions.forget("another")
        assert not replies
        questions.forget("call")
        await trio.testing.wait_all_tasks_blocked()
        assert replies == [(SIX, False)]


async def test_a_question_expires(autojump_clock: trio.testing.MockClock) -> None:
    async with answering() as (questions, give, replies):
        question, began = questions.ask(NAME, check), trio.current_time()
        assert (await question.wait(began + 300)).outcome is AnswerOutcome.EXPIRED
        assert trio.current_time() - began == 300
        await give(SIX)
        assert replies == [(SIX, False)]


def test_questions_and_answers_are_read_from_the_log() -> None:
    first = QuestionAsked(NAME, "a-1", "Count?", {}, 5.0, "tool")
    second = QuestionAsked(question_id("run", "call", 2), "a-1", "More?", {}, 5.0, "tool")
    given = QuestionAnswered(NAME, AnswerOutcome.ANSWERED, SIX)
    assert collect_questions([first, given, second]) == {
        NAME: LoggedQuestion(first, given),
        second.question_id: LoggedQuestion(second),
    }
    assert run_of_question(NAME) == "run"
