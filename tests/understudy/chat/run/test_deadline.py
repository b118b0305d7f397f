"""The deadline of a run is suspended while the run is paused or queued, in virtual time."""

import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from understudy.chat.messages import PermitGranted, PositionChanged
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run_limiter import NOTIFIED_AT_ONCE, RunLimiter, release_permit


class Waiter(Actor):
    """Stands for a run: resumes its deadline when granted a permit, and records other messages."""

    def __init__(self, heard: list[object]) -> None:
        self.heard = heard
        self.deadline: PausableDeadline | None = None

    async def receive(self, message: object, context: Context) -> None:
        match message:
            case PausableDeadline():
                self.deadline = message
            case PermitGranted() if self.deadline is not None:
                self.deadline.permit_granted()
            case _:
                self.heard.append(message)


async def test_the_clock_stands_still_while_the_run_rests(autojump_clock: trio.testing.MockClock) -> None:
    limiter: RunLimiter[ActorRef] = RunLimiter(1, 1)
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter([]))]) as system:
        run = system.root.children()[0]
        work = PausableDeadline("r", "ada", limiter, lambda: None)
        limiter.acquire("r", "ada", run)
        began = trio.current_time()
        work.start(30)
        with work.scope:
            await trio.sleep(5)
            work.pause()
            work.pause()
            assert (limiter.running, work.paused) == (0, True)
            await trio.sleep(1000)
            await work.resume(run)
            await work.resume(run)
            assert (limiter.running, work.paused) == (1, False)
            await trio.sleep_forever()
        assert work.scope.cancelled_caught
        assert trio.current_time() - began == 1030
        assert work.worked_s == 30


async def test_standing_in_line_again_is_not_work_either(autojump_clock: trio.testing.MockClock) -> None:
    limiter: RunLimiter[ActorRef] = RunLimiter(1, 1)
    notes: list[int] = []
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter([]))]) as system:
        run = system.root.children()[0]
        work = PausableDeadline("r", "ada", limiter, lambda: notes.append(work.waiting_note))
        limiter.acquire("r", "ada", run)
        run.tell(work)
        began = trio.current_time()
        work.start(30)
        work.pause()
        limiter.acquire("other", "ada", run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work.resume, run)
            nursery.start_soon(work.resume, run)
            await trio.sleep(100)
            assert (notes, work.paused) == (["Waiting for a free place: number 1 in line"], True)
            release_permit(limiter, "other")
        assert (work.waiting_note, work.paused) == ("", False)
        assert work.scope.deadline - began == 130


async def test_runs_near_the_front_are_notified_when_they_move_up(autojump_clock: trio.testing.MockClock) -> None:
    heard: list[object] = []
    limiter: RunLimiter[ActorRef] = RunLimiter(100, 1)
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter(heard))]) as system:
        run = system.root.children()[0]
        for number in range(NOTIFIED_AT_ONCE + 5):
            limiter.acquire(str(number), "ada", run)
        release_permit(limiter, "2")
        await trio.testing.wait_all_tasks_blocked()
        moved = [message.run_id for message in heard if isinstance(message, PositionChanged)]
        assert moved == [str(number) for number in range(3, NOTIFIED_AT_ONCE + 2)]
        heard.clear()
        release_permit(limiter, "never")
        release_permit(limiter, str(NOTIFIED_AT_ONCE + 4))
        await trio.testing.wait_all_tasks_blocked()
        assert not heard
