"""Agents with their models, the dispatcher of commands, and the actors that maintain conversations."""

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from actors import ActorRef, ChildSpec
from understudy.agents.agent import Agent
from understudy.agents.registry import all_agents
from understudy.app.observability import Observability
from understudy.app.settings import Settings
from understudy.app.storage import Storage
from understudy.app.tree import BACKOFF, Tree
from understudy.auth.rights import rights_of
from understudy.chat.answer.html import AnswerHtml
from understudy.chat.attachments import Attachments
from understudy.chat.commands import CommandDispatcher
from understudy.chat.conversation.recovery import CheckNow, Recovery
from understudy.chat.memory import AgentMemory, MemoryExpiry
from understudy.chat.run_limiter import RunLimiter
from understudy.chat.services import Services, announce_nothing
from understudy.chat.storage_retry import StorageRetry
from understudy.chat.storage_waits import StorageWaitMonitor
from understudy.content.filter import ContentFilter
from understudy.models.model import Model
from understudy.models.registry import Models
from understudy.observe.breakers import Breakers
from understudy.observe.paths import CONVERSATIONS, FORWARDERS, RECOVERY
from understudy.observe.status import ServerStatus
from understudy.web.presence import Presence

if TYPE_CHECKING:
    from understudy.chat.placement import Node
    from understudy.cluster.cluster import Cluster


@frozen
class Agents:
    """The agents of a server by name, and their models."""

    by_name: dict[str, Agent]
    models: Models

    def model_of(self, agent: Agent) -> Model:
        """Return the model that answers for an agent."""
        return self.models.of(agent.model)


@frozen
class Chat:
    """What carries out commands. The actors are started once everything is built."""

    dispatcher: CommandDispatcher
    recovery: ChildSpec
    memory_expiry: ChildSpec
    wait_notices: ChildSpec


def build_agents(settings: Settings, own: Sequence[Agent], breakers: Breakers) -> Agents:
    """Collect the built-in agents and the user's own, and make their models.

    Raises:
        ValueError, ImportError: A model is unknown, or what it needs is not installed or configured.
    """
    agents = Agents(all_agents(own), Models(settings.model, settings.words_per_s, breakers.record_change))
    for agent in agents.by_name.values():
        agent.run_limit_s(settings.limits.run_s)
        # Now, not at its first message: making a client takes a third of a second, and may fail.
        agents.model_of(agent)
    return agents


def build_run_limiter(settings: Settings) -> "RunLimiter[ActorRef]":
    """Build the limiter of concurrent runs, which bounds each tenant too if the server has tenants."""
    limits = settings.limits
    of_tenant = limits.runs_per_tenant or (limits.runs_total + 1) // 2
    per_tenant = of_tenant if settings.tenant_claim else None
    return RunLimiter(limits.runs_per_user, limits.runs_total, limits.runs_waiting, per_tenant)


async def start_chat(
    settings: Settings,
    tree: Tree,
    *,
    agents: Agents,
    content_filter: ContentFilter,
    storage: Storage,
    run_limiter: "RunLimiter[ActorRef]",
    presence: Presence,
    status: ServerStatus,
    html: AnswerHtml,
    observability: Observability,
    node: "Node | None",
    cluster: "Cluster | None",
) -> Chat:
    """Build the dispatcher of commands, and start the actors by which nodes reach each other's conversations."""
    store, limited_files, tenants = storage.store, storage.limited_files, bool(settings.tenant_claim)

    def on_relocated(owner: str, thread_id: str, conversation: ActorRef) -> None:
        # No conversation exists before the dispatcher does.
        dispatcher.registry.mark_relocated(owner, thread_id, conversation)
        if (recovery := tree.system.find(RECOVERY)) is not None:
            recovery.try_tell(CheckNow())

    wait_s = settings.storage_wait_s
    services = Services(
        store=store,
        agents=agents.by_name,
        model_of=agents.model_of,
        content_filter=content_filter,
        limits=settings.limits,
        limiter=run_limiter,
        attachments=lambda owner: Attachments(owner, store, limited_files, content_filter),
        server=lambda owner, roles: status.visible_to(rights_of(owner, roles, tenants=tenants)),
        outboxes=presence.outboxes,
        metrics=observability.metrics,
        clock=time.time,
        summary_from=settings.summary_from,
        on_relocated=on_relocated,
        announce=announce_nothing if cluster is None else cluster.announce,
        storage_retry=StorageRetry(store, wait_s, settings.storage_waiting) if wait_s else None,
        quotas=storage.quotas,
        html=html,
        memory=lambda owner, agent: AgentMemory(owner, agent, store, storage.reads, content_filter, time.time),
    )
    dispatcher = CommandDispatcher(services, partial(tree.find, CONVERSATIONS), node, cluster)
    if cluster is not None:
        for child in cluster.children(services, dispatcher, partial(tree.find, FORWARDERS)):
            await tree.start_in_cluster(child)
        await cluster.ready()
    return Chat(
        dispatcher=dispatcher,
        recovery=ChildSpec("recovery", partial(Recovery, store, dispatcher.registry, node), backoff=BACKOFF),
        memory_expiry=ChildSpec("forgetting", partial(MemoryExpiry, store, time.time), backoff=BACKOFF),
        wait_notices=ChildSpec("waits", partial(StorageWaitMonitor, services.storage_waits), backoff=BACKOFF),
    )
