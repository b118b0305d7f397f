"""Builds the links to the MCP servers that agents name, and lets users sign in at those that require it."""

import time
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from actors import ActorDied, ChildSpec, StartChild
from transport.auth.identity import is_loopback
from understudy.agents.agent import with_subagents
from understudy.agents.tool_servers import ToolServers
from understudy.auth.seal import Seal
from understudy.auth.sessions import secrets_for_storage
from understudy.content.filter import ContentFilter
from understudy.content.summary import is_suspect
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import LinkState
from understudy.extensions.mcp.live_agents import LiveAgents
from understudy.extensions.mcp.offer import Clean
from understudy.extensions.mcp.run_tools import tools_of_run
from understudy.extensions.mcp.settings import McpSettings
from understudy.extensions.mcp.user_links import UserLinks
from understudy.observe.health import HealthCheck, HealthStatus
from understudy.observe.paths import MCP

if TYPE_CHECKING:
    from understudy.web.context import WebContext


async def open_catalogue(server: "WebContext") -> None:
    """Build the links, and add the servers' tools to agents. The SDK is imported only if agents name servers.

    Raises:
        OSError, ValueError: The extra is not installed, two different servers have the same name, or the server has no
            secret to seal tokens with.
    """
    servers = [mcp_server for agent in with_subagents(server.agents.values()).values() for mcp_server in agent.servers]
    if servers:
        modules = ["connection", *(("oauth.flow", "oauth.keeper") if any(entry.per_user for entry in servers) else ())]
        try:  # in a thread, because the import takes a second
            for name in modules:
                await trio.to_thread.run_sync(import_module, f"understudy.extensions.mcp.{name}")
        except ModuleNotFoundError as error:
            raise ValueError(f"MCP servers need the extra: pip install 'understudy-server[mcp]' ({error})") from error
    clean = partial(_clean, server.content_filter)
    catalogue = McpCatalogue.of(servers, clean, server.store)
    if catalogue.signing_in:
        _let_sign_in(server, catalogue, clean)
    if catalogue.links:
        services = server.services
        services.agents = LiveAgents(services.agents, catalogue.with_tools, catalogue.stamp)
    server.status.extra_checks.append(partial(_checks, catalogue))
    server.parts.add(catalogue, ToolServers)
    if catalogue.links or catalogue.signing_in:
        server.parts.of_runs.append(partial(tools_of_run, catalogue))


def _let_sign_in(server: "WebContext", catalogue: McpCatalogue, clean: Clean) -> None:
    """Let users sign in at the servers that require it. Raises ValueError without a secret to seal tokens with."""
    from understudy.extensions.mcp.oauth.accounts import Accounts
    from understudy.extensions.mcp.oauth.keeper import SignInKeeper

    settings = server.settings
    if not settings.secret and not is_loopback(settings.host):
        name = next(iter(catalogue.signing_in))
        raise ValueError(f"users sign in at the MCP server {name}, whose tokens are sealed: set UNDERSTUDY_SECRET")
    private = settings.of(McpSettings).private
    accounts = Accounts(server.store, Seal(*secrets_for_storage(settings)), time.time, private)

    async def spawn(child: ChildSpec) -> object:
        supervisor = server.find(MCP)
        if supervisor is None:
            raise ActorDied(MCP)
        return await supervisor.ask(StartChild(child))

    catalogue.users = UserLinks(accounts, spawn, clean)
    catalogue.keepers.append(ChildSpec("sign-ins", partial(SignInKeeper, accounts, catalogue.signing_in)))


async def _clean(content_filter: ContentFilter, text: str) -> tuple[str, bool]:
    """Redact a text of an MCP server; a function of the type `Clean`."""
    clean = await content_filter.filter_value(text, content_filter.tool)
    if clean.blocked:
        raise ValueError(content_filter.blocked_error("It is left out", clean.texts).message)
    return str(clean.value), is_suspect(clean.findings)


def _checks(catalogue: McpCatalogue) -> dict[str, HealthCheck]:
    """Return a health check per MCP server. An unreachable one only degrades this server's health."""
    checks = {}
    for name, link in catalogue.links.items():
        lost = HealthCheck(HealthStatus.DEGRADED, link.why, time.time() - link.since, essential=False)
        checks[f"mcp {name}"] = HealthCheck() if link.state is LinkState.READY else lost
    return checks
