"""Durable events end to end: from who makes one, through its conversation, to the disk and on to a follower.

The house is that of `understudy serve`, with its scrubber, slots and metrics, but without a door. Each producer is the
model of a run: it thinks one thought after the other, and goes on when that is scrubbed and committed. An actor in an
outbox's place takes what followers get, and holds it against what was made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import trio
from attrs import define, field, frozen

from actors import Actor, ChildSpec, Context
from transport.auth.identity import Identity
from transport.wire.messages import Deliver
from understudy import Agent
from understudy.app.build import App, build_app
from understudy.app.serve import tune_garbage_collector
from understudy.app.settings import Settings, with_values
from understudy.models.model import Emit, Reply, Thought, Turn
from understudy.storage.limits import Limits
from understudy.wire.commands import Say
from understudy.wire.events import AgentStarted, Envelope, MessageAccepted

THOUGHT: Final = "The second of the three tables has the figures for the quarter; the others can wait. " * 2
_USERS: Final = 50
_LONG_S: Final = 600.0


@define
class Producers:
    """A model that thinks in all of its runs from `begin` until the time `until`, and never answers.

    `waits` are how long each thought took, in seconds.
    """

    begin: trio.Event = field(factory=trio.Event)
    done: trio.Semaphore = field(factory=lambda: trio.Semaphore(0))
    until: float = 0.0
    waits: list[float] = field(factory=list)
    name: str = "producers"
    notice: str = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Think one thought after the other."""
        await self.begin.wait()
        now = time.perf_counter()
        while now < self.until:
            await emit(Thought(THOUGHT))
            before, now = now, time.perf_counter()
            self.waits.append(now - before)
        self.done.release()
        return await trio.sleep_forever()


@define
class Count:
    """What followers were given: `durable` events, and `faults` where a number was not the next of its thread."""

    durable: int = 0
    faults: int = 0

    async def reach(self, durable: int, within_s: float = 10.0) -> None:
        """Wait until so many were given, or for so long."""
        with trio.move_on_after(within_s):
            for _ in iter(lambda: self.durable < durable, False):
                await trio.sleep(0.01)


class Follower(Actor):
    """In the place of an outbox."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self.last = 0

    async def receive(self, message: object, context: Context) -> None:
        """Count what is delivered."""
        if isinstance(message, Deliver):
            for envelope in message.envelopes:
                self._take(envelope)

    def _take(self, envelope: Envelope) -> None:
        if envelope.seq is not None:
            self.count.faults += envelope.seq != self.last + 1
            self.last = envelope.seq
            self.count.durable += 1


@frozen
class Rate:
    """Durable events a second, the middle and the slowest but one in a hundred waits for one in ms, and their number.

    `processor_s` are seconds of the processor for all of them.
    """

    events_per_s: float
    p50_ms: float
    p99_ms: float
    events: int
    processor_s: float


class Wrong(Exception):
    """Events were lost, came twice or out of order: there is no number."""


def durable(data_dir: Path, producers: int, seconds: float, database_url: str = "") -> Rate:
    """Record as many events as go in so many seconds. Raises Wrong."""
    settings = with_values(
        Settings(),
        data_dir=data_dir,
        database_url=database_url,
        limits=Limits(run_s=_LONG_S, runs_per_user=producers, runs_total=2 * producers),
        log_level="error",
    )
    return trio.run(_measured, settings, producers, seconds)


async def _measured(settings: Settings, producers: int, seconds: float) -> Rate:
    count, model = Count(), Producers()
    agents = [Agent("idle", model=model, timeout_s=_LONG_S)]
    with trio.move_on_after(_LONG_S):
        async with build_app(settings, agents) as house:
            for number in range(producers):
                await _begin(house, number, count)
            tune_garbage_collector()
            before = count.durable
            cpu, began = time.process_time(), time.perf_counter()
            model.until = began + seconds
            model.begin.set()
            for _ in range(producers):
                await model.done.acquire()
            took, worked, waits = time.perf_counter() - began, time.process_time() - cpu, sorted(model.waits)
            await count.reach(before + len(waits))
            if count.faults or count.durable - before != len(waits):
                raise Wrong(f"{len(waits)} events made, {count.durable - before} delivered, {count.faults} not in turn")
            p50, p99 = (1000 * waits[int(len(waits) * part)] for part in (0.5, 0.99))
            await house.system.stop(grace_s=1.0)
            return Rate(len(waits) / took, p50, p99, len(waits), worked)
    raise Wrong(f"not done within {_LONG_S:g} s")


async def _begin(house: App, number: int, count: Count) -> None:
    """Begin a thread with a run whose model is a producer, and wait until that has begun."""
    before = count.durable
    outbox = await house.system.spawn(ChildSpec(f"follower-{number}", lambda: Follower(count)))
    who = Identity(f"user-{number % _USERS}", f"session-{number}", frozenset(), time.time() + _LONG_S)
    accepted = await house.chat.commands.dispatch(who, Say("go", f"thread-{number}", agent_type="idle"), outbox)
    assert accepted is not None
    await count.reach(before + 2, 30.0)
    events = await house.store.events(who.user, accepted.thread_id, 0)
    assert [event.type for event in events[:2]] == [MessageAccepted.type, AgentStarted.type]
