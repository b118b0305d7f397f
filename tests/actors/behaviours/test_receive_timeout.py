"""What a server hears when it hears nothing."""

import pytest
import trio
import trio.testing

from actors import ChildSpec, MessageUnhandled, Restart
from actors.behaviours.server import ReceiveTimeout, cast
from tests.actors.behaviours.adders import Add, Adder, Tick
from tests.actors.troupe import Run, settled


@pytest.fixture
async def adder(system):
    """A running adder."""
    return await system.spawn(ChildSpec("adder", Adder))


class Listener(Adder):
    """Writes down when it heard nothing."""

    background = (Tick,)

    def __init__(self, timeout_s=5.0):
        super().__init__()
        self.timeout_s = timeout_s
        self.silences = []

    async def on_start(self, context):
        self.set_receive_timeout(context, self.timeout_s)

    @cast
    async def silence(self, notice: ReceiveTimeout, context) -> None:
        self.silences.append((notice.timeout_s, trio.current_time()))

    @cast
    async def tick(self, message: Tick, context) -> None:
        self.done.append("tick")


async def listening(system, *, kind=Listener, **options):
    """Start a listener; return its reference, the actors of its incarnations, and the time."""
    actors = []
    ref = await system.spawn(ChildSpec("listener", lambda: actors.append(kind()) or actors[-1], **options))
    return ref, actors, trio.current_time()


async def test_a_silence_is_noticed_and_says_how_long_it_was(autojump_clock, system):
    """Again after each further one."""
    _, actors, start = await listening(system)
    await trio.sleep(12)
    assert actors[0].silences == [(5.0, start + 5), (5.0, start + 10)]


async def test_every_message_ends_the_silence(autojump_clock, system):
    """The time counts from the last one."""
    ref, actors, start = await listening(system)
    for _ in range(4):
        await trio.sleep(4)
        ref.tell(Add(1))
    await trio.sleep(4.9)
    assert actors[0].silences == []
    await trio.sleep(1)
    assert actors[0].silences == [(5.0, start + 21)]


async def test_many_messages_cost_one_timer(autojump_clock, system):
    """It is not set again for each."""
    ref, _, _ = await listening(system)
    before = len(system.timers._heap)
    for _ in range(100):
        ref.tell(Add(1))
    await settled()
    assert len(system.timers) == 1
    assert len(system.timers._heap) == before


async def test_the_time_counts_from_the_end_of_a_long_message(autojump_clock, system):
    """Work is no silence, and a message that waited meanwhile is served first."""

    class Slow(Listener):
        @cast
        async def unknown(self, message: str, context) -> None:
            await trio.sleep(20)
            self.done.append(message)

    ref, actors, start = await listening(system, kind=Slow)
    ref.tell("slow")
    ref.tell("slower")
    await trio.sleep(44)
    assert actors[0].silences == []
    await trio.sleep(2)
    assert actors[0].done == ["slow", "slower"]
    assert actors[0].silences == [(5.0, start + 45)]


async def test_background_messages_leave_the_silence_alone(autojump_clock, system):
    """Such as the ticks of the server itself."""
    ref, actors, start = await listening(system)
    for _ in range(6):
        await trio.sleep(1)
        ref.tell(Tick())
    await settled()
    assert actors[0].silences == [(5.0, start + 5)]
    assert len(actors[0].done) == 6


async def test_a_receive_timeout_can_be_changed_and_ended(autojump_clock, system):
    """Also in its own method, and in that of a background message; the last word counts."""

    class Fickle(Listener):
        @cast
        async def tick(self, message: Tick, context) -> None:
            self.set_receive_timeout(context, 50)
            self.set_receive_timeout(context, 2)

        @cast
        async def silence(self, notice: ReceiveTimeout, context) -> None:
            await super().silence(notice, context)
            self.set_receive_timeout(context, None)

    ref, actors, start = await listening(system, kind=Fickle)
    await trio.sleep(1)
    ref.tell(Tick())
    await trio.sleep(60)
    assert actors[0].silences == [(2, start + 3)]
    assert len(system.timers) == 0
    ref.tell(Tick())
    await trio.sleep(60)
    assert len(actors[0].silences) == 2


async def test_a_receive_timeout_can_be_taken_back_while_it_runs(autojump_clock, system):
    """Nothing comes of it."""

    class Patient(Listener):
        @cast
        async def tick(self, message: Tick, context) -> None:
            self.set_receive_timeout(context, None)

    ref, actors, _ = await listening(system, kind=Patient)
    await trio.sleep(1)
    ref.tell(Tick())
    await settled()
    assert len(system.timers) == 0
    await trio.sleep(20)
    assert actors[0].silences == []


async def test_no_silence_is_noticed_that_nobody_asked_about(autojump_clock, adder, system, events):
    """Without a receive timeout there is no timer either."""
    await trio.sleep(1000)
    assert len(system.timers) == 0
    assert not any(isinstance(event, MessageUnhandled) for event in events)


@pytest.mark.promise("timers.die")
@pytest.mark.parametrize("end", ["stop", "kill", "own wish"])
async def test_a_receive_timeout_dies_with_its_server(autojump_clock, system, end):
    """It is a timer: none is left, and it becomes no dead letter."""
    ref, actors, _ = await listening(system, restart=Restart.TEMPORARY)
    assert len(system.timers) == 1
    match end:
        case "stop":
            await ref.stop()
        case "kill":
            ref.kill()
        case "own wish":
            ref.tell(Run(lambda context: context.stop()))
    await ref.wait_stopped()
    await trio.sleep(0.1)
    assert end == "kill" or len(system.timers) == 0
    await trio.sleep(20)
    assert len(system.timers) == 0
    assert actors[0].silences == []
    assert not list(system.dead_letters)


@pytest.mark.promise("timers.die")
async def test_a_restarted_server_hears_nothing_of_the_old_timeout(autojump_clock, system):
    """And has the one that its own start hook set."""
    ref, actors, start = await listening(system)
    await trio.sleep(3)
    ref.tell(Run(lambda _: 1 / 0))
    await trio.sleep(4)
    assert len(actors) == 2
    assert [actor.silences for actor in actors] == [[], []]
    await trio.sleep(2)
    assert actors[1].silences == [(5.0, start + 8)]


async def test_a_silence_that_ends_in_the_moment_it_is_noticed_was_none(autojump_clock, system):
    """A message that waits already is heard first."""

    class Busy(Listener):
        told = False

        async def receive(self, message, context):
            if isinstance(message, ReceiveTimeout) and not self.told:
                self.told = True
                context.ref.tell(Add(1))
            await super().receive(message, context)

    _, actors, start = await listening(system, kind=Busy)
    await trio.sleep(11)
    assert actors[0].total == 1
    assert actors[0].silences == [(5.0, start + 10)]
