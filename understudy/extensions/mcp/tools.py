"""Makes tools of agents from tools of MCP servers, and the two tools that list and read servers' resources."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Annotated, Any, Final

from attrs import evolve

from understudy.extensions.mcp.definitions import Definition
from understudy.extensions.mcp.link import McpLink
from understudy.extensions.mcp.results import to_tool_result
from understudy.tools.context import ToolContext
from understudy.tools.errors import ToolError
from understudy.tools.execution import runner
from understudy.tools.result import ToolResult
from understudy.tools.schema import Param
from understudy.tools.signature import Parameters
from understudy.tools.tool import Tool, tool

MAX_RESOURCES: Final = 200
"""Limit of the resources that are listed at a time."""
LIST_RESOURCES: Final = "list_resources"
READ_RESOURCE: Final = "read_resource"

_CONTEXT: Final = "*context"  # not a valid name in any language, so no server's argument has it
_OPEN: Final = ("patternProperties", "if", "propertyNames")


class _AnyName(dict[str, Any]):
    """The types of arguments by name, for a tool that accepts arguments that its schema does not list."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Any:
        return Any


def make_tool(link: McpLink, definition: Definition) -> Tool:
    """Return a tool of an agent that calls a server's tool. Only the names of arguments are checked here."""
    schema = definition.parameters
    types: dict[str, Any] = dict.fromkeys(schema["properties"], Any)
    if _takes_others(schema):
        types = _AnyName(types)
    return Tool(
        definition.name,
        definition.description,
        schema,
        partial(_call, link, definition),
        timeout_s=link.server.timeout_s,
        retry_safe=definition.retry_safe,
        approval=link.offer.needs_approval(definition),
        on_server_loop=True,
        server=link.name,
        digest=definition.digest,
        widget=definition.widget if link.widgets else "",
        accepts=Parameters(schema, definition.description, _CONTEXT, types, tuple(schema["required"])),
        run=runner(_call, definition.name, False),
    )


async def _call(link: McpLink, definition: Definition, /, **arguments: Any) -> ToolResult:
    context: ToolContext = arguments.pop(_CONTEXT)
    return await link.call(definition, arguments, context)


def _takes_others(schema: Mapping[str, Any]) -> bool:
    """Return whether arguments may have names that a schema does not list."""
    others = schema.get("additionalProperties")
    if others is not None:
        return others is not False
    return not schema["properties"] or any(name in schema for name in _OPEN)


def resource_tools(links: Sequence[McpLink]) -> Iterator[Tool]:
    """Yield the two tools that list and read the resources of these servers."""
    by_name = {link.name: link for link in links}
    names = ", ".join(by_name)

    def link_of(server: str) -> McpLink:
        if server and server not in by_name:
            raise ToolError("invalid_arguments", f"There is no server {server!r} with resources; there are: {names}.")
        return by_name[server or next(iter(by_name))]

    @tool(name=LIST_RESOURCES, retry_safe=True, timeout_s=30.0)
    async def list_resources(
        context: ToolContext, server: Annotated[str, Param("The server's name; left out, the first one.")] = ""
    ) -> ToolResult:
        link = link_of(server)
        kinds = ("resources", "resource_templates")
        resources = [row for kind in kinds for row in await link.ask(methodcaller("list_all", kind), context)]
        rows = [
            {name: entry[name] for name in ("uri", "uriTemplate", "name", "description", "mimeType") if entry.get(name)}
            for entry in resources[:MAX_RESOURCES]
        ]
        note = "" if len(resources) <= MAX_RESOURCES else f", of which the first {MAX_RESOURCES:,} are listed"
        return ToolResult(rows, f"{len(resources):,} resources of {link.name}{note}")

    @tool(name=READ_RESOURCE, retry_safe=True, timeout_s=30.0)
    async def read_resource(
        uri: Annotated[str, Param("The resource's URI, as it is listed.")],
        context: ToolContext,
        server: Annotated[str, Param("The name of the server that has it; left out, the first one.")] = "",
    ) -> ToolResult:
        link = link_of(server)
        blocks = await link.ask(methodcaller("read", uri), context)
        return await to_tool_result({"content": blocks}, READ_RESOURCE, context.files)

    available = f"These servers have some: {names}."
    yield evolve(list_resources, description=f"List the resources (documents, data) of an MCP server. {available}")
    yield evolve(read_resource, description=f"Read a resource of an MCP server. {available}")
