"""The composition root: builds the parts of a server in order, each from those before it, around the actor tree.

Modules of PostgreSQL, Redis and the cluster are imported only if the settings name them: most servers have neither.
"""

import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import trio
from attrs import frozen
from quart_trio import QuartTrio

from actors import Actor, ActorRef, ActorSystem, ChildSpec, StartChild
from sanitization import Detector
from transport.auth.identity import is_loopback
from transport.connection.callbacks import ConnectionLimits
from transport.connection.heartbeat import Heartbeat
from understudy.agents.agent import Agent, LiveAgents, with_subagents
from understudy.agents.framework import is_of_framework
from understudy.agents.permissions import BOUNDS, Permissions, check_rules, model_names
from understudy.agents.registry import all_agents
from understudy.app.settings import Settings, describe_settings
from understudy.app.storage import Storage, build_cipher, build_redis, open_database, open_storage
from understudy.app.tree import BACKOFF, Tree, build_tree, supervisor, supervisor_of
from understudy.auth.oauth.seal import Seal
from understudy.auth.revocation import RevocationFile, RevocationPoller, SharedRevocations
from understudy.auth.rights import Whose, everybody
from understudy.auth.sessions import REVOCATIONS_FILE, Sessions, open_sessions, secrets_for_storage
from understudy.chat.attachments import Attachments
from understudy.chat.commands import CommandDispatcher
from understudy.chat.conversation.recovery import CheckNow, Recovery
from understudy.chat.memory import AgentMemory, MemoryExpiry
from understudy.chat.permissions_file import PermissionsFile, PermissionsPoller
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import Services
from understudy.chat.stops import Stops, StopsPoller
from understudy.chat.storage_away import StorageWaitMonitor
from understudy.chat.webhook_sender import WebhookSender
from understudy.chat.webhooks import WebhookRules, read_secret
from understudy.content.filter import ContentFilter, load_policy
from understudy.content.summary import is_suspect
from understudy.extension import Extension, brought, chosen
from understudy.models.local import LocalModels
from understudy.models.model import Model, ModelLimits, limits_of
from understudy.models.providers import OFFLINE
from understudy.models.registry import Models, costs_unknown
from understudy.observe.actor_events import ActorEventRecorder
from understudy.observe.health import Breakers, HealthCheck, HealthStatus, RestrictedStatus, ServerStatus
from understudy.observe.loop_lag import LoopLag
from understudy.observe.metrics import Metrics
from understudy.observe.paths import CONNECTIONS, CONVERSATIONS, FORWARDERS, MCP, RECOVERY, WRITER
from understudy.observe.traces import Traces
from understudy.observe.tree_api import TreeApi
from understudy.privacy.erasure import Eraser
from understudy.privacy.export import Exporter
from understudy.privacy.retention import Retention, RetentionPeriods, is_oldest_node
from understudy.storage.archive_queries import Archive
from understudy.storage.database import Database
from understudy.storage.errors import ExtraNotInstalled, StorageUnavailable
from understudy.storage.owners import tenant_of
from understudy.storage.spending_limits import SpendingLimits
from understudy.storage.stops import stops as stops_in_force
from understudy.storage.store import Store
from understudy.tools.lifespan import SERVER, Lifespan, names_asyncio
from understudy.tools.loop import ToolLoop, ToolLoopActor
from understudy.tools.mcp.catalogue import McpCatalogue
from understudy.tools.mcp.link import Clean, LinkState
from understudy.tools.mcp.user_links import UserLinks
from understudy.tools.threads import ToolThreads, tool_threads
from understudy.web.application import build_http_app
from understudy.web.context import WebContext
from understudy.web.presence import Presence
from understudy.web.sse import EventStreams
from understudy.web.websocket import WebSocketEndpoint

if TYPE_CHECKING:
    from understudy.chat.placement import Node
    from understudy.cluster.cluster import Cluster
    from understudy.cluster.shared_limits import ConnectionCounts, SharedRateLimits
    from understudy.storage.redis import RedisLink


RELEASE: Final = version("understudy-server")


@frozen
class App:
    """The parts of a running server that serving it, stopping it and tests use."""

    settings: Settings
    system: ActorSystem
    store: Store
    endpoint: WebSocketEndpoint
    http_app: QuartTrio
    presence: Presence
    metrics: Metrics
    models: Models
    local_models: LocalModels | None = None


@frozen
class _Parts:
    """The parts that conversations and clients' endpoints are built from. `counts` returns numbers of connections and
    runs of the selected users."""

    settings: Settings
    extensions: Mapping[str, Extension]
    tree: Tree
    metrics: Metrics
    recorder: ActorEventRecorder
    agents: Mapping[str, Agent]
    models: Models
    content_filter: ContentFilter
    storage: Storage
    presence: Presence
    run_limiter: "RunLimiter[ActorRef]"
    counts: Callable[[Whose], Mapping[str, int]]
    status: ServerStatus
    tool_loop: ToolLoop | None
    asyncio_loop: ToolLoop | None
    mcp: McpCatalogue
    webhook_rules: WebhookRules
    stops: Stops
    permissions: Permissions
    node: "Node | None"
    traces: Traces | None
    local_models: LocalModels | None


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
    sessions, cipher = open_sessions(settings), build_cipher(settings)
    extensions = chosen(settings.extensions)
    metrics = Metrics()
    for extension in extensions.values():
        for counter in brought(extension.metrics):
            metrics.declare(counter)
    tool_threads.set(threads := ToolThreads(metrics.tool_thread_lost))
    metrics.observe_tool_threads(lambda: threads.working, lambda: threads.lost.total())
    breakers, recorder = Breakers(metrics), ActorEventRecorder(metrics, time.time)
    known = all_agents(agents, settings.builtin_agents, settings.default_agent, settings.extensions)
    models = await trio.to_thread.run_sync(_open_models, settings, known, breakers)
    local_models = None
    if settings.anonymous and settings.model == OFFLINE:
        local_models = LocalModels(models, settings.data_dir)
        await trio.to_thread.run_sync(local_models.restore)
    permissions, permission_actors = await _open_permissions(settings, known)
    policy = await trio.to_thread.run_sync(load_policy, settings.scrub_policy)
    database = await trio.to_thread.run_sync(open_database, settings)
    redis = await trio.to_thread.run_sync(build_redis, settings, metrics)
    content_filter = await trio.to_thread.run_sync(ContentFilter, policy, metrics, detectors)
    tool_loop, asyncio_loop = build_tool_loop(known, lifespan), build_asyncio_loop(known)
    loops = {name: loop for name, loop in (("tools", tool_loop), ("frameworks", asyncio_loop)) if loop is not None}
    mcp = await build_mcp(known, content_filter, widgets=bool(settings.widgets_origin))
    traces = await trio.to_thread.run_sync(build_traces, settings, metrics)
    live: Mapping[str, Agent] = LiveAgents(known, mcp.with_tools, mcp.stamp) if mcp.links else known
    tree = build_tree(database, redis, metrics, recorder, shared=settings.on_postgresql)
    metrics.describe_build(RELEASE)
    metrics.observe_tree(tree.system.tree)
    try:
        async with tree.system as system:
            for loop in loops.values():
                await loop.open(system)
            store = Store(
                database,
                partial(system.find, WRITER),
                on_circuit=breakers.record_change,
                on_reads=metrics.reads_began,
                on_read=metrics.read,
            )
            for breaker in (store.breaker, *models.breakers):
                breakers.add(breaker.name)
            node = await _join_nodes(settings, store, tree)
            sign_in_actors = _build_sign_ins(settings, store, mcp, partial(_clean, content_filter), tree)
            cluster = None
            if redis is not None and node is not None and cipher is not None:
                from understudy.cluster import cluster as nodes
                from understudy.cluster.redis_broker import RedisBroker

                cluster = nodes.Cluster(RedisBroker(redis), node, cipher, metrics)
            metrics.observe_storage(lambda: store.readers.waiting, lambda: 0 if node is None else node.lapses)
            storage = await open_storage(settings, store, redis, cipher, metrics)

            presence = Presence(settings.limits.connections_per_user, content_filter.expect_texts)
            run_limiter = _build_run_limiter(settings)
            revocation_poller = await _open_revocations(settings, sessions, store, presence, tree)
            sign_in_keys = _build_sign_in(settings, sessions, store)
            _build_accounts(settings, sessions, store)

            def counts(whose: Whose = everybody) -> dict[str, int]:
                return {"connections": presence.count(whose), **run_limiter.counts(whose)}

            supervised: dict[str, ActorRef] = {}
            status = ServerStatus(
                system, counts, RELEASE, partial(_extra_checks, breakers, database, redis, mcp, supervised),
                metrics.recent,
                metrics.watchdog.open, recorder.incidents_after, lambda: store.readers.waiting,
            )  # fmt: skip
            stops = Stops(lambda: store.read(stops_in_force))
            await stops.poll()
            parts = _Parts(
                settings, extensions, tree, metrics, recorder, live, models, content_filter, storage, presence,
                run_limiter, counts, status, tool_loop, asyncio_loop, mcp, _build_webhooks(settings), stops,
                permissions, node, traces, local_models,
            )  # fmt: skip
            dispatcher, chat_actors = await _start_chat(parts, node, cluster)
            archive = Archive(database)
            eraser = Eraser(store, archive, storage.files, dispatcher.delete_thread, sessions.end_for_erasure)
            exporter = Exporter(archive, content_filter.vault, time.time)
            rates, connections, limit_actors = _build_shared_limits(cluster, settings)
            endpoint, http_app = await trio.to_thread.run_sync(  # some 40 ms: the paths of all blueprints are compiled
                _build_web, parts, sessions, dispatcher, archive, exporter, eraser, rates, connections
            )
            periods = RetentionPeriods(settings.keep_threads_days, settings.keep_events_days, settings.audit_days)
            retention = partial(
                Retention, periods, store, archive, eraser, partial(is_oldest_node, store, node), metrics
            )
            provider = sessions.provider
            recovery, *maintenance = chat_actors
            children = [
                recovery,
                *([] if provider is None else [ChildSpec("keys", provider.keeper, backoff=BACKOFF)]),
                *sign_in_keys,
                *storage.file_actors,
                revocation_poller,
                ChildSpec("stops", partial(StopsPoller, stops), backoff=BACKOFF),
                *permission_actors,
                ChildSpec("retention", retention, backoff=BACKOFF),
                ChildSpec("loop_lag", partial(LoopLag, metrics.loop_lag.observe), backoff=BACKOFF),
                *storage.cache_actors,
                *limit_actors,
                *maintenance,
            ]
            children += [ChildSpec(name, partial(ToolLoopActor, loop), backoff=BACKOFF) for name, loop in loops.items()]
            if mcp.links or mcp.signing_in:
                await system.spawn(supervisor("mcp", [*mcp.children(), *sign_in_actors]))
            await system.spawn(supervisor("observe", children))
            context: WebContext = http_app.extensions["context"]
            for name, extension in extensions.items():
                if actors := brought(extension.children, context):
                    supervised[name] = await system.spawn(supervisor_of(name, actors))
            yield App(settings, system, store, endpoint, http_app, presence, metrics, models, local_models)
    finally:
        with trio.CancelScope(shield=True):  # its deadlines are those of the lifespans
            for loop in loops.values():
                await loop.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await models.aclose()
        if traces is not None:
            with trio.CancelScope(shield=True):  # it has a limit of its own
                await traces.aclose(settings.grace_s / 4)
        database.close()


def _open_models(settings: Settings, known: Mapping[str, Agent], breakers: Breakers) -> Models:
    """Make the clients of all models: to import a provider's package and to make a client takes a second.

    Raises:
        ValueError: An agent and its model or its limits do not go together.
    """
    limits = ModelLimits(
        settings.model_window_tokens, settings.output_tokens, settings.model_images, settings.model_documents
    )
    models = Models(
        settings.model, settings.words_per_s, breakers.record_change, limits, settings.timeouts, settings.providers
    )
    for agent in known.values():
        agent.run_limit_s(settings.limits.run_s)
        check_priced(agent, settings)
        try:
            check_output(agent, models.of(agent.model))
        except ValueError as error:
            raise ValueError(f"agent {agent.name!r}: {error}") from error
    return models


def build_traces(settings: Settings, metrics: Metrics) -> Traces | None:
    """Start to send traces. Return None if the settings name no collector; OpenTelemetry is not imported then.

    Takes some 0.3 s. Raises ExtraNotInstalled; OSError if the authority of the collector's certificate cannot be read.
    """
    if not settings.otlp_endpoint:
        return None
    try:
        from understudy.observe.otlp import otlp_sender
    except ModuleNotFoundError as error:
        raise ExtraNotInstalled("otlp_endpoint", "traces") from error
    pairs = (each.partition("=") for each in settings.otlp_headers)
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    traces = Traces(
        otlp_sender(settings.otlp_endpoint, headers, RELEASE, uuid.uuid4().hex),
        metrics.spans_dropped,
        ratio=settings.trace_ratio,
        content=settings.trace_content,
        database="postgresql" if settings.on_postgresql else "sqlite",
    )
    traces.start()
    return traces


def check_priced(agent: Agent, settings: Settings) -> None:
    """Refuse an agent with a limit of cost whose model has no price, as nothing would be counted.

    Raises:
        ValueError: See above, or its budget exceeds a limit of the server.
    """
    limits, budget = settings.limits, agent.run_budget(settings.limits)
    of_users = (limits.user_cost_per_day, limits.user_cost_per_month)
    bounds = (budget.cost, *of_users, limits.tenant_cost_per_day, limits.tenant_cost_per_month)
    for name in model_names(agent, settings.model):
        if any(bound is not None for bound in bounds) and costs_unknown(name, settings.prices):
            raise ValueError(
                f"agent {agent.name!r} has a limit of cost, but its model {name!r} has no price: add "
                f'[understudy.models.prices."{name}"] to the settings'
            )


def check_output(agent: Agent, model: Model) -> None:
    """Refuse an agent whose replies may be longer than those of its model. Raises ValueError."""
    wanted, most = agent.settings.max_output, limits_of(model).max_output
    if model.name != OFFLINE and wanted is not None and wanted > most:
        raise ValueError(
            f"its max_output is {wanted:,} tokens, but its model writes at most {most:,}: lower it, or raise "
            "model_max_output, or the `limits` of a model of your own"
        )


def _build_webhooks(settings: Settings) -> WebhookRules:
    """Build the rules of addresses that may be told of runs. Raises ValueError for a bad secret."""
    if not settings.webhook_urls:
        return WebhookRules((), b"", settings.webhook_private)
    try:
        secret = read_secret(str(settings.webhook_secret))
    except ValueError as error:
        raise ValueError(f"webhook_secret (UNDERSTUDY_WEBHOOK_SECRET): {error}") from error
    return WebhookRules(settings.webhook_urls, secret, settings.webhook_private)


def _build_spending(settings: Settings, store: Store, permissions: Permissions) -> SpendingLimits | None:
    """Build the limits of what users spend in a day and a month; None if there are none, and no budgets can come."""
    whose = ("user", "tenant") if settings.tenant_claim else ("user",)
    unlimited = all(getattr(settings.limits, f"{each}_{bound}") is None for each in whose for bound in BOUNDS)
    if unlimited and settings.permissions_file is None:
        return None
    tenant = tenant_of if settings.tenant_claim else (lambda _: None)
    return SpendingLimits(store, settings.limits, tenant, permissions, settings.prices.currency)


async def _open_permissions(settings: Settings, agents: Mapping[str, Agent]) -> tuple[Permissions, list[ChildSpec]]:
    """Read the permissions file, if there is one. Return the permissions, and the actor that looks for its changes.

    Raises:
        BadRules: The file cannot be read, or does not fit the server.
    """
    permissions = Permissions()
    if settings.permissions_file is None:
        return permissions, []
    check = partial(
        check_rules, agents=agents, default_model=settings.model, limits=settings.limits, prices=settings.prices
    )
    file = PermissionsFile(settings.permissions_file, permissions, check)
    permissions.rules = await trio.to_thread.run_sync(file.read)
    return permissions, [ChildSpec("permissions", partial(PermissionsPoller, file), backoff=BACKOFF)]


def build_tool_loop(agents: Mapping[str, Agent], lifespan: Lifespan | None) -> ToolLoop | None:
    """Build the loop on which users' async tools run. Return None if there is no such tool and no lifespan."""
    agents = with_subagents(agents.values())
    tools = [each for agent in agents.values() for each in agent.tools if each.on_tools_loop]
    lifespans = {} if lifespan is None else {SERVER: lifespan}
    lifespans |= {name: agent.lifespan for name, agent in agents.items() if agent.lifespan is not None}
    written = [each.run for each in agents.values() if each.run is not None and not is_of_framework(each.run)]
    if not (tools or lifespans or written):
        return None
    return ToolLoop(lifespans, asyncio=any(each.asyncio for each in tools) or any(map(names_asyncio, written)))


def build_asyncio_loop(agents: Mapping[str, Agent]) -> ToolLoop | None:
    """Build the loop on which agents of other frameworks run. Return None if there are none."""
    if not any(is_of_framework(agent.run) for agent in with_subagents(agents.values()).values()):
        return None
    from understudy.tools.asyncio_thread import AsyncioThread

    return ToolLoop({}, asyncio=False, thread=AsyncioThread)


async def build_mcp(
    agents: Mapping[str, Agent], content_filter: ContentFilter, *, widgets: bool = False
) -> McpCatalogue:
    """Build the links to the MCP servers that agents name. The SDK is imported only if there are any.

    Raises:
        ValueError: The extra is not installed, or two different servers have the same name.
    """
    servers = [each for agent in with_subagents(agents.values()).values() for each in agent.servers]
    if servers:
        modules = ["connection", *(("oauth.flow", "oauth.keeper") if any(each.per_user for each in servers) else ())]
        try:  # in a thread: it takes a second
            for name in modules:
                await trio.to_thread.run_sync(import_module, f"understudy.tools.mcp.{name}")
        except ModuleNotFoundError as error:
            raise ValueError(f"MCP servers need the extra: pip install 'understudy-server[mcp]' ({error})") from error
    return McpCatalogue.of(servers, partial(_clean, content_filter), widgets=widgets)


async def _clean(content_filter: ContentFilter, text: str) -> tuple[str, bool]:
    """Redact a text of an MCP server, as `understudy.tools.mcp.link.Clean` has it."""
    found = await content_filter.filter_value(text, content_filter.tool)
    if found.blocked:
        raise ValueError(content_filter.blocked_error("It is left out", found.texts).message)
    return str(found.value), is_suspect(found.findings)


def _build_sign_ins(settings: Settings, store: Store, mcp: McpCatalogue, clean: Clean, tree: Tree) -> list[ChildSpec]:
    """Let users sign in at the MCP servers that want it. Return the actor that keeps unused sign-ins alive.

    Raises:
        OSError, ValueError: The server has no secret with which tokens are sealed.
    """
    if not mcp.signing_in:
        return []
    from understudy.tools.mcp.oauth.accounts import Accounts
    from understudy.tools.mcp.oauth.keeper import SignInKeeper

    if not settings.secret and not is_loopback(settings.host):
        name = next(iter(mcp.signing_in))
        raise ValueError(f"users sign in at the MCP server {name}, whose tokens are sealed: set UNDERSTUDY_SECRET")
    accounts = Accounts(store, Seal(*secrets_for_storage(settings)), time.time, settings.mcp_private)

    async def spawn(child: ChildSpec) -> object:
        return await tree.find(MCP).ask(StartChild(child))

    mcp.users = UserLinks(accounts, spawn, clean, bool(settings.widgets_origin))
    return [ChildSpec("sign-ins", partial(SignInKeeper, accounts, mcp.signing_in), backoff=BACKOFF)]


def _build_sign_in(settings: Settings, sessions: Sessions, store: Store) -> list[ChildSpec]:
    """Let users of the page sign in at the identity provider. Return the actor that keeps its keys."""
    if not settings.oidc_issuer:
        return []
    from understudy.auth.openid.claims import ClaimNames
    from understudy.auth.openid.provider import Provider, Registration
    from understudy.auth.openid.sessions import ProviderSessions

    names = ClaimNames(
        settings.oidc_name_claim, settings.oidc_roles_claim, settings.oidc_groups_claim, settings.tenant_claim
    )
    registration = Registration(
        settings.oidc_issuer,
        settings.oidc_client_id,
        str(settings.oidc_client_secret),
        tuple(settings.oidc_scopes),
        settings.oidc_prompt,
        settings.oidc_title or urlsplit(settings.oidc_issuer).netloc,
        names,
    )
    provider, seal = Provider(registration, time.time), Seal(*secrets_for_storage(settings))
    recheck_s, outage_s = settings.oidc_recheck_s, settings.oidc_outage_s
    sessions.signed_in = ProviderSessions(provider, store, seal, sessions, time.time, recheck_s, outage_s)
    return [ChildSpec("sign_in_keys", provider.keeper, backoff=BACKOFF)]


def _build_accounts(settings: Settings, sessions: Sessions, store: Store) -> None:
    """Let users of the page sign in with a password or a passkey. Raises ExtraNotInstalled."""
    if not settings.accounts:
        return
    from understudy.auth.accounts.local_accounts import LocalAccounts
    from understudy.auth.accounts.passkeys import Passkeys
    from understudy.auth.accounts.passwords import Passwords

    accounts = LocalAccounts(store, sessions, Passwords(), time.time, secrets_for_storage(settings)[0])
    sessions.accounts, sessions.passkeys = accounts, Passkeys(accounts)


async def _join_nodes(settings: Settings, store: Store, tree: Tree) -> "Node | None":
    """Register this server with the others that share its database. Return None if there can be no others.

    Raises:
        AlreadyServed: Another server uses the database, and the two have no Redis to talk over.
    """
    if not settings.on_postgresql:
        return None
    from understudy.chat.placement import Node
    from understudy.cluster.membership import Membership, join, stop_conversations

    node = Node(alone=not settings.redis_url)
    await join(store, node, store.database.where)
    on_lapse = partial(stop_conversations, tree.find(CONVERSATIONS))
    await tree.start_in_cluster(ChildSpec("membership", partial(Membership, store, node, on_lapse), backoff=BACKOFF))
    return node


def _build_run_limiter(settings: Settings) -> "RunLimiter[ActorRef]":
    """Build the limiter of concurrent runs, which bounds each tenant too if the server has tenants."""
    limits = settings.limits
    of_tenant = limits.runs_per_tenant or (limits.runs_total + 1) // 2
    per_tenant = of_tenant if settings.tenant_claim else None
    return RunLimiter(limits.runs_per_user, limits.runs_total, limits.runs_waiting, per_tenant)


async def _open_revocations(
    settings: Settings, sessions: Sessions, store: Store, presence: Presence, tree: Tree
) -> ChildSpec:
    """Read which sessions were revoked, and have `sessions` refuse them. Return the actor that polls for more.

    A revoked session's connections are closed, also if another process revoked it.

    Raises:
        StorageUnavailable, OSError, ValueError: The revocations cannot be read; the text says why.
    """
    path = settings.data_dir / REVOCATIONS_FILE

    def close_revoked(_keys: object) -> None:
        presence.close_revoked(lambda identity: identity in sessions.revoked, tree.system.find)

    revoked: RevocationFile | SharedRevocations
    if settings.on_postgresql:
        revoked = SharedRevocations(path, time.time, store, on_revoked=close_revoked)
        await revoked.load()
    else:
        revoked = RevocationFile(path, time.time, on_revoked=close_revoked)
        await trio.to_thread.run_sync(revoked.load)
    sessions.revoked = revoked
    sessions.on_end.append(lambda identity: presence.close_session(identity, tree.system.find))
    return ChildSpec("ended", partial(RevocationPoller, revoked), backoff=BACKOFF)


def _extra_checks(
    breakers: Breakers,
    database: Database,
    redis: "RedisLink | None",
    mcp: McpCatalogue,
    supervised: Mapping[str, ActorRef],
) -> dict[str, HealthCheck]:
    """Check the parts outside the actor tree: breakers, database, Redis, MCP servers, and extensions that gave up."""
    checks = dict(breakers.checks())
    try:
        database.check()  # compares the file's name, so that a missing file is reported before the next write
    except StorageUnavailable as gone:
        checks["database"] = HealthCheck(HealthStatus.FAILED, gone.reason)
    if redis is not None:
        down_s = time.time() - redis.since
        down = HealthCheck(HealthStatus.DEGRADED, "Redis does not answer", down_s, essential=False)
        checks["redis"] = HealthCheck() if redis.up else down
    for name, link in mcp.links.items():
        lost = HealthCheck(HealthStatus.DEGRADED, link.why, time.time() - link.since, essential=False)
        checks[f"mcp {name}"] = HealthCheck() if link.state is LinkState.READY else lost
    for name, supervisor_of_it in supervised.items():
        if not supervisor_of_it.alive:
            note = f"the extension {name} failed too often and stays off until the server is restarted"
            checks[name] = HealthCheck(HealthStatus.DEGRADED, note, essential=False)
    return checks


async def _start_chat(
    parts: _Parts, node: "Node | None", cluster: "Cluster | None"
) -> tuple[CommandDispatcher, list[ChildSpec]]:
    """Build the dispatcher of commands, and start the actors by which nodes reach each other's conversations.

    Return with it the actors that maintain conversations, to be started once everything is built; recovery is first.
    """
    settings, tree, storage, content_filter = parts.settings, parts.tree, parts.storage, parts.content_filter
    store = storage.store
    webhooks = parts.webhook_rules if settings.webhook_urls else None
    services = Services(
        store=store,
        agents=parts.agents,
        models=parts.models,
        content_filter=content_filter,
        limits=settings.limits,
        limiter=parts.run_limiter,
        attachments=partial(Attachments, store=store, files=storage.limited_files, content_filter=content_filter),
        server=partial(RestrictedStatus, parts.status, tenants=bool(settings.tenant_claim)),
        outboxes=parts.presence.outboxes,
        users=parts.presence.users,
        metrics=parts.metrics,
        clock=time.time,
        summary_from=settings.summary_from,
        announce=None if cluster is None else cluster.announce,
        quotas=storage.quotas,
        prices=settings.prices,
        spending=_build_spending(settings, store, parts.permissions),
        webhooks=webhooks,
        tool_loop=parts.tool_loop,
        asyncio_loop=parts.asyncio_loop,
        mcp=parts.mcp,
        widgets=bool(settings.widgets_origin),
        titles=settings.thread_titles,
        stops=parts.stops,
        traces=parts.traces,
        permissions=parts.permissions,
        memory=partial(AgentMemory, store=store, reads=storage.reads, content_filter=content_filter, clock=time.time),
    )
    dispatcher = CommandDispatcher(services, partial(tree.find, CONVERSATIONS), node, cluster)

    def on_relocated(owner: str, thread_id: str, conversation: ActorRef) -> None:
        dispatcher.registry.mark_relocated(owner, thread_id, conversation)
        if (recovery := tree.system.find(RECOVERY)) is not None:
            recovery.try_tell(CheckNow())

    services.on_relocated = on_relocated
    if cluster is not None:
        for child in cluster.children(services, dispatcher, partial(tree.find, FORWARDERS)):
            await tree.start_in_cluster(child)
        await cluster.ready()
    metrics = parts.metrics
    actors: dict[str, Callable[[], Actor]] = {
        "recovery": partial(Recovery, store, dispatcher.registry, services.limiter, node),
        "forgetting": partial(MemoryExpiry, store, time.time),
        "waits": partial(StorageWaitMonitor, services.storage_waits),
    }
    if webhooks is not None:
        actors["webhooks"] = partial(WebhookSender, store, webhooks, metrics.webhook, time.time, traces=parts.traces)
    return dispatcher, [ChildSpec(name, make, backoff=BACKOFF) for name, make in actors.items()]


def _build_shared_limits(
    cluster: "Cluster | None", settings: Settings
) -> "tuple[SharedRateLimits | None, ConnectionCounts | None, list[ChildSpec]]":
    """Build the cluster-wide rate limits and connection counts, and the actors that synchronise them."""
    if cluster is None:
        return None, None, []
    from understudy.cluster.shared_limits import (
        ConnectionCounts,
        ConnectionCountsSync,
        RateLimitsSync,
        SharedRateLimits,
    )

    rates = SharedRateLimits(cluster.broker)
    connections = ConnectionCounts(cluster.broker, settings.limits.connections_per_user)
    actors = [
        ChildSpec("shared_rates", partial(RateLimitsSync, rates), backoff=BACKOFF),
        ChildSpec("shared_connections", partial(ConnectionCountsSync, connections), backoff=BACKOFF),
    ]
    return rates, connections, actors


def _pools(parts: _Parts) -> dict[str, dict[str, int]]:
    """Return what is at work and what waits in each pool of the server, and how much it takes at once."""
    readers, runs = parts.storage.store.readers, parts.counts(everybody)
    threads = tool_threads()
    return {
        "runs": {"at_work": runs["runs"], "waiting": runs["runs_waiting"], "total": parts.settings.limits.runs_total},
        "reads of the database": {"at_work": readers.at_work, "waiting": readers.waiting},
        "threads of tools": {"at_work": threads.working, "lost": threads.lost.total()},
    }


def _build_web(
    parts: _Parts,
    sessions: Sessions,
    dispatcher: CommandDispatcher,
    archive: Archive,
    exporter: Exporter,
    eraser: Eraser,
    rates: "SharedRateLimits | None",
    shared_connections: "ConnectionCounts | None",
) -> tuple[WebSocketEndpoint, QuartTrio]:
    """Build the two applications that the listener serves: the WebSocket endpoint, and HTTP with the event streams."""
    settings, storage, ledger = parts.settings, parts.storage, None if rates is None else rates.ledger
    limits = ConnectionLimits(
        renewal_s=settings.limits.renewal_s,
        drain_s=settings.grace_s / 4,
        chunks_bytes=settings.limits.chunks_bytes,
        chunk_s=settings.limits.chunk_s,
        heartbeat=Heartbeat(settings.limits.heartbeat_s, 2.4 * settings.limits.heartbeat_s),
    )
    connections = partial(parts.tree.find, CONNECTIONS)
    endpoint = WebSocketEndpoint(
        settings=settings,
        sessions=sessions,
        store=storage.store,
        dispatcher=dispatcher,
        presence=parts.presence,
        metrics=parts.metrics,
        connections=connections,
        limits=limits,
        ledger=ledger,
        shared_connections=shared_connections,
    )

    context = WebContext(
        settings=settings,
        sessions=sessions,
        store=storage.store,
        files=storage.limited_files,
        agents=parts.agents,
        models=parts.models,
        webhook_rules=parts.webhook_rules,
        metrics=parts.metrics,
        status=parts.status,
        streams=EventStreams(
            endpoint, dispatcher, parts.presence, connections, limits, draining=lambda: endpoint.draining
        ),
        tree_api=TreeApi(
            parts.tree.system,
            parts.recorder,
            lambda: {
                **parts.counts(everybody),
                "readers_at_work": storage.store.readers.at_work,
                "reads_waiting": storage.store.readers.waiting,
            },
            settings.observer_kill,
        ),
        presence=parts.presence,
        pools=partial(_pools, parts),
        content_filter=parts.content_filter,
        reads=storage.reads,
        archive=archive,
        exporter=exporter,
        eraser=eraser,
        counts=parts.counts,
        quotas=storage.quotas,
        announce_change=dispatcher.announce_change,
        announce_read=dispatcher.announce_read,
        stops=parts.stops,
        permissions=parts.permissions,
        described_settings=partial(describe_settings, settings),
        announce_stops=dispatcher.announce_stops,
        operate=dispatcher.operate,
        find=parts.tree.system.find,
        extensions=parts.extensions,
        ledger=ledger,
        mcp=parts.mcp,
        currency=parts.settings.prices.currency,
        local_models=parts.local_models,
        node=parts.node,
    )
    return endpoint, build_http_app(context)
