"""Durable events end to end: from who makes one, through its conversation, to the disk and on to a follower.

The house is that of `understudy serve`, with its scrubber, slots and metrics, but without a door. Each producer stands
where a run does: it asks its conversation to record one event, and is answered when that is committed. An actor in an
outbox's place takes what followers get, and holds it against what was made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import trio
from attrs import define, frozen

from actors import Actor, ActorRef, ActorSystem, ChildSpec, Context
from transport.auth.identity import Identity
from transport.wire.commands import Say
from transport.wire.events import AgentStarted, AgentThinking, Envelope, MessageAccepted
from transport.wire.messages import Deliver
from understudy import Agent
from understudy.app.build import App, build_app
from understudy.app.serve import tune_garbage_collector
from understudy.app.settings import Settings, with_values
from understudy.chat.messages import Record
from understudy.models.model import Emit, Reply, Turn
from understudy.storage.limits import Limits

THOUGHT: Final = "The second of the three tables has the figures for the quarter; the others can wait. " * 2
_USERS: Final = 50
_LONG_S: Final = 600.0


class Idle:
    """A model that never answers: the benchmark itself records in its runs."""

    name = "idle"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Wait for the end of the benchmark."""
        await trio.sleep_forever()
        raise AssertionError


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
class Producer:
    """One run: how it asks its conversation, and as which agent."""

    run_id: str
    conversation: ActorRef
    agent_id: str


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
    waits: list[float] = []
    count = Count()
    agents = [Agent("idle", model=Idle(), timeout_s=_LONG_S)]
    with trio.move_on_after(_LONG_S):
        async with build_app(settings, agents) as house:
            makers = [await _begun(house, number, count) for number in range(producers)]
            await count.reach(2 * producers)
            tune_garbage_collector()
            before = count.durable
            cpu, began = time.process_time(), time.perf_counter()
            async with trio.open_nursery() as nursery:
                for maker in makers:
                    nursery.start_soon(_produce, maker, began + seconds, waits)
            took, worked = time.perf_counter() - began, time.process_time() - cpu
            await count.reach(before + len(waits))
            if count.faults or count.durable - before != len(waits):
                raise Wrong(f"{len(waits)} events made, {count.durable - before} delivered, {count.faults} not in turn")
            ranked = sorted(waits)
            p50, p99 = (1000 * ranked[int(len(ranked) * part)] for part in (0.5, 0.99))
            await house.system.stop(grace_s=1.0)
            return Rate(len(waits) / took, p50, p99, len(waits), worked)
    raise Wrong(f"not done within {_LONG_S:g} s")


async def _begun(house: App, number: int, count: Count) -> Producer:
    """A thread of its own for a producer, with a run that does nothing."""
    system: ActorSystem = house.system
    outbox = await system.spawn(ChildSpec(f"follower-{number}", lambda: Follower(count)))
    who = Identity(f"user-{number % _USERS}", f"session-{number}", frozenset(), time.time() + _LONG_S)
    accepted = await house.chat.commands.dispatch(who, Say("go", f"thread-{number}", agent_type="idle"), outbox)
    assert accepted is not None
    with trio.fail_after(30):
        while True:
            events = await house.store.events(who.user, accepted.thread_id, 0)
            if len(events) >= 2:
                break
            await trio.sleep(0.01)
    assert [each.type for each in events[:2]] == [MessageAccepted.type, AgentStarted.type]
    run = next(node for node in system.tree().walk() if node.path.endswith(f"/{accepted.run_id}"))
    conversation = system.find(run.path.rpartition("/")[0])
    assert conversation is not None
    return Producer(accepted.run_id, conversation, "idle")


async def _produce(maker: Producer, until: float, waits: list[float]) -> None:
    """Record one event after the other."""
    speaker = ("idle", None)
    now = time.perf_counter()
    while now < until:
        event = AgentThinking(maker.agent_id, THOUGHT, time.time())
        await maker.conversation.ask(Record(maker.run_id, (event,), speaker), timeout_s=30)
        before, now = now, time.perf_counter()
        waits.append(now - before)
