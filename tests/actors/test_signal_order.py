"""A notice takes its place behind what the watcher's mailbox held when the other actor ended."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from actors import (
    AskTimeout,
    ChildSpec,
    Crashed,
    DeathPact,
    Lane,
    MailboxFull,
    MailboxSpec,
    Overflow,
    Restart,
    Restarted,
    Shutdown,
    Stash,
    StopMode,
    Supervision,
    Terminated,
)
from actors.mailbox import EMPTY, Mailbox
from tests.actors.troupe import Boom, Hang, Player, Read, Run, during, failing, held, kill, player, settled, sleeping


class Busy:
    """A player that is held in `receive` until the test lets it go, and watches `targets`."""

    def __init__(self, ref, gate):
        self.ref, self.gate = ref, gate

    @classmethod
    async def open(cls, system, *targets, mailbox=None, kind=Player, spec=None, **wishes):
        bound = mailbox or MailboxSpec()

        class Watcher(kind):
            mailbox = bound
            supervision = Supervision(intensity=9)

        ref = await system.spawn(ChildSpec("watcher", Watcher, **(spec or {})))
        for target in targets:
            await ref.ask(Run(lambda context, target=target: context.watch(target, **wishes)))
        busy = cls(ref, trio.Event())
        await busy.hold()
        return busy

    async def hold(self):
        self.gate = trio.Event()
        self.ref.tell(Run(lambda _, gate=self.gate: gate.wait()))
        await settled()

    async def heard(self):
        self.gate.set()
        await settled()
        return await self.ref.ask(Read(), timeout_s=60)


def telling(ref, *messages, lane=Lane.NORMAL):
    def tell(_):
        for message in messages:
            ref.tell(message, lane=lane)

    return Run(tell)


@pytest.fixture
async def child(system):
    return await system.spawn(player("child"))


@pytest.mark.promise("watch.signal-order")
async def test_a_notice_comes_behind_what_waited_in_every_lane(autojump_clock, system, child):
    busy = await Busy.open(system, child)
    for lane in (Lane.LOW, Lane.NORMAL, Lane.ALERT):
        await child.ask(telling(busy.ref, lane.name, lane=lane))
    await child.stop()
    busy.ref.tell("later, alert", lane=Lane.ALERT)
    busy.ref.tell("later, low", lane=Lane.LOW)
    notice = Terminated(child, Shutdown())
    assert await busy.heard() == ["ALERT", "later, alert", "NORMAL", "LOW", notice, "later, low"]


@pytest.mark.promise("watch.signal-order", "mailbox.share")
async def test_a_flood_on_a_higher_lane_does_not_hold_a_notice_up_for_ever(autojump_clock, system, child):
    class Flooded(Player):
        async def receive(self, message, context):
            if message == "again":
                self.heard.append(message)
                context.ref.tell("again", lane=Lane.ALERT)
                await trio.lowlevel.checkpoint()
            else:
                await super().receive(message, context)

    busy = await Busy.open(system, child, kind=Flooded)
    await child.ask(telling(busy.ref, "mine"))
    await child.stop()
    busy.ref.tell("again", lane=Lane.ALERT)
    busy.gate.set()
    with trio.fail_after(5):
        received = []
        while not any(isinstance(item, Terminated) for item in received):
            received = await busy.ref.ask(Read())
    await busy.ref.stop()
    others = [item for item in received if item != "again"]
    assert others[:2] == ["mine", Terminated(child, Shutdown())]
    assert received.index("mine") <= 9


@pytest.mark.promise("watch.signal-order", "watch.once")
async def test_a_notice_takes_no_room_and_waits_for_no_sender(autojump_clock, system, child):
    busy = await Busy.open(system, child, mailbox=MailboxSpec(capacity=2))
    await child.ask(telling(busy.ref, "a", "b"))
    async with during(busy.ref.send, "waited"):
        await child.stop()
        with pytest.raises(MailboxFull):
            busy.ref.tell("no room")
        assert busy.ref.statistics()[Lane.NORMAL].depth == 2
        assert await busy.heard() == ["a", "b", Terminated(child, Shutdown()), "waited"]


@pytest.mark.promise("watch.signal-order")
@pytest.mark.parametrize("dead", [False, True])
async def test_an_urgent_watch_overtakes(autojump_clock, system, child, dead):
    if dead:
        await child.stop()
    busy = await Busy.open(system, *(() if dead else (child,)), urgent=True)
    busy.ref.tell("waits")
    if dead:
        busy.gate.set()
        busy.ref.tell(Run(lambda context: context.watch(child, urgent=True)))
        busy.ref.tell("behind")
        assert await busy.heard() == ["waits", Terminated(child, Shutdown()), "behind"]
    else:
        await child.stop()
        assert await busy.heard() == [Terminated(child, Shutdown()), "waits"]


@pytest.mark.promise("watch.signal-order")
async def test_the_end_of_one_that_was_dead_before_comes_behind_what_it_had_sent(autojump_clock, system, child):
    busy = await Busy.open(system)
    busy.ref.tell(Run(lambda context: context.watch(child)))
    await child.ask(telling(busy.ref, "result"))
    await child.stop()
    assert await busy.heard() == ["result", Terminated(child, Shutdown())]


@pytest.mark.promise("watch.signal-order", "watch.new-incarnation-is-not-old")
async def test_a_watcher_that_comes_back_hears_the_messages_first_too(autojump_clock, system, child):
    class Faithful(Player):
        async def on_start(self, context):
            context.watch(child)

    busy = await Busy.open(system, kind=Faithful)
    busy.ref.tell(Boom())
    await child.ask(telling(busy.ref, "result"))
    await child.stop()
    assert await busy.heard() == ["result", Terminated(child, Shutdown())]
    assert system.explain(busy.ref.path).incarnation == 2


@pytest.mark.promise("watch.signal-order")
async def test_an_unstashed_message_comes_before_the_notice(autojump_clock, system, child):
    class Patient(Player):
        async def on_start(self, context):
            self.stash = Stash(context)

        async def receive(self, message, context):
            if message == "result" and self.stash is not None:
                self.stash.stash(message)
            elif message == "open":
                stash, self.stash = self.stash, None
                stash.unstash_all()
            else:
                await super().receive(message, context)

    busy = await Busy.open(system, child, kind=Patient)
    await child.ask(telling(busy.ref, "result"))
    busy.ref.tell("open")
    await child.stop()
    assert await busy.heard() == ["result", Terminated(child, Shutdown())]


@pytest.mark.promise("watch.signal-order", "watch.not-on-restart")
async def test_a_restart_is_told_behind_what_the_last_incarnation_sent(autojump_clock, system, child):
    """And before what the next one sends after its start."""
    busy = await Busy.open(system, child, restarts=True)
    await child.ask(telling(busy.ref, "from the first"))
    error = ValueError("boom")
    child.tell(Boom(error))
    await settled()
    await child.ask(telling(busy.ref, "from the second"))
    await child.stop()
    received = await busy.heard()
    restarted, ended = Restarted(child, 2, Crashed(error)), Terminated(child, Shutdown())
    assert received == ["from the first", restarted, "from the second", ended]


@pytest.mark.promise("watch.unwatch")
async def test_a_notice_that_waits_behind_messages_can_be_taken_back(autojump_clock, system):
    first, second = await system.spawn(player("first")), await system.spawn(player("second"))
    busy = await Busy.open(system, first, second)
    busy.ref.tell(Run(lambda context: context.unwatch(first)))
    busy.ref.tell("between")
    await first.stop()
    await second.stop()
    assert await busy.heard() == ["between", Terminated(second, Shutdown())]
    assert held(busy.ref) == {}


@pytest.mark.promise("watch.signal-order", "watch.vital")
async def test_a_vital_end_is_heard_behind_the_messages_and_fails_the_watcher_then(autojump_clock, system, child):
    diary = []

    class Dependent(Player):
        async def receive(self, message, context):
            await super().receive(message, context)
            if self.heard:
                diary.append(self.heard[-1])

    busy = await Busy.open(system, child, kind=Dependent, vital=True, spec={"restart": Restart.TEMPORARY})
    await child.ask(telling(busy.ref, "last words"))
    await child.stop()
    busy.ref.tell("later")
    busy.gate.set()
    reason = await busy.ref.wait_stopped()
    assert isinstance(reason.error, DeathPact)
    assert diary == ["last words", Terminated(child, Shutdown())]


@pytest.mark.promise("watch.signal-order")
async def test_a_stop_does_not_wait_for_notices_and_a_drain_does(autojump_clock, system):
    for mode, hears in ((StopMode.AFTER_MESSAGE, False), (StopMode.AFTER_DRAIN, True)):
        child = await system.spawn(player("child"))
        diary = []

        class Noting(Player):
            async def receive(self, message, context, diary=diary):
                await super().receive(message, context)
                diary[:] = self.heard

        busy = await Busy.open(system, child, kind=Noting)
        await child.ask(telling(busy.ref, "result"))
        await child.stop()
        async with during(busy.ref.stop, mode):
            busy.gate.set()
        assert diary == (["result", Terminated(child, Shutdown())] if hears else [])


@pytest.mark.promise("watch.signal-order", "bitten.cancelled-ask")
async def test_a_request_that_nobody_waits_for_among_notices_is_cancelled_alone(autojump_clock, system, child):
    busy = await Busy.open(system, child)
    async with during(failing, AskTimeout, lambda: busy.ref.ask(Run(sleeping()), timeout_s=1)):
        await child.stop()
        busy.gate.set()
    assert await busy.ref.ask(Read()) == [Terminated(child, Shutdown())]
    assert system.explain(busy.ref.path).incarnation == 1


@pytest.mark.promise("watch.tables-empty")
async def test_no_notice_that_waits_outlives_its_watcher(autojump_clock, system, child):
    busy = await Busy.open(system, child)
    busy.ref.tell(Hang())
    await child.stop(StopMode.NOW)
    assert "notices" in held(busy.ref)
    await kill(busy.ref)
    assert held(busy.ref) == {}
    assert await busy.ref.stop(StopMode.NOW) == Shutdown()
    assert held(busy.ref) == {}


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.sampled_from(Lane)),
        st.tuples(st.just("notice"), st.just(None)),
        st.tuples(st.just("take"), st.just(None)),
        st.tuples(st.just("remove"), st.integers(0, 30)),
    ),
    max_size=60,
)


@pytest.mark.promise("watch.signal-order")
@given(OPERATIONS)
def test_a_notice_is_due_exactly_when_all_that_waited_before_it_is_gone(operations):
    mailbox = Mailbox(MailboxSpec(capacity=3, overflow=Overflow.DROP_OLDEST))
    waiting, notices, messages = {}, [], []

    def tell(message, lane):
        queue = mailbox.lanes[lane] or mailbox.open(lane)
        if len(queue.items) >= queue.capacity:
            waiting.pop(queue.displace(message))
        else:
            queue.items.append(message)
        waiting[message] = lane

    for number, (operation, detail) in enumerate(operations):
        if operation == "tell":
            messages.append(message := f"message {number}")
            tell(message, detail)
        elif operation == "notice":
            mailbox.add_notice(f"notice {number}")
            notices.append((f"notice {number}", set(waiting)))
        elif operation == "remove" and messages:
            message = messages[detail % len(messages)]
            assert mailbox.remove(message) == (waiting.pop(message, None) is not None)
        elif operation == "take" and (message := mailbox.take()) is not EMPTY:
            del waiting[message]
        while notices and not notices[0][1] & set(waiting):
            assert mailbox.take_due_notice() == notices.pop(0)[0]
        assert mailbox.take_due_notice() is EMPTY
        assert (mailbox.barriers is not None) == bool(notices)
