"""The composition root: everything is wired here, and nothing else happens here.

system (one_for_one)
├── storage ─ writer, redis (where there is one)
├── cluster         (with PostgreSQL) membership; with Redis post, couriers, inbox, peers
├── conversations   (dynamic) one per live thread ─ runs ─ tool calls; or a relay to another server's
├── connections     (dynamic) one per socket ─ outbox
└── observe ─ recovery, keys
"""

import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import ActorDied, ActorRef, ActorSystem, ChildSpec, StartChild, Supervisor
from actors import Event as ActorEvent
from sanitization import Detector
from transport.auth.forwarded import TrustedProxies
from transport.connection.heartbeat import Heartbeat
from transport.connection.websocket import ConnectionLimits
from transport.server.listener import ServerLimits, serve
from transport.server.socket import SocketLimits
from transport.server.tls import server_context
from understudy import __version__
from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.app.backends import (
    BACKOFF,
    build_cache,
    build_cipher,
    build_cluster,
    build_redis,
    build_shared_limits,
    join_nodes,
    open_database,
    open_files,
    open_revocations,
)
from understudy.app.descriptors import fit_connection_limit
from understudy.app.drain import drain
from understudy.app.listening import listen
from understudy.app.settings import Settings
from understudy.auth.rights import Whose, everybody, rights_of
from understudy.auth.sessions import Sessions, open_sessions
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.attachments import Attachments
from understudy.chat.commands import CommandDispatcher
from understudy.chat.conversation.recovery import CheckNow, Recovery
from understudy.chat.memory import AgentMemory, MemoryExpiry
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import Services, announce_nothing
from understudy.chat.storage_retry import StorageRetry
from understudy.chat.storage_waits import StorageWaitMonitor
from understudy.content.encryption import load_cipher
from understudy.content.filter import ContentFilter
from understudy.content.policies import load_policy
from understudy.models.registry import Models
from understudy.observe.breakers import Breakers
from understudy.observe.health import HealthCheck, HealthStatus
from understudy.observe.incidents import Incidents
from understudy.observe.metrics import Metrics
from understudy.observe.status import ServerStatus
from understudy.observe.tree_api import TreeApi
from understudy.observe.tree_log import log_event
from understudy.privacy.erasure import Eraser
from understudy.privacy.export import Exporter
from understudy.privacy.retention import Retention, RetentionPeriods, is_oldest_node
from understudy.sandbox.spawner import warn_if_open
from understudy.storage.cache import CachedReads
from understudy.storage.database import Database
from understudy.storage.errors import StorageUnavailable
from understudy.storage.export_queries import Archive
from understudy.storage.quotas import BoundedFiles, Quotas
from understudy.storage.store import Store
from understudy.storage.writer import StoreWriter
from understudy.tools.table_process import set_table_limits
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.presence import Presence
from understudy.web.sse import EventStreams
from understudy.web.websocket import WebSocketEndpoint

if TYPE_CHECKING:
    from understudy.storage.redis import RedisLink

log = logging.getLogger(__name__)

HEAD_S = 5.0
"""How long a client may take for the head of its first request. One that comes later is no user who waits."""
MANY = 10_000
"""Restarts in 5 s before a supervisor of many independent children gives up. Each child's backoff keeps it far below
that: one conversation that cannot start must never be the end of the others."""


@frozen
class Running:
    """A server that answers: its address and parts. `stop` drains the clients, then stops it."""

    address: str
    system: ActorSystem
    store: Store
    html: AnswerHtml
    stop: Callable[[], Awaitable[None]]


@frozen
class App:
    """All parts of one server, wired together."""

    settings: Settings
    system: ActorSystem
    store: Store
    endpoint: WebSocketEndpoint
    http_app: QuartTrio
    presence: Presence
    html: AnswerHtml


async def serve_app(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: Sequence[Detector] = (),
    sockets: Sequence[socket.socket] = (),
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `started` gives what is running, once it answers.

    `sockets`: those that listen already (`understudy.app.listening`).

    Raises:
        DatabaseUnusable, OSError, ValueError: It cannot start; the text says why.
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
        connections = fit_connection_limit(settings.limits.connections_total)
        limits = ServerLimits(
            head_s=HEAD_S,
            connections=connections,
            connections_per_peer=settings.limits.connections_per_peer,
            grace_s=settings.grace_s / 8,
            socket=SocketLimits(
                message_bytes=settings.limits.frame_bytes,
                bound_bytes=settings.limits.transport_bytes,
                compression_from_bytes=settings.compression_from_bytes,
            ),
        )
        proxies = TrustedProxies(settings.trusted_proxies)
        serve_port = partial(
            serve,
            listeners,
            asgi_app=app.http_app,
            on_upgrade=app.endpoint,
            limits=limits,
            tls=tls,
            proxies=proxies,
        )
        await nursery.start(serve_port)
        nursery.start_soon(warn_if_open)
        nursery.start_soon(app.html.warm_up)
        task_status.started(Running(settings.url_at(port), app.system, app.store, app.html, partial(_stop, app)))


@asynccontextmanager
async def build_app(
    settings: Settings, agents: Sequence[Agent] = (), detectors: Sequence[Detector] = ()
) -> AsyncIterator[App]:
    """Wire all parts together around a running tree of actors; everything is closed on the way out.

    Raises:
        DatabaseUnusable, OSError, ValueError: A part cannot be opened; the text says why.
    """
    sessions, cipher = open_sessions(settings), build_cipher(settings)
    set_table_limits(settings.limits.processes_per_user)
    metrics, incidents = Metrics(lambda: system.tree()), Incidents(time.time)
    breakers = Breakers(metrics)
    known, models = all_agents(agents), Models(settings.model, settings.words_per_s, breakers.record_change)
    for agent in known.values():
        agent.run_limit_s(settings.limits.run_s)
        # Now, not at its first message: making a client takes a third of a second, and may fail.
        models.of(agent.model)
    policy = await trio.to_thread.run_sync(load_policy, settings.scrub_policy)
    sealer = load_cipher(str(settings.raw_key), settings.raw_key_file) if settings.store_raw else None
    database = await trio.to_thread.run_sync(open_database, settings)
    redis = await trio.to_thread.run_sync(build_redis, settings, metrics)
    content_filter = await trio.to_thread.run_sync(ContentFilter, policy, metrics, detectors, sealer)
    others: list[ChildSpec] = []  # what works with other servers
    tree = _tree(settings, database, redis, metrics, others)
    system = ActorSystem("system", tree, intensity=MANY, on_event=_tell(metrics, incidents))
    try:
        async with system:
            find = partial(_find, system)
            writer = partial(system.find, "/system/storage/writer")
            store = Store(database, writer, on_circuit=breakers.record_change, on_reads=metrics.reads_began)
            for breaker in (store.breaker, *models.breakers()):
                breakers.add(breaker.name)
            begin = partial(_begin, find, others)
            node = await join_nodes(settings, database, store, find, begin)
            cluster = build_cluster(redis, node, cipher, metrics)
            metrics.observe_storage(
                lambda: store.read_statistics()["reads_waiting"], lambda: 0 if node is None else node.lapses
            )
            files, keepers = open_files(settings, database, store)
            await trio.to_thread.run_sync(files.sweep)
            quotas = Quotas(store, settings.limits, tenants=bool(settings.tenant_claim))
            bounded = BoundedFiles(files, quotas)
            shelf, shelvers = build_cache(redis, cipher)
            reads = CachedReads(store, shelf, time.time, metrics)
            store.on_write = reads.invalidate
            presence = Presence(settings.limits.connections_per_user)
            dismiss = partial(presence.close_revoked, lambda who: who in sessions.revoked, system.find)
            keepers += await open_revocations(settings, sessions, store, lambda _: dismiss())
            slots = _slots(settings)
            counts = partial(_counts, presence, slots)
            server = ServerStatus(system, counts, __version__, partial(_beside, database, breakers, redis))
            html = AnswerHtml()
            services = Services(
                store=store,
                agents=known,
                model_of=lambda agent: models.of(agent.model),
                content_filter=content_filter,
                html=html,
                limits=settings.limits,
                limiter=slots,
                attachments=lambda owner: Attachments(owner, store, bounded, content_filter),
                server=lambda owner, roles: server.visible_to(rights_of(owner, roles, tenants=sessions.tenants)),
                outboxes=presence.outboxes,
                metrics=metrics,
                clock=time.time,
                summary_from=settings.summary_from,
                on_relocated=lambda *moved: _moved(system, desk, *moved),
                announce=announce_nothing if cluster is None else cluster.announce,
                storage_retry=StorageRetry(store, settings.storage_wait_s, settings.storage_waiting)
                if settings.storage_wait_s
                else None,
                quotas=quotas,
                memory=lambda owner, agent: AgentMemory(owner, agent, store, reads, content_filter, time.time),
            )
            desk = CommandDispatcher(services, partial(find, "/system/conversations"), node, cluster)
            if cluster is not None:
                for child in cluster.children(services, desk, partial(find, "/system/cluster/forwarders")):
                    await begin(child)
                await cluster.ready()
            connections = partial(find, "/system/connections")
            ledger, elsewhere, sharers = build_shared_limits(redis, settings)
            endpoint = WebSocketEndpoint(
                settings,
                sessions,
                store,
                desk,
                presence,
                metrics,
                connections,
                _limits(settings),
                html,
                ledger,
                elsewhere,
            )
            streams = EventStreams(
                endpoint.callbacks, desk, presence, connections, _limits(settings), lambda: endpoint.draining
            )
            tree_api = TreeApi(system, incidents, lambda: counts() | store.read_statistics(), settings.observer_kill)
            archive = Archive(database)
            eraser = Eraser(store, archive, files, desk.delete_thread, sessions.end_for_erasure, html.cache.clear_user)
            rest = WebContext(
                settings,
                sessions,
                store,
                bounded,
                known,
                lambda agent: models.of(agent.model),
                metrics,
                server.health,
                streams,
                tree_api,
                content_filter,
                reads,
                archive,
                Exporter(archive, content_filter.vault, sealer, time.time),
                eraser,
                counts,
                quotas,
                html,
                ledger=ledger,
            )
            recovery = ChildSpec("recovery", partial(Recovery, store, desk.registry, node), backoff=BACKOFF)
            kept = RetentionPeriods(settings.keep_threads_days, settings.keep_events_days)
            retention = partial(Retention, kept, store, archive, eraser, partial(is_oldest_node, store, node), metrics)
            keepers += [ChildSpec("retention", retention, backoff=BACKOFF)]
            forgetting = ChildSpec("forgetting", partial(MemoryExpiry, store, time.time), backoff=BACKOFF)
            watch = ChildSpec("waits", partial(StorageWaitMonitor, services.storage_waits), backoff=BACKOFF)
            sessions.on_end.append(lambda who: presence.close_session(who, system.find))
            await system.spawn(
                _supervisor(
                    "observe", [recovery, *_keepers(sessions), *keepers, *shelvers, *sharers, forgetting, watch]
                )
            )
            yield App(settings, system, store, endpoint, build_http_app(rest), presence, html)
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await models.aclose()
        database.close()


def _beside(database: Database, breakers: Breakers, redis: "RedisLink | None") -> dict[str, HealthCheck]:
    """The checks of what is not in the tree: the database, and what else is on the other side of a breaker."""
    checks = dict(breakers.checks())
    try:
        database.check()  # a look at the file's name, so that it is known before anything is written
    except StorageUnavailable as gone:
        checks["database"] = HealthCheck(HealthStatus.FAILED, gone.reason)
    if redis is not None:
        away = HealthCheck(HealthStatus.DEGRADED, "Redis does not answer", time.time() - redis.since, essential=False)
        checks["redis"] = HealthCheck() if redis.up else away
    return checks


async def _begin(find: Callable[[str], ActorRef], others: list[ChildSpec], child: ChildSpec) -> None:
    """Have one of those begin that work with other servers, now and whenever their part of the house does."""
    others.append(child)
    await find("/system/cluster").ask(StartChild(child))


def _tree(
    settings: Settings, database: Database, redis: "RedisLink | None", metrics: Metrics, others: list[ChildSpec]
) -> list[ChildSpec]:
    """The part of the tree that stands before anything is wired to it; `others` comes to have more children of one."""
    links = [] if redis is None else [redis.connector_spec()]
    writer = ChildSpec("writer", partial(StoreWriter, database, metrics.committed), backoff=BACKOFF)
    return [
        _supervisor("storage", [writer, *links]),
        *([_supervisor("cluster", others)] if settings.on_postgresql else []),
        _supervisor("conversations"),
        _supervisor("connections"),
    ]


def _keepers(sessions: Sessions) -> list[ChildSpec]:
    """What keeps an identity provider's keys fresh, where there is one."""
    return [] if sessions.provider is None else [ChildSpec("keys", sessions.provider.keeper, backoff=BACKOFF)]


def _supervisor(name: str, children: Sequence[ChildSpec] | None = None) -> ChildSpec:
    """A supervisor under the root: whatever happens below it, it comes back, with what `children` has by then.

    One without children of its own has many of a kind, which need no order when they stop.
    """
    make = partial(Supervisor, () if children is None else children, intensity=MANY, stop_together=children is None)
    return ChildSpec(name, make, backoff=BACKOFF)


def _limits(settings: Settings) -> ConnectionLimits:
    beat = settings.limits.heartbeat_s
    return ConnectionLimits(
        renewal_s=settings.limits.renewal_s,
        drain_s=settings.grace_s / 4,
        chunks_bytes=settings.limits.chunks_bytes,
        chunk_s=settings.limits.chunk_s,
        heartbeat=Heartbeat(beat, 2.4 * beat),
    )


async def _stop(app: App) -> None:
    """Take leave of every client, then stop the tree in order; what the door and the application take is the rest."""
    app.endpoint.draining = True
    grace_s = app.settings.grace_s
    connections = app.system.find("/system/connections")
    await drain(connections.children() if connections else [], app.endpoint.dispatcher.registry, grace_s * 5 / 8)
    await app.system.stop(grace_s=grace_s / 8)


def _moved(system: ActorSystem, desk: CommandDispatcher, owner: str, thread_id: str, ending: ActorRef) -> None:
    desk.registry.mark_relocated(owner, thread_id, ending)
    if (recovery := system.find("/system/observe/recovery")) is not None:
        recovery.try_tell(CheckNow())


def _slots(settings: Settings) -> "RunLimiter[ActorRef]":
    """The permits for runs; shared out among tenants if the server has some."""
    limits = settings.limits
    of_tenant = limits.runs_per_tenant or (limits.runs_total + 1) // 2
    per_tenant = of_tenant if settings.tenant_claim else None
    return RunLimiter(limits.runs_per_user, limits.runs_total, limits.runs_waiting, per_tenant)


def _find(system: ActorSystem, path: str) -> ActorRef:
    ref = system.find(path)
    if ref is None:
        raise ActorDied(path)
    return ref


def _counts(presence: Presence, slots: "RunLimiter[ActorRef]", whose: Whose = everybody) -> dict[str, int]:
    return {"connections": presence.count(whose), **slots.counts(whose)}


def _tell(metrics: Metrics, incidents: Incidents) -> Callable[[ActorEvent], None]:
    """What happens in the tree is counted and logged."""

    def both(event: ActorEvent) -> None:
        metrics.record(event)
        log_event(event, incidents.record(event))

    return both
