"""The composition root: builds the parts of a server in order, each from those before it, around the actor tree."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import ActorSystem, ChildSpec
from sanitization import Detector
from understudy.agents.agent import Agent
from understudy.app.chat import build_agents, build_run_limiter, start_chat
from understudy.app.cluster import build_cluster, build_shared_limits, join_nodes
from understudy.app.observability import Counts, Observability, build_status
from understudy.app.settings import Settings
from understudy.app.storage import build_cipher, build_redis, build_store, open_database, open_storage
from understudy.app.tree import BACKOFF, build_tree, supervisor
from understudy.app.web import build_web, open_revocations
from understudy.auth.sessions import open_sessions
from understudy.chat.answer.html import AnswerHtml
from understudy.content.encryption import load_cipher
from understudy.content.filter import ContentFilter
from understudy.content.policies import load_policy
from understudy.privacy.erasure import Eraser
from understudy.privacy.export import Exporter
from understudy.privacy.retention import Retention, RetentionPeriods, is_oldest_node
from understudy.storage.export_queries import Archive
from understudy.storage.store import Store
from understudy.tools.fair_limiter import FairLimiter
from understudy.tools.table_process import table_limiter
from understudy.web.presence import Presence
from understudy.web.websocket import WebSocketEndpoint


@frozen
class App:
    """The parts of a running server that serving it, stopping it and tests use."""

    settings: Settings
    system: ActorSystem
    store: Store
    endpoint: WebSocketEndpoint
    http_app: QuartTrio
    presence: Presence
    html: AnswerHtml


@asynccontextmanager
async def build_app(
    settings: Settings, agents: Sequence[Agent] = (), detectors: Sequence[Detector] = ()
) -> AsyncIterator[App]:
    """Build all parts around a running actor tree. On exit the tree is stopped, then models and database are closed.

    Raises:
        DatabaseUnusable, OSError, ValueError: A part cannot be opened; the text says why.
    """
    sessions, cipher = open_sessions(settings), build_cipher(settings)
    table_limiter.set(FairLimiter(per_user=settings.limits.processes_per_user))
    observability = Observability()
    metrics = observability.metrics
    known = build_agents(settings, agents, observability.breakers)
    policy = await trio.to_thread.run_sync(load_policy, settings.scrub_policy)
    text_cipher = load_cipher(str(settings.raw_key), settings.raw_key_file) if settings.store_raw else None
    database = await trio.to_thread.run_sync(open_database, settings)
    redis = await trio.to_thread.run_sync(build_redis, settings, metrics)
    content_filter = await trio.to_thread.run_sync(ContentFilter, policy, metrics, detectors, text_cipher)
    tree = build_tree(database, redis, observability, shared=settings.on_postgresql)
    metrics.observe_tree(tree.system.tree)
    try:
        async with tree.system as system:
            store = build_store(database, tree, observability)
            for breaker in (store.breaker, *known.models.breakers()):
                observability.breakers.add(breaker.name)
            node = await join_nodes(settings, store, tree)
            cluster = build_cluster(redis, node, cipher, metrics)
            metrics.observe_storage(
                lambda: store.read_statistics()["reads_waiting"], lambda: 0 if node is None else node.lapses
            )
            storage = await open_storage(settings, store, redis, cipher, metrics)
            presence, run_limiter = Presence(settings.limits.connections_per_user), build_run_limiter(settings)
            revocation_poller = await open_revocations(settings, sessions, store, presence, tree)
            counts = Counts(presence, run_limiter)
            status = build_status(system, observability.breakers, database, redis, counts)
            html = AnswerHtml()
            chat = await start_chat(
                settings,
                tree,
                agents=known,
                content_filter=content_filter,
                storage=storage,
                run_limiter=run_limiter,
                presence=presence,
                status=status,
                html=html,
                observability=observability,
                node=node,
                cluster=cluster,
            )
            archive = Archive(database)
            eraser = Eraser(
                store,
                archive,
                storage.files,
                chat.dispatcher.delete_thread,
                sessions.end_for_erasure,
                html.cache.clear_user,
            )
            shared_limits = build_shared_limits(redis, settings)
            web = build_web(
                settings,
                tree,
                sessions=sessions,
                storage=storage,
                agents=known,
                content_filter=content_filter,
                dispatcher=chat.dispatcher,
                presence=presence,
                shared_limits=shared_limits,
                observability=observability,
                status=status,
                counts=counts,
                html=html,
                archive=archive,
                exporter=Exporter(archive, content_filter.vault, text_cipher, time.time),
                eraser=eraser,
            )
            kept = RetentionPeriods(settings.keep_threads_days, settings.keep_events_days)
            retention = partial(Retention, kept, store, archive, eraser, partial(is_oldest_node, store, node), metrics)
            provider = sessions.provider
            maintenance = [
                chat.recovery,
                *([] if provider is None else [ChildSpec("keys", provider.keeper, backoff=BACKOFF)]),
                *storage.file_actors,
                revocation_poller,
                ChildSpec("retention", retention, backoff=BACKOFF),
                *storage.cache_actors,
                *shared_limits.actors,
                chat.memory_expiry,
                chat.wait_notices,
            ]
            await system.spawn(supervisor("observe", maintenance))
            yield App(settings, system, store, web.endpoint, web.http_app, presence, html)
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await known.models.aclose()
        database.close()
