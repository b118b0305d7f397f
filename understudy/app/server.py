"""Serve a built application on its listeners, and stop it: clients are drained first, then the tree is stopped."""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio
from attrs import frozen

from actors import ActorSystem
from sanitization import Detector
from transport.auth.forwarded import TrustedProxies
from transport.server.listener import ServerLimits, serve
from transport.server.socket import SocketLimits
from transport.server.tls import server_context
from understudy.agents.agent import Agent
from understudy.app.build import App, build_app
from understudy.app.descriptors import fit_connection_limit
from understudy.app.drain import drain
from understudy.app.listening import listen
from understudy.app.settings import Settings
from understudy.chat.answer.html import AnswerHtml
from understudy.observe.paths import CONNECTIONS
from understudy.sandbox.spawner import warn_if_open
from understudy.storage.store import Store

log = logging.getLogger(__name__)

HEAD_S: Final = 5.0
"""Seconds within which a client must have sent the head of its first request, or its connection is closed."""


@frozen
class Running:
    """A server that accepts requests: its address and parts. `stop` drains the clients, then stops the server."""

    address: str
    system: ActorSystem
    store: Store
    html: AnswerHtml
    stop: Callable[[], Awaitable[None]]


async def serve_app(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: Sequence[Detector] = (),
    sockets: Sequence[socket.socket] = (),
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. Report `Running` through `task_status` once requests are accepted.

    `sockets`: sockets that listen already (`understudy.app.listening`); without any, new ones are opened.

    Raises:
        DatabaseUnusable, OSError, ValueError: The server cannot start; the text says why.
    """
    for name in settings.weak_secrets:
        log.warning(
            "settings.weak_secret", extra={"setting": name, "hint": "`openssl rand -hex 32` makes a strong one"}
        )
    certificate, key = settings.tls_certificate, settings.tls_key
    tls = server_context(certificate, key) if certificate is not None and key is not None else None
    async with build_app(settings, agents, detectors) as app, trio.open_nursery() as nursery:
        listeners = await listen(settings, sockets)
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
            limits=limits,
            tls=tls,
            proxies=TrustedProxies(settings.trusted_proxies),
        )
        await nursery.start(serve_port)
        nursery.start_soon(warn_if_open)
        nursery.start_soon(app.html.warm_up)
        task_status.started(Running(settings.url_at(port), app.system, app.store, app.html, partial(_stop, app)))


async def _stop(app: App) -> None:
    """Drain clients, then stop the actor tree. Uses 3/4 of `grace_s`; the HTTP server has the remainder."""
    app.endpoint.draining = True
    grace_s = app.settings.grace_s
    connections = app.system.find(CONNECTIONS)
    await drain(connections.children() if connections else [], app.endpoint.dispatcher.registry, grace_s * 5 / 8)
    await app.system.stop(grace_s=grace_s / 8)
