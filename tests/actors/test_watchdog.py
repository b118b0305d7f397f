"""What keeps the loop, wherever it is: seen from a thread, told with the place."""

import re
import sys
import threading
import time
import traceback

import pytest
import trio
import trio.testing

from actors import ActorSystem, InvalidSpec, SlowHandler, WatchdogDied, watchdog
from tests.actors.troupe import Run, of_type, player, settled

pytestmark = [pytest.mark.blocking("it is the fault under test")]


def block(*_):
    """Keep the loop, and let other threads work until the watchdog has seen it: a busy machine lets it wait."""
    dog, until = watchdog._watchdog.get(), time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.3)
        if (hold := dog._hold) is not None and (
            "time.sleep(0.3)" in hold.record.stack or hold.record.stack == watchdog.CHANGED
        ):
            break


async def block_later(*_):
    await trio.lowlevel.checkpoint()
    block()


async def waiting(context):
    await trio.sleep(3600)


def told(events):
    """Return the holds that were told, but for short ones: a busy machine holds the loop up too."""
    return [event for event in events if isinstance(event, SlowHandler) and event.held_s > 0.15]


def blocked(events):
    return [event for event in events if isinstance(event, SlowHandler) and "time.sleep(0.3)" in event.stack]


WHERE = {
    "on_start": ({"starting": block}, None, "/s/a"),
    "on_stop": ({"stopping": block}, None, "/s/a"),
    "own task": ({}, lambda context: context.start_soon(block_later, name="digging"), "/s/a"),
    "task of a handler": ({}, "nursery", "/s/a"),
    "foreign task": ({}, None, None),
}


@pytest.mark.promise("bad.blocking")
@pytest.mark.parametrize("fallback", [False, True], ids=["reading trio", "counting steps"])
@pytest.mark.parametrize("where", WHERE)
async def test_a_hold_outside_of_receive_is_named_with_its_place(autojump_clock, monkeypatch, where, fallback, events):
    if fallback:
        monkeypatch.setattr(watchdog, "_run_context", dict)
    hooks, act, path = WHERE[where]

    async def nested(context):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(block_later)

    async with ActorSystem("s", on_event=events.append) as system:
        ref = await system.spawn(player("a", **hooks))
        if where == "foreign task":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(block_later, name="digging")
        elif act is not None:
            await ref.ask(Run(nested if act == "nursery" else act))
            await settled()
    (held,) = blocked(events)
    assert (held.path, held.message_type) == (path, None)
    assert "unrolled_run" not in held.stack
    if "own" in where or "foreign" in where:
        assert held.task == "digging"


async def test_the_thread_sleeps_while_the_loop_waits_and_sees_the_next_hold(events):
    earlier = set(threading.enumerate())  # the thread of another system may still be ending

    def seen_asleep() -> bool:
        threads = set(threading.enumerate()) - earlier
        (thread,) = [running for running in threads if running.name == "actors.watchdog"]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            names = [frame.f_code.co_qualname for frame, _ in traceback.walk_stack(sys._current_frames()[thread.ident])]
            if "Pause.sleep" in names and "Event.wait" in names:
                return True
            time.sleep(0.001)
        return False

    async with ActorSystem("s", on_event=events.append) as system:
        await system.spawn(player("a"))
        for _ in range(2):
            assert await trio.to_thread.run_sync(seen_asleep)
            block()
            await trio.lowlevel.checkpoint()
    assert len(blocked(events)) == 2


async def test_a_busy_loop_has_no_instrument_and_a_quiet_one_gets_it_again(events):

    def seen_installed(pause) -> bool:
        until = time.monotonic() + 60
        while not pause.installed and time.monotonic() < until:
            time.sleep(0.001)
        return pause.installed

    async with ActorSystem("s", on_event=events.append):
        pause = watchdog._watchdog.get()._pause
        for _ in range(2):
            assert not pause.installed
            block()
            assert await trio.to_thread.run_sync(seen_installed, pause)
            with trio.fail_after(60):
                while pause.installed:
                    await trio.lowlevel.checkpoint()
        assert await trio.to_thread.run_sync(seen_installed, pause)
    assert not pause.installed
    with pytest.raises(KeyError):
        trio.lowlevel.remove_instrument(pause)
    assert len(blocked(events)) == 2


async def test_a_loop_that_often_goes_on_need_not_wake_the_thread(monkeypatch):
    events, looks, wakes = [], [], []
    sample, restart = watchdog.Watchdog._sample, watchdog.ProcessorClock.restart
    monkeypatch.setattr(watchdog.Watchdog, "_sample", lambda self, now: (looks.append(1), sample(self, now)))
    monkeypatch.setattr(watchdog.ProcessorClock, "restart", lambda self: (wakes.append(1), restart(self)))
    async with ActorSystem("s", on_event=events.append):
        with trio.fail_after(60):
            while len(looks) < 40:
                for _ in range(20):
                    await trio.lowlevel.checkpoint()
                await trio.sleep(0.0001)
        assert len(wakes) < 20
        block()
        await trio.lowlevel.checkpoint()
    assert len(blocked(events)) == 1


@pytest.mark.promise("bad.blocking")
async def test_code_that_keeps_the_interpreter_too_is_named(autojump_clock, events):
    async with ActorSystem("s", on_event=events.append) as system:
        ref = await system.spawn(player("a"))
        await ref.ask(Run(lambda context: context.start_soon(hog)))
        await settled()
    assert "/s/a" in {held.path for held in told(events)}


async def hog():
    """Keep the loop, and the interpreter with it, in one call into C of some seconds at most."""
    await trio.lowlevel.checkpoint()
    re.match(r"(a|aa)+$", "a" * 33 + "b")


@pytest.mark.proof("timing")
@pytest.mark.promise("bad.blocking")
async def test_many_short_steps_and_long_waits_are_no_hold(autojump_clock, events):
    async with ActorSystem("s", on_event=events.append, slow_handler_s=0.2) as system:
        ref = await system.spawn(player("a"))
        await ref.ask(Run(waiting), timeout_s=7200)
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            ref.tell("work")
            await ref.ask(Run(lambda _: None))
    assert told(events) == []


async def test_a_loop_that_hangs_is_logged_before_it_is_free(autojump_clock, caplog, monkeypatch):
    monkeypatch.setattr(watchdog, "HANGS_S", 0.1)
    logged = threading.Event()

    def hang(_):
        logged.wait(10)

    class Note:
        def filter(self, record):
            if "actor.loop_hangs" in record.getMessage():
                logged.set()
            return True

    note = Note()
    watchdog.log.addFilter(note)
    try:
        async with ActorSystem("s", on_event=lambda _: None) as system:
            ref = await system.spawn(player("a"))
            await ref.ask(Run(hang))
    finally:
        watchdog.log.removeFilter(note)
    assert logged.is_set()
    assert "path=/s/a" in caplog.text


def broken_walk(frame, walk=watchdog.traceback.walk_stack):
    """CPython may return an object that is no frame for the caller of a frame that has ended meanwhile."""
    yield next(walk(frame))
    raise AttributeError("'float' object has no attribute 'f_lineno'")


def broken_check(*_):
    """`linecache.checkcache` raises a KeyError if another thread clears the cache meanwhile."""
    raise KeyError("/app/tool.py")


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [(watchdog.traceback, "walk_stack", broken_walk), (watchdog.traceback.linecache, "checkcache", broken_check)],
)
async def test_a_stack_that_cannot_be_read_does_not_end_the_watchdog(
    autojump_clock, monkeypatch, events, module, name, broken
):
    monkeypatch.setattr(module, name, broken)
    async with ActorSystem("s", on_event=events.append) as system:
        ref = await system.spawn(player("a"))
        await ref.ask(Run(block))
        await settled()
        monkeypatch.undo()
        await ref.ask(Run(block))
        await settled()
    holds = of_type(events, SlowHandler)
    assert (holds[0].path, holds[0].stack) == ("/s/a", watchdog.CHANGED)
    assert "sleep" in holds[-1].stack


async def test_a_watchdog_that_dies_says_so(monkeypatch):
    died, events = trio.Event(), []

    def broken(*_):
        raise ValueError("out of order")

    def note(event):
        if isinstance(event, WatchdogDied):
            events.append(event)
            died.set()

    monkeypatch.setattr(watchdog.Watchdog, "_sample", broken)
    async with ActorSystem("s", on_event=note):
        with trio.fail_after(60):
            await died.wait()
    assert events == [WatchdogDied("ValueError: out of order")]


async def test_systems_of_one_loop_share_a_thread_that_ends_with_the_last(autojump_clock):
    def threads():
        return sum(thread.name == "actors.watchdog" for thread in threading.enumerate())

    first, second = [], []
    others = threads()
    async with ActorSystem("one", on_event=first.append) as one:
        async with ActorSystem("two", on_event=second.append):
            assert threads() == others + 1
            ref = await one.spawn(player("a"))
            await ref.ask(Run(block))
            block()
            await trio.lowlevel.checkpoint()
        assert threads() == others + 1
    assert threads() == others
    assert [held.path for held in blocked(first)] == ["/one/a", None]
    assert [held.path for held in blocked(second)] == [None]


@pytest.mark.parametrize("slow_handler_s", [0, -1, float("nan"), None])
def test_a_time_that_cannot_be_is_refused(slow_handler_s):
    with pytest.raises(InvalidSpec, match="slow_handler_s"):
        ActorSystem("s", slow_handler_s=slow_handler_s)
