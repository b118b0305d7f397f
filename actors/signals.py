"""Stops a system on signals, as a program run by a person or by an init system should.

1. The first signal stops the system in order; the second kills it; after that the previous handlers are restored.
2. The previous handlers are restored however the block is left.
3. Only the main thread can receive signals, which is Python's rule.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from .errors import ActorError
from .events import log
from .ref import ActorRef

STOP_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
"""The signal of Ctrl-C, and the first one that init systems and containers send."""


class Stoppable(Protocol):
    """The part of an `ActorSystem` that signals use."""

    @property
    def root(self) -> ActorRef:
        """The root supervisor."""

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop in order."""

    def kill(self) -> None:
        """Stop at once."""


class NotMainThread(ActorError, RuntimeError):
    """Signals were to be received in a thread that is not the main one."""


async def wait_for_signal(*signals: signal.Signals) -> signal.Signals:
    """Wait for one of these signals (default: SIGINT, SIGTERM) and return it. Raises `NotMainThread`.

    Meanwhile they have no other effect; afterwards the previous handlers are restored.
    """
    _check_thread()
    with trio.open_signal_receiver(*(signals or STOP_SIGNALS)) as received:
        async for number in received:
            return signal.Signals(number)
    raise AssertionError("a receiver of signals does not end")


@asynccontextmanager
async def stop_on_signals(
    system: Stoppable, *signals: signal.Signals, grace_s: float | None = None
) -> AsyncIterator[None]:
    """Stop `system` on a signal (default: SIGINT, SIGTERM) for the length of the block.

    The first signal stops it in order, and kills the rest after `grace_s` seconds; the second kills it at once. The
    block goes on while the system stops, and is cancelled once it has stopped. Raises `NotMainThread`.
    """
    _check_thread()
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop, system, signals or STOP_SIGNALS, grace_s, nursery.cancel_scope)
        try:
            yield
        except Exception as error:  # raised below, where the nursery makes no group of it
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


async def _stop(
    system: Stoppable,
    signals: tuple[signal.Signals, ...],
    grace_s: float | None,
    block: trio.CancelScope,
    task_status: trio.TaskStatus[None],
) -> None:
    with trio.open_signal_receiver(*signals) as received:
        task_status.started()
        log.warning("signal.received signal=%s does=stop", signal.Signals(await anext(received)).name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_kill, system, received, nursery.cancel_scope)
            await system.stop(grace_s)
            nursery.cancel_scope.cancel()
    await system.root.wait_stopped()
    block.cancel()


async def _kill(system: Stoppable, received: AsyncIterator[int], stopping: trio.CancelScope) -> None:
    log.warning("signal.received signal=%s does=kill", signal.Signals(await anext(received)).name)
    system.kill()
    stopping.cancel()


def _check_thread() -> None:
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        raise NotMainThread(f"Python receives signals in the main thread only, and this is {thread.name}")
