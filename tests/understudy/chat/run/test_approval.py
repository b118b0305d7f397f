"""Approval: the shown arguments run, the first decision counts, and it is acknowledged once stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from actors import Actor, ActorSystem, ChildSpec, Context
from transport.wire.errors import CommandRejected
from understudy.chat.messages import Decide
from understudy.chat.run.approval import MAX_ARGUMENT_BYTES, Approval, check_note, copy_arguments, needs_approval
from understudy.storage.errors import StorageUnavailable
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool, tool
from understudy.wire.events import ApprovalDecided, ApprovalDecision

ALLOW, DENY, EXPIRED = ApprovalDecision


class Forwarder(Actor):
    def __init__(self, approval: Approval) -> None:
        self.approval = approval

    async def receive(self, message: object, context: Context) -> None:
        assert isinstance(message, Decide)
        self.approval.accept_decision(message)


@asynccontextmanager
async def asked() -> AsyncIterator[tuple[Approval, Callable[..., Awaitable[None]], list[object]]]:
    """Yield an approval, a function that decides, and the (decision, reply) pairs in order of the replies."""
    approval, replies = Approval(), list[object]()
    async with (
        ActorSystem("s", [ChildSpec("asked", lambda: Forwarder(approval))]) as system,
        trio.open_nursery() as nursery,
    ):
        (ref,) = system.root.children()

        async def said(decision: ApprovalDecision, note: str, parameters: Any) -> None:
            try:
                replies.append((decision, await ref.ask(Decide("c", decision, note, parameters=parameters))))
            except (StorageUnavailable, CommandRejected) as error:
                replies.append((decision, error))

        async def decide(decision: ApprovalDecision, note: str = "", parameters: Any = None) -> None:
            nursery.start_soon(said, decision, note, parameters)
            await trio.testing.wait_all_tasks_blocked()

        yield approval, decide, replies
        nursery.cancel_scope.cancel()


async def check(parameters: Any) -> None:
    """Refuse parameters without an amount, after a while."""
    await trio.sleep(1)
    if "amount" not in parameters:
        raise ToolError("invalid_arguments", "There is no amount.")


def paying(approval: Any) -> Tool:
    @tool(approval=approval)
    async def pay(amount: float, to: list[str] | None = None) -> float:
        """Pay."""
        return amount

    return pay


async def test_the_first_decision_counts(autojump_clock: trio.testing.MockClock) -> None:
    async with asked() as (approval, decide, replies):
        await decide(DENY, "no")
        await decide(ALLOW, "yes")
        await decide(DENY, "never")
        assert await approval.wait_for_decision("c", trio.current_time() + 1, check) == ApprovalDecided("c", DENY, "no")
        await trio.testing.wait_all_tasks_blocked()
        assert replies == [(ALLOW, False)]
        approval.confirm_stored()
        await decide(DENY)
        assert replies == [(ALLOW, False), (DENY, True), (DENY, True), (DENY, True)]


async def test_a_decision_that_is_not_stored_is_not_taken(autojump_clock: trio.testing.MockClock) -> None:
    async with asked() as (approval, decide, replies):
        await decide(ALLOW)
        await approval.wait_for_decision("c", trio.current_time() + 1, check)
        error = StorageUnavailable("it is away")
        approval.fail_stored(error)
        await trio.testing.wait_all_tasks_blocked()
    ((decision, told),) = replies
    assert (decision, type(told), str(told)) == (ALLOW, type(error), str(error))


async def test_a_wait_ends_when_its_time_is_up_and_no_decision_counts_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with asked() as (approval, decide, replies):
        began = trio.current_time()
        assert await approval.wait_for_decision("c", began + 300, check) == ApprovalDecided("c", EXPIRED)
        assert trio.current_time() - began == 300
        await decide(ALLOW)
        assert replies == [(ALLOW, False)]


async def test_changed_parameters_are_checked_while_other_decisions_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with asked() as (approval, decide, replies):
        await decide(ALLOW, parameters={})
        await decide(ALLOW, parameters={"amount": 1})
        await decide(DENY)
        decided = await approval.wait_for_decision("c", trio.current_time() + 2.5, check)
        assert (decided.decision, decided.parameters) == (ALLOW, {"amount": 1})
        approval.confirm_stored()
        await trio.testing.wait_all_tasks_blocked()
        (refused,) = [each for _, each in replies if isinstance(each, CommandRejected)]
        assert refused.message == "There is no amount."
        assert sorted(str(each) for _, each in replies if isinstance(each, bool)) == ["False", "True"]


async def test_a_check_that_takes_too_long_ends_with_the_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with asked() as (approval, decide, replies):
        await decide(ALLOW, parameters={"amount": 1})
        decided = await approval.wait_for_decision("c", trio.current_time() + 0.5, check)
        await trio.testing.wait_all_tasks_blocked()
        assert decided.decision is EXPIRED
        assert replies == [(ALLOW, False)]


async def test_a_tool_says_when_it_needs_approval() -> None:
    assert not await needs_approval(paying(False), {"amount": 1.0}, "ada")
    assert await needs_approval(paying(True), {"amount": 1.0}, "ada")
    large = paying(lambda arguments: arguments["amount"] > 100)
    assert not await needs_approval(large, {"amount": 100.0}, "ada")
    assert await needs_approval(large, {"amount": 101.0}, "ada")
    assert [paying(each).approval_mode for each in (True, False, len)] == ["always", "never", "sometimes"]


async def test_the_arguments_shown_are_a_copy() -> None:
    """The tool's own `approval` changes its arguments, and the model's call is changed later: the copy stays."""

    def meddling(arguments: dict[str, Any]) -> bool:
        arguments["to"].append("mallory")
        return True

    given: dict[str, Any] = {"amount": 1.0, "to": ["anna"]}
    assert await needs_approval(paying(meddling), given, "ada")
    shown = copy_arguments(given)
    given["to"].append("eve")
    assert shown == {"amount": 1.0, "to": ["anna"]}


async def test_arguments_that_do_not_fit_need_no_approval() -> None:
    with pytest.raises(ToolError, match="amount"):
        await needs_approval(paying(True), {"amount": "much"}, "ada")


@pytest.mark.parametrize("arguments", [{"text": "x" * MAX_ARGUMENT_BYTES}, {"text": object()}, {"text": "\ud800"}])
def test_what_cannot_be_shown_whole_is_refused(arguments: dict[str, Any]) -> None:
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
