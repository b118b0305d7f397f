"""`serve`: start a server as `understudy serve` does, and run it until a signal tells it to stop.

1. The server's modules are imported only when it starts, so a program that imports `understudy` to write tools does not
   load them.
2. It listens before it can answer. Clients of a killed server reconnect after growing pauses: a refused connection
   would cost such a pause, while one that the kernel holds is accepted as soon as the server is ready.
"""

import ctypes
import errno
import gc
import linecache
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from understudy.agents.agent import Agent
from understudy.app.listening import open_listeners
from understudy.app.service_manager import READY, STOPPING, notify
from understudy.app.settings import Settings, is_left_out, load, unknown_variables
from understudy.tools.containment import errors_in
from understudy.tools.lifespan import to_lifespan

if TYPE_CHECKING:
    from sanitization import Detector
    from understudy.tools.lifespan import LifespanLike

log = logging.getLogger(__name__)

PRIVILEGED: Final = 1024
"""The first port that every user may listen on, unless the system is configured otherwise."""
SWITCH_S = 0.0001
"""Seconds after which a computing thread yields the interpreter. A tool that computes delays each step of the server's
loop by this time: measured, 140 ms for another user's event at 0.5 ms, 58 ms at 0.1 ms."""

LOADING_OBJECTS: Final = 2_000
"""New objects after which the garbage collector runs while the server loads. At 500 it runs before classes are complete
and misses their first copies; at 30,000 more memory is in use at a time."""
NEVER: Final = 1_000_000
"""A threshold that the garbage collector does not reach."""
COLLECTING_TRIES: Final = 500
"""Attempts, a millisecond apart, to collect all garbage."""
RETURN_S: Final = 60.0
"""Seconds between two returns of unused memory to the system."""
M_ARENA_MAX: Final = -8
"""Parameter of glibc's `mallopt`: the number of heaps (`malloc.h`)."""


def serve(
    *agents: Agent, detectors: "Sequence[Detector]" = (), lifespan: "LifespanLike" = None, **settings: Any
) -> int:
    """Serve these agents, beside the built-in ones, until the process gets SIGTERM or SIGINT. Return the exit code.

    `detectors` scan every text in addition to those of `sanitization`. `lifespan` opens resources that tools share, see
    `understudy.Lifespan`. `settings` are fields of `understudy.app.settings.Settings`, and override the file and the
    environment. Blocks; call it from the main thread, outside any event loop.

    Raises:
        BadSettings: A setting is missing or wrong.
    """
    loaded = load(**settings)
    with listening_early(loaded) as sockets:
        return run_server(loaded, list(agents), detectors, sockets, lifespan)


def run_server(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: "Sequence[Detector]" = (),
    sockets: Sequence[socket.socket] = (),
    lifespan: "LifespanLike" = None,
) -> int:
    """Serve until SIGTERM or SIGINT. Print one line with the address when ready. Return the exit code.

    `sockets` are listening already.
    """
    from understudy.app.server import serve_app
    from understudy.observe.logs import configure_logging, report_no_start
    from understudy.storage.errors import DatabaseUnusable

    configure_logging(settings.log.level, settings.log.format)
    if settings.output_tokens < settings.models.max_output:
        limited = {"asked": settings.models.max_output, "tokens": settings.output_tokens}
        log.warning("model.output_limited", extra=limited)
    if left_out := [name for name in sorted(os.environ) if name.startswith("UNDERSTUDY_") and is_left_out(name)]:
        log.info("settings.variables_left_out", extra={"variables": ", ".join(left_out)})
    for name, meant in unknown_variables().items():
        log.warning("settings.unknown_variable", extra={"variable": name, "meant": meant})
    sys.setswitchinterval(SWITCH_S)
    os.umask(0o077)  # only this user may read files, including those that libraries write
    failures: list[Exception] = []
    share_heap()
    gc.freeze()  # imported modules stay, and each collection that walks them would take a fifth of a second
    try:
        start = partial(serve_app, settings, agents, detectors, sockets, to_lifespan(lifespan))
        trio.run(_serve_until_signal, start)
    except* (DatabaseUnusable, OSError, ValueError, ImportError) as group:
        log.debug("server.failed", exc_info=group)
        failures = [failure for failure in errors_in(group) if isinstance(failure, Exception)]
    for error in failures:
        report_no_start(explain_no_start(error, settings), settings.log.format)
    return 1 if failures else 0


@contextmanager
def listening_early(settings: Settings) -> Iterator[list[socket.socket]]:
    """Listen early, and reduce the memory that loading the server takes.

    While the server loads, the garbage collector checks each new object once and never again. attrs makes each class
    with slots twice, and so the second copy reuses the memory of an earlier class's first copy: measured, 7 MB less of
    93, in the same time as without a collector. The source of generated methods that attrs keeps for tracebacks is
    dropped at each collection: another 3 MB. `tune_garbage_collector` ends this once the server is ready. The sockets
    are closed on exit. Blocks; call it outside any event loop.
    """
    sockets = _open_early(settings)
    thresholds = gc.get_threshold()
    gc.set_threshold(LOADING_OBJECTS, NEVER, NEVER)
    gc.callbacks.append(_forget_sources)
    try:
        yield sockets
    finally:
        _stop_forgetting()
        gc.set_threshold(*thresholds)
        for early in sockets:
            early.close()


def _forget_sources(phase: str, _: object) -> None:
    if phase == "stop":
        linecache.clearcache()


def _stop_forgetting() -> None:
    with suppress(ValueError):  # removed already, or never added
        gc.callbacks.remove(_forget_sources)


def _open_early(settings: Settings) -> list[socket.socket]:
    """Open the listening sockets. Return none if listening should, or must, wait.

    With PostgreSQL there may be other servers, to which a load balancer turns while this one refuses connections. An
    address in use may become free before the database is open, because opening waits for another server to end. If it
    is still in use then, the start fails with that error.
    """
    if settings.on_postgresql:
        return []
    try:
        return trio.run(_open_sockets, settings)
    except OSError:
        return []


async def _open_sockets(settings: Settings) -> list[socket.socket]:
    # Detached, because a socket of trio can be closed only inside its event loop, which ends here.
    return [socket.socket(fileno=listener.socket.detach()) for listener in await open_listeners(settings)]


def share_heap() -> None:
    """Make all threads allocate from one heap of the C library, if that is glibc.

    By default each thread has its own heap, whose free memory other threads cannot use. Threads of Python hold the
    interpreter's lock while they allocate, so they do not wait for each other: measured, 4 MB less at the start.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def tune_garbage_collector() -> None:
    """Collect once, exclude all present objects from later collections, and collect less often.

    Pauses of 100 ms become 30 ms, and a storm of connections costs a fifth less.
    """
    _stop_forgetting()
    collections = gc.get_stats()[-1]["collections"]
    for _ in range(COLLECTING_TRIES):
        gc.collect()  # does nothing while another thread collects
        if gc.get_stats()[-1]["collections"] > collections:
            break
        time.sleep(0.001)
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def return_memory() -> None:
    """Return unused memory to the system: measured, 10 MB of 130 after loading the server.

    attrs keeps the source of all generated methods for tracebacks. The C library keeps free memory between blocks that
    are in use: 12 MB after half an hour of load.
    """
    linecache.clearcache()
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


async def return_memory_often(warm_up: Callable[[], Awaitable[None]]) -> None:
    """Return memory to the system after `warm_up`, then every minute, until cancelled. It takes a thread 1 to 2 ms."""
    await warm_up()
    while True:
        await trio.to_thread.run_sync(return_memory)
        await trio.sleep(RETURN_S)


async def _serve_until_signal(start: Callable[..., Awaitable[None]]) -> None:
    from understudy.app.build import RELEASE

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it
        numbers.append(signal.SIGHUP)
    interrupt = signal.getsignal(signal.SIGINT)
    with trio.open_signal_receiver(*numbers) as signals:
        receive = signal.signal(signal.SIGINT, interrupt)  # until the start is over Ctrl-C ends the process at once
        async with trio.open_nursery() as nursery:
            running = await nursery.start(start)
            signal.signal(signal.SIGINT, receive)
            tune_garbage_collector()
            return_memory()
            print(f"understudy is ready on {running.address}", flush=True)  # noqa: T201 - the line others wait for
            notify(READY)
            nursery.start_soon(return_memory_often, running.warm_up)
            where = {"address": running.address, "version": RELEASE}
            await trio.to_thread.run_sync(lambda: log.info("server.ready", extra=where))  # 0.1 s: builds the redaction
            await _wait_for_stop(signals)
            notify(STOPPING)
            nursery.start_soon(_log_repeated_signals, signals)
            await running.stop()
            nursery.cancel_scope.cancel()


async def _wait_for_stop(signals: AsyncIterator[int]) -> None:
    """Wait for a signal that stops the server."""
    async for number in signals:
        if number == signal.SIGHUP and not os.isatty(0):
            log.info("server.reload_ignored")  # only the SIGHUP of a lost terminal stops the server
            continue
        log.info("server.stopping", extra={"signal": signal.Signals(number).name})
        return


async def _log_repeated_signals(signals: AsyncIterator[int]) -> None:
    """Log further signals, and ignore them: the server stops within `grace_s` anyway, with exit code 0."""
    async for number in signals:
        log.info("server.stopping_already", extra={"signal": signal.Signals(number).name})


def explain_no_start(error: Exception, settings: Settings) -> str:
    """Return why the server does not start. An error of the system about an address gets the address added."""
    reason, about_address = explain_os_error(error), (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
    if not isinstance(error, OSError) or error.errno not in about_address or error.filename is not None:
        return reason
    if error.errno == errno.EACCES and settings.port < PRIVILEGED:
        reason += (
            f"; ports below {PRIVILEGED} need a right that this user lacks (CAP_NET_BIND_SERVICE): choose another "
            "with --port, and a proxy in front of it"
        )
    return f"{settings.host}, port {settings.port}: {reason}"


def explain_os_error(error: Exception) -> str:
    """Return the system's reason, after the file's name if the error has one. For any other error return its text."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if isinstance(error.filename, str | bytes) else str(error)
