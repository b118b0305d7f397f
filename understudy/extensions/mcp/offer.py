"""The offer of one MCP server: its tools, as last read, and whether it has resources."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, evolve, field

from understudy.extensions.mcp.definitions import Definition, LeftOut, read_definitions
from understudy.tools.errors import ToolError
from understudy.tools.mcp_server import McpServer

if TYPE_CHECKING:
    from understudy.extensions.mcp.connection import McpSession

T = TypeVar("T")
log = logging.getLogger(__name__)

Clean = Callable[[str], Awaitable[tuple[str, bool]]]
"""Redacts a text; returns it, and whether it looks like instructions. Raises ValueError if it is blocked."""


async def keep(text: str) -> tuple[str, bool]:
    """Return a text unchanged."""
    return text, False


@define(eq=False)
class Offer:
    """The offer of a server, which outlives connections. `tools` are by our names; `version` rises when they change.

    `suspect` are the names of tools that need consent, because they changed since this server started or their
    description looks like instructions. `unread` is the server's error if its tools could not be read, else empty.
    """

    server: McpServer
    clean: Clean
    tools: dict[str, Definition] = field(factory=dict, init=False, repr=False)
    left_out: list[LeftOut] = field(factory=list, init=False, repr=False)
    suspect: set[str] = field(factory=set, init=False, repr=False)
    version: int = field(default=0, init=False)
    unread: str = field(default="", init=False)
    has_resources: bool = field(default=False, init=False)
    cache: dict[str, Any] = field(factory=dict, init=False, repr=False)  # values cached for other modules, by name
    _first: dict[str, str] = field(factory=dict, init=False, repr=False)  # the first digest of each tool, by name

    def cached(self, what: str, stamp: object, make: Callable[[], T]) -> T:
        """Return the value cached under the name `what`; make it again if `stamp` has changed since."""
        if what not in self.cache or self.cache[what][0] != stamp:
            self.cache[what] = stamp, make()
        value: T = self.cache[what][1]
        return value

    def needs_approval(self, definition: Definition) -> bool:
        """Return whether calls of a tool need consent."""
        if self.server.approval is None and definition.name in self.suspect:
            return True
        return definition.needs_approval(self.server)

    async def read_tools(self, session: "McpSession") -> None:
        """Read the tools, and redact the descriptions of new and changed ones. Raises `ConnectionLost`."""
        try:
            entries = await session.list_all("tools")
        except ToolError as error:  # the server answers, so a restart would not help
            self.unread = error.message
            log.warning("mcp.tools_refused", extra={"server": self.server.name, "why": error.message})
            return
        self.unread = ""
        definitions, self.left_out = await trio.to_thread.run_sync(read_definitions, self.server, entries)
        suspect: set[str] = set()
        for name, definition in list(definitions.items()):
            if definition.digest == getattr(self.tools.get(name), "digest", None):
                definitions[name] = self.tools[name]
                suspect |= {name} & self.suspect
                continue
            try:
                text, doubtful = await self.clean(definition.description)
            except ValueError as error:
                del definitions[name]
                self.left_out.append(LeftOut(definition.remote, f"its description is blocked: {error}"))
                continue
            definitions[name] = evolve(definition, description=text)
            changed = self._first.setdefault(name, definition.digest) != definition.digest
            if doubtful or changed:
                suspect.add(name)
                log.warning("mcp.tool_suspect", extra={"server": self.server.name, "tool": name, "changed": changed})
        if definitions != self.tools or suspect != self.suspect:
            self.tools, self.suspect, self.version = definitions, suspect, self.version + 1

    async def look_for_resources(self, session: "McpSession") -> None:
        """List the resources to find out whether there are any, because many servers declare some and list none."""
        try:
            self.has_resources = any([await session.list_all(kind) for kind in ("resources", "resource_templates")])
        except ToolError as error:
            log.info("mcp.no_resources", extra={"server": self.server.name, "why": error.message})
