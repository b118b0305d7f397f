import signal
import subprocess
import sys

import pytest
import trio
import trio.testing

from actors import ActorSystem, SystemFailed
from actors.signals import NotMainThread, stop_on_signals, wait_for_signal
from tests.actors.troupe import Boom, calls, player, settled, sleeping

PROGRAM = """
import sys, threading, time
import trio
from actors import Actor, ChildSpec, open_system
from actors.signals import stop_on_signals

class Slow(Actor):
    async def on_stop(self, context, reason):
        print("stopping", flush=True)
        try:
            if sys.argv[1] == "thread":
                await trio.to_thread.run_sync(time.sleep, 60)
            await trio.sleep(float(sys.argv[1]))
        except trio.Cancelled:
            print("killed", flush=True)
            raise
        print("stopped", flush=True)

async def main():
    async with open_system("s", [ChildSpec("slow", Slow, shutdown_s=1000.0)]) as system, stop_on_signals(system):
        print("ready", flush=True)
        await trio.sleep_forever()
    print("left", flush=True)

trio.run(main)
"""


@pytest.fixture
def program():
    """Starts the program, with how long its actor takes to stop; kills what a test leaves."""
    started = []

    def start(takes):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, takes], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_program_in_order(program, number):
    process = program("0.01")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("stopping\nstopped\nleft\n", 0)
    assert err == f"signal.received signal={number.name} does=stop\n"


def test_a_second_signal_kills(program):
    process = program("1000")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("killed\nleft\n", 0)
    assert err.splitlines()[:2] == [
        "signal.received signal=SIGINT does=stop",
        "signal.received signal=SIGTERM does=kill",
    ]


def test_a_third_signal_ends_even_a_program_that_cannot_be_killed(program):
    process = program("thread")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    while "does=kill" not in process.stderr.readline():
        pass
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == -signal.SIGTERM


async def test_the_block_goes_on_while_the_system_stops_and_is_left_when_it_has(autojump_clock):
    handler = signal.getsignal(signal.SIGTERM)
    ticks = []
    async with ActorSystem("s", [player("a", stopping=sleeping(3))], on_event=lambda _: None) as system:
        async with stop_on_signals(system):
            assert signal.getsignal(signal.SIGTERM) is not handler
            signal.raise_signal(signal.SIGTERM)
            while True:
                await trio.sleep(0.5)
                ticks.append(trio.current_time())
        assert not system.root.alive
        assert trio.current_time() == 3
    assert ticks[:5] == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert signal.getsignal(signal.SIGTERM) is handler


async def test_a_block_is_left_when_the_system_is_dead_also_after_a_kill(autojump_clock):
    async def holds_on(_):
        with trio.CancelScope(shield=True):
            await trio.sleep(3)

    async with ActorSystem("s", [player("a", stopping=holds_on)], on_event=lambda _: None) as system:
        async with stop_on_signals(system):
            signal.raise_signal(signal.SIGTERM)
            await settled()
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()
        assert trio.current_time() == 3
        assert not system.root.alive


async def test_a_block_that_ends_by_itself_leaves_the_system_alone(autojump_clock, system):
    handler = signal.getsignal(signal.SIGINT)
    async with stop_on_signals(system):
        pass
    with pytest.raises(KeyError):
        async with stop_on_signals(system):
            raise KeyError("mine")
    assert system.root.alive
    assert signal.getsignal(signal.SIGINT) is handler


async def test_a_system_that_fails_leaves_the_block(autojump_clock):
    async def live():
        system = ActorSystem("s", [player("a")], intensity=0, on_event=lambda _: None)
        async with system, stop_on_signals(system):
            system.root.children()[0].tell(Boom())
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        await live()


async def test_wait_for_signal_returns_the_signal_that_came(autojump_clock):
    handler = signal.getsignal(signal.SIGUSR1)
    async with calls(lambda: wait_for_signal(signal.SIGUSR1, signal.SIGUSR2)) as came:
        signal.raise_signal(signal.SIGUSR2)
    assert came == [signal.SIGUSR2]
    assert signal.getsignal(signal.SIGUSR1) is handler


async def test_signals_need_the_main_thread():
    async def stops():
        async with stop_on_signals(None):
            pass

    for use in (wait_for_signal, stops):
        with pytest.raises(NotMainThread, match="main thread only, and this is aside"):
            await trio.to_thread.run_sync(trio.run, use, thread_name="aside")
