import asyncio
import contextvars
import gc
import logging
import math
import subprocess
import sys
import threading
from functools import partial

import pytest
import trio
import trio.testing
import trio_asyncio
from attrs import frozen

from actors import (
    Actor,
    ActorDied,
    ActorSystem,
    Ask,
    AskTimeout,
    ChildSpec,
    Crashed,
    Killed,
    MessageUnhandled,
    Restart,
    Shutdown,
    ShutdownOverdue,
    StartFailed,
    StopMode,
)
from actors.interop.asyncio_ import AsyncioActor, AsyncioCancelled, ExtraMissing, in_trio, run_asyncio
from actors.interop.foreign_call import ForeignTimeout, late_calls
from actors.interop.threads import run_in_thread
from tests.actors.troupe import Read, player, settled


@frozen(eq=False)
class Do(Ask):
    """Await `act` with the actor, in asyncio, and answer with the result."""

    act: object


class Worker(AsyncioActor):
    """Does what it is asked in asyncio, and writes down its hooks."""

    def __init__(self, diary=None):
        self.diary = diary if diary is not None else []

    async def start_in_asyncio(self, context):
        await asyncio.sleep(0)
        self.diary.append("start")

    async def handle(self, message, context):
        if isinstance(message, Do):
            message.reply(await message.act(self))
        elif isinstance(message, str):
            await asyncio.sleep(0)
            self.diary.append(message)
        else:
            await super().handle(message, context)

    async def stop_in_asyncio(self, context, reason):
        self.diary.append(f"stop ({reason})")


class Stubborn:
    """A coroutine that swallows every cancellation until it is let go."""

    def __init__(self):
        self.began = trio.Event()
        self.swallowed = 0
        self.let_go = False

    async def __call__(self, *_):
        self.began.set()
        while not self.let_go:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                self.swallowed += 1
        return "done"


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog):
    """No test leaves a call behind for good."""
    caplog.set_level(logging.WARNING, "actors")
    yield
    assert late_calls() == ()


def worker(diary=None, kind=Worker, **options):
    """The spec of a worker."""
    return ChildSpec("worker", partial(kind, diary), **options)


# Single coroutines


async def test_a_coroutine_returns_or_raises_what_it_does(autojump_clock):
    """Arguments go through; the error is not wrapped in a group; asyncio's time is trio's."""

    async def divide(a, b):
        await asyncio.sleep(3600)
        return divmod(a, b)

    start = trio.current_time()
    assert await run_asyncio(divide, 7, 2, timeout_s=math.inf) == (3, 1)
    assert trio.current_time() - start == 3600
    with pytest.raises(ZeroDivisionError):
        await run_asyncio(divide, 7, 0, timeout_s=math.inf)


async def test_a_coroutine_may_use_all_of_asyncio():
    """Streams over a socket, queues, tasks, threads."""

    async def serve_and_call():
        heard = asyncio.Queue()

        async def serve(reader, writer):
            await heard.put(await reader.readline())
            writer.write(b"pong\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"ping\n")
            answer, question = await asyncio.gather(reader.readline(), heard.get())
            writer.close()
            await writer.wait_closed()
        return question + answer, await asyncio.to_thread(threading.get_ident)

    with trio.fail_after(60):
        told, ident = await run_asyncio(serve_and_call, timeout_s=10)
    assert told == b"ping\npong\n"
    assert ident != threading.get_ident()


async def test_a_cancelled_coroutine_gets_a_cancelled_error_of_asyncio(autojump_clock):
    """It may clean up, in asyncio's way."""
    seen = []

    async def sleeps():
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            seen.append("cleaned up")
            raise

    with trio.move_on_after(2) as scope:
        await run_asyncio(sleeps, timeout_s=math.inf)
    assert scope.cancelled_caught
    assert seen == ["cleaned up"]
    with pytest.raises(ForeignTimeout) as caught:
        await run_asyncio(sleeps, timeout_s=2)
    assert caught.value.timeout_s == 2
    assert caught.value.call.endswith("sleeps")


async def test_a_cancellation_arrives_bare(autojump_clock):
    """Not in a group: code around it may expect trio's own exception."""
    seen = []
    with trio.move_on_after(1):
        try:
            await run_asyncio(asyncio.sleep, 10, timeout_s=math.inf)
        except BaseException as error:
            seen.append(type(error))
            raise
    assert seen == [trio.Cancelled]


async def test_a_coroutine_that_cancels_itself_raises_an_ordinary_error(autojump_clock):
    """asyncio's own exception is no `Exception`, and would go through everything."""

    async def cancels_itself():
        raise asyncio.CancelledError

    with pytest.raises(AsyncioCancelled) as caught:
        await run_asyncio(cancels_itself, timeout_s=1)
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert caught.value.call.endswith("cancels_itself")


async def test_tasks_a_coroutine_leaves_are_cancelled_at_its_end(autojump_clock):
    """And waited for."""
    seen = []

    async def background():
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(1)
            seen.append("ended")

    async def leaves_one():
        seen.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    await run_asyncio(leaves_one, timeout_s=5)
    assert seen[1:] == ["ended"]


async def test_what_a_background_task_lets_fall_is_raised(autojump_clock):
    """When asyncio notices: here, when nobody can look at the task any more."""

    async def lets_fall():
        async def fails():
            raise ValueError("mine")

        task = asyncio.create_task(fails())
        await asyncio.sleep(0.1)
        del task
        await asyncio.sleep(10)

    with pytest.raises(ValueError, match="mine"):
        await run_asyncio(lets_fall, timeout_s=math.inf)


async def test_a_coroutine_that_swallows_its_cancellation_is_waited_for_and_named(autojump_clock, caplog):
    """It was told once; nothing else can be done."""
    stubborn = Stubborn()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def call():
            with trio.move_on_after(1):
                assert await run_asyncio(stubborn, timeout_s=math.inf) == "done"

        await trio.sleep(5)
        (late,) = late_calls()
        stubborn.let_go = True
    assert (late.call, late.abandoned, stubborn.swallowed) == ("Stubborn", False, 1)
    assert late.who.endswith("call")
    assert caplog.text.count("foreign.late") == 1


# Actors


@pytest.fixture
def _no_extra(monkeypatch):
    """trio-asyncio is not installed."""
    monkeypatch.setitem(sys.modules, "trio_asyncio", None)


@pytest.mark.usefixtures("_no_extra")
async def test_without_the_extra_the_error_names_it(autojump_clock, system):
    """For a call, and for an actor's start."""
    with pytest.raises(ExtraMissing, match=r"understudy-actors\[asyncio\]"):
        await run_asyncio(asyncio.sleep, 0, timeout_s=1)
    with pytest.raises(StartFailed) as caught:
        await system.spawn(worker())
    assert isinstance(caught.value.cause, ExtraMissing)


def test_trio_asyncio_is_imported_at_the_first_use_only():
    """asyncio is left alone as long as nobody asks for it."""
    program = (
        "import asyncio, sys; before = asyncio.get_event_loop_policy\n"
        "import actors, actors.interop.asyncio_, actors.interop.threads\n"
        "assert 'trio_asyncio' not in sys.modules and asyncio.get_event_loop_policy is before\n"
        "import trio; trio.run(lambda: actors.interop.asyncio_.run_asyncio(asyncio.sleep, 0, timeout_s=5))\n"
        "assert 'trio_asyncio' in sys.modules and asyncio.get_event_loop_policy is not before\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def test_an_asyncio_actor_handles_messages_in_asyncio(autojump_clock, system):
    """One at a time, in their order; hooks too."""
    diary = []
    ref = await system.spawn(worker(diary))
    ref.tell("one")
    ref.tell("two")

    async def running(actor):
        return asyncio.get_running_loop(), asyncio.current_task() is not None

    loop, is_task = await ref.ask(Do(running))
    assert is_task
    assert (await ref.ask(Do(running)))[0] is loop
    assert await ref.stop() == Shutdown()
    assert diary == ["start", "one", "two", "stop (shutdown)"]
    assert loop.is_closed()


async def test_a_message_it_does_not_know_is_unhandled(autojump_clock, system, events):
    """As with any actor."""
    ref = await system.spawn(worker())
    ref.tell(object())
    await ref.stop(StopMode.AFTER_DRAIN)
    assert [event.message_type for event in events if isinstance(event, MessageUnhandled)] == ["object"]


async def test_an_actor_serves_sockets_with_asyncio():
    """A server that lives as long as its incarnation, and a queue between its tasks and the messages."""

    class Server(AsyncioActor):
        async def start_in_asyncio(self, context):
            self.lines = asyncio.Queue()
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)

        async def serve(self, reader, writer):
            await self.lines.put(await reader.readline())
            writer.write(b"thanks\n")
            await writer.drain()
            writer.close()

        async def handle(self, message, context):
            message.reply(await message.act(self))

        async def stop_in_asyncio(self, context, reason):
            self.server.close()
            await self.server.wait_closed()

    async def address(actor):
        return actor.server.sockets[0].getsockname()

    async def next_line(actor):
        return await actor.lines.get()

    with trio.fail_after(60):
        async with ActorSystem("test") as system:
            ref = await system.spawn(ChildSpec("server", Server))
            host, port = await ref.ask(Do(address))
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(b"hello\n")
                assert await ref.ask(Do(next_line)) == b"hello\n"
                assert await stream.receive_some(100) == b"thanks\n"
            assert await ref.stop() == Shutdown()
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream(host, port)


async def test_asyncio_code_tells_and_asks_other_actors(autojump_clock, system):
    """What has to be awaited goes through `in_trio`; what it raises comes back."""
    other = await system.spawn(player("other"))

    async def reach(actor):
        other.tell("told")
        with pytest.raises(ActorDied):
            await in_trio(dead.ask, Read())
        return await in_trio(partial(other.ask, Read(), timeout_s=1))

    dead = await system.spawn(player("dead"))
    await dead.stop()
    ref = await system.spawn(worker())
    assert await ref.ask(Do(reach)) == ["told"]


async def test_an_error_in_asyncio_is_a_crash_and_the_next_incarnation_has_another_loop(autojump_clock, system):
    """The stop hook ran in the old one."""
    diary, loops = [], []
    ref = await system.spawn(worker(diary))

    async def fail(actor):
        loops.append(asyncio.get_running_loop())
        raise ValueError("mine")

    async def loop(actor):
        return asyncio.get_running_loop()

    with pytest.raises(ActorDied) as caught:
        await ref.ask(Do(fail), timeout_s=math.inf)
    assert isinstance(caught.value.__cause__, ValueError)
    assert await ref.ask(Do(loop)) is not loops[0]
    assert loops[0].is_closed()
    assert diary == ["start", "stop (crashed: ValueError)", "start"]


@pytest.mark.promise("bad.base-exception")
async def test_a_cancelled_error_of_its_own_making_is_an_ordinary_crash(autojump_clock, system):
    """It does not tear down the tree: siblings and the system live on."""
    sibling = await system.spawn(player("sibling"))
    ref = await system.spawn(worker(restart=Restart.TEMPORARY))

    async def cancel_itself(actor):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    ref.tell(Do(cancel_itself))
    reason = await ref.wait_stopped()
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, AsyncioCancelled)
    assert reason.error.call == "handle Do"
    assert await sibling.ask(Read()) == []


async def test_stopping_an_actor_cancels_its_coroutine(autojump_clock, system):
    """As asyncio does; what it cleans up has the grace for it."""
    seen = []
    ref = await system.spawn(worker())

    async def hang(actor):
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(1)
            seen.append("cleaned up")

    ref.tell(Do(hang))
    await settled()
    start = trio.current_time()
    assert await ref.stop(StopMode.NOW) == Shutdown()
    assert trio.current_time() - start == 1
    assert seen == ["cleaned up"]


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_coroutine_nobody_waits_for_any_more_is_cancelled_and_the_actor_lives_on(autojump_clock, system):
    """With its loop and its state."""
    seen = []
    ref = await system.spawn(worker())

    async def hang(actor):
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(AskTimeout):
        await ref.ask(Do(hang), timeout_s=3)
    ref.tell("next")
    await settled()
    assert seen == ["cancelled"]
    assert await ref.stop(StopMode.AFTER_DRAIN) == Shutdown()


async def test_background_tasks_end_with_their_incarnation(autojump_clock, system):
    """Also when it crashes; the stop hook still finds them at work."""
    seen = []

    class Keeper(Worker):
        async def start_in_asyncio(self, context):
            self.task = asyncio.create_task(self.keep())

        async def keep(self):
            try:
                await asyncio.sleep(math.inf)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        async def stop_in_asyncio(self, context, reason):
            seen.append(f"done {self.task.done()}")

    ref = await system.spawn(worker(kind=Keeper))

    async def fail(actor):
        raise ValueError

    ref.tell(Do(fail))
    await settled()
    assert seen == ["done False", "cancelled"]
    await ref.stop()
    assert seen == ["done False", "cancelled"] * 2


async def fail_at_the_end():
    """A task that fails when it is cancelled."""
    try:
        await asyncio.sleep(math.inf)
    finally:
        raise ValueError("mine")


async def test_a_background_task_that_fails_at_the_end_is_a_crash(autojump_clock, system):
    """Of a stopped actor too, and an error of a single call."""

    async def start(actor=None):
        tasks.append(asyncio.create_task(fail_at_the_end()))
        await asyncio.sleep(0)

    tasks = []
    ref = await system.spawn(worker())
    await ref.ask(Do(start))
    reason = await ref.stop()
    assert isinstance(reason, Crashed)
    assert str(reason.error) == "mine"
    with pytest.raises(ValueError, match="mine"):
        await run_asyncio(start, timeout_s=5)


async def test_an_error_that_asyncio_notices_after_the_end_is_logged(autojump_clock, system, caplog):
    """There is no actor left that it could crash."""
    ref = await system.spawn(worker())

    async def loop(actor):
        return asyncio.get_running_loop()

    gone = await ref.ask(Do(loop))
    await ref.stop()
    gone.call_exception_handler({"message": "too late"})
    assert ("asyncio", logging.ERROR, "too late") in caplog.record_tuples


async def test_a_background_task_that_fails_crashes_its_actor_with_its_own_error(autojump_clock, system):
    """Also when a message is in work, whose coroutine is cancelled by that."""
    ref = await system.spawn(worker(restart=Restart.TEMPORARY))

    async def let_fall(actor):
        async def fails():
            raise ValueError("mine")

        task = asyncio.create_task(fails())
        await asyncio.sleep(0.1)
        del task
        await asyncio.sleep(math.inf)

    with pytest.raises(ActorDied) as caught:
        await ref.ask(Do(let_fall), timeout_s=math.inf)
    assert isinstance(caught.value.__cause__, ValueError)
    reason = await ref.wait_stopped()
    assert isinstance(reason, Crashed)
    assert str(reason.error) == "mine"


async def test_a_callback_that_fails_between_messages_crashes_the_actor(autojump_clock, system):
    """Nobody has to be there for it to be noticed."""
    ref = await system.spawn(worker(restart=Restart.TEMPORARY))

    async def arm(actor):
        asyncio.get_running_loop().call_later(60, divmod, 1, 0)

    await ref.ask(Do(arm))
    start = trio.current_time()
    reason = await ref.wait_stopped()
    assert isinstance(reason, Crashed)
    assert isinstance(reason.error, ZeroDivisionError)
    assert trio.current_time() - start == 60


async def test_a_killed_actor_ends_at_once_and_its_stop_hook_gets_to_its_first_wait(autojump_clock, system):
    """As with any actor. Ten of them, since it is a matter of luck which of trio's tasks runs first."""

    class Slow(Worker):
        async def stop_in_asyncio(self, context, reason):
            self.diary.append("stopping")
            await asyncio.sleep(1000)
            self.diary.append("stopped")

    for _ in range(10):
        diary = []
        ref = await system.spawn(worker(diary, Slow, restart=Restart.TEMPORARY))
        start = trio.current_time()
        ref.kill()
        assert await ref.wait_stopped() == Killed()
        assert trio.current_time() == start
        assert diary == ["start", "stopping"]


async def test_a_stop_hook_that_hangs_is_cancelled_after_the_grace(autojump_clock, system):
    """And the actor was killed."""

    class Slow(Worker):
        async def stop_in_asyncio(self, context, reason):
            await asyncio.sleep(1000)

    ref = await system.spawn(worker(kind=Slow))
    start = trio.current_time()
    assert await ref.stop() == Killed()
    assert trio.current_time() - start == 5


async def test_a_handler_that_swallows_its_cancellation_is_named(autojump_clock, system, events, caplog):
    """The end of its actor waits for it; the runtime tells too, after the grace."""
    stubborn = Stubborn()
    ref = await system.spawn(worker())
    ref.tell(Do(stubborn))
    await stubborn.began.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.stop)
        await trio.sleep(30)
        assert ref.alive
        (late,) = late_calls()
        stubborn.let_go = True
    assert (late.who, late.call) == ("/test/worker", "handle Do")
    assert "foreign.late who=/test/worker call=handle Do" in caplog.text
    assert [event.path for event in events if isinstance(event, ShutdownOverdue)] == ["/test/worker"]
    assert await ref.wait_stopped() == Killed()


async def test_a_background_task_that_swallows_its_cancellation_is_named(autojump_clock, system, caplog):
    """By its coroutine's name: it holds the end of the incarnation."""
    stubborn = Stubborn()
    ref = await system.spawn(worker())

    async def keep_going():
        await stubborn()

    async def start(actor):
        actor.task = asyncio.create_task(keep_going())

    await ref.ask(Do(start))
    await stubborn.began.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.stop)
        await trio.sleep(3)
        (late,) = late_calls()
        assert (late.who, late.abandoned) == ("/test/worker", False)
        assert late.call.startswith("the asyncio tasks ")
        assert late.call.endswith("keep_going")
        stubborn.let_go = True
    assert await ref.wait_stopped() == Shutdown()
    assert caplog.text.count("foreign.late") == 1


async def test_a_start_hook_that_fails_reaches_who_starts(autojump_clock, system):
    """With the cause; the stop hook ran; the loop is closed."""
    diary, loops = [], []

    class Unable(Worker):
        async def start_in_asyncio(self, context):
            loops.append(asyncio.get_running_loop())
            raise OSError("no")

    with pytest.raises(StartFailed) as caught:
        await system.spawn(worker(diary, Unable))
    assert isinstance(caught.value.cause, OSError)
    assert diary == ["stop (crashed: OSError)"]
    assert loops[0].is_closed()


@pytest.mark.promise("restart.never-swallowed")
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["message", "task", "callback", "call"])
async def test_what_ends_the_program_passes_through_asyncio(autojump_clock, caplog, kind, where):
    """Wherever it is raised; tasks that are left in the dead loop hold up nothing, and are not logged later."""

    tasks = []

    async def leave(actor=None):
        tasks.append(asyncio.create_task(asyncio.sleep(1000)))
        await asyncio.sleep(0)
        if where == "task":
            tasks.append(asyncio.create_task(leave_now()))
        if where == "callback":
            asyncio.get_running_loop().call_soon(raise_it)
        if where in ("task", "callback"):
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(1000)
        raise_it()

    async def leave_now():
        raise_it()

    def raise_it():
        raise kind(3)

    async def run():
        if where == "call":
            await run_asyncio(leave, timeout_s=math.inf)
        async with ActorSystem("test", on_event=lambda _: None) as system:
            ref = await system.spawn(worker())
            ref.tell(Do(leave))
            await trio.sleep_forever()

    with pytest.raises((kind, BaseExceptionGroup)) as caught:
        await run()
    assert where == "call" or isinstance(caught.value, kind)  # a call of its own has no system around it
    assert isinstance(caught.value, kind) or caught.value.split(kind)[1] is None
    assert [isinstance(task.exception(), kind) for task in tasks if not task.cancelled()] == [True] * (where == "task")
    tasks.clear()
    del caught
    gc.collect()  # asyncio logs a task that is destroyed while it is pending
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_cancelled_system_takes_its_asyncio_actors_with_it(autojump_clock):
    """Whatever they are at."""
    seen = []

    async def hang(actor):
        try:
            await asyncio.sleep(math.inf)
        finally:
            seen.append("ended")

    with trio.move_on_after(2) as scope:
        async with ActorSystem("test", [worker()], on_event=lambda _: None) as system:
            system.root.children()[0].tell(Do(hang))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert seen == ["ended"]


async def test_two_actors_have_a_loop_each(autojump_clock, system):
    """The crash of one leaves the other alone; context variables are those of each task."""
    color = contextvars.ContextVar("color")

    class Colored(Worker):
        async def receive(self, message, context):
            color.set(context.path)
            await super().receive(message, context)
            assert trio_asyncio.current_loop.get() is None

    async def look(actor):
        return color.get(), asyncio.get_running_loop()

    async def fail(actor):
        raise ValueError

    one = await system.spawn(ChildSpec("one", Colored))
    two = await system.spawn(ChildSpec("two", Colored))
    (path_one, loop_one), (path_two, loop_two) = await one.ask(Do(look)), await two.ask(Do(look))
    assert (path_one, path_two) == ("/test/one", "/test/two")
    assert loop_one is not loop_two
    one.tell(Do(fail))
    await settled()
    assert (await two.ask(Do(look)))[1] is loop_two


async def test_plain_asyncio_still_runs_in_a_thread():
    """trio-asyncio has patched asyncio by now: its loop in another thread is one of its own making."""

    async def sleeps():
        await asyncio.sleep(0)
        return "done"

    with trio.fail_after(60):
        assert await run_in_thread(lambda: asyncio.run(sleeps()), timeout_s=10) == "done"


def test_an_asyncio_actor_is_an_actor():
    """So that a `ChildSpec` may make one."""
    assert issubclass(AsyncioActor, Actor)
