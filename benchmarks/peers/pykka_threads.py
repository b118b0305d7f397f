"""Pykka: an actor is a thread. No supervision, so nothing is ever reborn."""

from __future__ import annotations

import threading
from importlib.metadata import version
from time import perf_counter

import pykka

from .child import BURST, GROUP, Add, Count, First, Held, Read, serve


class Counter(Count, pykka.ThreadingActor):
    """Counts."""

    on_receive = Count.take


class Signal(First):
    """A first message that wakes the thread waiting for it: spinning would fight the actor for the lock of Python."""

    __slots__ = ("handled",)

    def __init__(self) -> None:
        super().__init__()
        self.handled = threading.Event()

    def note(self) -> None:
        """Now it is handled."""
        super().note()
        self.handled.set()


def tell(count: int) -> float:
    """Messages told and handled a second."""
    counter = Counter.start()
    start = perf_counter()
    for _ in range(count // BURST):
        for _ in range(BURST):
            counter.tell(Add(1))
        handled = counter.ask(Read())
    seconds = perf_counter() - start
    counter.stop()
    assert handled == count
    return count / seconds


def ask(count: int) -> float:
    """Questions answered a second, one at a time."""
    counter = Counter.start()
    start = perf_counter()
    for _ in range(count):
        counter.ask(Read())
    seconds = perf_counter() - start
    counter.stop()
    return count / seconds


def spawn(count: int) -> float:
    """Actors started a second, one at a time, each until it handled its first message."""
    seconds = 0.0
    for _ in range(count // GROUP):
        for _ in range(GROUP):
            first = Signal()
            start = perf_counter()
            Counter.start().tell(first)
            first.handled.wait()
            seconds += first.at - start
        pykka.ActorRegistry.stop_all()
    return count / seconds


def idle(count: int, *, traced: bool) -> float:
    """Bytes one more idle actor holds."""
    Counter.start().ask(Read())
    held = Held(traced=traced)
    for _ in range(count):
        Counter.start()
    each = held.each(count)
    pykka.ActorRegistry.stop_all()
    return each


if __name__ == "__main__":
    serve(
        f"pykka {version('pykka')}",
        {
            "tell": tell,
            "ask": ask,
            "spawn": spawn,
            "idle_resident": lambda count: idle(count, traced=False),
            "idle_traced": lambda count: idle(count, traced=True),
        },
    )
