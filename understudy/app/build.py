"""The composition root: builds the parts of a server in order, each from earlier ones, around the actor tree."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Final

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import ActorRef, ActorSystem, ChildSpec
from sanitization import Detector
from transport.connection.callbacks import ConnectionLimits
from transport.connection.heartbeat import Heartbeat
from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.app.agents import build_tool_loop, open_models
from understudy.app.revocations import open_revocations
from understudy.app.settings import Settings
from understudy.app.storage import open_database, open_storage
from understudy.app.tree import BACKOFF, build_tree, supervisor, supervisor_of
from understudy.auth.rights import Whose, everybody
from understudy.auth.sessions import Sessions, open_sessions
from understudy.chat.chat import Chat
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.conversation.recovery import CheckNow, Recovery
from understudy.chat.presence import Presence
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import ChatSettings, Services
from understudy.chat.spending import spending_expiry
from understudy.chat.storage_away import StorageWaitMonitor
from understudy.content.filter import ContentFilter, load_policy
from understudy.extension import Extension, Parts
from understudy.installed import ExtensionFault, chosen, fault_of, is_ours, naming
from understudy.models.registry import Models
from understudy.observe.actor_events import ActorEventRecorder
from understudy.observe.health import Breakers, HealthCheck, HealthStatus, ServerStatus
from understudy.observe.loop_lag import LoopLag
from understudy.observe.metrics import Metrics
from understudy.observe.paths import CONNECTIONS, CONVERSATIONS, RECOVERY, WRITER
from understudy.storage.database import Database
from understudy.storage.errors import DatabaseUnusable, ExtraNotInstalled, StorageUnavailable
from understudy.storage.store import Store
from understudy.tools.lifespan import Lifespan
from understudy.tools.loop import ToolLoopActor
from understudy.tools.threads import ToolThreads, tool_threads
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.user_connections import UserConnections
from understudy.web.websocket import WebSocketEndpoint

RELEASE: Final = version("understudy-server")


@frozen
class App:
    """The parts of a running server that are used to serve it, to stop it, and by tests."""

    settings: Settings
    system: ActorSystem
    store: Store
    endpoint: WebSocketEndpoint
    http_app: QuartTrio
    presence: Presence
    metrics: Metrics
    models: Models
    chat: Chat
    content_filter: ContentFilter


@asynccontextmanager
async def build_app(
    settings: Settings,
    agents: Sequence[Agent] = (),
    detectors: Sequence[Detector] = (),
    lifespan: Lifespan | None = None,
) -> AsyncIterator[App]:
    """Build all parts around a running actor tree. On exit the tree is stopped, then models and database are closed.

    Raises:
        DatabaseUnusable, OSError, ValueError: A part cannot be opened; the text says why.
    """
    sessions = open_sessions(settings)
    extensions = chosen(settings.extensions)
    metrics = Metrics()
    for extension in extensions.values():
        with naming(extension, "metrics"):
            for counter in extension.metrics():
                metrics.declare(counter)
    tool_threads.set(threads := ToolThreads(metrics.runs.tool_thread_lost))
    metrics.runs.observe_tool_threads(lambda: threads.working, lambda: threads.lost.total())
    breakers, recorder = Breakers(metrics.actors), ActorEventRecorder(metrics.actors, time.time)
    named = all_agents(agents, settings.builtin_agents, settings.default_agent, settings.extensions)
    models = await trio.to_thread.run_sync(open_models, settings, named, extensions, breakers)
    policy = await trio.to_thread.run_sync(load_policy, settings.scrub_policy)
    database = await trio.to_thread.run_sync(open_database, settings)
    content_filter = ContentFilter(policy, metrics.findings, detectors)
    tool_loop, built = build_tool_loop(named, lifespan), Parts()
    tree = build_tree(database, metrics, recorder, shared=settings.on_postgresql)
    metrics.describe_build(RELEASE)
    metrics.actors.observe_tree(tree.system.tree)
    try:
        async with tree.system as system:
            if tool_loop is not None:
                await tool_loop.open(system)
            store = Store(
                database,
                partial(system.find, WRITER),
                ended=lambda: system.killed,
                on_circuit=breakers.record_change,
                on_reads=metrics.storage.reads_began,
                on_read=metrics.storage.read,
            )
            metrics.storage.observe(lambda: store.readers.waiting)
            storage = open_storage(settings, store, metrics)

            presence = Presence(settings.limits.connections_per_user, content_filter.warmup.begin)
            limits, tenants = settings.limits, bool(settings.tenant_claim)
            of_tenant = limits.runs_per_tenant or (limits.runs_total + 1) // 2
            run_limiter: RunLimiter[ActorRef] = RunLimiter(
                limits.runs_per_user, limits.runs_total, limits.runs_waiting, of_tenant if tenants else None
            )
            revocation_poller = await open_revocations(settings, sessions, store, presence, tree)

            def counts(whose: Whose = everybody) -> dict[str, int]:
                return {"connections": presence.count(whose), **run_limiter.counts(whose)}

            supervised: dict[str, ActorRef] = {}
            status = ServerStatus(
                system, counts, RELEASE, [partial(_extra_checks, breakers, database, supervised)],
                metrics.recent,
                metrics.runs.watchdog.open, recorder.incidents_after, lambda: store.readers.waiting, tenants,
            )  # fmt: skip
            services = Services(
                store=store,
                agents=named,
                models=models,
                content_filter=content_filter,
                limiter=run_limiter,
                presence=presence,
                metrics=metrics.runs,
                clock=time.time,
                settings=ChatSettings(limits, settings.summary_from),
                parts=built,
            )
            for part in (tree, status, tool_loop, storage.quotas):
                if part is not None:
                    built.add(part)
            dispatcher = CommandDispatcher(services, partial(tree.find, CONVERSATIONS))

            def on_relocated(owner: str, thread_id: str, conversation: ActorRef) -> None:
                dispatcher.registry.mark_relocated(owner, thread_id, conversation)
                if (recovery := system.find(RECOVERY)) is not None:
                    recovery.try_tell(CheckNow())

            services.on_relocated = on_relocated
            endpoint, chat = _build_doors(
                settings, services, sessions, dispatcher, metrics, partial(tree.find, CONNECTIONS)
            )
            built.add(endpoint.callbacks)
            context = WebContext(
                settings=settings,
                services=services,
                sessions=sessions,
                metrics=metrics,
                status=status,
                recorder=recorder,
                chat=chat,
                reads=storage.reads,
                find=system.find,
                extensions=extensions,
            )
            for extension in extensions.values():
                await _open(extension, context)
            for breaker in (store.breaker, *models.breakers):
                breakers.add(breaker.name)
            http_app = await trio.to_thread.run_sync(build_http_app, context)  # takes 40 ms to compile all paths
            provider = sessions.provider
            recovery = partial(Recovery, store, dispatcher.registry, run_limiter)
            children = [
                ChildSpec("recovery", recovery, backoff=BACKOFF),
                *([] if provider is None else [ChildSpec("keys", provider.keeper, backoff=BACKOFF)]),
                revocation_poller,
                ChildSpec("loop_lag", partial(LoopLag, metrics.actors.loop_lag.observe), backoff=BACKOFF),
                ChildSpec("forgetting", partial(spending_expiry, store, time.time), backoff=BACKOFF),
                ChildSpec("waits", partial(StorageWaitMonitor, services.storage_waits), backoff=BACKOFF),
            ]
            if tool_loop is not None:
                children.append(ChildSpec("tools", partial(ToolLoopActor, tool_loop), backoff=BACKOFF))
            await system.spawn(supervisor("observe", children))
            for name, extension in extensions.items():
                with naming(extension, "children"):
                    if actors := extension.children(context):
                        supervised[name] = await system.spawn(supervisor_of(name, actors))
            yield App(settings, system, store, endpoint, http_app, presence, metrics, models, chat, content_filter)
    finally:
        with trio.CancelScope(shield=True):  # the lifespans have deadlines of their own
            if tool_loop is not None:
                await tool_loop.close()
            await built.closing.aclose()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await models.aclose()
        database.close()


async def _open(extension: Extension, context: WebContext) -> None:
    """Let an extension build its parts. Raises ExtensionFault if that fails; errors of our own are not converted."""
    try:
        await extension.open(context)
    except (DatabaseUnusable, ExtraNotInstalled, OSError, ValueError) as error:
        if is_ours(extension) or isinstance(error, ExtensionFault):
            raise
        raise ExtensionFault(f"the extension {extension.name}: {error}") from error
    except Exception as error:
        raise fault_of(extension, "open", error) from error


def _extra_checks(
    breakers: Breakers,
    database: Database,
    supervised: Mapping[str, ActorRef],
) -> dict[str, HealthCheck]:
    """Check the parts outside the actor tree: breakers, database, and extensions that gave up."""
    checks = dict(breakers.checks())
    try:
        database.check()  # compares the file's name, so that a missing file is reported before the next write
    except StorageUnavailable as gone:
        checks["database"] = HealthCheck(HealthStatus.FAILED, gone.reason)
    for name, extension_supervisor in supervised.items():
        if not extension_supervisor.alive:
            note = f"the extension {name} failed too often and stays off until the server is restarted"
            checks[name] = HealthCheck(HealthStatus.DEGRADED, note, essential=False)
    return checks


def _build_doors(
    settings: Settings,
    services: Services,
    sessions: Sessions,
    dispatcher: CommandDispatcher,
    metrics: Metrics,
    connections: Callable[[], ActorRef],
) -> tuple[WebSocketEndpoint, Chat]:
    """Build the endpoints for sockets and event streams, whose actors are children of `connections`."""
    limits = ConnectionLimits(
        renewal_s=settings.limits.renewal_s,
        drain_s=settings.grace_s / 4,
        chunks_bytes=settings.limits.chunks_bytes,
        chunk_s=settings.limits.chunk_s,
        heartbeat=Heartbeat(settings.limits.heartbeat_s, 2.4 * settings.limits.heartbeat_s),
    )
    callbacks = UserConnections(
        settings.limits, sessions, services.store, dispatcher, services.presence, metrics.connections
    )
    endpoint = WebSocketEndpoint(settings, callbacks, connections, limits)
    chat = Chat(dispatcher, callbacks, services.presence, connections, limits, draining=lambda: endpoint.draining)
    return endpoint, chat
