"""MCP servers with a link to them, and calls of their tools."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from actors import ActorSystem
from tests.rigs.user_files import FilesOf, QuietServer
from understudy import Agent, McpServer
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.link import McpLink
from understudy.tools.context import ToolContext
from understudy.tools.tool import Tool

SERVERS = Path(__file__).resolve().parents[2] / "servers"


@asynccontextmanager
async def linked(server: McpServer) -> AsyncIterator[tuple[McpCatalogue, McpLink]]:
    async def clean(text: str) -> tuple[str, bool]:
        return text, "Ignore all previous" in text

    catalogue = McpCatalogue.of([server], clean)
    with trio.fail_after(100):
        async with ActorSystem("test", catalogue.children()) as system:
            link = catalogue.links[server.name]
            await link.settled(30)
            yield catalogue, link
            await system.stop(grace_s=10)


@asynccontextmanager
async def over_http(script: str, *arguments: str) -> AsyncIterator[tuple[str, trio.Process]]:
    """Start one of the servers. Yield its origin, and its process."""
    with trio.fail_after(120):
        command = [sys.executable, str(SERVERS / script), "http", *arguments]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        try:
            yield f"http://127.0.0.1:{int(await process.stdout.receive_some())}", process
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdout.aclose()


def context_of(folder: Path, **more: Any) -> ToolContext:
    context = ToolContext("ada", "t", "r", "c", (), FilesOf({}, folder), QuietServer(), lambda *_: None)
    return evolve(context, **more)


def tools_of(catalogue: McpCatalogue, server: McpServer) -> dict[str, Tool]:
    return {tool.name: tool for tool in catalogue.with_tools(Agent("a", tools=[server])).tools}
