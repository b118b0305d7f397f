"""Questions: the first reply that fits counts, and it is acknowledged once stored. Consent shows what runs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors import Actor, ActorSystem, ChildSpec, Context
from transport.wire.errors import CommandRejected
from understudy.chat.messages import AnswerQuestion, Decide
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run.questions import (
    MAX_ARGUMENT_BYTES,
    OpenQuestion,
    Questions,
    check_note,
    consent_question,
    copy_arguments,
    form_question,
    needs_approval,
    question_id,
)  # fmt: skip
from understudy.chat.run_limiter import RunLimiter
from understudy.storage.errors import StorageUnavailable
from understudy.tools.errors import ToolError
from understudy.tools.form import Question
from understudy.tools.schema import Misfit
from understudy.tools.tool import Tool, tool
from understudy.wire.events import AnswerOutcome, ApprovalDecided, ApprovalDecision, ApprovalRequired, QuestionAnswered

NAME = question_id("run", "call", 1)
SIX = {"count": 6}
ALLOW, DENY, EXPIRED = ApprovalDecision


class Forwarder(Actor):
    def __init__(self, questions: Questions) -> None:
        self.questions = questions

    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, Decide | AnswerQuestion)
        self.questions.accept(message)


async def check(answer: Any) -> None:
    """Accept counts up to 6, after a while."""
    await trio.sleep(0.1)
    if answer["count"] > 6:
        raise Misfit(".count", "it must be at most 6")


class Paying:
    """Stands for a tool: its check refuses parameters without an amount, after a while."""

    async def check_aside(self, parameters: Any, _owner: str) -> None:
        await trio.sleep(1)
        if "amount" not in parameters:
            raise ToolError("invalid_arguments", "There is no amount.")


def form(secrets: bool = False) -> OpenQuestion:
    pin = {"pin": {"type": "string", "format": "password", "writeOnly": True}}
    return form_question(NAME, Question("Count?", {"type": "object", "properties": pin if secrets else {}}), check)


def consent() -> OpenQuestion:
    return consent_question(Paying(), ApprovalRequired("a", "c", "pay", {}, 0.0, {}), "ada")  # type: ignore[arg-type]


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[Questions, Callable[[Any], Awaitable[None]], list[object]]]:
    """Yield questions, a function that replies to one, and the (words, reply) pairs in order of the replies.

    Words are those of an answer, or (decision, note, parameters).
    """
    deadline = PausableDeadline("run", "ada", RunLimiter(1, 1), lambda: None)
    questions, replies = Questions(deadline), list[object]()
    async with (
        ActorSystem("s", [ChildSpec("asked", lambda: Forwarder(questions))]) as system,
        trio.open_nursery() as nursery,
    ):
        (ref,) = system.root.children()

        async def send(words: Any) -> None:
            if isinstance(words, tuple):
                reply, note, parameters = words
                ask: Any = Decide("c", reply, note, parameters=parameters)
            else:
                reply, ask = words, AnswerQuestion(NAME, words, "ada", "socket")
            try:
                replies.append((reply, await ref.ask(ask)))
            except (CommandRejected, StorageUnavailable) as error:
                replies.append((reply, str(error)))

        async def give(words: Any) -> None:
            nursery.start_soon(send, words)
            await trio.testing.wait_all_tasks_blocked()

        yield questions, give, replies
        nursery.cancel_scope.cancel()


async def test_the_first_answer_that_fits_counts(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        questions.begin(question := form())
        for answer in ({"count": 7}, SIX, {"count": 5}, SIX):
            await give(answer)
        assert not replies
        reply = await question.wait(trio.current_time() + 1)
        await trio.testing.wait_all_tasks_blocked()
        assert replies[0] == ({"count": 7}, "The field `count` is wrong: it must be at most 6.")
        assert replies[1:] == [({"count": 5}, False)]
        assert reply == QuestionAnswered(NAME, AnswerOutcome.ANSWERED, SIX, "ada", "socket")
        question.confirm_stored()
        await give(None)
        assert replies[2:] == [(SIX, True), (SIX, True), (None, False)]


async def test_the_values_of_secret_fields_are_in_no_event(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        questions.begin(question := form(secrets=True))
        whole = {"count": 6, "pin": "1234"}
        await give(whole)
        reply = await question.wait(trio.current_time() + 1)
        assert reply == QuestionAnswered(NAME, AnswerOutcome.ANSWERED, SIX, "ada", "socket", ["pin"])
        assert question.taken.answer == whole
        question.confirm_stored()
        await give({"count": 6, "pin": "4321"})
        assert replies == [(whole, True), ({"count": 6, "pin": "4321"}, False)]


async def test_an_answer_that_came_early_is_taken_when_the_question_is_asked_again(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        await give({"count": 7})
        await give(None)
        questions.begin(question := form())
        assert (await question.wait(trio.current_time() + 1)).outcome is AnswerOutcome.DECLINED
        await trio.testing.wait_all_tasks_blocked()
        question.fail_stored(StorageUnavailable("it is away"))
        await trio.testing.wait_all_tasks_blocked()
        assert [answer for answer, _ in replies] == [{"count": 7}, None]  # type: ignore[misc]
        assert "it is away" in replies[1][1]  # type: ignore[index]


async def test_answers_to_what_is_not_asked_again_are_refused_with_the_call(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        await give(SIX)
        questions.forget("another")
        assert not replies
        questions.forget("call")
        await trio.testing.wait_all_tasks_blocked()
        assert replies == [(SIX, False)]


async def test_the_first_decision_counts(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        questions.begin(approval := consent())
        for decision, note in ((DENY, "no"), (ALLOW, "yes"), (DENY, "never")):
            await give((decision, note, None))
        assert await approval.wait(trio.current_time() + 1) == ApprovalDecided("c", DENY, "no")
        await trio.testing.wait_all_tasks_blocked()
        assert replies == [(ALLOW, False)]
        approval.confirm_stored()
        await give((DENY, "", None))
        assert replies == [(ALLOW, False), (DENY, True), (DENY, True), (DENY, True)]


async def test_changed_parameters_are_checked_while_other_decisions_wait(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        questions.begin(approval := consent())
        for decision, parameters in ((ALLOW, {}), (ALLOW, {"amount": 1}), (DENY, None)):
            await give((decision, "", parameters))
        decided = await approval.wait(trio.current_time() + 2.5)
        assert (decided.decision, decided.parameters) == (ALLOW, {"amount": 1})
        approval.confirm_stored()
        await trio.testing.wait_all_tasks_blocked()
        assert [reply for _, reply in replies if isinstance(reply, str)] == ["There is no amount."]
        assert sorted(str(reply) for _, reply in replies if isinstance(reply, bool)) == ["False", "True"]


async def test_a_check_that_takes_too_long_ends_with_the_wait(autojump_clock: MockClock) -> None:
    async with answering() as (questions, give, replies):
        questions.begin(approval := consent())
        await give((ALLOW, "", {"amount": 1}))
        decided = await approval.wait(trio.current_time() + 0.5)
        await trio.testing.wait_all_tasks_blocked()
        assert decided.decision is EXPIRED
        assert replies == [(ALLOW, False)]


def paying(approval: Any) -> Tool:
    @tool(approval=approval)
    async def pay(amount: float, to: list[str] | None = None) -> float:
        """Pay."""
        return amount

    return pay


async def test_a_tool_says_when_it_needs_approval() -> None:
    assert not await needs_approval(paying(False), {"amount": 1.0}, "ada")
    assert await needs_approval(paying(True), {"amount": 1.0}, "ada")
    large = paying(lambda arguments: arguments["amount"] > 100)
    assert not await needs_approval(large, {"amount": 100.0}, "ada")
    assert await needs_approval(large, {"amount": 101.0}, "ada")
    assert [paying(approval).approval_mode for approval in (True, False, len)] == ["always", "never", "sometimes"]


async def test_a_tools_own_approval_gets_a_copy_of_the_arguments() -> None:
    def meddling(arguments: dict[str, Any]) -> bool:
        arguments["to"].append("mallory")
        return True

    arguments: dict[str, Any] = {"amount": 1.0, "to": ["anna"]}
    assert await needs_approval(paying(meddling), arguments, "ada")
    assert arguments["to"] == ["anna"]


async def test_arguments_that_do_not_fit_need_no_approval() -> None:
    with pytest.raises(ToolError, match="amount"):
        await needs_approval(paying(True), {"amount": "much"}, "ada")


@pytest.mark.parametrize("arguments", [{"text": "x" * MAX_ARGUMENT_BYTES}, {"text": object()}, {"text": "\ud800"}])
def test_arguments_that_cannot_be_shown_whole_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolError) as refused:
        copy_arguments(arguments)
    assert refused.value.code == "invalid_arguments"


@pytest.mark.parametrize("note", ["x" * 1001, "\ud800"])
def test_a_note_that_cannot_be_kept_is_refused(note: str) -> None:
    with pytest.raises(CommandRejected) as refused:
        check_note(note)
    assert refused.value.code == "invalid_command"
    assert check_note("x" * 1000) == "x" * 1000


async def later(arguments: object) -> bool:
    return False


@pytest.mark.parametrize("approval", ["yes", 1, None, later])
def test_approval_must_be_an_answer_or_a_plain_function(approval: Any) -> None:
    """What a coroutine function returns is always true, so every call would need approval."""
    with pytest.raises(TypeError, match="plain function"):
        paying(approval)
