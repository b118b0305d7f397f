"""The check of `understudy doctor` for MCP servers."""

import importlib
from collections.abc import Sequence

import trio

from actors import ActorSystem
from understudy.agents.agent import Agent, with_subagents
from understudy.cli.check_result import CheckResult
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import SHUTDOWN_S, LinkState, McpLink
from understudy.tools.mcp_server import McpServer


def check_mcp_servers(agents: Sequence[Agent], *, private: bool = False) -> list[CheckResult]:
    """Connect to the MCP servers of these agents, as the server would, and report on each.

    `private`: authorization servers may have private addresses.
    """
    servers = [server for agent in with_subagents(agents).values() for server in agent.servers]
    if not servers:
        return []
    try:
        catalogue = McpCatalogue.of(servers)
    except ValueError as error:
        return [CheckResult("MCP servers", "mend", str(error))]

    if catalogue.signing_in:
        importlib.import_module("understudy.extensions.mcp.oauth.discovery")  # before the loop: it takes nearly 1 s

    async def connect() -> None:
        async with ActorSystem("doctor", catalogue.children()) as system:
            for link in catalogue.links.values():
                await link.settled(link.server.start_s + 1.0)
            results.extend(map(_mcp_server, catalogue.links.values()))
            for server in catalogue.signing_in.values():
                results.append(await _mcp_sign_in(server, private=private))
            await system.stop(grace_s=SHUTDOWN_S)

    results: list[CheckResult] = []
    trio.run(connect)
    return results


async def _mcp_sign_in(server: McpServer, *, private: bool) -> CheckResult:
    """Check that users can sign in at a server, and report where."""
    from understudy.extensions.mcp.oauth.discovery import discover
    from understudy.extensions.oauth.errors import OAuthError
    from understudy.extensions.oauth.guarded_http import GuardedHttp

    try:
        provider = await discover(server, GuardedHttp(private or server.is_private))
    except OAuthError as error:
        return CheckResult(f"MCP {server.name}", "mend", f"users cannot sign in at {server.where}: {error}")
    if not provider.registration_endpoint and not server.client_id:
        return CheckResult(
            f"MCP {server.name}", "mend", f"{provider.issuer} registers no clients: give mcp(…) a client_id"
        )
    return CheckResult(f"MCP {server.name}", "ok", f"users sign in at {provider.issuer}")


def _mcp_server(link: McpLink) -> CheckResult:
    name, address = f"MCP {link.name}", link.server.where
    if link.state is not LinkState.READY:
        return CheckResult(name, "mend", f"{address} cannot be used: {link.why or 'it did not answer in time'}")
    text = f"{link.title or address} by {link.protocol}: {len(link.offer.tools)} tools"
    if link.offer.left_out:
        left_out = "; ".join(f"{tool.name}: {tool.why}" for tool in link.offer.left_out[:3])
        return CheckResult(name, "note", f"{text}, {len(link.offer.left_out)} left out ({left_out})")
    return CheckResult(name, "ok", text)
