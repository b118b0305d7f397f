"""The steers of a thread's runs, in a conversation over tables in memory."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from actors import Lane
from sanitization import Sanitized
from tests.rigs.thread_log import OUTBOX, Committed, Relocated, Replayed, Shell, Told, accept, answer, answers, play
from understudy.chat.conversation.thread_part import ThreadHooks
from understudy.chat.messages import CancelRun, Delete, EndTurn
from understudy.chat.run_state.endings import Ending
from understudy.extensions.steering.steering import MAX_STEERS, AcceptSteer, Steering, WithdrawSteer
from understudy.storage.errors import StorageUnavailable
from understudy.wire.events import (
    TERMINAL,
    AgentCompleted,
    AgentStarted,
    AgentThinking,
    FinalResponse,
    MessageAccepted,
    SteerAccepted,
    SteerTaken,
    SteerWithdrawn,
)


def steer(steer_id: str, text: str = "Look", run_id: str = "r1", *, now: bool = False) -> AcceptSteer:
    return AcceptSteer(run_id, steer_id, now, Sanitized(text), OUTBOX)


def take(shell: Shell, run_id: str, turn: int, last_step: int) -> tuple[SteerAccepted, ...]:
    """Have a run take the steers that wait; none if the store is away, or its conversation ends meanwhile."""
    if (run := shell.it.thread.runs.get(run_id)) is None or run.state.end is not None:
        return ()
    return shell.guarded(shell.run_log(run, last_step).take_waiting(turn)) or ()


@pytest.fixture
def shell() -> Shell:
    return Shell(parts=(Steering,))


def test_a_steer_is_committed_before_it_is_acknowledged_and_taken_once(shell: Shell) -> None:
    shell.handle(accept(1))
    assert answers(shell.handle(steer("s1"))) == [True]
    assert shell.did == ["message", "Subscribed", "Committed", "Published", "Answered"]
    assert [entry.content for entry in take(shell, "r1", 3, 7)] == ["Look"]
    (step,) = next(effect.change.steps for effect in shell.done[::-1] if isinstance(effect, Committed))
    assert (step.number, step.kind, step.result) == (8, "steer", {"steer_id": "s1", "text": "Look"})
    assert isinstance(shell.published[-1].event, SteerTaken)
    assert take(shell, "r1", 4, 8) == ()


def test_what_a_run_has_gathered_is_committed_before_the_steer_that_it_takes(shell: Shell) -> None:
    """The steer may be refused by the storage at first."""
    shell.handle(accept(1))
    shell.record("r1", AgentStarted("a", "", 0.0))
    shell.handle(steer("s1"))
    log = shell.run_log(shell.it.thread.runs["r1"])
    log.gathered.add(AgentThinking("a", "hm", 0.0))
    shell.failing = [StorageUnavailable("away"), None]
    assert [shell.guarded(log.take_waiting(1)) is None for _ in range(2)] == [True, False]
    assert [row.type for row in shell.rows[-2:]] == ["agent_thinking", "steer_taken"]


def test_a_repeated_steer_has_its_acceptance_replayed_also_after_its_run_has_ended(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(steer("s1"))
    for _ in range(2):
        effects = shell.handle(steer("s1"))
        assert answers(effects) == [False]
        (replayed,) = [effect.accepted for effect in effects if isinstance(effect, Replayed)]
        assert isinstance(replayed.event, SteerAccepted)
        take(shell, "r1", 1, 1)
        answer(shell)
        assert answers(shell.handle(steer("s2"))) == ["run_ended"]
        shell.exit_runs()
    assert answers(shell.handle(steer("s1", "Something else"))) == ["message_id_reused"]
    assert answers(shell.handle(steer("m1"))) == ["run_ended"]


def test_a_steer_that_another_node_has_made_a_message_is_not_taken_for_another_one(shell: Shell) -> None:
    """This node was held, and does not know yet that the run has ended on that one."""
    shell.handle(accept(1))
    other = Shell(parts=(Steering,))
    other.handle(accept(1))
    other.handle(steer("s1"))
    answer(other)
    shell.rows, shell.messages = other.rows, other.messages
    effects = shell.handle(steer("s1"))
    assert answers(effects) == []
    assert Relocated() in effects


def test_a_steer_that_ends_the_turn_is_sent_to_the_working_run_ahead_of_its_mailbox(shell: Shell) -> None:
    shell.handle(accept(1))
    effects = [effect for effect in shell.handle(steer("s1", now=True)) if isinstance(effect, Told)]
    assert [(effect.run_id, effect.message, effect.lane) for effect in effects] == [("r1", EndTurn("s1"), Lane.HIGH)]
    assert answers(shell.handle(WithdrawSteer("r1", "s1"))) == [False]


def test_a_steer_is_taken_back_only_while_it_waits(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(steer("s1"))
    assert answers(shell.handle(WithdrawSteer("r1", "s1"))) == [True]
    assert shell.published[-1].event == SteerWithdrawn("s1")
    assert answers(shell.handle(WithdrawSteer("r1", "s1"))) == [False]
    assert take(shell, "r1", 1, 1) == ()


def test_a_steer_of_an_operator_is_neither_taken_back_nor_a_message_of_the_user(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(evolve(steer("s1"), by="op"))
    assert answers(shell.handle(WithdrawSteer("r1", "s1"))) == [False]
    answer(shell)
    shell.exit_runs()
    assert SteerWithdrawn("s1") in [event.event for event in shell.events]
    assert isinstance(shell.events[-1].event, FinalResponse)
    assert not shell.at_work


@pytest.mark.parametrize("end", ["answer", "cancel", "failure"])
def test_steers_that_the_run_did_not_take_become_one_message_before_its_end(shell: Shell, end: str) -> None:
    shell.handle(accept(1))
    shell.handle(steer("s1", "Look"))
    shell.handle(steer("s2", "there"))
    if end == "answer":
        answer(shell)
    elif end == "cancel":
        shell.handle(CancelRun("r1"))
    else:
        shell.finish("r1", Ending.INTERRUPTED)
    shell.exit_runs()
    *_, first, second, accepted = [
        event.event for event in shell.events if not isinstance(event.event, (*TERMINAL, AgentCompleted))
    ]
    assert (first, second) == (SteerWithdrawn("s1", "s1"), SteerWithdrawn("s2", "s1"))
    assert isinstance(accepted, MessageAccepted)
    assert (accepted.message_id, accepted.content, accepted.parent_id) == ("s1", "Look\n\nthere", "answer-r1")
    assert [kind.type for kind in (type(event.event) for event in shell.events)].index("message_accepted") == 0
    assert shell.at_work == {accepted.run_id}
    assert shell.messages["s1"].content == "Look\n\nthere"


def test_more_steers_than_may_wait_are_refused(shell: Shell) -> None:
    shell.handle(accept(1))
    replies = [answers(shell.handle(steer(f"s{number}")))[0] for number in range(MAX_STEERS + 1)]
    assert replies == [True] * MAX_STEERS + ["busy"]


async def test_steers_of_a_deleted_thread_start_nothing(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(steer("s1"))
    shell.handle(Delete())
    assert [type(event.event) for event in shell.events][-2:] == [AgentCompleted, FinalResponse]


def test_steers_that_wait_when_the_extension_is_off_are_withdrawn_before_the_end(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(steer("s1"))
    shell.it.thread.hooks = ThreadHooks()
    answer(shell)
    shell.exit_runs()
    assert SteerWithdrawn("s1") in [event.event for event in shell.events]
    assert isinstance(shell.events[-1].event, FinalResponse)


STEP = st.sampled_from([
    "steer", "steer now", "take", "withdraw", "accept", "repeat", "answer", "finish", "exit", "cancel", "retry",
    "timers", "wake", "down", "lost",
])  # fmt: skip


@given(st.lists(st.tuples(STEP, st.integers(0, 12)), max_size=60), st.integers(0, 3))
def test_every_accepted_message_ends_once_whatever_fails(steps: list[tuple[str, int]], seed: int) -> None:
    """Commits fail, or seem to, in any order; afterwards the storage works and the queue is drained."""

    def act(shell: Shell, kind: str, run_id: str, number: int) -> None:
        match kind:
            case "steer" | "steer now":
                shell.handle(steer(f"s{number}", run_id=run_id, now=kind == "steer now"))
            case "take" if run_id in shell.at_work:
                take(shell, run_id, 0, number)
            case "withdraw":
                shell.handle(WithdrawSteer(run_id, f"s{number}"))

    play(Shell(parts=(Steering,)), steps, seed, act)
