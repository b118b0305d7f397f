"""`/api/threads/{id}/servers` and `…/prompts`: the MCP servers of the caller's agents, which can be switched off in a
thread, and their prompts."""

from contextlib import suppress
from typing import Literal, TypedDict

import trio
from attrs import field, frozen
from msgspec import Struct

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.extensions.mcp.catalogue import McpCatalogue
from understudy.extensions.mcp.definitions import LeftOut
from understudy.extensions.mcp.errors import SignedOut
from understudy.extensions.mcp.link import LinkState, McpLink
from understudy.extensions.mcp.prompts import Argument, Prompt, get_prompt, prompts_of
from understudy.extensions.mcp.user_links import UserLink
from understudy.tools.errors import ToolError
from understudy.web.context import agents_of_caller, identity, read_json, web_context
from understudy.web.routes import OF_ONE, STORED, Routes

blueprint = Routes("servers", __name__, url_prefix="/api/threads")

BODY_BYTES = 1024
"""Size limit of a body that switches a server."""
PROMPT_BYTES = 64 * 1024
"""Size limit of a body with the arguments of a prompt."""


@frozen
class SwitchRequest:
    """The body of a request to switch a server."""

    on: bool


@frozen
class PromptRequest:
    """The body of a request for a prompt."""

    server: str
    name: str
    arguments: dict[str, str] = field(factory=dict)


class ToolOfServer(Struct):
    """A tool of an MCP server, and whether its calls wait for approval."""

    name: str
    description: str
    approval: bool


class ShownServer(Struct):
    """An MCP server in a thread, with the names of the agents that use it, its tools, and those that are not used."""

    name: str
    title: str
    state: LinkState
    on: bool
    auth: str | None
    agents: list[str]
    tools: list[ToolOfServer]
    left_out: list[LeftOut]


class PromptOfServer(Struct):
    """A prompt of an MCP server."""

    server: str
    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]


class PromptMessage(TypedDict):
    """A message of a prompt."""

    role: str
    text: str


class PromptText(Struct):
    """The messages of a prompt, and all their texts as one to send."""

    messages: list[PromptMessage]
    text: str


@blueprint.get("/<thread_id>/servers", errors=OF_ONE)
async def listing(thread_id: str) -> dict[Literal["servers"], list[ShownServer]]:
    """List the MCP servers, and whether each is on in this thread."""
    off = await off_in(thread_id)
    for link, _ in links_of_caller().values():
        if isinstance(link, UserLink):
            await link.look()
    return {"servers": [_shown(link, agents, off) for link, agents in links_of_caller().values()]}


@blueprint.put("/<thread_id>/servers/<name>", body=SwitchRequest, errors=OF_ONE)
async def switch(thread_id: str, name: str) -> ShownServer:
    """Switch an MCP server off in this thread, or on again: `{"on": false}`."""
    await off_in(thread_id)
    body = await read_json(SwitchRequest, '{"on": false}', BODY_BYTES)
    entry = links_of_caller().get(name)
    if entry is None:
        raise CommandRejected("not_found", "There is no MCP server of that name.")
    await web_context().parts[McpCatalogue].switch(identity().user, thread_id, name, on=body.on)
    return _shown(*entry, [] if body.on else [name])


@blueprint.get("/<thread_id>/prompts", errors=STORED)
async def prompts(thread_id: str) -> dict[Literal["prompts"], list[PromptOfServer]]:
    """List the prompts of the MCP servers that are on in this thread."""
    off = await off_in(thread_id, must_exist=False)
    by_server: dict[str, list[Prompt]] = {}

    async def look(link: McpLink) -> None:
        with suppress(ToolError, SignedOut):
            by_server[link.name] = list((await prompts_of(link)).values())

    async with trio.open_nursery() as nursery:
        links_on = [link for name, (link, _) in links_of_caller().items() if name not in off]
        links = [link for link in links_on if link.state is not LinkState.AWAY]
        for link in links:
            nursery.start_soon(look, link)
    return {"prompts": [_prompt(link.name, prompt) for link in links for prompt in by_server.get(link.name, ())]}


@blueprint.post(
    "/<thread_id>/prompts", body=PromptRequest,
    errors=(*OF_ONE, "invalid_arguments", "forbidden", "content_blocked", "file_too_large", "busy"),
)  # fmt: skip
async def prompt(thread_id: str) -> PromptText:
    """Return the messages of a prompt with these arguments."""
    off = await off_in(thread_id, must_exist=False)
    body = await read_json(PromptRequest, '{"server": "…", "name": "…", "arguments": {}}', PROMPT_BYTES)
    entry = links_of_caller().get(body.server)
    if entry is None or body.server in off:
        raise CommandRejected("not_found", "There is no MCP server of that name, or it is off in this thread.")
    try:
        messages = await get_prompt(entry[0], body.name, body.arguments)
    except ToolError as error:
        raise CommandRejected("busy" if error.code == "tool_failed" else error.code, error.message) from error
    except SignedOut as error:
        raise CommandRejected("forbidden", f"You are not signed in at {body.server}.") from error
    content_filter = web_context().content_filter
    clean = await content_filter.filter_value(messages, content_filter.tool)
    if clean.blocked:
        raise CommandRejected("content_blocked", content_filter.blocked_error("Not shown", clean.texts).message)
    return PromptText(clean.value, "\n\n".join(message["text"] for message in clean.value))


def links_of_caller() -> dict[str, tuple[McpLink, list[str]]]:
    """Return the links to the servers of the caller's agents, by the server's name, with the names of these agents."""
    links: dict[str, tuple[McpLink, list[str]]] = {}
    for agent in agents_of_caller().values():
        for link in web_context().parts[McpCatalogue].of_agent(agent, (), identity().user):
            links.setdefault(link.name, (link, []))[1].append(agent.name)
    return links


async def off_in(thread_id: str, *, must_exist: bool = True) -> list[str]:
    """Return the names of the servers that are off in a thread.

    Raises:
        CommandRejected: `not_found`: the caller has no such thread, and it `must_exist`.
    """
    check_id("thread_id", thread_id)
    context, user = web_context(), identity().user
    if must_exist and await context.store.thread(user, thread_id) is None:
        raise CommandRejected("not_found")
    return await context.parts[McpCatalogue].off_in(user, thread_id)


def _prompt(server: str, offered: Prompt) -> PromptOfServer:
    return PromptOfServer(server, offered.name, offered.title, offered.description, offered.arguments)


def _shown(link: McpLink, agents: list[str], off: list[str]) -> ShownServer:
    """Return a server as it is listed, with the tools that the caller may call. The reason why it is unreachable is not
    shown, because it is for operators, who find it in the health checks and the log."""
    permissions, caller, offer = web_context().permissions, identity(), link.offer
    offered = offer.tools.values() if link.state is not LinkState.AWAY else ()
    tools = [
        ToolOfServer(tool.name, tool.description, offer.needs_approval(tool))
        for tool in offered
        if permissions.may_name(tool.name, caller)
    ]
    auth = link.server.auth or None
    return ShownServer(link.name, link.title, link.state, link.name not in off, auth, agents, tools, offer.left_out)
