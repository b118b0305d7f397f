"""The clock of a run: it stands still while the run rests or stands in line, in virtual time."""

import trio
import trio.testing

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from understudy.chat.messages import PermitGranted, PositionChanged
from understudy.chat.run.deadline import PausableDeadline
from understudy.chat.run_limiter import NOTIFIED_AT_ONCE, RunLimiter, release_permit


class Waiter(Actor):
    """Stands for a run: it hears of places, and writes down what it hears."""

    def __init__(self, heard: list[object]) -> None:
        self.heard = heard
        self.worktime: PausableDeadline | None = None

    async def receive(self, message: object, context: Context) -> None:
        """Take the place."""
        match message:
            case PausableDeadline():
                self.worktime = message
            case PermitGranted() if self.worktime is not None:
                self.worktime.permit_granted()
            case _:
                self.heard.append(message)


async def test_the_clock_stands_still_while_the_run_rests(autojump_clock: trio.testing.MockClock) -> None:
    """5 s of work, a long rest, and the other 25 s of the limit."""
    slots: RunLimiter[ActorRef] = RunLimiter(1, 1)
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter([]))]) as system:
        run = system.root.children()[0]
        work = PausableDeadline("r", "ada", slots, lambda: None)
        slots.acquire("r", "ada", run)
        began = trio.current_time()
        work.scope.deadline = began + 30
        with work.scope:
            await trio.sleep(5)
            work.pause()
            work.pause()
            assert (slots.running, work.paused) == (0, True)
            await trio.sleep(1000)
            await work.resume(run)
            await work.resume(run)
            assert (slots.running, work.paused) == (1, False)
            await trio.sleep_forever()
        assert work.scope.cancelled_caught
        assert trio.current_time() - began == 1030


async def test_standing_in_line_again_is_not_work_either(autojump_clock: trio.testing.MockClock) -> None:
    """The place is taken meanwhile: the run waits for it without its clock, and says that it does."""
    slots: RunLimiter[ActorRef] = RunLimiter(1, 1)
    told: list[int] = []
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter([]))]) as system:
        run = system.root.children()[0]
        work = PausableDeadline("r", "ada", slots, lambda: told.append(work.waiting_note))
        slots.acquire("r", "ada", run)
        run.tell(work)
        began = trio.current_time()
        work.scope.deadline = began + 30
        work.pause()
        slots.acquire("other", "ada", run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work.resume, run)
            nursery.start_soon(work.resume, run)
            await trio.sleep(100)
            assert (told, work.paused) == (["Waiting for a free place: number 1 in line"], True)
            release_permit(slots, "other")
        assert (work.waiting_note, work.paused) == ("", False)
        assert work.scope.deadline - began == 130


async def test_those_near_the_front_are_told_when_they_move_up(autojump_clock: trio.testing.MockClock) -> None:
    """Each of them once, with no word to those who did not move or stand far behind."""
    heard: list[object] = []
    slots: RunLimiter[ActorRef] = RunLimiter(100, 1)
    async with ActorSystem("s", [ChildSpec("w", lambda: Waiter(heard))]) as system:
        run = system.root.children()[0]
        for number in range(NOTIFIED_AT_ONCE + 5):
            slots.acquire(str(number), "ada", run)
        release_permit(slots, "2")
        await trio.testing.wait_all_tasks_blocked()
        moved = [each.run_id for each in heard if isinstance(each, PositionChanged)]
        assert moved == [str(number) for number in range(3, NOTIFIED_AT_ONCE + 2)]
        heard.clear()
        release_permit(slots, "never")
        release_permit(slots, str(NOTIFIED_AT_ONCE + 4))
        await trio.testing.wait_all_tasks_blocked()
        assert not heard
