"""The connection to one MCP server: the requests over it, and the watch over it.

A request that is cancelled here is cancelled at the server, by the SDK, and its questions with it.
"""

import json
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import mcp_types as types
import trio
from attrs import define, field
from mcp import Client, MCPError
from mcp.client.extension import ClientExtension
from mcp.client.session import ClientRequestContext
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from understudy.extensions.mcp import tasks, transports
from understudy.extensions.mcp.definitions import WIDGET_TYPE
from understudy.extensions.mcp.errors import ConnectionLost, SessionGone, SignedOut, Throttled
from understudy.extensions.mcp.open_calls import MAX_NOTE, PROGRESS_S, OpenCalls, ServerCall
from understudy.extensions.mcp.transports import LogPace, TokenSource
from understudy.sandbox.limiters import FairLimiter
from understudy.tools.context import ToolContext
from understudy.tools.errors import ToolError
from understudy.tools.mcp_server import McpServer
from understudy.tools.threads import wait_for_permit

log = logging.getLogger(__name__)

MAX_PAGES: Final = 20
"""Pages of one list that are read: a server's pages may never end."""
MAX_ROUNDS: Final = 10
"""Times that a server may ask for more before it answers one request."""
CONCURRENT: Final = 32
"""Calls at one server at a time; further ones wait, as for a worker thread."""
PER_USER: Final = 8
PER_TENANT: Final = 24
"""Calls of one user, and of one tenant's users: the others are left to others. A run makes eight calls at a time."""
PROBE_S: Final = 30.0
"""Seconds between two checks whether an idle server answers."""
ANSWER_S: Final = 10.0
"""Seconds that a server has for such a check, and for a list."""

_LISTS: Final[dict[str, type[Any]]] = {
    "tools": types.ListToolsRequest,
    "prompts": types.ListPromptsRequest,
    "resources": types.ListResourcesRequest,
    "resource_templates": types.ListResourceTemplatesRequest,
}


def _ids(context: ToolContext) -> Any:
    """Return what a server is told of a call: the ids of the run and of the call, and of its span (SEP-414)."""
    traced = {"traceparent": context.traceparent} if context.traceparent else {}
    return {"understudy/run": context.run_id, "understudy/call": context.call_id, **traced}


@define(eq=False)
class McpSession:
    """A connection that was negotiated.

    `ended` says whether the server's process has ended its connection; over HTTP there is none to be ended.
    """

    server: McpServer
    client: Client
    ended: Callable[[], bool]
    calls: OpenCalls = field(init=False)
    slots: FairLimiter = field(factory=partial(FairLimiter, CONCURRENT, PER_USER, PER_TENANT), init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = OpenCalls(self.server.name)

    @property
    def protocol(self) -> str:
        """The version of the protocol that was agreed on."""
        return str(self.client.protocol_version)

    @property
    def title(self) -> str:
        """What the server calls itself, with its version."""
        info = self.client.server_info
        return "" if info is None else f"{info.title or info.name} {info.version}"[:MAX_NOTE]

    def offers(self, what: str) -> bool:
        """Return whether the server has `tools`, `prompts` or `resources`."""
        return getattr(self.client.server_capabilities, what) is not None

    @property
    def has_tasks(self) -> bool:
        """Whether its tools can be called as tasks."""
        offered = self.client.server_capabilities.tasks
        return self.protocol == tasks.PROTOCOL and bool(offered and offered.requests and offered.requests.tools)

    async def list_all(self, what: str) -> list[dict[str, Any]]:
        """Return all `tools`, `prompts`, `resources` or `resource_templates` of the server, as plain JSON.

        Raises `ConnectionLost`, and `ToolError` if the server refuses.
        """
        if not self.offers("resources" if what == "resource_templates" else what):
            return []
        entries: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            params = types.PaginatedRequestParams(cursor=cursor)
            page = await self.request(partial(self._page, what, params), ANSWER_S)
            entries += page[0]
            cursor = page[1]
            if not cursor:
                break
        return entries

    async def _page(self, what: str, params: types.PaginatedRequestParams) -> tuple[list[dict[str, Any]], str | None]:
        """Return one page of a list, and where the next one begins.

        The SDK would refuse all of it for one part that is not as it should be. Raises ValueError if it is no list.
        """
        raw = await self.send_raw(_LISTS[what](params=params))
        name = "resourceTemplates" if what == "resource_templates" else what
        listed, cursor = raw.get(name), raw.get("nextCursor")
        if not isinstance(listed, list) and listed != {}:  # as some write an empty list
            raise ValueError(f"no list of {what}")
        entries = [entry for entry in listed if isinstance(entry, dict)]
        if what == "tools":  # the SDK keeps which arguments are sent as headers, and says which tools may not be used
            tools = [tool for entry in entries if (tool := _tool_of_sdk(entry))]
            page = types.ListToolsResult(tools=list(tools))
            kept = self.client.session._absorb_tool_listing(page, complete=params.cursor is None and not cursor).tools
            dropped = {definition.name for definition in tools} - {definition.name for definition in kept}
            entries = [entry for entry in entries if entry.get("name") not in dropped]
        return entries, cursor if isinstance(cursor, str) else None

    async def send_raw(self, request: Any, progress: ProgressFnT | None = None) -> dict[str, Any]:
        """Make a request below the typed layer of the SDK. Return the result as the server sent it.

        The SDK refuses a whole result for one block, one absent member or its own schema: after the call took effect.
        """
        data = request.model_dump(by_alias=True, mode="json", exclude_none=True)
        options: CallOptions = {} if progress is None else {"on_progress": progress}
        self.client.session._stamp(data, options)
        return await self.client.session._dispatcher.send_raw_request(data["method"], data.get("params"), options)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext, label: str) -> dict[str, Any]:
        """Call a tool. Return the server's result as plain JSON. `label` is our name of the tool, for people.

        Raises `ConnectionLost` if it is unknown what became of the call, `ToolError` if the server refuses it, or
        ``busy`` if there is no slot for it.
        """
        call = partial(types.CallToolRequestParams, name=name, arguments=dict(arguments), _meta=_ids(context))
        async with self._slot(context, label), self.calls.opened(ServerCall(context)) as opened:

            async def shown(progress: float, total: float | None, message: str | None) -> None:
                await opened.progress(label, progress, total, message)

            return await self._settle(lambda **more: types.CallToolRequest(params=call(**more)), math.inf, shown)

    async def begin_task(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, label: str
    ) -> str | Mapping[str, Any]:
        """Call a tool as a task. Return the task's id, or the result if the server made the call at once.

        Raises what `call` raises.
        """
        params = types.CallToolRequestParams(name=name, arguments=dict(arguments), _meta=_ids(context))
        async with self._slot(context, label), self.calls.opened(ServerCall(context)):
            return await tasks.begin(self, params, self.server.timeout_s)

    async def finish_task(self, task_id: str, context: ToolContext, label: str) -> Mapping[str, Any]:
        """Wait for the end of a task; no slot is held. Return its result. Raises `TaskLost`, and what `call` raises."""
        async with self.calls.opened(ServerCall(context, task_id)) as opened:
            return await tasks.finish(self, task_id, opened, label)

    async def cancel_task(self, task_id: str) -> None:
        """Cancel a task. Raises what `call` raises."""
        request = types.CancelTaskRequest(params=types.CancelTaskRequestParams(task_id=task_id))
        await self.request(partial(self.send_raw, request), tasks.ANSWER_S)

    @asynccontextmanager
    async def _slot(self, context: ToolContext, label: str) -> AsyncIterator[None]:
        """Hold a slot of the call's user during the block; users take turns. Raises `ToolError` ``busy``."""
        await wait_for_permit(self.slots, context.owner, label, context.means.while_queued)
        try:
            yield
        finally:
            self.slots.release(context.owner, label)

    async def _settle(
        self, make: Callable[..., Any], limit_s: float, progress: ProgressFnT | None = None
    ) -> dict[str, Any]:
        """Make a request, once more with each answer that its server asks for first. Return the result as it was sent.

        `make` returns the request, given `input_responses` and `request_state`. A result without a type is the last.
        """

        async def send() -> types.InputRequiredResult | dict[str, Any]:
            raw = await self.send_raw(make(input_responses=answers, request_state=state), progress)
            asks = raw.get("resultType") == "input_required"
            return types.InputRequiredResult.model_validate(raw, by_name=False) if asks else raw

        answers: dict[str, Any] | None = None
        state: str | None = None
        for _ in range(MAX_ROUNDS):
            result = await self.request(send, limit_s)
            if isinstance(result, dict):
                return result
            answers, state = await self._answer_all(result.input_requests or {}), result.request_state
        raise ToolError("tool_failed", f"{self.server.name} asked for more {MAX_ROUNDS} times without a result.")

    async def _answer_all(self, requests: Mapping[str, types.InputRequest]) -> dict[str, Any]:
        """Answer what the server asks for in the middle of a call, one after another: a user reads one at a time."""
        answers: dict[str, Any] = {}
        if not requests:
            await trio.sleep(PROGRESS_S)
        for key, request in requests.items():
            asking = ClientRequestContext(session=self.client.session, request_id=key, meta=None)
            answer = await self.client.session.dispatch_input_request(asking, request)
            if isinstance(answer, types.ErrorData):
                raise ToolError("tool_failed", f"{self.server.name} asked for something it cannot have here.")
            answers[key] = answer
        return answers

    async def read(self, uri: str) -> list[dict[str, Any]]:
        """Return the contents of a resource as blocks of a result. Raises `ConnectionLost` and `ToolError`."""
        read = partial(types.ReadResourceRequestParams, uri=uri)
        result = await self._settle(lambda **more: types.ReadResourceRequest(params=read(**more)), ANSWER_S)
        contents = result.get("contents")
        listed = contents if isinstance(contents, list) else [contents]
        return [{"type": "resource", "resource": content} for content in listed if content]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        """Return a prompt, as plain JSON. Raises `ConnectionLost` and `ToolError`."""
        get = partial(types.GetPromptRequestParams, name=name, arguments=arguments)
        return await self._settle(lambda **more: types.GetPromptRequest(params=get(**more)), ANSWER_S)

    async def request(self, send: Callable[[], Any], limit_s: float) -> Any:
        """Await an answer.

        Raises `ConnectionLost`, `SignedOut`, and `ToolError` for a refusal or an answer that is malformed.
        """
        name = self.server.name
        try:
            with trio.fail_after(limit_s):
                return await send()
        except trio.TooSlowError:
            raise ConnectionLost(f"it did not answer within {limit_s:g} s") from None
        except MCPError as error:
            raise self._error(error.error) from None
        except (ValueError, RecursionError):
            raise ToolError("tool_failed", f"The answer of {name} is malformed.") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError, RuntimeError) as error:
            raise ConnectionLost(f"the connection is closed ({type(error).__name__})") from None

    def _error(self, said: types.ErrorData) -> Exception:
        """Return what an error means. Servers have -32000 for errors of their own, the SDK for the end of all."""
        why = said.message[:MAX_NOTE]
        if transports.TOO_LARGE in why or why.endswith("byte limit."):  # ours, or of the SDK for an event
            return ToolError("tool_failed", f"{self.server.name} was asked, and {transports.TOO_LARGE}.")
        match said.code:
            case transports.SIGNED_OUT:
                return SignedOut()
            case transports.LOST:
                return ConnectionLost(why)
            case transports.SESSION_GONE:
                return SessionGone(why)
            case transports.THROTTLED if isinstance(said.data, float | int):
                return Throttled(f"{self.server.name} refused: {why}", float(said.data))
            case types.CONNECTION_CLOSED if self.ended() or (self.server.url and why == "Connection closed"):
                return ConnectionLost("the connection was closed")
            case types.PARSE_ERROR if why == transports.UNREADABLE or self.server.url:
                return ToolError("tool_failed", f"The answer of {self.server.name} is malformed.")
        more = said.data if isinstance(said.data, str) else json.dumps(said.data) if said.data else ""
        beside = f" ({more[:MAX_NOTE]})" if more and more not in why else ""
        return ToolError("tool_failed", f"{self.server.name} refused: {why}{beside}")


def _tool_of_sdk(listed: dict[str, Any]) -> types.Tool | None:
    """Return a listed tool as the SDK has it; None if it has no name or no schema that it takes."""
    needed = {"name": listed.get("name"), "inputSchema": listed.get("inputSchema") or {}}
    try:
        return types.Tool.model_validate(needed, by_name=False)
    except ValidationError:
        return None


@define(eq=False)
class SessionWatch:
    """Looks after an open connection. `on_change` is called when the server's tools may have changed."""

    session: McpSession
    on_change: Callable[[], object]

    async def run(self) -> None:
        """Listen for changes of the tools, and check now and then that the server answers, as long as it does.

        Raises `ConnectionLost`.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            while True:
                await trio.sleep(PROBE_S)
                if not self.session.calls.all:  # one that computes may not answer
                    await self._check()

    async def _check(self) -> None:
        """Ask the server for a sign of life. Raises `ConnectionLost` if it gives none."""
        if self.session.protocol in MODERN_PROTOCOL_VERSIONS:  # it knows no ping
            self.on_change()
            return
        ping = partial(self.session.client.session.send_request, types.PingRequest(), types.EmptyResult)
        with suppress(ToolError):  # a refusal is a sign of life
            await self.session.request(ping, ANSWER_S)

    async def _listen(self) -> None:
        """Learn of changes by a stream; a server of the handshake era sends them anyway."""
        client = self.session.client
        changes = getattr(client.server_capabilities.tools, "list_changed", False)
        if self.session.protocol not in MODERN_PROTOCOL_VERSIONS or not changes:
            return
        while True:
            try:
                async with client.listen(tools_list_changed=True) as events:
                    async for _ in events:
                        self.on_change()
            except SubscriptionLost:
                self.on_change()  # finds out whether the server is there
            except MCPError as error:
                why = str(error)[:MAX_NOTE]
                log.info("mcp.not_listening", extra={"server": self.session.server.name, "why": why})
                return
            await trio.sleep(PROBE_S)


class Widgets(ClientExtension):
    """Tells a server that user interfaces of its tools are shown (MCP Apps, SEP-1865)."""

    identifier = "io.modelcontextprotocol/ui"

    def settings(self) -> dict[str, Any]:
        """Return the kinds of user interfaces that are shown."""
        return {"mimeTypes": [WIDGET_TYPE]}


@asynccontextmanager
async def connect(
    server: McpServer,
    said: deque[str],
    on_end: Callable[[str], object],
    on_change: Callable[[], object],
    version: str,
    token: TokenSource | None = None,
    *,
    widgets: bool = False,
    handshake: bool = False,
) -> AsyncIterator[McpSession]:
    """Connect to a server by the newest protocol that both know. `version` is ours, for the server.

    `said` gets the last lines of a process's standard error, `on_end` why its output ended. `token` is of the user
    whose connection it is. `widgets`: user interfaces of its tools are shown, which it is told. `handshake`: the first
    message is `initialize`, without the question of newer protocols at which some servers end.

    Raises OSError, ValueError, MCPError, or a group of them, if it cannot be reached.
    """
    pace, made, ends = LogPace(), list[McpSession](), list[str]()

    def ended(why: str) -> None:
        ends.append(why)
        on_end(why)

    async def ask_user(context: ClientRequestContext, params: types.ElicitRequestParams) -> Any:
        if not made:
            return types.ElicitResult(action="decline")
        return await made[0].calls.ask_user(params, dict(context.meta or {}))

    async def heard(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            on_change()

    async def logged(params: types.LoggingMessageNotificationParams) -> None:
        if pace.allows():
            extra = {"server": server.name, "severity": params.level, "line": str(params.data)[:MAX_NOTE]}
            log.info("mcp.log", extra=extra)

    client = Client(
        transports.stdio(server, said, ended) if server.command else transports.http(server, token),
        client_info=types.Implementation(name="understudy", version=version),
        elicitation_callback=ask_user,
        message_handler=heard,
        logging_callback=logged,
        log_level="warning",
        mode="legacy" if handshake else "auto",
        cache=None,
        extensions=[Widgets()] if widgets else None,
    )
    async with client:
        connection = McpSession(server, client, lambda: bool(ends))
        made.append(connection)
        yield connection
