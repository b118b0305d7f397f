import contextvars
import logging
import math
import socket
import sqlite3
import threading
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from attrs import field, frozen

from actors import (
    ActorDied,
    ActorSystem,
    Ask,
    AskCycle,
    AskTimeout,
    ChildSpec,
    Crashed,
    InvalidSpec,
    Killed,
    Lane,
    MessageUnhandled,
    Restart,
    SelfCall,
    Shutdown,
    ShutdownOverdue,
    StartFailed,
    StopMode,
    UnhandledMessage,
)
from actors.interop import foreign_call as foreign_calls
from actors.interop.foreign_call import TooManyAbandoned, late_calls
from actors.interop.threads import ThreadActor, ThreadContext, ThreadSpec, run_in_thread
from tests.actors.troupe import Read, Run, calls, during, failing, of_type, player, settled

PATIENCE_S = 10.0
DEDICATED = ThreadSpec(dedicated=True)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@frozen(eq=False)
class Do(Ask):
    """Call `act` with the actor and its thread, in the thread, and answer with the result."""

    act: object


class Finish(Do):
    """The same, whether or not the caller still waits."""

    must_finish = True


class Worker(ThreadActor):
    """Does what it is asked in its thread, and notes which threads its hooks ran in."""

    def __init__(self, thread=ThreadSpec(), diary=None):  # noqa: B008 - frozen
        self.thread = thread
        self.diary = diary if diary is not None else []
        self.threads = set()

    def start_in_thread(self, thread):
        self.threads.add(threading.get_ident())
        self.diary.append("start")

    def handle(self, message, thread):
        self.threads.add(threading.get_ident())
        if isinstance(message, Do):
            return message.act(self, thread)
        if isinstance(message, str):
            self.diary.append(message)
            return None
        return NotImplemented

    def stop_in_thread(self, thread, reason):
        self.threads.add(threading.get_ident())
        self.diary.append(f"stop ({reason})")


@frozen(eq=False)
class Stuck:
    """Blocking code that nothing ends but `release`."""

    began: threading.Event = field(factory=threading.Event)
    let_go: threading.Event = field(factory=threading.Event)

    def __call__(self, *_):
        self.began.set()
        assert self.let_go.wait(PATIENCE_S)
        return "done"

    async def begun(self):
        assert await trio.to_thread.run_sync(self.began.wait, PATIENCE_S)

    def release(self):
        self.let_go.set()


@pytest.fixture
async def system(events):
    """A system in real time: virtual time would run away while a thread works."""
    async with ActorSystem("test", intensity=3, on_event=events.append) as system:
        with trio.fail_after(PATIENCE_S):
            yield system


@pytest.fixture(params=[ThreadSpec(), DEDICATED], ids=["pooled", "dedicated"])
def spec(request):
    return request.param


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog):
    caplog.set_level(logging.WARNING, "actors")
    yield
    assert late_calls() == ()


def worker(spec=ThreadSpec(), diary=None, **options):  # noqa: B008 - frozen
    return ChildSpec("worker", partial(Worker, spec, diary), **options)


async def threads_ended():
    await trio.testing.wait_all_threads_completed()
    while late_calls():
        await trio.lowlevel.checkpoint()


async def cancelled_when_begun(began, function, **options):
    """Call a function in a thread, and cancel the call as soon as the function runs; return whether that ended it."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_in_thread, function, timeout_s=5, **options))
            assert await trio.to_thread.run_sync(began.wait, PATIENCE_S)
            scope.cancel()
    return scope.cancelled_caught


@asynccontextmanager
async def at_work_in(ref, stuck):
    """Stop an actor at once while its thread is stuck; the end of the block lets the thread go on."""
    ref.tell(Do(stuck))
    await stuck.begun()
    async with during(ref.stop, StopMode.NOW):
        yield
        stuck.release()


# Single calls


async def test_a_call_returns_or_raises_what_the_code_does():
    assert await run_in_thread(divmod, 7, 2, timeout_s=5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 7, 0, timeout_s=5)


async def test_calls_at_once_are_bounded():
    stucks = [Stuck(), Stuck(), Stuck()]
    limiter = trio.CapacityLimiter(2)
    async with trio.open_nursery() as nursery:
        for stuck in stucks[:2]:
            nursery.start_soon(partial(run_in_thread, stuck, timeout_s=5, limiter=limiter))
            await stuck.begun()
        nursery.start_soon(partial(run_in_thread, stucks[2], timeout_s=5, limiter=limiter))
        await settled()
        assert (limiter.borrowed_tokens, limiter.statistics().tasks_waiting) == (2, 1)
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        stucks[0].release()
        await stucks[2].begun()
        stucks[1].release()
        stucks[2].release()


async def test_a_call_can_check_whether_it_is_cancelled():
    began = threading.Event()

    def polls():
        began.set()
        while True:
            ThreadContext.current().check_cancelled()
            trio.from_thread.check_cancelled()

    assert await cancelled_when_begun(began, polls)


async def test_a_cancelled_call_is_interrupted_and_ends():
    """Here, a socket that is shut down; the error this makes in the code gives way to the cancellation."""
    ours, theirs = socket.socketpair()
    began = threading.Event()

    def receives():
        began.set()
        if not ours.recv(1):
            raise ConnectionError("shut down")

    with ours, theirs:
        assert await cancelled_when_begun(began, receives, interrupt=partial(ours.shutdown, socket.SHUT_RDWR))


async def test_an_error_of_code_that_was_not_interrupted_is_not_hidden_by_the_cancellation():
    stuck = Stuck()

    def fails():
        stuck()
        raise ValueError("mine")

    with pytest.RaisesGroup(ValueError), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_in_thread, fails, timeout_s=5))
            await stuck.begun()
            scope.cancel()
            stuck.release()


async def test_an_interrupt_comes_again_until_the_call_ends(mock_clock):
    stuck, interrupts = Stuck(), []

    def interrupt():
        interrupts.append(trio.current_time())
        if len(interrupts) == 1:
            raise OSError("too early")
        stuck.release()

    start = trio.current_time()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_in_thread, stuck, timeout_s=5, interrupt=interrupt))
            await stuck.begun()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await settled()
                mock_clock.jump(foreign_calls.INTERRUPT_EVERY_S)
    assert [at - start for at in interrupts] == [0, foreign_calls.INTERRUPT_EVERY_S]


async def test_a_call_that_did_not_begin_is_not_interrupted():
    """It might hit another that shares the interrupt. Which task learns first of a cancellation is a matter of luck."""
    stuck, interrupts = Stuck(), []
    limiter = trio.CapacityLimiter(1)
    waits = partial(run_in_thread, print, timeout_s=5, limiter=limiter, interrupt=lambda: interrupts.append(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_in_thread, stuck, timeout_s=5, limiter=limiter))
        await stuck.begun()
        async with trio.open_nursery() as waiting:
            for _ in range(20):
                waiting.start_soon(waits)
            await settled()
            waiting.cancel_scope.cancel()
        stuck.release()
    assert interrupts == []


async def test_a_value_that_comes_late_is_a_value(mock_clock):
    stuck = Stuck()
    async with calls(lambda: run_in_thread(stuck, timeout_s=3)) as values:
        await stuck.begun()
        mock_clock.jump(4)
        await settled()
        assert values == []
        stuck.release()
    assert values == ["done"]


async def test_a_call_that_does_not_end_is_waited_for_and_named(mock_clock, caplog):
    stuck = Stuck()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(run_in_thread, stuck, timeout_s=math.inf), name="who")
            await stuck.begun()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await settled()
                (late,) = late_calls()
                for _ in range(30):
                    mock_clock.jump(foreign_calls.INTERRUPT_EVERY_S)
                    await settled()
                stuck.release()
    assert (late.call, late.abandoned) == ("Stuck", False)
    assert late.who == "who"
    assert [record.getMessage() for record in caplog.records] == [
        f"foreign.late who=who call=Stuck since={late.since.isoformat()}"
    ]


# Left behind


async def test_a_call_may_be_abandoned_named_and_counted(caplog):
    stuck = Stuck()
    await cancelled_when_begun(stuck.began, stuck, abandon=True)
    (late,) = late_calls()
    assert (late.call, late.abandoned) == ("Stuck", True)
    assert "foreign.abandoned" in caplog.text
    assert "abandoned=1" in caplog.text
    stuck.release()
    await threads_ended()


async def test_abandoned_calls_are_bounded_in_number():
    stucks = [Stuck() for _ in range(foreign_calls.MAX_ABANDONED)]
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            for stuck in stucks:
                nursery.start_soon(partial(run_in_thread, stuck, timeout_s=5, abandon=True))
            for stuck in stucks:
                await stuck.begun()
            scope.cancel()
    with pytest.raises(TooManyAbandoned) as caught:
        await run_in_thread(divmod, 7, 2, timeout_s=5, abandon=True)
    assert (caught.value.call, caught.value.abandoned) == ("divmod", len(stucks))
    assert await run_in_thread(divmod, 7, 2, timeout_s=5) == (3, 1)
    for stuck in stucks:
        stuck.release()
    await threads_ended()
    assert await run_in_thread(divmod, 7, 2, timeout_s=5, abandon=True) == (3, 1)


@pytest.mark.promise("bitten.cancelled-ask")
async def test_nothing_a_call_does_reaches_the_loop_after_it_was_abandoned(ref):
    stuck, ended, request_arrived = Stuck(), [], threading.Event()

    async def hangs(_):
        request_arrived.set()
        await trio.sleep_forever()

    def noting(act):
        try:
            act(ThreadContext.current())
        except trio.Cancelled:
            ended.append("cancelled")
            raise

    def tells(thread):
        thread.tell(ref, "before")
        stuck()
        thread.tell(ref, "after")

    await cancelled_when_begun(stuck.began, partial(noting, tells), abandon=True)
    asks = partial(noting, lambda thread: thread.ask(ref, Run(hangs), timeout_s=1000))
    await cancelled_when_begun(request_arrived, asks, abandon=True)
    stuck.release()
    await threads_ended()
    assert ended == ["cancelled", "cancelled"]
    assert await ref.ask(Read()) == ["before"]


async def test_a_call_on_its_way_to_the_loop_when_it_is_abandoned_does_nothing_there(ref):
    stuck, ended = Stuck(), []

    class LongWay:
        check_cancelled = staticmethod(trio.from_thread.check_cancelled)

        def run(self, afn, *args):
            stuck()
            return trio.from_thread.run(afn, *args)

    def tells():
        thread = ThreadContext.current()
        thread._bridge = LongWay()
        try:
            thread.tell(ref, "too late")
        except trio.Cancelled:
            ended.append("cancelled")
            raise

    await cancelled_when_begun(stuck.began, tells, abandon=True)
    stuck.release()
    await threads_ended()
    assert ended == ["cancelled"]
    assert await ref.ask(Read()) == []


async def test_a_call_that_is_left_while_its_thread_begins_is_counted_or_not_made():
    for _ in range(100):
        stuck = Stuck()
        with trio.CancelScope() as scope:
            async with during(partial(run_in_thread, stuck, timeout_s=5, abandon=True)):
                scope.cancel()
        counted = len(late_calls())
        stuck.release()
        await threads_ended()
        assert stuck.began.is_set() == bool(counted)


# Actors


async def test_a_thread_actor_answers_with_what_handle_returns(system, spec):
    diary = []
    ref = await system.spawn(worker(spec, diary))
    ref.tell("one")
    ref.tell("two")
    assert await ref.ask(Do(lambda actor, _: list(actor.diary))) == ["start", "one", "two"]
    assert await ref.stop() == Shutdown()
    assert diary == ["start", "one", "two", "stop (shutdown)"]


async def test_one_message_at_a_time_while_the_loop_goes_on(system, spec):
    ref, other = await system.spawn(worker(spec)), await system.spawn(player("other"))
    stuck = Stuck()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.ask, Do(stuck))
        await stuck.begun()
        ref.tell("next")
        assert await other.ask(Read()) == []
        assert ref.statistics()[Lane.NORMAL].depth == 1
        stuck.release()
    assert await ref.ask(Do(lambda actor, _: actor.diary[-1])) == "next"


async def test_an_unknown_message_is_unhandled(system, events, spec):
    ref = await system.spawn(worker(spec))
    ref.tell(object())
    with pytest.raises(UnhandledMessage):
        await ref.ask(Read())
    assert [event.message_type for event in of_type(events, MessageUnhandled)] == ["object", "Read"]


async def test_an_error_in_the_thread_is_a_crash_and_the_next_incarnation_starts_afresh(system, spec):
    diary = []
    ref = await system.spawn(worker(spec, diary))
    with pytest.raises(ActorDied) as caught:
        await ref.ask(Do(lambda *_: 1 / 0), timeout_s=math.inf)
    assert isinstance(caught.value.reason, Crashed)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert await ref.ask(Do(lambda actor, _: actor.diary)) == ["start", "stop (crashed: ZeroDivisionError)", "start"]


async def test_a_start_that_fails_in_the_thread_fails_the_spawn_and_ends_the_thread(system):
    class Unable(Worker):
        def start_in_thread(self, thread):
            raise OSError("no")

    thread_count = threading.active_count()
    with pytest.raises(StartFailed, match="OSError: no"):
        await system.spawn(ChildSpec("unable", partial(Unable, DEDICATED)))
    assert threading.active_count() == thread_count


async def test_a_dedicated_thread_is_one_for_all_hooks_and_ends_with_its_actor(system):
    ref = await system.spawn(worker(DEDICATED))
    thread_ids = await ref.ask(Do(lambda actor, _: actor.threads))
    name = await ref.ask(Do(lambda *_: threading.current_thread().name))
    assert name == "/test/worker"
    await ref.stop()
    assert len(thread_ids) == 1
    assert thread_ids.isdisjoint({threading.get_ident()})
    assert all(thread.name != name for thread in threading.enumerate())


class Database(ThreadActor):
    """An SQLite connection, which SQLite's module allows in one thread only."""

    thread = DEDICATED

    def start_in_thread(self, thread):
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("CREATE TABLE t (x)")
        self.connection.set_progress_handler(self.began, 1000)

    def began(self):
        running.set()

    def handle(self, message, thread):
        return self.connection.execute(message.act).fetchall()

    def stop_in_thread(self, thread, reason):
        self.connection.close()

    def interrupt(self):
        self.connection.interrupt()


running = threading.Event()


async def test_a_query_that_hangs_is_interrupted_when_its_actor_is_stopped(system):
    running.clear()
    ref = await system.spawn(ChildSpec("database", Database))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(failing, ActorDied, lambda: ref.ask(Do(ENDLESS), timeout_s=math.inf))
        assert await trio.to_thread.run_sync(running.wait, PATIENCE_S)
        assert await ref.stop(StopMode.NOW) == Shutdown()


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_query_is_interrupted_when_its_caller_leaves_and_the_actor_lives_on(system):
    """SQLite's module raises if another thread as much as closes the connection."""
    ref = await system.spawn(ChildSpec("database", Database))
    await ref.ask(Do("INSERT INTO t VALUES (1), (2)"))
    with pytest.raises(AskTimeout):
        await ref.ask(Do(ENDLESS), timeout_s=0.02)
    assert await ref.ask(Do("SELECT sum(x) FROM t")) == [(3,)]
    assert await ref.stop() == Shutdown()


async def test_a_thread_that_cannot_be_stopped_delays_the_end_of_its_actor_and_is_named(mock_clock, events, caplog):
    async with ActorSystem("test", on_event=events.append) as system:
        ref = await system.spawn(worker())
        async with at_work_in(ref, Stuck()):
            (late,) = late_calls()
            assert (late.who, late.call, late.abandoned) == ("/test/worker", "handle Do", False)
            for _ in range(12):
                mock_clock.jump(1)
                await settled()
            assert ref.alive
            assert [event.path for event in of_type(events, ShutdownOverdue)] == ["/test/worker"]
        assert await ref.wait_stopped() == Killed()
    assert caplog.text.count("foreign.late who=/test/worker call=handle Do") == 1


async def test_without_an_interrupt_an_error_after_the_stop_is_a_crash(system, spec):
    class Fails(Stuck):
        def __call__(self, *_):
            super().__call__()
            raise ValueError("mine")

    ref = await system.spawn(worker(spec))
    async with at_work_in(ref, Fails()):
        pass
    assert str((await ref.wait_stopped()).error) == "mine"


async def test_an_actor_may_leave_its_call_behind(system):
    stuck, diary = Stuck(), []
    ref = await system.spawn(worker(ThreadSpec(abandon=True), diary))
    ref.tell(Do(stuck))
    await stuck.begun()
    assert await ref.stop(StopMode.NOW) == Shutdown()
    (late,) = late_calls()
    assert (late.who, late.call, late.abandoned) == ("/test/worker", "handle Do", True)
    stuck.release()
    await threads_ended()
    assert diary == ["start", "stop (shutdown)"]


@pytest.mark.promise("peers.stop-hooks-on-cancel", "stop.hook-once")
async def test_the_stop_hook_runs_once_in_the_thread_also_when_killed(system, spec):
    reasons = []

    class Tidy(Worker):
        def stop_in_thread(self, thread, reason):
            super().stop_in_thread(thread, reason)
            try:
                while True:
                    thread.check_cancelled()
            except trio.Cancelled:
                reasons.append(reason)
                raise

    diary = []
    ref = await system.spawn(ChildSpec("tidy", partial(Tidy, spec, diary), restart=Restart.TEMPORARY))
    ref.kill()
    assert await ref.wait_stopped() == Killed()
    assert diary == ["start", "stop (killed)"]
    assert reasons == [Killed()]


async def test_a_thread_reaches_other_actors(system, spec):
    other = await system.spawn(player("other"))

    def reaches(_, thread):
        thread.tell(other, "told", lane=Lane.HIGH)
        assert thread.call(trio.lowlevel.current_task) is not None
        with pytest.raises(ZeroDivisionError):
            thread.call(divmod, 1, 0)
        return thread.ask(other, Read())

    ref = await system.spawn(worker(spec))
    assert await ref.ask(Do(reaches)) == ["told"]


@pytest.mark.promise("ask.self", "peers.ask-self")
async def test_a_thread_cannot_ask_the_actor_that_waits_for_it(system, spec):
    for kind in (spec, ThreadSpec(abandon=True)):
        ref = await system.spawn(worker(kind))

        def asks_itself(_, thread, ref=ref):
            with pytest.raises(SelfCall):
                thread.ask(ref, Do(None), timeout_s=1000)

        await ref.ask(Do(asks_itself))
        await ref.stop()


@pytest.mark.promise("bad.cycle")
async def test_a_circle_of_asks_through_a_thread_is_noticed(system, spec):
    ref, other = await system.spawn(worker(spec)), await system.spawn(player("other"))

    async def back(_):
        with pytest.raises(AskCycle):
            await ref.ask(Do(lambda *_: None), timeout_s=1000)
        return "noticed"

    assert await ref.ask(Do(lambda _, thread: thread.ask(other, Run(back), timeout_s=1000))) == "noticed"


async def test_a_request_of_a_thread_is_cancelled_with_its_call(system, spec):
    other, ref = await system.spawn(player("other")), await system.spawn(worker(spec))
    entered, left = trio.Event(), trio.Event()

    async def hangs(_):
        entered.set()
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    ref.tell(Do(lambda _, thread: thread.ask(other, Run(hangs), timeout_s=1000)))
    await entered.wait()
    assert await ref.stop(StopMode.NOW) == Shutdown()
    await left.wait()
    assert other.alive


async def test_a_request_that_must_finish_is_not_cut_off(system, spec):
    stuck = Stuck()
    ref = await system.spawn(worker(spec))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.ask, Finish(lambda actor, thread: actor.diary.append(stuck())))
        await stuck.begun()
        nursery.cancel_scope.cancel()
    await settled()
    assert late_calls() == ()
    stuck.release()
    assert (await ref.ask(Do(lambda actor, _: list(actor.diary))))[-1] == "done"


async def test_a_call_over_its_time_crashes_the_actor(mock_clock):
    stuck = Stuck()
    async with ActorSystem("test", on_event=lambda _: None) as system:
        ref = await system.spawn(worker(ThreadSpec(timeout_s=3, abandon=True), restart=Restart.TEMPORARY))
        ref.tell(Do(stuck))
        await stuck.begun()
        mock_clock.jump(3)
        assert str((await ref.wait_stopped()).error) == "handle Do took longer than 3 s"
        stuck.release()
        await threads_ended()


async def test_own_tasks_take_turns_in_a_dedicated_thread(system):
    stuck, interrupts, order = Stuck(), [], []

    class Busy(Worker):
        def interrupt(self):
            interrupts.append(1)

        async def receive(self, message, context):
            if message != "go":
                await super().receive(message, context)
                return
            for step in (stuck, partial(order.append, "second"), partial(order.append, "third")):
                context.start_soon(self.in_thread, step)
                await settled()
            with trio.move_on_after(0):
                await self.in_thread(order.append, "never")

    ref = await system.spawn(ChildSpec("busy", partial(Busy, DEDICATED)))
    ref.tell("go")
    await stuck.begun()
    await settled()
    assert (order, interrupts) == ([], [])
    stuck.release()
    await ref.ask(Do(lambda *_: None))
    assert (order, interrupts) == (["second", "third"], [])


async def test_context_variables_are_those_of_the_task(system, spec):
    color = contextvars.ContextVar("color")

    class Colored(Worker):
        async def receive(self, message, context):
            color.set("red")
            await super().receive(message, context)
            assert color.get() == "red"

    def paint(*_):
        value = color.get()
        color.set("blue")
        return value

    ref = await system.spawn(ChildSpec("colored", partial(Colored, spec)))
    assert await ref.ask(Do(paint)) == "red"


@pytest.mark.promise("restart.never-swallowed")
async def test_a_system_exit_in_a_thread_is_no_crash(spec):
    def leave(*_):
        raise SystemExit(3)

    async def run():
        async with ActorSystem("test", on_event=lambda _: None) as system:
            ref = await system.spawn(worker(spec))
            ref.tell(Do(leave))
            await trio.sleep_forever()

    with pytest.raises(SystemExit):
        await run()


@pytest.mark.parametrize(
    ("field_name", "options"),
    [
        ("abandon", {"dedicated": True, "abandon": True}),
        ("limiter", {"dedicated": True, "limiter": trio.CapacityLimiter(1)}),
        ("timeout_s", {"timeout_s": 0}),
        ("timeout_s", {"timeout_s": math.nan}),
    ],
)
def test_wrong_threads_are_refused(field_name, options):
    with pytest.raises(InvalidSpec, match=f"^{field_name}"):
        ThreadSpec(**options)


def test_there_is_no_thread_context_outside_of_a_call():
    with pytest.raises(LookupError):
        ThreadContext.current()
