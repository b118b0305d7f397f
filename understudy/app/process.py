"""The server as a process: it serves until a signal tells it to stop, and ends with an exit code."""

import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial

import trio

from sanitization import Detector
from understudy.agents.agent import Agent
from understudy.app.build import serve_app
from understudy.app.os_errors import explain_os_error
from understudy.app.settings import Settings
from understudy.observe.logs import configure_logging
from understudy.storage.errors import DatabaseUnusable

log = logging.getLogger(__name__)


def run(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: Sequence[Detector] = (),
    sockets: Sequence[socket.socket] = (),
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Prints one line with the address when ready.

    `detectors` are one's own, beside those that the scrubber has. `sockets`: those that listen already.
    """
    configure_logging(settings.log_level, settings.log_format)
    os.umask(0o077)  # whatever is written, by libraries too, is for this user alone
    failures: list[Exception] = []
    try:
        trio.run(_serve_until_signal, settings, agents, detectors, sockets)
    except* (DatabaseUnusable, OSError, ValueError, ImportError) as group:
        log.debug("server.failed", exc_info=group)
        failures = _flatten(group)
    for error in failures:
        print(f"understudy cannot serve: {_address_of(error, settings)}{explain_os_error(error)}", file=sys.stderr)  # noqa: T201 - the command's own output
    return 1 if failures else 0


async def _log_repeated_signals(signals: AsyncIterator[int]) -> None:
    """Whoever asks once more is told that it goes on: it ends well within its grace, and with 0."""
    async for number in signals:
        log.info("server.stopping_already", extra={"signal": signal.Signals(number).name})


def tune_garbage_collector() -> None:
    """Have the collector look less at what stays: what is there now, and what connections are made of.

    Pauses of 100 ms become 30 ms, and a storm of connections costs a fifth less.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 50, 100)


async def _serve_until_signal(
    settings: Settings,
    agents: Sequence[Agent],
    detectors: Sequence[Detector],
    sockets: Sequence[socket.socket],
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            running = await nursery.start(partial(serve_app, settings, agents, detectors, sockets))
            tune_garbage_collector()
            print(f"understudy is ready on {running.address}", flush=True)  # noqa: T201 - the line others wait for
            async for number in signals:
                log.info("server.stopping", extra={"signal": signal.Signals(number).name})
                break
            nursery.start_soon(_log_repeated_signals, signals)
            await running.stop()
            nursery.cancel_scope.cancel()


def _address_of(error: Exception, settings: Settings) -> str:
    """Of an address that cannot be listened on, which: the system does not say."""
    of_address = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
    return f"{settings.host}, port {settings.port}: " if of_address else ""


def _flatten(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _flatten(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
