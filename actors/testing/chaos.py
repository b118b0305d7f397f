"""Fault injection into a part of a live tree: seeded, logged, and repeatable.

1. Whether message n of an actor meets a fault depends on the seed, the actor's path and n only: not on the order in
   which actors run. Kills between messages depend on the seed and the clock, and on the actors alive then.
2. Every fault is in the log before it happens. A log replayed does the same to the same messages, and nothing else.
3. The root of the system and actors outside of the subtree are spared.
4. After the block no new fault happens; a delay that has begun goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from types import TracebackType
from typing import Protocol

import trio

from actors.actor import Context, Receive
from actors.ask import Ask, call_of
from actors.lanes import Notice
from actors.ref import ActorRef
from actors.system import ActorSystem
from actors.testing.faults import ChaosFault, Fault, FaultKind, Rates, dump_faults
from actors.testing.paths import below, inside


class _FaultSource(Protocol):
    """A source of faults."""

    def at_message(self, path: str, number: int) -> tuple[FaultKind, float] | None:
        """Return the fault for this message and its seconds; called once for each message, in order of number."""

    def next_kill(self, elapsed_s: float) -> tuple[float, str | None] | None:
        """Return the next kill between messages: its time in seconds from the beginning, and its path; None: any."""

    def choose(self, paths: list[str]) -> str:
        """Choose the path to kill."""


class _RandomFaults:
    """Random faults."""

    def __init__(self, seed: int, rates: Rates) -> None:
        self._seed = seed
        self._rates = rates
        self._by_path: dict[str, Random] = {}
        self._kills = Random(f"{seed}")  # noqa: S311 - chance that can be repeated is the point

    def at_message(self, path: str, number: int) -> tuple[FaultKind, float] | None:
        random = self._by_path.get(path)
        if random is None:
            random = self._by_path[path] = Random(f"{self._seed} {path}")  # noqa: S311 - likewise
        kind, share = self._rates.choose(random.random()), random.random()
        return None if kind is None else (kind, share * self._rates.delay_s if kind is FaultKind.DELAY else 0.0)

    def next_kill(self, elapsed_s: float) -> tuple[float, str | None] | None:
        if not self._rates.kills_per_s:
            return None
        return elapsed_s + self._kills.expovariate(self._rates.kills_per_s), None

    def choose(self, paths: list[str]) -> str:
        return self._kills.choice(paths)


class _RecordedFaults:
    """Faults from a log."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._at_message = {(fault.path, fault.message): fault for fault in faults if fault.message is not None}
        self._kills = iter(sorted((f for f in faults if f.message is None), key=lambda fault: fault.at_s))

    def at_message(self, path: str, number: int) -> tuple[FaultKind, float] | None:
        fault = self._at_message.get((path, number))
        return None if fault is None else (fault.kind, fault.seconds)

    def next_kill(self, elapsed_s: float) -> tuple[float, str | None] | None:
        fault = next(self._kills, None)
        return None if fault is None else (fault.at_s, fault.path)

    def choose(self, paths: list[str]) -> str:
        return paths[0]


class ChaosRun:
    """Chaos in a system, for the length of an `async with` block. `chaos` and `replay` make one."""

    def __init__(self, system: ActorSystem, source: _FaultSource, subtree: str) -> None:
        self._system = system
        self._source = source
        self._subtree = subtree
        self._numbers: dict[str, int] = {}
        self._began = 0.0
        self._ends: list[Callable[[], None]] = []
        self.log: list[Fault] = []
        """Every fault so far, in order."""

    async def __aenter__(self) -> ChaosRun:
        await trio.lowlevel.checkpoint()
        self._began = self._system.timers.now()
        self._ends = [self._system.intercept(self._around)]
        self._await_kill()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for end in self._ends:
            end()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def json(self) -> str:
        """Return the log as JSON, for `load_faults` and `replay`."""
        return dump_faults(self.log)

    def _elapsed_s(self) -> float:
        return self._system.timers.now() - self._began

    # At messages

    def _around(self, ref: ActorRef, receive: Receive) -> Receive:
        if ref is self._system.root or not inside(ref.path, self._subtree):
            return receive

        async def receive_with_faults(message: object, context: Context) -> None:
            path = ref.path
            number = self._numbers.get(path, 0)
            self._numbers[path] = number + 1
            chosen = self._source.at_message(path, number)
            if chosen is None or (chosen[0] is FaultKind.DROP and isinstance(message, Notice)):
                await receive(message, context)
                return
            kind, seconds = chosen
            self.log.append(Fault(self._elapsed_s(), path, kind, number, seconds))
            if kind is FaultKind.DELAY:
                await trio.sleep(seconds)
                await receive(message, context)
            else:
                await _inject(ref, kind, message, ChaosFault(path, number))

        return receive_with_faults

    # Between messages

    def _await_kill(self) -> None:
        kill = self._source.next_kill(self._elapsed_s())
        if kill is not None:
            at_s, path = kill
            delay_s = max(0.0, self._began + at_s - self._system.timers.now())
            timer = self._system.timers.after(delay_s, lambda: self._kill(path))
            self._ends[1:] = [timer.cancel]

    def _kill(self, path: str | None) -> None:
        refs = {ref.path: ref for ref in below(self._system.root) if inside(ref.path, self._subtree)}
        if path is None and refs:
            path = self._source.choose(list(refs))
        if path is not None:
            self.log.append(Fault(self._elapsed_s(), path, FaultKind.KILL))
            if path in refs:
                refs[path].kill()
        self._await_kill()


async def _inject(ref: ActorRef, kind: FaultKind, message: object, fault: ChaosFault) -> None:
    """Perform a fault in place of the handling of a message."""
    if kind is FaultKind.FAIL:
        raise fault
    if kind is FaultKind.KILL:
        ref.kill()
        await trio.sleep_forever()
    if isinstance(message, Ask):
        call = call_of(message)
        if call is not None and call.timeout_s == math.inf:
            message.fail(fault)
        else:
            message.when_ended(partial(_forget, message))  # keeps it referenced: a lost request is not `Unanswered`


def _forget(_: object) -> None:
    """Do nothing at the end of the call of a dropped request."""


def chaos(system: ActorSystem, *, seed: int, rates: Rates, subtree: str = "/") -> ChaosRun:
    """Inject faults into the actors at and below the path `subtree`, at these rates; `seed` decides which.

    Use it as `async with chaos(...) as run`, then read `run.log` or keep `run.json()` for `replay`. Probes are
    actors too: choose a subtree without them.
    """
    return ChaosRun(system, _RandomFaults(seed, rates), subtree)


def replay(system: ActorSystem, faults: Iterable[Fault]) -> ChaosRun:
    """Inject exactly these faults again, at the same messages, and kills between messages at the same times."""
    return ChaosRun(system, _RecordedFaults(list(faults)), "/")
