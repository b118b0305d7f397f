"""Sessions and what clients reach: the WebSocket endpoint, event streams, and the HTTP application."""

import time
from functools import partial

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import ChildSpec
from transport.connection.heartbeat import Heartbeat
from transport.connection.websocket import ConnectionLimits
from understudy.app.chat import Agents
from understudy.app.cluster import SharedLimits
from understudy.app.observability import Counts, Observability
from understudy.app.settings import Settings
from understudy.app.storage import Storage
from understudy.app.tree import BACKOFF, Tree
from understudy.auth.revocation import RevocationFile
from understudy.auth.sessions import REVOCATIONS_FILE, Sessions
from understudy.auth.shared_revocation import RevocationPoller, SharedRevocations
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.commands import CommandDispatcher
from understudy.content.filter import ContentFilter
from understudy.observe.paths import CONNECTIONS
from understudy.observe.status import ServerStatus
from understudy.observe.tree_api import TreeApi
from understudy.privacy.erasure import Eraser
from understudy.privacy.export import Exporter
from understudy.storage.export_queries import Archive
from understudy.storage.store import Store
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.presence import Presence
from understudy.web.sse import EventStreams
from understudy.web.websocket import WebSocketEndpoint


@frozen
class Web:
    """The two applications that the listener serves."""

    endpoint: WebSocketEndpoint
    http_app: QuartTrio


async def open_revocations(
    settings: Settings, sessions: Sessions, store: Store, presence: Presence, tree: Tree
) -> ChildSpec:
    """Read which sessions were revoked, and have `sessions` refuse them. Return the actor that polls for more.

    A revoked session's connections are closed, also if another process revoked it.

    Raises:
        StorageUnavailable, OSError, ValueError: The revocations cannot be read; the text says why.
    """
    path = settings.data_dir / REVOCATIONS_FILE

    def close_revoked(_names: object) -> None:
        presence.close_revoked(lambda who: who in sessions.revoked, tree.system.find)

    revoked: RevocationFile | SharedRevocations
    if settings.on_postgresql:
        revoked = SharedRevocations(path, time.time, store, on_revoked=close_revoked)
        await revoked.load()
    else:
        revoked = RevocationFile(path, time.time, on_revoked=close_revoked)
        await trio.to_thread.run_sync(revoked.load)
    sessions.revoked = revoked
    return ChildSpec("ended", partial(RevocationPoller, revoked), backoff=BACKOFF)


def build_web(
    settings: Settings,
    tree: Tree,
    *,
    sessions: Sessions,
    storage: Storage,
    agents: Agents,
    content_filter: ContentFilter,
    dispatcher: CommandDispatcher,
    presence: Presence,
    shared_limits: SharedLimits,
    observability: Observability,
    status: ServerStatus,
    counts: Counts,
    html: AnswerHtml,
    archive: Archive,
    exporter: Exporter,
    eraser: Eraser,
) -> Web:
    """Build the WebSocket endpoint, the event streams and the HTTP application around the other parts."""
    beat_s = settings.limits.heartbeat_s
    limits = ConnectionLimits(
        renewal_s=settings.limits.renewal_s,
        drain_s=settings.grace_s / 4,
        chunks_bytes=settings.limits.chunks_bytes,
        chunk_s=settings.limits.chunk_s,
        heartbeat=Heartbeat(beat_s, 2.4 * beat_s),
    )
    connections = partial(tree.find, CONNECTIONS)
    endpoint = WebSocketEndpoint(
        settings=settings,
        sessions=sessions,
        store=storage.store,
        dispatcher=dispatcher,
        presence=presence,
        metrics=observability.metrics,
        connections=connections,
        limits=limits,
        html=html,
        ledger=shared_limits.ledger,
        shared_connections=shared_limits.connections,
    )
    streams = EventStreams(
        callbacks=endpoint,
        dispatcher=dispatcher,
        presence=presence,
        connections=connections,
        limits=limits,
        draining=lambda: endpoint.draining,
    )
    tree_api = TreeApi(
        system=tree.system,
        incidents=observability.incidents,
        counts=lambda: counts() | storage.store.read_statistics(),
        may_kill=settings.observer_kill,
    )
    context = WebContext(
        settings=settings,
        sessions=sessions,
        store=storage.store,
        files=storage.limited_files,
        agents=agents.by_name,
        model_of=agents.model_of,
        metrics=observability.metrics,
        health=status.health,
        streams=streams,
        html=html,
        tree_api=tree_api,
        content_filter=content_filter,
        reads=storage.reads,
        archive=archive,
        exporter=exporter,
        eraser=eraser,
        counts=counts,
        quotas=storage.quotas,
        ledger=shared_limits.ledger,
    )
    sessions.on_end.append(lambda who: presence.close_session(who, tree.system.find))
    return Web(endpoint, build_http_app(context))
