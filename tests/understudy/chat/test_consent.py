"""Consent: what is shown is what runs, one decision counts, and a decision finds its run; in virtual time."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from transport.errors import CommandRejected
from transport.events import ApprovalDecision
from understudy.chat.consent import SHOWN_BYTES, Consent, Consents, check_note, needed, plain_copy
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool, tool

ALLOW, DENY, EXPIRED = ApprovalDecision


class Somebody(Actor):
    """An actor that is there."""

    async def receive(self, message: object, context: Context) -> None:
        """Nothing is said to it."""


def consent(run: ActorRef, owner: str = "ada", call_id: str = "c") -> Consent:
    """A call that waits."""
    return Consent(owner, call_id, "send_mail", run)


def paying(approval: Any) -> Tool:
    """A tool with this `approval`."""

    @tool(approval=approval)
    async def pay(amount: float, to: list[str] | None = None) -> float:
        """Pay."""
        return amount

    return pay


async def test_the_first_decision_counts(autojump_clock: trio.testing.MockClock) -> None:
    """A second one, be it the same, is not taken; whoever waits gets the first."""
    async with ActorSystem("s", [ChildSpec("r", Somebody)]) as system:
        asked = consent(system.root.children()[0])
        assert asked.decide(DENY, "no")
        assert not asked.decide(DENY)
        assert not asked.decide(ALLOW, "yes")
        assert (await asked.wait(trio.current_time() + 1), asked.note) == (DENY, "no")


async def test_a_wait_ends_when_its_time_is_up_and_no_decision_counts_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Exactly at the deadline, as expired."""
    async with ActorSystem("s", [ChildSpec("r", Somebody)]) as system:
        asked = consent(system.root.children()[0])
        began = trio.current_time()
        assert await asked.wait(began + 300) is EXPIRED
        assert trio.current_time() - began == 300
        assert not asked.decide(ALLOW)


async def test_a_decision_finds_its_run_for_its_own_user_only(autojump_clock: trio.testing.MockClock) -> None:
    """As long as it waits."""
    async with ActorSystem("s", [ChildSpec("r", Somebody)]) as system:
        run = system.root.children()[0]
        consents, asked = Consents(), consent(run)
        consents.add(asked)
        assert consents.run_of("ada", "c") == run
        assert consents.run_of("bob", "c") is None
        assert consents.run_of("ada", "other") is None
        consents.discard(asked)
        consents.discard(asked)
        assert consents.run_of("ada", "c") is None


async def test_a_decision_waits_for_a_run_that_is_coming_back(autojump_clock: trio.testing.MockClock) -> None:
    """Until it is back, or known not to be; five seconds at most, and not at all for what nobody expects."""
    async with ActorSystem("s", [ChildSpec("r", Somebody)]) as system:
        consents, asked = Consents(), consent(system.root.children()[0])
        began = trio.current_time()

        async def after(seconds: float, act: Callable[..., None], what: object) -> float:
            """How long a decision waits when this is done so many seconds later."""
            consents.expect("c")
            since = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(consents.back, "c")
                await trio.sleep(seconds)
                act(what)
            return round(trio.current_time() - since, 3)

        await consents.back("c")
        assert trio.current_time() == began
        assert await after(2, consents.add, asked) == 2
        assert await after(3, consents.give_up, "c") == 3
        assert await after(1, consents.give_up, "another") == 5


def test_a_tool_says_when_it_needs_consent() -> None:
    """Always, never, or by what it is called with."""
    assert needed(paying(False), {"amount": 1.0}) is None
    assert needed(paying(True), {"amount": 1.0}) == {"amount": 1.0}
    large = paying(lambda arguments: arguments["amount"] > 100)
    assert needed(large, {"amount": 100.0}) is None
    assert needed(large, {"amount": 101.0}) == {"amount": 101.0}
    assert [paying(each).asks for each in (True, False, len)] == ["always", "never", "sometimes"]


def test_what_is_shown_is_a_copy_that_nobody_can_change() -> None:
    """Neither who holds the model's call, nor the tool's own `approval`."""

    def meddling(arguments: dict[str, Any]) -> bool:
        arguments["to"].append("mallory")
        return True

    given: dict[str, Any] = {"amount": 1.0, "to": ["anna"]}
    shown = needed(paying(meddling), given)
    given["to"].append("eve")
    assert shown == {"amount": 1.0, "to": ["anna"]}


def test_arguments_that_do_not_fit_are_not_asked_about() -> None:
    """The tool would refuse them after consent; the model is told at once."""
    with pytest.raises(ToolError, match="amount"):
        needed(paying(True), {"amount": "much"})


@pytest.mark.parametrize("arguments", [{"text": "x" * SHOWN_BYTES}, {"text": object()}, {"text": "\ud800"}])
def test_what_cannot_be_shown_whole_is_refused(arguments: dict[str, Any]) -> None:
    """Too large, or not to be written as JSON."""
    with pytest.raises(ToolError) as refused:
        plain_copy(arguments)
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
