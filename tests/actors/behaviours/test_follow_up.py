"""Work that a server has done after a message, or after none."""

import pytest
import trio
import trio.testing

from actors import (
    ActorCrashed,
    AskTimeout,
    ChildSpec,
    Crashed,
    Directive,
    Normal,
    Restart,
    StartFailed,
    StopMode,
    Supervision,
    Terminated,
)
from actors.behaviours.server import call, cast
from actors.stash import Stash
from tests.actors.behaviours.adders import Add, Adder, Fail, Look, Tick, Total, Unknown, Work
from tests.actors.troupe import player, settled


@pytest.fixture
async def adder(system):
    """A running adder."""
    return await system.spawn(ChildSpec("adder", Adder))


class Starter(Adder):
    """Has work to do right after its start."""

    async def on_start(self, context):
        self.done.append("start")
        self.follow_up(context, self.step, "first")

    async def step(self, name, context):
        await trio.sleep(1)
        self.done.append(name)


async def test_work_after_the_start_comes_before_any_message(autojump_clock, system):
    """The start does not wait for it, the messages do."""
    before = trio.current_time()
    ref = await system.spawn(ChildSpec("starter", Starter))
    ref.tell(Add(1))
    assert trio.current_time() == before
    assert await ref.ask(Look()) == ["start", "first", Add(1)]
    assert trio.current_time() == before + 1


async def test_work_after_the_start_is_done_without_any_message(autojump_clock, system):
    """At once."""
    actors = []
    await system.spawn(ChildSpec("starter", lambda: actors.append(Starter()) or actors[0]))
    await trio.sleep(2)
    assert actors[0].done == ["start", "first"]
    assert len(system.timers) == 0


async def test_a_caller_that_leaves_does_not_cut_short_the_work_after_the_start(autojump_clock, system):
    """Requests wait until it is done, in their order; those given up meanwhile are not served."""

    class Slow(Starter):
        async def on_start(self, context):
            await trio.sleep(1)
            await super().on_start(context)

        async def step(self, name, context):
            await trio.sleep(3)
            self.done.append(name)

    answers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(system.spawn, ChildSpec("slow", Slow))
        await settled()
        ref = system.find("/test/slow")

        async def ask(request, timeout_s):
            try:
                answers.append(await ref.ask(request, timeout_s=timeout_s))
            except AskTimeout:
                answers.append("given up")

        nursery.start_soon(ask, Fail(crash=True), 2)
        await settled()
        nursery.start_soon(ask, Look(), 10)
        await settled()
        ref.tell(Add(1))
    assert answers == ["given up", ["start", "first"]]
    assert await ref.ask(Look()) == ["start", "first", Add(1)]


async def test_work_follows_its_message_before_any_other(autojump_clock, adder):
    """In the order in which it was asked for."""
    adder.tell(Work("a", steps=2))
    adder.tell(Work("b"))
    adder.tell(Add(1))
    assert await adder.ask(Look()) == ["a", "a0", "a1", "b", "b0", Add(1)]


async def test_the_answer_goes_out_before_the_work_that_follows(autojump_clock, system):
    """The caller does not wait for it; the next one does."""
    diary = []

    class Slow(Adder):
        @call
        async def unknown(self, request: Unknown, context) -> int:
            self.follow_up(context, self.rest, 5)
            return 1

        async def rest(self, seconds, context):
            await trio.sleep(seconds)
            diary.append("rested")

    ref = await system.spawn(ChildSpec("slow", Slow))
    before = trio.current_time()
    assert await ref.ask(Unknown()) == 1
    assert trio.current_time() == before
    assert diary == []
    assert await ref.ask(Total(), timeout_s=10) == 0
    assert diary == ["rested"]


async def test_work_may_lead_to_more_work(autojump_clock, system):
    """A chain comes before the next message too, and lets others run in between."""

    class Chain(Adder):
        async def step(self, name, context):
            self.done.append(name)
            if len(self.done) < 5:
                self.follow_up(context, self.step, f"{name}+")

    ref = await system.spawn(ChildSpec("chain", Chain))
    ref.tell(Work("a"))
    ref.tell(Add(1))
    assert await ref.ask(Look()) == ["a", "a0", "a0+", "a0++", "a0+++", Add(1)]


async def test_endless_work_does_not_outlive_a_stop(autojump_clock, system):
    """At the end of the grace it is cancelled; the loop is not held meanwhile."""

    class Endless(Adder):
        async def step(self, name, context):
            self.follow_up(context, self.step, name)
            await trio.sleep(0.5)

    ref = await system.spawn(ChildSpec("endless", Endless, shutdown_s=2))
    ref.tell(Work("a"))
    await settled()
    before = trio.current_time()
    await ref.stop(StopMode.AFTER_MESSAGE)
    assert trio.current_time() == before + 2


async def test_work_is_part_of_the_message_it_follows_when_a_stop_comes(autojump_clock, system):
    """It is done before the end."""

    class Leaver(Adder):
        @cast
        async def tick(self, message: Tick, context) -> None:
            self.follow_up(context, self.step, "last")
            context.stop()

    actors = []
    ref = await system.spawn(
        ChildSpec("leaver", lambda: actors.append(Leaver()) or actors[0], restart=Restart.TEMPORARY)
    )
    ref.tell(Tick())
    assert await ref.wait_stopped() == Normal()
    assert actors[0].done == ["last"]


async def test_an_error_in_work_is_a_crash_and_the_next_incarnation_has_no_work_left(autojump_clock, system):
    """Nothing of it comes with the restart."""

    class Clumsy(Adder):
        async def step(self, name, context):
            raise ValueError(name)

    ref = await system.spawn(ChildSpec("clumsy", Clumsy))
    ref.tell(Work("a", steps=3))
    assert await ref.ask(Look()) == []


async def test_an_error_in_work_after_the_start_is_a_crash_of_a_started_server(autojump_clock, system):
    """And no failed start."""

    class Clumsy(Adder):
        async def on_start(self, context):
            self.follow_up(context, self.step, "a")

        async def step(self, name, context):
            raise ValueError(name)

    ref = await system.spawn(ChildSpec("clumsy", Clumsy, restart=Restart.TEMPORARY))
    exit_ = await ref.wait_stopped()
    assert isinstance(exit_, Crashed)
    assert isinstance(exit_.error, ValueError)


async def test_an_error_in_the_start_hook_is_a_failed_start(autojump_clock, system):
    """As for every actor."""

    class Never(Adder):
        async def on_start(self, context):
            raise ValueError("never")

    with pytest.raises(StartFailed, match="never"):
        await system.spawn(ChildSpec("never", Never))


async def test_work_of_a_message_that_failed_is_not_done_when_the_server_resumes(autojump_clock, system):
    """It belonged to the message that is skipped."""

    class Clumsy(Adder):
        @cast
        async def tick(self, message: Tick, context) -> None:
            self.follow_up(context, self.step, "never")
            raise ValueError("tick")

    ref = await system.spawn(ChildSpec("clumsy", Clumsy, directives={ValueError: Directive.RESUME}))
    ref.tell(Tick())
    ref.tell(Add(1))
    assert await ref.ask(Look()) == [Add(1)]


async def test_work_asked_for_by_a_task_of_the_server_is_done_in_its_turn(autojump_clock, system):
    """In the server's own task, between two messages, and without one."""

    class Tasked(Starter):
        async def on_start(self, context):
            await super().on_start(context)
            context.start_soon(self.later, context)

        async def later(self, context):
            await trio.sleep(2)
            self.follow_up(context, self.step, "from a task")

    actors = []
    await system.spawn(ChildSpec("tasked", lambda: actors.append(Tasked()) or actors[0]))
    await trio.sleep(4)
    assert actors[0].done == ["start", "first", "from a task"]


class Prepared(Starter):
    """Hears of what comes before its work is done."""

    supervision = Supervision()
    watched = None

    async def on_start(self, context):
        await super().on_start(context)
        if self.watched is not None:
            context.watch(self.watched, vital=True)
        context.set_timer("timer", 0, Add(1))

    @cast
    async def gone(self, notice: Terminated, context) -> None:
        context.outlive(notice.ref)
        self.done.append("gone")


async def test_a_timer_waits_for_the_work_after_the_start(autojump_clock, system):
    """It may come before the work, and is heard after it, once."""
    ref = await system.spawn(ChildSpec("prepared", Prepared))
    await trio.sleep(5)
    assert await ref.ask(Look()) == ["start", "first", Add(1)]


async def test_a_notice_that_comes_before_the_work_after_the_start_comes_after_it(autojump_clock, system):
    """One of a vital actor too: the server can say that it lives on."""

    patient = await system.spawn(player("patient", restart=Restart.TEMPORARY))
    await patient.stop()

    class Bereaved(Prepared):
        watched = patient

    ref = await system.spawn(ChildSpec("bereaved", Bereaved, restart=Restart.TEMPORARY))
    await trio.sleep(5)
    assert await ref.ask(Look()) == ["start", "first", "gone", Add(1)]


async def test_an_error_in_work_after_the_start_is_no_messages_fault(autojump_clock, system, events):
    """Not that of the message that waits, which is heard by the next incarnation, and once."""

    class Clumsy(Starter):
        async def step(self, name, context):
            if context.incarnation == 1:
                raise ValueError(name)
            await super().step(name, context)

    ref = await system.spawn(ChildSpec("clumsy", Clumsy, redeliver=1))
    ref.tell(Add(1))
    await trio.sleep(5)
    assert await ref.ask(Look()) == ["start", "first", Add(1)]
    assert [event.message_type for event in events if isinstance(event, ActorCrashed)] == [None]


async def test_a_server_that_hears_its_own_message_keeps_the_work_of_the_other(autojump_clock, system):
    """The work of the inner one comes first."""

    class Delegating(Adder):
        @cast
        async def tick(self, message: Tick, context) -> None:
            self.follow_up(context, self.step, "outer")
            await self.receive(Work("inner"), context)
            self.done.append("tick")

    ref = await system.spawn(ChildSpec("delegating", Delegating))
    ref.tell(Tick())
    assert await ref.ask(Look()) == ["inner", "inner0", "tick", "outer"]


class Patient(Adder):
    """Sets aside what comes before the first tick."""

    async def on_start(self, context):
        self.ready = False
        self.stash = Stash(context, 10)

    async def receive(self, message, context):
        if self.ready or isinstance(message, Tick | Look):
            await super().receive(message, context)
        else:
            self.stash.stash(message)

    @cast
    async def tick(self, message: Tick, context) -> None:
        self.ready = True
        self.follow_up(context, self.step, "ready")
        self.stash.unstash_all()
        self.done.append("tick")


async def test_what_a_server_had_set_aside_comes_after_the_work(autojump_clock, system):
    """Each message is followed by the work of its own."""
    ref = await system.spawn(ChildSpec("patient", Patient))
    answers = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def caller():
            answers.append(await ref.ask(Total()))

        await settled()
        ref.tell(Work("a"))
        ref.tell(Work("b"))
        await settled()
        ref.tell(Tick())
    assert answers == [0]
    assert await ref.ask(Look()) == ["tick", "ready", "a", "a0", "b", "b0"]


async def test_what_outlived_a_crash_comes_after_the_work_of_the_new_start(autojump_clock, system):
    """In its order, and before what waits in the mailbox."""

    class Keeping(Starter):
        async def on_start(self, context):
            await super().on_start(context)
            self.stash = Stash(context)

        @cast
        async def tick(self, message: Tick, context) -> None:
            self.stash.stash(Work("a"))
            self.stash.stash(Work("b"))
            context.start_soon(self.break_down)

        async def break_down(self):
            raise ValueError("task")

    ref = await system.spawn(ChildSpec("keeping", Keeping))
    ref.tell(Tick())
    await trio.sleep(1.5)
    ref.tell(Add(1))
    assert await ref.ask(Look(), timeout_s=10) == ["start", "first", "a", "a0", "b", "b0", Add(1)]
