import math
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from actors import (
    ActorDied,
    ActorSystem,
    Backoff,
    ChildSpec,
    Killed,
    MailboxFull,
    Restart,
    Shutdown,
    StopMode,
    Supervisor,
    UnhandledMessage,
)
from actors.behaviours.leases import ResourceLost, ResourceUnavailable
from actors.behaviours.resource import Resource, resource
from actors.behaviours.resource_actor import ResourceActor, ResourceOptions
from tests.actors.troupe import Read, calls, during, failing, settled

OPTIONS = ResourceOptions(backoff=Backoff(min_s=1.0, max_s=8.0, jitter=0.0))


class Wire:
    """What one opening gives: it may be cut from within."""

    def __init__(self, number):
        self.number = number
        self.cut = trio.Event()
        self.error = OSError("cut")

    async def send(self, word):
        await trio.lowlevel.checkpoint()
        return f"{word} by {self.number}"

    async def hang(self):
        await trio.sleep(10_000)
        raise AssertionError("nobody cut this off")


class Exchange:
    """Opens wires, each with a nursery of its own, and keeps a diary with the times."""

    def __init__(self):
        self.diary = []
        self.tasks = []
        self.open_s = 0.0
        self.exit_s = 0.0
        self.exit_error = None
        self.failures = []
        self.wire = None
        self.opened = 0

    def note(self, event):
        self.diary.append((event, trio.current_time()))

    @asynccontextmanager
    async def source(self):
        self.note("open")
        self.tasks.append(trio.lowlevel.current_task())
        await trio.sleep(self.open_s)
        if self.failures:
            raise self.failures.pop(0)
        self.opened += 1
        self.wire = Wire(self.opened)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._background, self.wire)
                yield self.wire
                nursery.cancel_scope.cancel()
        finally:
            self.tasks.append(trio.lowlevel.current_task())
            self.note("exit")
            await trio.sleep(self.exit_s)
            self.note("closed")
            if self.exit_error is not None:
                raise self.exit_error

    async def _background(self, wire):
        await wire.cut.wait()
        if wire.error is not None:
            raise wire.error
        raise _Over

    def times(self, event):
        return [at for happened, at in self.diary if happened == event]


class _Over(Exception):
    """The background of a wire ends it, without an error."""


@pytest.fixture
def exchange():
    return Exchange()


async def checkpoint(_):
    """A use that does nothing, and a check that finds nothing."""
    await trio.lowlevel.checkpoint()


async def start(system, exchange, *, options=OPTIONS, **kwargs):
    started = await Resource.start(system, "wire", exchange.source, options=options, **kwargs)
    await settled()
    return started


async def test_fail_fast_refuses_at_once_while_the_resource_is_away(autojump_clock, system, exchange):
    exchange.failures = [OSError("refused")] * 2
    wire = await start(system, exchange)
    await trio.sleep(2.0)
    with pytest.raises(ResourceUnavailable) as caught:
        await wire.use(lambda opened: opened.send("hello"), fail_fast=True)
    assert (caught.value.path, caught.value.since, caught.value.retry_in_s) == ("/test/wire", 0.0, 1.0)
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value, trio.BusyResourceError)
    assert trio.current_time() == 2.0
    await trio.sleep(1.5)
    assert await wire.use(lambda opened: opened.send("hello"), fail_fast=True) == "hello by 1"


@pytest.mark.promise("restart.backoff-growth")
async def test_opening_is_retried_with_growing_delays(autojump_clock, system, exchange):
    exchange.failures = [OSError("refused"), OSError("refused"), ValueError("refused")]
    wire = await start(system, exchange)
    assert await wire.use(lambda opened: opened.send("hello"), timeout_s=60) == "hello by 1"
    assert exchange.times("open") == [0.0, 1.0, 3.0, 7.0]


async def test_opening_has_a_time_limit(autojump_clock, system, exchange):
    exchange.open_s = 60.0
    wire = await start(system, exchange)
    await trio.sleep(10.5)
    assert (await wire.status()).last_error == "OpenTimeout"
    exchange.open_s = 9.0
    assert await wire.use(lambda opened: opened.send("hello"), timeout_s=60) == "hello by 1"
    assert exchange.times("open") == [0.0, 11.0]
    await trio.sleep(100)
    assert (await wire.status()).open


async def test_a_resource_is_entered_and_left_in_one_task(autojump_clock, exchange, wire):
    wire.broken(exchange.wire)
    await trio.sleep(2)
    await wire.ref.stop()
    assert len(exchange.tasks) == 4
    assert len(set(exchange.tasks)) == 1


@pytest.mark.parametrize("error", [OSError("cut"), None])
async def test_a_resource_that_fails_in_the_background_is_opened_again(autojump_clock, exchange, wire, error, caplog):
    exchange.wire.error = error
    await trio.sleep(5)
    exchange.wire.cut.set()
    await settled()
    status = await wire.status()
    assert (status.open, status.since, status.failures, status.retry_in_s) == (False, 5.0, 1, 1.0)
    assert status.last_error == ("_Over" if error is None else "OSError")
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 2"
    assert exchange.times("open") == [0.0, 6.0]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.promise("bitten.failures-reach-owner")
async def test_a_use_is_cut_off_when_the_resource_goes_away(autojump_clock, system, exchange):
    wire = await start(system, exchange, limit=math.inf)
    async with calls(*[lambda: wire.use(Wire.hang)] * 2) as losses:
        await trio.sleep(1)
        exchange.wire.cut.set()
    assert [(type(error), error.path) for error in losses] == [(ResourceLost, "/test/wire")] * 2
    assert issubclass(ResourceLost, trio.BrokenResourceError)
    assert trio.current_time() == 1.0


async def test_a_user_may_say_that_it_is_broken(autojump_clock, system, exchange):
    wire = await start(system, exchange, limit=math.inf)
    first = exchange.wire
    async with during(failing, ResourceLost, lambda: wire.use(Wire.hang)):
        for _ in range(3):
            wire.broken(first)
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 2"
    wire.broken(first)
    await trio.sleep(60)
    assert exchange.opened == 2


@pytest.mark.parametrize(
    ("error", "opened"),
    [
        (trio.BrokenResourceError(), 2),
        (ExceptionGroup("g", [trio.ClosedResourceError()]), 2),
        (ValueError(), 1),
        (ActorDied("/somebody/else"), 1),
    ],
)
async def test_an_error_of_its_use_may_mean_that_it_is_broken(autojump_clock, exchange, wire, error, opened):

    async def fail(_):
        raise error

    with pytest.raises(type(error)) as caught:
        await wire.use(fail)
    assert caught.value is error
    await trio.sleep(60)
    assert exchange.opened == opened


@pytest.mark.parametrize(("broken_by", "opened"), [((), 1), ((trio.Cancelled,), 2)])
async def test_a_use_that_is_cut_off_may_mean_that_it_is_broken(autojump_clock, system, exchange, broken_by, opened):
    wire = await start(system, exchange, broken_by=broken_by)
    with trio.move_on_after(1):
        await wire.use(Wire.hang)
    await trio.sleep(60)
    assert exchange.opened == opened


async def test_users_take_turns_in_the_order_in_which_they_asked(autojump_clock, system, exchange):
    wire = await start(system, exchange, limit=2)
    diary = []

    async def use(name, timeout_s=60.0):
        with trio.move_on_after(timeout_s):
            async with wire.borrow(timeout_s=60):
                diary.append((name, trio.current_time()))
                await trio.sleep(3 if name == "b" else 2)

    async with trio.open_nursery() as nursery:
        for name in "abcde":
            nursery.start_soon(use, name, 1.0 if name == "c" else 60.0)
            await settled()
        status = await wire.status()
        assert (status.leased, status.waiting) == (2, 3)
    assert diary == [("a", 0.0), ("b", 0.0), ("d", 2.0), ("e", 3.0)]
    assert (await wire.status()).leased == 0


@pytest.mark.promise("bitten.cancelled-ask")
async def test_a_user_that_is_cancelled_gives_it_back(autojump_clock, exchange, wire):
    for timeout_s in (0, 1):
        with trio.move_on_after(timeout_s):
            await wire.use(Wire.hang)
    async with during(wire.use, Wire.hang) as nursery:
        nursery.cancel_scope.cancel()
    for _ in range(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.use, Wire.hang)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    status = await wire.status()
    assert (status.leased, status.waiting, exchange.opened) == (0, 0, 1)
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 1"


@pytest.mark.promise("mailbox.policies")
async def test_no_more_may_wait_than_there_is_room_for(autojump_clock, system, exchange):
    spec = ChildSpec("wire", lambda: ResourceActor(exchange.source, waiting=2))
    wire = Resource(await system.spawn(spec))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wire.use, Wire.hang)
            await settled()
        with pytest.raises(MailboxFull) as caught:
            await wire.use(Wire.hang)
        assert (caught.value.lane, caught.value.capacity) == ("borrowers", 2)
        nursery.cancel_scope.cancel()


async def test_a_failed_periodic_check_opens_the_resource_again(autojump_clock, system, exchange):
    checked = []

    async def check(opened):
        checked.append((opened.number, trio.current_time()))
        if opened.number == 1 and len(checked) == 2:
            raise OSError("no answer")
        if opened.number == 2:
            await trio.sleep_forever()

    wire = await start(system, exchange, check=check)
    await trio.sleep(61)
    assert checked == [(1, 30.0), (1, 60.0)]
    assert (await wire.status()).last_error == "OSError"
    await trio.sleep(36)
    assert checked[2:] == [(2, 91.0)]
    assert (await wire.status()).last_error == "CheckTimeout"
    await trio.sleep(2)
    assert (await wire.status()).open
    assert exchange.opened == 3


async def test_a_check_disturbs_no_use_and_no_use_a_check(autojump_clock, system, exchange):
    checked = []

    async def check(_):
        checked.append(trio.current_time())
        await trio.sleep(3)

    wire = await start(system, exchange, check=check)
    async with wire.borrow():
        await trio.sleep(35)
    assert checked == []
    await trio.sleep(26)
    assert checked == [60.0]
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 1"
    assert trio.current_time() == 63.0


@pytest.mark.promise("stop.hook-once")
async def test_a_check_in_work_takes_no_time_from_the_exit(autojump_clock, system, exchange):
    exchange.exit_s = 2.0

    async def check(_):
        await trio.sleep(4.9)

    wire = await start(system, exchange, check=check)
    await trio.sleep(30.5)
    await wire.ref.stop()
    assert exchange.diary == [("open", 0.0), ("exit", 30.5), ("closed", 32.5)]


@pytest.mark.promise("stop.hook-once")
@pytest.mark.parametrize("mode", list(StopMode))
async def test_a_stop_leaves_it_in_order(autojump_clock, exchange, wire, mode):
    exchange.exit_s = 2.0
    async with during(failing, ResourceLost, lambda: wire.use(Wire.hang)) as nursery:
        nursery.start_soon(failing, ActorDied, lambda: wire.use(Wire.hang, timeout_s=math.inf))
        await settled()
        assert await wire.ref.stop(mode) == Shutdown()
    assert exchange.diary == [("open", 0.0), ("exit", 0.0), ("closed", 2.0)]
    with pytest.raises(ActorDied):
        await wire.use(Wire.hang)


async def test_an_exit_that_fails_harms_nobody(autojump_clock, system, exchange):
    exchange.exit_error = ValueError("exit")
    wire = await start(system, exchange)
    wire.broken(exchange.wire)
    await settled()
    assert (await wire.status()).last_error == "ResourceEnded"
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 2"
    assert await wire.ref.stop() == Shutdown()


async def test_an_exit_that_hangs_is_cut_off(autojump_clock, exchange, wire, caplog):
    exchange.exit_s = math.inf
    assert await wire.ref.stop() == Shutdown()
    assert trio.current_time() == 3.0
    assert exchange.diary == [("open", 0.0), ("exit", 0.0)]
    assert [record.getMessage() for record in caplog.records] == ["resource.exit_overrun path=/test/wire"]


@pytest.mark.promise("peers.stop-hooks-on-cancel")
async def test_the_exit_runs_when_the_actor_is_killed_or_the_system_cancelled(autojump_clock, exchange):
    exchange.exit_s = 2.0
    async with ActorSystem("s") as system:
        spec = resource("wire", exchange.source, options=OPTIONS)
        wire = Resource(await system.spawn(ChildSpec("wire", spec.factory, restart=Restart.TEMPORARY)))
        await settled()
        wire.ref.kill()
        assert await wire.ref.wait_stopped() == Killed()
    assert exchange.diary == [("open", 0.0), ("exit", 0.0), ("closed", 2.0)]
    with trio.move_on_after(1):
        async with ActorSystem("s") as system:
            await start(system, exchange)
            await trio.sleep_forever()
    assert exchange.diary[3:] == [("open", 2.0), ("exit", 3.0), ("closed", 5.0)]


async def test_a_resource_can_be_stopped_while_it_opens_and_between_two_tries(autojump_clock, system, exchange):
    exchange.open_s = 2.0
    exchange.exit_s = 0.5
    wire = await start(system, exchange)
    async with during(failing, ActorDied, lambda: wire.use(Wire.hang)):
        await wire.ref.stop()
    assert exchange.diary == [("open", 0.0), ("exit", 2.0), ("closed", 2.5)]

    exchange.open_s = math.inf
    wire = await start(system, exchange)
    await wire.ref.stop()
    assert trio.current_time() == 5.5

    exchange.open_s, exchange.failures = 0.0, [OSError("refused")]
    wire = await start(system, exchange)
    await wire.ref.stop()
    assert trio.current_time() == 5.5
    assert exchange.opened == 1


async def test_a_resource_of_a_spec_lives_in_a_tree(autojump_clock, system, exchange):
    spec = resource("wire", exchange.source, options=OPTIONS)
    assert spec.shutdown_s == 4.0
    sup = await system.spawn(ChildSpec("sup", lambda: Supervisor([spec])))
    wire = Resource(system.find("/test/sup/wire"))
    assert await wire.use(lambda opened: opened.send("hello")) == "hello by 1"
    with pytest.raises(UnhandledMessage):
        await wire.ref.ask(Read())
    await sup.stop()
    assert exchange.times("closed") == [0.0]


@pytest.mark.promise("watch.tables-empty")
async def test_nothing_is_left_behind(autojump_clock, system, exchange):
    await settled()
    tasks = trio.lowlevel.current_statistics().tasks_living
    wire = await start(system, exchange, check=checkpoint)
    opened = trio.lowlevel.current_statistics().tasks_living
    for _ in range(5):
        exchange.wire.cut.set()
        await trio.sleep(20)
    assert exchange.opened == 6
    assert trio.lowlevel.current_statistics().tasks_living == opened
    await wire.ref.stop()
    await settled()
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(system.timers) == 0


@pytest.fixture
async def wire(system, exchange):
    return await start(system, exchange)


class EchoServer:
    """A real server on loopback that can be killed and come back on its port; it remembers what it heard."""

    def __init__(self):
        self.port = 0
        self.heard = []
        self.goodbye = trio.Event()

    async def serve(self, *, task_status):
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.serve_listeners(self._echo, listeners)

    async def _echo(self, stream):
        async with stream:
            async for data in stream:
                self.heard.append(data)
                if data == b"bye":
                    self.goodbye.set()
                    return
                await stream.send_all(data)


class EchoClient:
    """One connection: a task of its own reads the answers, and fails when the server goes."""

    def __init__(self, stream):
        self._stream = stream
        self._in, self._out = trio.open_memory_channel(10)

    async def read(self):
        with self._in:
            async for data in self._stream:
                await self._in.send(data)
        raise trio.BrokenResourceError("the server has gone")

    async def echo(self, data):
        await self._stream.send_all(data)
        return await self._out.receive()


async def test_a_real_connection_is_opened_again_when_its_server_comes_back():
    server = EchoServer()

    @asynccontextmanager
    async def connect():
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream, trio.open_nursery() as nursery:
            client = EchoClient(stream)
            nursery.start_soon(client.read)
            yield client
            await stream.send_all(b"bye")
            nursery.cancel_scope.cancel()

    options = ResourceOptions(backoff=Backoff(min_s=0.02, max_s=0.05))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, ActorSystem("s", on_event=lambda _: None) as system:
            alive = await nursery.start(server.serve)
            wire = await Resource.start(system, "wire", connect, options=options)
            assert await wire.use(lambda client: client.echo(b"one")) == b"one"
            alive.cancel()
            while (await wire.status()).failures < 2:  # noqa: ASYNC110 - the kernel tells when it likes
                await trio.sleep(0.01)
            with pytest.raises(ResourceUnavailable):
                await wire.use(lambda client: client.echo(b"two"), fail_fast=True)
            async with trio.open_nursery() as users:

                @users.start_soon
                async def patient():
                    assert await wire.use(lambda client: client.echo(b"three")) == b"three"

                await nursery.start(server.serve)
            await wire.ref.stop()
            await server.goodbye.wait()
            nursery.cancel_scope.cancel()
    assert server.heard == [b"one", b"three", b"bye"]


class Line(trio.abc.AsyncResource):
    """What an async function opens, as trio's own are."""

    def __init__(self, diary):
        self.diary = diary

    async def aclose(self):
        self.diary.append(("closed", trio.current_time()))
        await trio.lowlevel.checkpoint()


async def test_an_async_function_may_open_it(autojump_clock, system):
    diary, failures = [], [OSError()]

    async def open_line(takes_s):
        diary.append(("open", trio.current_time()))
        if failures:
            raise failures.pop()
        await trio.sleep(takes_s)
        return Line(diary)

    slow = await Resource.start(system, "slow", partial(open_line, 11.0), options=OPTIONS)
    await trio.sleep(0.5)
    await slow.ref.stop()
    assert diary == [("open", 0.0)]
    line = await Resource.start(system, "line", partial(open_line, 2.0), options=OPTIONS)
    async with line.borrow() as borrowed:
        assert isinstance(borrowed, Line)
        assert trio.current_time() == 2.5
    await line.ref.stop()
    assert diary[1:] == [("open", 0.5), ("closed", 2.5)]
