"""`serve`: start a server as `understudy serve` does, and run it until a signal tells it to stop.

The server's modules are imported only when it starts: a program that imports `understudy` to write tools loads none.
"""

import errno
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from understudy.agents.agent import Agent
from understudy.app.listening import listening_early
from understudy.app.os_errors import explain_os_error
from understudy.app.settings import Settings, load

if TYPE_CHECKING:
    from sanitization import Detector

log = logging.getLogger(__name__)


def serve(*agents: Agent, detectors: "Sequence[Detector]" = (), **settings: Any) -> int:
    """Serve these agents, beside the built-in ones, until the process gets SIGTERM or SIGINT. Return the exit code.

    `detectors` scan every text in addition to those of `sanitization`. `settings` are fields of
    `understudy.app.settings.Settings` and win over the file and the environment. Blocks; call it from the main thread,
    outside any event loop.

    Raises:
        BadSettings: A setting is missing or wrong.
    """
    found = load(**settings)
    with listening_early(found) as sockets:
        return run_server(found, list(agents), detectors, sockets)


def run_server(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: "Sequence[Detector]" = (),
    sockets: Sequence[socket.socket] = (),
) -> int:
    """Serve until SIGTERM or SIGINT. Print one line with the address when ready. Return the exit code.

    `sockets`: sockets that listen already.
    """
    from understudy.app.server import serve_app
    from understudy.observe.logs import configure_logging
    from understudy.storage.errors import DatabaseUnusable

    configure_logging(settings.log_level, settings.log_format)
    os.umask(0o077)  # files are readable by this user alone, also those that libraries write
    failures: list[Exception] = []
    try:
        trio.run(_serve_until_signal, partial(serve_app, settings, agents, detectors, sockets))
    except* (DatabaseUnusable, OSError, ValueError, ImportError) as group:
        log.debug("server.failed", exc_info=group)
        failures = _flatten(group)
    for error in failures:
        # The system does not name the address it refuses.
        refused = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
        address = f"{settings.host}, port {settings.port}: " if refused else ""
        print(f"understudy cannot serve: {address}{explain_os_error(error)}", file=sys.stderr)  # noqa: T201 - the command's own output
    return 1 if failures else 0


def tune_garbage_collector() -> None:
    """Exclude all present objects from collection, and collect less often.

    Pauses of 100 ms become 30 ms, and a storm of connections costs a fifth less.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 50, 100)


async def _serve_until_signal(start: Callable[..., Awaitable[None]]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            running = await nursery.start(start)
            tune_garbage_collector()
            print(f"understudy is ready on {running.address}", flush=True)  # noqa: T201 - the line others wait for
            async for number in signals:
                log.info("server.stopping", extra={"signal": signal.Signals(number).name})
                break
            nursery.start_soon(_log_repeated_signals, signals)
            await running.stop()
            nursery.cancel_scope.cancel()


async def _log_repeated_signals(signals: AsyncIterator[int]) -> None:
    """Log further signals, and ignore them: the server stops within `grace_s` anyway, with exit code 0."""
    async for number in signals:
        log.info("server.stopping_already", extra={"signal": signal.Signals(number).name})


def _flatten(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _flatten(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
