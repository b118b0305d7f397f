"""A conversation without an actor, a database or a clock: what it does for each request, and in which order."""

from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.rigs.thread_log import (
    Asked,
    Committed,
    Published,
    Relocated,
    Replayed,
    Sent,
    Shell,
    Started,
    Timed,
    accept,
    answer,
    answers,
    effects,
    finished,
    play,
)
from tests.rigs.thread_log import shell as shell
from transport.auth.identity import Identity
from transport.wire.events import Error, Event, PartialResult, Resync
from transport.wire.messages import Deliver, Reply
from understudy.chat.conversation.acceptance import MAX_QUEUED
from understudy.chat.conversation.active_run import MAX_ATTEMPTS, MAX_CRASHES, ResumeAttempt
from understudy.chat.conversation.run_log import RunLog
from understudy.chat.conversation.run_queue import GOES_ON
from understudy.chat.conversation.settling import UNSETTLED
from understudy.chat.conversation.thread_log import FairLock
from understudy.chat.conversation.workers import BackoffOver, PublishPositions, RetryFinish, Settled
from understudy.chat.messages import CancelRun, Delete, FollowThread, OwnershipLost, RequestSnapshot
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.run_state.endings import Ending
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.transitions import RunProtocolError
from understudy.storage.errors import AlreadyStored, Fenced, NotStored, SequenceConflict, StorageUnavailable
from understudy.storage.records import Fence, StepRecord, Thread
from understudy.wire import events as wire

# what a conversation does


@define(eq=False)
class Outbox:
    """A connection; what is sent to it alone counts as sent."""

    shell: "Shell"

    def try_tell(self, message: object) -> None:
        assert isinstance(message, Deliver | Reply)
        for envelope in [message.envelope] if isinstance(message, Reply) else message.envelopes:
            self.shell.note(Sent(envelope))


def test_a_message_is_committed_then_published_then_answered_then_run(shell: Shell) -> None:
    effects = shell.handle(accept(1))
    assert shell.did == ["Committed", "Subscribed", "Published", "Answered", "Started", "Told"]
    assert answers(effects) == ["r1"]
    accepted, started = shell.published
    assert (type(accepted.event), type(started.event)) == (wire.MessageAccepted, wire.AgentStarted)
    assert (started.seq, shell.it.thread.last_seq, shell.it.thread.newest_answer) == (2, 2, "answer-r1")
    (request,) = [effect.request for effect in effects if isinstance(effect, Started)]
    assert request.agent_id == started.event.agent_id


def test_a_repeated_message_has_its_acceptance_replayed(shell: Shell) -> None:
    """It is sent again to a client that repeats it, and not if the server repeats an attempt whose reply was lost."""
    shell.handle(accept(1))
    for earlier, resend in (((), True), (("r0", "r1"), False)):
        effects = shell.handle(evolve(accept(1), run_id="r2", earlier=earlier))
        assert shell.did == ["Committed", "message", "run_events", "Replayed", "Answered"]
        (replay,) = [effect for effect in effects if isinstance(effect, Replayed)]
        assert (replay.accepted.seq, replay.resend, answers(effects)) == (1, resend, ["r1"])
    assert answers(shell.handle(accept(1, "Something else"))) == ["message_id_reused"]
    assert len(shell.events) == 2


def test_a_second_message_waits_until_the_first_run_has_exited(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    assert "Started" not in shell.did
    assert [type(envelope.event) for envelope in shell.events] == [
        wire.MessageAccepted,
        wire.AgentStarted,
        wire.MessageAccepted,
    ]
    answer(shell)
    shell.done.clear()
    shell.exit_runs()
    (request,) = [effect.request for effect in shell.done if isinstance(effect, Started)]
    assert (request.run_id, request.agent_id) == ("r2", None), "it starts its agent itself"
    assert list(shell.it.thread.runs) == ["r2"]


def test_more_messages_than_the_queue_holds_are_refused(shell: Shell) -> None:
    replies = [answers(shell.handle(accept(number)))[0] for number in range(MAX_QUEUED + 2)]
    assert replies == [f"r{number}" for number in range(MAX_QUEUED + 1)] + ["busy"]


@pytest.mark.parametrize("error", [StorageUnavailable("disk"), AlreadyStored("message", "m1")])
def test_a_message_that_cannot_be_stored_is_refused_and_changes_nothing(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    assert answers(shell.handle(accept(1))) == ["storage_unavailable"]
    assert (shell.it.thread.runs, shell.it.thread.last_seq, shell.it.thread.exists) == ({}, 0, False)
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)


@pytest.mark.parametrize("error", [Fenced("t", "other"), SequenceConflict("t", 2, 1), NotStored("thread", "t")])
def test_a_core_that_was_outrun_relocates_and_does_not_answer(shell: Shell, error: Exception) -> None:
    shell.failing = [error]
    effects = shell.handle(accept(1))
    assert isinstance(effects[-1], Relocated)
    assert answers(effects) == []
    assert (shell.limiter.running, shell.limiter.waiting) == (0, 0)
    assert Shell().handle(OwnershipLost()) == [Relocated()], "it has lost the thread"


def test_a_commit_whose_answer_was_lost_relocates_at_the_next_request(shell: Shell) -> None:
    shell.failing, shell.lost = [StorageUnavailable("lost")], True
    assert answers(shell.handle(accept(1))) == ["storage_unavailable"]
    shell.handle(accept(1))
    assert shell.did[-1] == "Relocated"
    shell.restart()
    assert shell.at_work == {"r1"}


def test_an_end_that_cannot_be_stored_is_retried(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.failing = [StorageUnavailable("disk")]
    effects = shell.finish("r1", Ending.FAILED)
    assert [sent.envelope.event.note for sent in effects if isinstance(sent, Sent)] == ["Waiting for the database"]
    timer = next(effect for effect in effects if isinstance(effect, Timed))
    assert isinstance(timer.message, RetryFinish)
    shell.handle(timer.message)
    assert isinstance(shell.published[-1].event, Error)
    assert shell.it.queue.unfinished == {}


def test_uncommitted_steps_of_a_run_are_committed_with_its_end(shell: Shell) -> None:
    shell.handle(accept(1))
    step = StepRecord("r1", 1, "ask", "cut off", None, None, {"usage": {}}, "ok", 1.0, 2.0)
    shell.failing = [StorageUnavailable("disk")]
    shell.finish("r1", Ending.CANCELLED, steps=(step,))
    shell.handle(RetryFinish())
    changes = [effect.change for effect in shell.done if isinstance(effect, Committed)]
    assert [step in change.steps for change in changes if change.events][-2:] == [True, True]
    assert shell.it.queue.unfinished == {}


def test_a_call_that_a_run_has_not_committed_yet_ends_with_it(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.record("r1", wire.AgentStarted("a-1", "On it", 1.0))
    shell.finish("r1", Ending.CANCELLED, events=(wire.ToolExecuting("a-1", "c", "add", {}, "Add", 1.0),))
    kinds = [type(envelope.event) for envelope in shell.published]
    assert kinds[kinds.index(wire.ToolExecuting) :][:2] == [wire.ToolExecuting, wire.ToolCompleted]
    assert kinds[-1] is wire.FinalResponse


def attempts_of(shell: Shell) -> list[int]:
    changes = [effect.change for effect in shell.done if isinstance(effect, Committed)]
    return [change.attempt.attempts for change in changes if change.attempt is not None]


def test_a_run_whose_actor_was_killed_is_resumed_until_it_was_tried_too_often(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.exit_runs()
    assert (shell.at_work, attempts_of(shell)) == ({"r1"}, [1])
    assert [effect.envelope.event for effect in shell.done if isinstance(effect, Sent)] == [
        wire.AgentProgress(0, GOES_ON)
    ]
    for _ in range(MAX_ATTEMPTS):
        assert shell.it.thread.runs
        shell.exit_runs()
        shell.fire()
    assert attempts_of(shell) == [1, 1, 2, 2, 3, 3, 4, 4, 5]  # from the second on: put off, and begun
    assert shell.published[-1].event.code == "run_interrupted"
    assert (shell.it.thread.runs, shell.limiter.running) == ({}, 0)


def test_a_run_whose_own_code_raises_each_time_fails_after_two_attempts(shell: Shell) -> None:
    shell.handle(accept(1))
    for _ in range(MAX_CRASHES + 1):
        assert shell.it.thread.runs
        shell.exit_runs(ValueError("broken"))
        shell.fire()
    assert attempts_of(shell) == [1, 1, 2]
    end = shell.published[-1].event
    assert (end.code, bool(end.error_id)) == ("agent_failed", True)


def test_a_killed_run_holds_no_permit_while_it_backs_off(shell: Shell) -> None:
    shell.limiter = RunLimiter(1, 1)
    shell.renew()
    shell.handle(accept(1))
    shell.exit_runs()
    assert shell.limiter.running == 1  # the first attempt is made at once
    shell.exit_runs()
    assert (shell.limiter.running, shell.limiter.waiting, shell.at_work) == (0, 1, set())
    shell.fire()
    assert (shell.limiter.running, shell.at_work) == (1, {"r1"})


def test_a_restart_does_not_put_off_a_run_again_that_backs_off(shell: Shell) -> None:
    """Servers that restart more often than a run backs off would never resume it."""
    shell.handle(accept(1))
    shell.exit_runs()
    shell.exit_runs()
    due = shell.runs["r1"].resume_at
    shell.limiter.release("r1")
    shell.renew()
    shell.services.now = due - 0.1
    assert shell.it.thread.load(shell.thread)
    shell.done.clear()
    finished(shell.it.queue.resume(shell.read_run("r1")))
    (rested,) = [effect for effect in shell.done if isinstance(effect, Timed) and effect.name == "rested r1"]
    assert rested.after_s == pytest.approx(0.1)
    assert attempts_of(shell) == []
    shell.fire()
    assert (shell.at_work, shell.runs["r1"].attempts, shell.runs["r1"].resume_at) == ({"r1"}, 2, None)


def test_a_killed_run_keeps_its_users_roles_and_the_text_of_the_log(shell: Shell) -> None:
    command = accept(1)
    shell.handle(evolve(command, order=evolve(command.order, sender=Identity("ada", "s", roles=("admin",)))))
    shell.it.thread.runs["r1"].text.append("never stored")
    shell.exit_runs()
    assert shell.it.thread.runs["r1"].text.stored == ""
    request = [effect.request for effect in shell.done if isinstance(effect, Started)][-1]
    assert request.roles == ("admin",)


async def test_text_of_a_dead_attempt_is_not_shown(shell: Shell) -> None:
    """Such as a call that could not be interrupted."""
    shell.handle(accept(1))

    def logs() -> RunLog:
        return [effect.log for effect in shell.done if isinstance(effect, Started)][-1]

    def shown(log: RunLog) -> list[Event]:
        count = len(shell.done)
        log.append_text("late")
        log.show_text()
        return [effect.envelope.event for effect in shell.done[count:]]

    first = logs()
    assert shown(first) == [PartialResult("late", 0)]
    shell.failing = [StorageUnavailable("disk")]
    shell.exit_runs()
    assert (shown(first), shell.at_work) == ([], set())
    shell.fire()
    again = logs()
    assert (shown(first), shell.at_work) == ([], {"r1"})
    assert shown(again) == [PartialResult("late", 0)]


async def test_text_written_while_a_run_is_being_started_is_shown(shell: Shell) -> None:
    shell.writes = lambda log: log.append_text("at once")
    shell.handle(accept(1))
    assert [effect.envelope.event for effect in shell.done if isinstance(effect, Sent)] == [PartialResult("at once", 0)]


async def test_partial_results_of_a_call_are_shown_while_it_is_at_work(shell: Shell) -> None:
    shell.handle(accept(1))
    (log,) = [effect.log for effect in shell.done if isinstance(effect, Started)]
    shell.done.clear()
    await log.send_partial("c1", 0, ["early"])
    assert shell.done == []
    shell.record("r1", wire.ToolExecuting("guide", "c1", "t", {}, "", 0.0))
    await log.send_partial("c1", 0, ["a"])
    assert shell.done[-1].envelope.event == wire.ToolPartial("c1", 0, ["a"])


def test_a_run_that_was_killed_as_it_was_cancelled_ends_as_cancelled(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(CancelRun("r1"))
    shell.exit_runs()
    end = shell.published[-1].event
    assert (end.status, shell.it.thread.runs, shell.at_work) == (wire.RunStatus.CANCELLED, {}, set())


def test_events_that_break_the_protocol_leave_the_run_as_it_was(shell: Shell) -> None:
    shell.handle(accept(1))
    state = shell.it.thread.runs["r1"].state
    started = wire.AgentStarted("a", "begins", 0.0)
    with pytest.raises(RunProtocolError):
        shell.record("r1", started, started)
    assert shell.it.thread.runs["r1"].state == state
    assert shell.it.thread.last_seq == 2


async def test_streamed_text_is_sent_with_its_offset_and_restarts_as_another_text(shell: Shell) -> None:
    shell.handle(accept(1))
    (log,) = [effect.log for effect in shell.done if isinstance(effect, Started)]
    shell.done.clear()
    for text, restart in (("one ", False), ("two", False), ("x", True)):
        log.append_text(text, restart=restart)
        log.show_text()
    shell.handle(RequestSnapshot(cast("Any", Outbox(shell))))
    pieces = [effect.envelope for effect in shell.done if isinstance(effect, Sent)]
    assert [piece.event for piece in pieces] == [
        PartialResult(text, offset) for text, offset in (("one ", 0), ("two", 4), ("x", 0), ("x", 0))
    ]
    first, second, third, whole = (piece.text_epoch for piece in pieces)
    assert (first == second, second == third, third == whole) == (True, False, True)


async def test_text_that_waits_is_shown_before_the_next_event_and_before_a_snapshot(shell: Shell) -> None:
    shell.handle(accept(1))
    (log,) = [effect.log for effect in shell.done if isinstance(effect, Started)]
    woken: list[float] = []
    log.wake = lambda _name, after_s, _due: woken.append(after_s)
    shell.done.clear()
    for word in ("at once, ", "later, ", "together"):
        log.append_text(word)
    assert [effect.envelope.event for effect in shell.done] == [PartialResult("at once, ", 0)]
    assert len(woken) == 1
    shell.record("r1", wire.ToolExecuting("guide", "c1", "t", {}, "", 0.0))
    _, committed, text, published = shell.done
    assert (type(committed), type(published)) == (Committed, Published)
    assert text.envelope.event == PartialResult("later, together", 9)
    log.append_text("!")
    shell.handle(RequestSnapshot(cast("Any", Outbox(shell))))
    pieces = [effect.envelope.event for effect in shell.done[4:]]
    assert pieces == [PartialResult("!", 24), PartialResult("at once, later, together!", 0)]


def test_a_second_cancel_of_a_run_whose_end_cannot_be_stored_changes_nothing(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    shell.failing = [StorageUnavailable("disk"), StorageUnavailable("disk")]
    assert [answers(shell.handle(CancelRun("r2"))) for _ in range(2)] == [[True], [True]]
    shell.handle(RetryFinish())
    shell.handle(RetryFinish())
    assert list(shell.it.thread.runs) == ["r1"]


def test_a_resumed_run_is_recorded_before_it_is_started_and_writes_another_text(shell: Shell) -> None:
    shell.handle(accept(1))
    epoch = shell.it.thread.runs["r1"].text.epoch
    shell.restart()
    order = [type(effect).__name__ for effect in shell.done if isinstance(effect, Committed | Started)]
    assert order == ["Committed", "Started", "Committed", "Started"]
    assert shell.it.thread.runs["r1"].text.epoch != epoch


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_resumed_run_that_cannot_be_recorded_backs_off_unless_it_is_cancelled(
    shell: Shell, *, cancelled: bool
) -> None:
    shell.handle(accept(1))
    run = shell.it.thread.runs["r1"]
    shell.renew()
    shell.at_work.clear()
    shell.failing = [StorageUnavailable("disk")] * (1 + cancelled)
    run.started, run.attempt = False, ResumeAttempt(1, 0, Past(), "guide")
    finished(shell.it.queue.resume(run))
    assert (shell.at_work, shell.limiter.running) == (set(), 0)
    if cancelled:
        shell.handle(CancelRun("r1"))
    shell.handle(BackoffOver("r1"))
    assert shell.at_work == (set() if cancelled else {"r1"})


def test_a_stop_of_the_server_takes_back_the_recorded_attempt(shell: Shell) -> None:
    shell.handle(accept(1))
    shell.restart()
    finished(shell.it.suspend())
    assert shell.done[-1].change.attempt.attempts == 0
    assert "r1" in shell.it.thread.runs


async def test_deleting_ends_every_run_before_the_thread(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    shell.handle(Delete())
    assert shell.did[-4:] == ["delete_thread", "Forgotten", "Relocated", "Answered"]
    assert sum(isinstance(envelope.event, wire.TERMINAL) for envelope in shell.published) == 3


def test_a_thread_with_a_run_is_not_deleted_for_its_age(shell: Shell) -> None:
    shell.handle(accept(1))
    assert answers(shell.handle(Delete(unless_since=5.0))) == [False]
    assert shell.it.thread.runs


def test_a_client_that_has_seen_more_than_the_log_is_resynced_once_that_is_verified(shell: Shell) -> None:
    shell.handle(accept(1))
    outbox = cast("Any", Outbox(shell))
    effects = shell.handle(FollowThread(outbox, 9))
    assert shell.did == ["thread", "Subscribed", "Sent", "Answered"]
    assert [effect.envelope.event for effect in effects if isinstance(effect, Sent)] == [Resync(2)]
    shell.thread = evolve(shell.thread, last_seq=9)
    shell.handle(FollowThread(outbox, 9))
    assert shell.did == ["thread", "Relocated"]


def test_a_thread_that_another_node_claimed_is_not_loaded() -> None:
    mine = Shell(Fence("here", 3)).it
    thread = Thread("ada", "t", "title", "guide", None, 0.0, 0.0, last_seq=4, node="here", fence=3)
    assert mine.thread.load(thread)
    assert not mine.thread.load(evolve(thread, node="other", fence=4))
    assert mine.thread.last_seq == 4


def test_queued_runs_are_sent_their_positions(shell: Shell) -> None:
    for number in range(3):
        shell.handle(accept(number))
    events = [effect.envelope.event for effect in shell.handle(PublishPositions()) if isinstance(effect, Sent)]
    notes = [event.note for event in events if isinstance(event, wire.AgentProgress)]
    assert notes == [f"Waiting: {ahead} before this one in this conversation" for ahead in (1, 2)]


@pytest.mark.parametrize("at_work", [True, False])
def test_a_run_that_an_operator_ends_says_so_before_its_end(shell: Shell, *, at_work: bool) -> None:
    shell.handle(accept(1))
    shell.handle(accept(2))
    run_id = "r1" if at_work else "r2"
    shell.handle(CancelRun(run_id, by="op", reason="Too dear"))
    if at_work:
        shell.finish(run_id, Ending.CANCELLED)
    notice, completed, final = [envelope.event for envelope in shell.events[-3:]]
    assert (notice.thought, notice.by) == ("An operator has ended this run: Too dear", "op")
    assert (type(completed), final.status) == (wire.AgentCompleted, wire.RunStatus.CANCELLED)
    shell.handle(CancelRun("r1" if not at_work else "r2"))
    shell.handle(CancelRun("r1" if not at_work else "r2", by="op"))
    shell.finish("r1", Ending.CANCELLED)
    assert sum(isinstance(envelope.event, wire.AgentThinking) for envelope in shell.events) == 1


# effects


def unsettled(attempts: int) -> StepRecord:
    return StepRecord("r1", 2, "tool", "pay", "c1", {}, {"attempts": attempts, "agent": "guide"}, UNSETTLED, 1.0)


def test_a_call_that_is_being_settled_is_settled_three_times_at_most(shell: Shell) -> None:
    assert Asked("reconcile-c1") in effects(shell, unsettled(2))
    assert shell.it.settling.doubts["c1"].step.result == {"attempts": 3, "agent": "guide"}
    last = effects(Shell(), unsettled(3))
    (commit,) = [effect for effect in last if isinstance(effect, Committed)]
    (event,) = [envelope.event for effect in last if isinstance(effect, Published) for envelope in effect.envelopes]
    assert (commit.change.steps[0].status, event) == ("started", wire.CallSettled("c1", "pay", "unknown"))
    assert not [effect for effect in last if isinstance(effect, Asked)]


def test_the_outcome_of_a_call_is_stored_later_if_it_cannot_be_now(shell: Shell) -> None:
    effects(shell, unsettled(0))
    settled = Settled(shell.it.settling.doubts["c1"].template, wire.CallSettled("c1", "pay", "none"), ())
    shell.failing = [StorageUnavailable("disk")]
    shell.handle(settled)
    assert "c1" in shell.it.settling.doubts
    del shell.timers["reconcile c1"]
    shell.fire()
    assert (shell.it.settling.doubts, shell.published[-1].event) == ({}, settled.event)


def test_a_stop_of_the_server_is_no_attempt_at_settling_a_call(shell: Shell) -> None:
    (began,) = [effect for effect in effects(shell, unsettled(1)) if isinstance(effect, Committed)]
    assert began.change.steps[0].result["attempts"] == 2
    finished(shell.it.suspend())
    (step,) = shell.done[-1].change.steps
    assert (step.call_id, step.result["attempts"]) == ("c1", 1)


STEP = st.sampled_from(
    ["accept", "repeat", "answer", "finish", "exit", "cancel", "retry", "timers", "wake", "down", "lost"]
)


@given(st.lists(st.tuples(STEP, st.integers(0, 12)), max_size=60), st.integers(0, 3))
def test_every_accepted_message_ends_once_whatever_fails(steps: list[tuple[str, int]], seed: int) -> None:
    """Commits fail, or seem to, in any order; afterwards the storage works and the queue is drained."""
    play(Shell(), steps, seed)


async def test_one_task_at_a_time_has_the_turn_in_the_order_of_arrival() -> None:
    turn, holders, leave = FairLock(), list[int](), trio.Event()

    async def take(number: int) -> None:
        async with turn:
            holders.append(number)
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(take, number)
            await trio.testing.wait_all_tasks_blocked()
        assert holders == [0]
        leave.set()
    assert holders == [0, 1, 2]


async def test_a_task_that_is_cancelled_while_it_waits_or_works_blocks_nobody() -> None:
    turn, cancelled = FairLock(), trio.CancelScope()

    async def wait() -> None:
        with cancelled:
            async with turn:
                raise AssertionError("it has the turn")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as work:
            async with turn:
                nursery.start_soon(wait)
                await trio.testing.wait_all_tasks_blocked()
                cancelled.cancel()
                work.cancel()
                await trio.sleep_forever()
    with trio.fail_after(1):
        async with turn:
            pass
