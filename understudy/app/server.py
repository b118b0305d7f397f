"""Serve a built application on its listeners, and stop it: clients are drained first, then the tree is stopped.

1. Every client is sent a reconnect delay. The delays differ, so that clients do not reconnect all at once.
2. No run starts any more. Active runs may finish within three fifths of the time. The others stay unfinished in the
   log, and are resumed by the next server.
3. In the remaining time, connections are closed with 1001 in waves. Those that have not closed by its end are killed.
   Then the tree is stopped.
"""

import logging
import random
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio
from attrs import frozen

from actors import ActorRef, ActorSystem, Lane
from sanitization import Detector
from transport.auth.forwarded import TrustedProxies
from transport.server.listener import ServerLimits, serve
from transport.server.socket import SocketLimits
from transport.server.tls import server_context
from transport.wire.events import Drain
from transport.wire.messages import Close
from understudy.agents.agent import Agent
from understudy.app.build import App, build_app
from understudy.app.listening import open_listeners
from understudy.app.settings import Settings
from understudy.chat.registry import ConversationRegistry
from understudy.models.inquiry import log_not_ready
from understudy.observe.paths import CONNECTIONS
from understudy.storage.store import Store
from understudy.tools.lifespan import Lifespan
from understudy.web.stream_requests import StreamRequests

log = logging.getLogger(__name__)

HEAD_S: Final = 5.0
"""Seconds for a client to send the head of its first request; then its connection is closed."""
RESERVED: Final = 200
"""Descriptors reserved for everything but clients' connections: the database's files or connections, Redis, uploads,
models, pipes of child processes, and clients that are being refused."""
MIN_CONNECTIONS: Final = 16
"""Connections that are served even if the limit of descriptors is too low for them."""
RECONNECT_AFTER_S: Final = 2.0
"""Minimum reconnect delay in seconds: the time that a restart takes."""
RECONNECTS_PER_S: Final = 500.0
"""Reconnects per second over which the delays are spread. Each costs a handshake, and reads of threads and events."""
MAX_SPREAD_S: Final = 30.0
"""Most seconds over which the delays are spread."""
WAVES: Final = 10
"""Waves in which all connections are closed, of at least `MIN_WAVE` connections each."""
MIN_WAVE: Final = 25


@frozen
class Running:
    """A server that accepts requests: its address and parts. `stop` drains the clients, then stops the server.

    `warm_up` builds the prefilters for the first text, which would delay the start by a fifth of a second.
    """

    address: str
    system: ActorSystem
    store: Store
    stop: Callable[[], Awaitable[None]]
    warm_up: Callable[[], Awaitable[None]]


async def serve_app(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: Sequence[Detector] = (),
    sockets: Sequence[socket.socket] = (),
    lifespan: Lifespan | None = None,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. Report `Running` through `task_status` once requests are accepted.

    `sockets` are listening already (see `understudy.app.serve`); without any, new ones are opened.

    Raises:
        DatabaseUnusable, OSError, ValueError: The server cannot start; the text says why.
    """
    for name in settings.weak_secrets:
        log.warning(
            "settings.weak_secret", extra={"setting": name, "hint": "`openssl rand -hex 32` makes a strong one"}
        )
    certificate, key = settings.tls.certificate, settings.tls.key
    tls = server_context(certificate, key) if certificate is not None and key is not None else None
    async with build_app(settings, agents, detectors, lifespan) as app, trio.open_nursery() as nursery:
        if sockets:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(early)) for early in sockets]
        else:
            listeners = await open_listeners(settings)
        port = listeners[0].socket.getsockname()[1]
        limits = ServerLimits(
            head_s=HEAD_S,
            connections=fit_connection_limit(settings.limits.connections_total),
            connections_per_peer=settings.limits.connections_per_peer,
            grace_s=settings.grace_s / 8,
            socket=SocketLimits(
                message_bytes=settings.limits.frame_bytes,
                bound_bytes=settings.limits.transport_bytes,
                compression_from_bytes=settings.compression_from_bytes,
            ),
        )
        serve_port = partial(
            serve,
            listeners,
            asgi_app=app.http_app,
            upgrade_handler=app.endpoint,
            stream_handler=StreamRequests(app.http_app),
            limits=limits,
            tls=tls,
            proxies=TrustedProxies(settings.trusted_proxies),
        )
        await nursery.start(serve_port)
        nursery.start_soon(log_not_ready, app.models.clients)
        task_status.started(
            Running(settings.url_at(port), app.system, app.store, partial(_stop, app), app.content_filter.warmup.scan)
        )


async def _stop(app: App) -> None:
    """Drain clients, then stop the actor tree. Uses 3/4 of `grace_s`; the HTTP server has the remainder."""
    app.endpoint.draining = True
    grace_s = app.settings.grace_s
    connections = app.system.find(CONNECTIONS)
    await drain(connections.children() if connections else [], app.chat.commands.registry, grace_s * 5 / 8)
    await app.system.stop(grace_s=grace_s / 8)


async def drain(
    connections: Sequence[ActorRef],
    threads: ConversationRegistry,
    within_s: float,
    chance: Callable[[], float] = random.random,
) -> None:
    """Drain all connections within `within_s` seconds. `chance` returns a random number from 0 to 1."""
    spread_s = min(MAX_SPREAD_S, len(connections) / RECONNECTS_PER_S)
    for connection in connections:
        connection.tell(Drain(round(RECONNECT_AFTER_S + spread_s * chance(), 3), within_s), lane=Lane.ALERT)
    if not await threads.wait_idle(within_s * 3 / 5):
        log.info("server.leaving_runs", extra={"within_s": within_s})
    with trio.move_on_after(within_s * 2 / 5):
        size = max(MIN_WAVE, -(-len(connections) // WAVES))
        for start in range(0, len(connections), size):
            for connection in connections[start : start + size]:
                connection.tell(Close(1001), lane=Lane.ALERT)
            if start + size < len(connections):
                await trio.sleep(within_s / 5 / WAVES)
        for connection in connections:
            await connection.wait_stopped()
    for connection in connections:  # those left have a client that reads nothing, or does not answer the close
        connection.kill()


def fit_connection_limit(wanted: int) -> int:
    """Return how many connections can be open at once, at most `wanted`. Raises the soft limit as far as needed.

    Logs `server.too_few_descriptors` if fewer than `wanted` fit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fitting = max(MIN_CONNECTIONS, soft - min(RESERVED, soft // 2))
    hint = f"raise the limit of open files (ulimit -n, LimitNOFILE) to {needed}, or lower connections_total"
    extra = {"open_files": soft, "connections_total": wanted, "connections_held": fitting, "reserve": soft - fitting}
    log.warning("server.too_few_descriptors", extra={**extra, "hint": hint})
    return fitting
