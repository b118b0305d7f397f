"""Approval: the shown arguments run, the first decision counts, and it is acknowledged once stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from actors import Actor, ActorSystem, ChildSpec, Context
from transport.wire.errors import CommandRejected
from transport.wire.events import ApprovalDecision
from understudy.chat.messages import Decide
from understudy.chat.run.approval import MAX_ARGUMENT_BYTES, Approval, check_note, copy_arguments, needs_approval
from understudy.storage.errors import StorageUnavailable
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool, tool

ALLOW, DENY, EXPIRED = ApprovalDecision


class Asked(Actor):
    """Gives every decision to one consent."""

    def __init__(self, consent: Approval) -> None:
        self.consent = consent

    async def receive(self, message: object, context: Context) -> None:
        """Have it taken."""
        assert isinstance(message, Decide)
        self.consent.accept_decision(message)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Approval, Callable[..., Awaitable[None]], list[object]]]:
    """A call's wait, how to decide, and what those who decided were told, in that order."""
    consent, told = Approval(), list[object]()
    async with (
        ActorSystem("s", [ChildSpec("asked", lambda: Asked(consent))]) as system,
        trio.open_nursery() as nursery,
    ):
        (ref,) = system.root.children()

        async def said(decision: ApprovalDecision, note: str) -> None:
            try:
                told.append((decision, await ref.ask(Decide("c", decision, note))))
            except StorageUnavailable as error:
                told.append((decision, error))

        async def decide(decision: ApprovalDecision, note: str = "") -> None:
            nursery.start_soon(said, decision, note)
            await trio.testing.wait_all_tasks_blocked()

        yield consent, decide, told
        nursery.cancel_scope.cancel()


def paying(approval: Any) -> Tool:
    """A tool with this `approval`."""

    @tool(approval=approval)
    async def pay(amount: float, to: list[str] | None = None) -> float:
        """Pay."""
        return amount

    return pay


async def test_the_first_decision_counts(autojump_clock: trio.testing.MockClock) -> None:
    """Another one is refused at once; who says the same is told what the first is told, when it is stored."""
    async with asked() as (consent, decide, told):
        await decide(DENY, "no")
        await decide(ALLOW, "yes")
        await decide(DENY, "never")
        assert (await consent.wait_for_decision(trio.current_time() + 1), consent.note) == (DENY, "no")
        assert told == [(ALLOW, False)]
        consent.confirm_stored()
        await decide(DENY)
        assert told == [(ALLOW, False), (DENY, True), (DENY, True), (DENY, True)]


async def test_a_decision_that_is_not_stored_is_not_taken(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever decided is told why."""
    async with asked() as (consent, decide, told):
        await decide(ALLOW)
        error = StorageUnavailable("it is away")
        consent.fail_stored(error)
        await trio.testing.wait_all_tasks_blocked()
        assert told == [(ALLOW, error)]


async def test_a_wait_ends_when_its_time_is_up_and_no_decision_counts_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Exactly at the deadline, as expired."""
    async with asked() as (consent, decide, told):
        began = trio.current_time()
        assert await consent.wait_for_decision(began + 300) is EXPIRED
        assert trio.current_time() - began == 300
        await decide(ALLOW)
        assert told == [(ALLOW, False)]


def test_a_tool_says_when_it_needs_approval() -> None:
    """A tool needs approval always, never, or depending on the arguments of the call."""
    assert not needs_approval(paying(False), {"amount": 1.0})
    assert needs_approval(paying(True), {"amount": 1.0})
    large = paying(lambda arguments: arguments["amount"] > 100)
    assert not needs_approval(large, {"amount": 100.0})
    assert needs_approval(large, {"amount": 101.0})
    assert [paying(each).approval_mode for each in (True, False, len)] == ["always", "never", "sometimes"]


def test_the_arguments_shown_are_a_copy() -> None:
    """The tool's own `approval` changes its arguments, and the model's call is changed later: the copy stays."""

    def meddling(arguments: dict[str, Any]) -> bool:
        arguments["to"].append("mallory")
        return True

    given: dict[str, Any] = {"amount": 1.0, "to": ["anna"]}
    assert needs_approval(paying(meddling), given)
    shown = copy_arguments(given)
    given["to"].append("eve")
    assert shown == {"amount": 1.0, "to": ["anna"]}


def test_arguments_that_do_not_fit_need_no_approval() -> None:
    """Arguments that the tool refuses raise an error before the user is asked."""
    with pytest.raises(ToolError, match="amount"):
        needs_approval(paying(True), {"amount": "much"})


@pytest.mark.parametrize("arguments", [{"text": "x" * MAX_ARGUMENT_BYTES}, {"text": object()}, {"text": "\ud800"}])
def test_what_cannot_be_shown_whole_is_refused(arguments: dict[str, Any]) -> None:
    """Too large, or not to be written as JSON."""
    with pytest.raises(ToolError) as refused:
        copy_arguments(arguments)
    assert refused.value.code == "invalid_arguments"


@pytest.mark.parametrize("note", ["x" * 1001, "\ud800"])
def test_a_note_that_cannot_be_kept_is_refused(note: str) -> None:
    """Too long, or no text that can be stored; the decision is not taken then."""
    with pytest.raises(CommandRejected) as refused:
        check_note(note)
    assert refused.value.code == "invalid_command"
    assert check_note("x" * 1000) == "x" * 1000


@pytest.mark.parametrize("approval", ["yes", 1, None])
def test_approval_must_be_an_answer_or_a_plain_function(approval: Any) -> None:
    """Anything else is refused where the tool is declared, with a way to mend it."""
    with pytest.raises(TypeError, match="must be True, False, or a plain function"):
        paying(approval)


def test_approval_cannot_be_async() -> None:
    """It is called between two events; a coroutine, which is always true, would ask about everything."""

    async def later(arguments: object) -> bool:
        return False

    with pytest.raises(TypeError, match="plain function"):
        paying(later)
