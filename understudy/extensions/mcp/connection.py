"""The connection to one MCP server: its requests, and the check that the server still answers.

The SDK cancels a request at the server, with its questions, if it is cancelled here.
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
"""Limit of pages read of one list, because a server's pages may never end."""
MAX_ROUNDS: Final = 10
"""Limit of the rounds in which a server asks for more input before it answers one request."""
CONCURRENT: Final = 32
"""Limit of concurrent calls at one server; further calls wait."""
PER_USER: Final = 8
PER_TENANT: Final = 24
"""Limits of concurrent calls of one user and of one tenant. A run makes eight calls at a time."""
PROBE_S: Final = 30.0
"""Seconds between two checks whether an idle server answers."""
ANSWER_S: Final = 10.0
"""Seconds that a server has to answer such a check, or a request for a list."""

_LISTS: Final[dict[str, type[Any]]] = {
    "tools": types.ListToolsRequest,
    "prompts": types.ListPromptsRequest,
    "resources": types.ListResourcesRequest,
    "resource_templates": types.ListResourceTemplatesRequest,
}


def _ids(context: ToolContext) -> Any:
    """Return the metadata of a call for its server: the ids of the run, the call and its trace span (SEP-414)."""
    trace = {"traceparent": context.traceparent} if context.traceparent else {}
    return {"understudy/run": context.run_id, "understudy/call": context.call_id, **trace}


@define(eq=False)
class McpSession:
    """A negotiated connection. `ended` returns whether the server's process has ended it, over HTTP always False."""

    server: McpServer
    client: Client
    ended: Callable[[], bool]
    calls: OpenCalls = field(init=False)
    slots: FairLimiter = field(factory=partial(FairLimiter, CONCURRENT, PER_USER, PER_TENANT), init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = OpenCalls(self.server.name)

    @property
    def protocol(self) -> str:
        """The negotiated version of the protocol."""
        return str(self.client.protocol_version)

    @property
    def title(self) -> str:
        """The server's own title and version, empty if it gives none."""
        info = self.client.server_info
        return "" if info is None else f"{info.title or info.name} {info.version}"[:MAX_NOTE]

    def offers(self, what: str) -> bool:
        """Return whether the server has `tools`, `prompts` or `resources`."""
        return getattr(self.client.server_capabilities, what) is not None

    @property
    def has_tasks(self) -> bool:
        """Whether the server's tools can be called as tasks."""
        capability = self.client.server_capabilities.tasks
        return self.protocol == tasks.PROTOCOL and bool(
            capability and capability.requests and capability.requests.tools
        )

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
        """Return one page of a list, and the cursor of the next. Raises ValueError if the result has no list. It is
        read below the SDK's typed layer, which would refuse the whole list for one malformed entry."""
        raw = await self.send_raw(_LISTS[what](params=params))
        name = "resourceTemplates" if what == "resource_templates" else what
        raw_entries, cursor = raw.get(name), raw.get("nextCursor")
        if not isinstance(raw_entries, list) and raw_entries != {}:  # some servers send {} for an empty list
            raise ValueError(f"no list of {what}")
        entries = [entry for entry in raw_entries if isinstance(entry, dict)]
        if what == "tools":  # the SDK records which arguments are sent as headers, and rejects unusable tools
            tools = [tool for entry in entries if (tool := _tool_of_sdk(entry))]
            page = types.ListToolsResult(tools=list(tools))
            accepted = self.client.session._absorb_tool_listing(
                page, complete=params.cursor is None and not cursor
            ).tools
            dropped = {definition.name for definition in tools} - {definition.name for definition in accepted}
            entries = [entry for entry in entries if entry.get("name") not in dropped]
        return entries, cursor if isinstance(cursor, str) else None

    async def send_raw(self, request: Any, progress: ProgressFnT | None = None) -> dict[str, Any]:
        """Make a request below the typed layer of the SDK. Return the server's result unchanged.

        The typed layer would refuse a whole result for one malformed block or member, although the call took effect.
        """
        data = request.model_dump(by_alias=True, mode="json", exclude_none=True)
        options: CallOptions = {} if progress is None else {"on_progress": progress}
        self.client.session._stamp(data, options)
        return await self.client.session._dispatcher.send_raw_request(data["method"], data.get("params"), options)

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext, label: str) -> dict[str, Any]:
        """Call a tool. Return the server's result as plain JSON. `label` is our name of the tool, for users.

        Raises `ConnectionLost` if the effect of the call is unknown, `ToolError` if the server refuses it, or ``busy``
        if there is no slot for it.
        """
        call = partial(types.CallToolRequestParams, name=name, arguments=dict(arguments), _meta=_ids(context))
        async with self._slot(context, label), self.calls.opened(ServerCall(context)) as opened:

            async def show(progress: float, total: float | None, message: str | None) -> None:
                await opened.progress(label, progress, total, message)

            return await self._settle(lambda **more: types.CallToolRequest(params=call(**more)), math.inf, show)

    async def begin_task(
        self, name: str, arguments: Mapping[str, Any], context: ToolContext, label: str
    ) -> str | Mapping[str, Any]:
        """Call a tool as a task. Return the task's id, or the result if the server made the call directly.

        Raises the errors of `call`.
        """
        params = types.CallToolRequestParams(name=name, arguments=dict(arguments), _meta=_ids(context))
        async with self._slot(context, label), self.calls.opened(ServerCall(context)):
            return await tasks.begin(self, params, self.server.timeout_s)

    async def finish_task(self, task_id: str, context: ToolContext, label: str) -> Mapping[str, Any]:
        """Await the end of a task, without a slot. Return its result. Raises `TaskLost` and the errors of `call`."""
        async with self.calls.opened(ServerCall(context, task_id)) as opened:
            return await tasks.finish(self, task_id, opened, label)

    async def cancel_task(self, task_id: str) -> None:
        """Cancel a task. Raises the errors of `call`."""
        request = types.CancelTaskRequest(params=types.CancelTaskRequestParams(task_id=task_id))
        await self.request(partial(self.send_raw, request), tasks.ANSWER_S)

    @asynccontextmanager
    async def _slot(self, context: ToolContext, label: str) -> AsyncIterator[None]:
        """Hold a slot for a call of this user during the block; users take turns. Raises `ToolError` ``busy``."""
        await wait_for_permit(self.slots, context.owner, label, context.means.while_queued)
        try:
            yield
        finally:
            self.slots.release(context.owner, label)

    async def _settle(
        self, make: Callable[..., Any], limit_s: float, progress: ProgressFnT | None = None
    ) -> dict[str, Any]:
        """Make a request, and repeat it with the input that its server asks for. Return the server's final result.
        `make` returns the request, given `input_responses` and `request_state`. A result without a type is final."""

        async def send() -> types.InputRequiredResult | dict[str, Any]:
            raw = await self.send_raw(make(input_responses=answers, request_state=state), progress)
            needs_input = raw.get("resultType") == "input_required"
            return types.InputRequiredResult.model_validate(raw, by_name=False) if needs_input else raw

        answers: dict[str, Any] | None = None
        state: str | None = None
        for _ in range(MAX_ROUNDS):
            result = await self.request(send, limit_s)
            if isinstance(result, dict):
                return result
            answers, state = await self._answer_all(result.input_requests or {}), result.request_state
        raise ToolError("tool_failed", f"{self.server.name} asked for more {MAX_ROUNDS} times without a result.")

    async def _answer_all(self, requests: Mapping[str, types.InputRequest]) -> dict[str, Any]:
        """Answer the server's requests for input within a call, one after the other, as a user reads them."""
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
        """Return the contents of a resource as content blocks. Raises `ConnectionLost` and `ToolError`."""
        read = partial(types.ReadResourceRequestParams, uri=uri)
        result = await self._settle(lambda **more: types.ReadResourceRequest(params=read(**more)), ANSWER_S)
        contents = result.get("contents")
        items = contents if isinstance(contents, list) else [contents]
        return [{"type": "resource", "resource": content} for content in items if content]

    async def get_prompt(self, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        """Return a prompt, as plain JSON. Raises `ConnectionLost` and `ToolError`."""
        get = partial(types.GetPromptRequestParams, name=name, arguments=arguments)
        return await self._settle(lambda **more: types.GetPromptRequest(params=get(**more)), ANSWER_S)

    async def request(self, send: Callable[[], Any], limit_s: float) -> Any:
        """Await the answer to a request. Raises `ConnectionLost`, `SignedOut`, and `ToolError` for a refusal."""
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

    def _error(self, error: types.ErrorData) -> Exception:
        """Return the exception for an error. -32000 is a server's own error, or the SDK's for a closed connection."""
        why = error.message[:MAX_NOTE]
        if transports.TOO_LARGE in why or why.endswith("byte limit."):  # our own error, or the SDK's for an event
            return ToolError("tool_failed", f"{self.server.name} was asked, and {transports.TOO_LARGE}.")
        match error.code:
            case transports.SIGNED_OUT:
                return SignedOut()
            case transports.LOST:
                return ConnectionLost(why)
            case transports.SESSION_GONE:
                return SessionGone(why)
            case transports.THROTTLED if isinstance(error.data, float | int):
                return Throttled(f"{self.server.name} refused: {why}", float(error.data))
            case types.CONNECTION_CLOSED if self.ended() or (self.server.url and why == "Connection closed"):
                return ConnectionLost("the connection was closed")
            case types.PARSE_ERROR if why == transports.UNREADABLE or self.server.url:
                return ToolError("tool_failed", f"The answer of {self.server.name} is malformed.")
        more = error.data if isinstance(error.data, str) else json.dumps(error.data) if error.data else ""
        details = f" ({more[:MAX_NOTE]})" if more and more not in why else ""
        return ToolError("tool_failed", f"{self.server.name} refused: {why}{details}")


def _tool_of_sdk(entry: dict[str, Any]) -> types.Tool | None:
    """Return a listed tool as the SDK's type; None if the SDK does not accept its name or schema."""
    required = {"name": entry.get("name"), "inputSchema": entry.get("inputSchema") or {}}
    try:
        return types.Tool.model_validate(required, by_name=False)
    except ValidationError:
        return None


@define(eq=False)
class SessionWatch:
    """Monitors an open connection. `on_change` is called when the server's tools may have changed."""

    session: McpSession
    on_change: Callable[[], object]

    async def run(self) -> None:
        """Listen for changes of the tools, and check every `PROBE_S` that the server answers. Raises ConnectionLost."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            while True:
                await trio.sleep(PROBE_S)
                if not self.session.calls.all:  # a server may not answer while it computes
                    await self._check()

    async def _check(self) -> None:
        """Check that the server answers. Raises `ConnectionLost` if it does not."""
        if self.session.protocol in MODERN_PROTOCOL_VERSIONS:  # these have no ping; reading the tools is the check
            self.on_change()
            return
        ping = partial(self.session.client.session.send_request, types.PingRequest(), types.EmptyResult)
        with suppress(ToolError):  # a refusal is an answer too
            await self.session.request(ping, ANSWER_S)

    async def _listen(self) -> None:
        """Listen for changes over a stream. Servers of older protocols send them without one."""
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
                self.on_change()  # reading the tools finds out whether the server still answers
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
    stderr: deque[str],
    on_end: Callable[[str], object],
    on_change: Callable[[], object],
    version: str,
    token: TokenSource | None = None,
    *,
    widgets: bool = False,
    handshake: bool = False,
) -> AsyncIterator[McpSession]:
    """Connect to a server by the newest protocol that both support. `version` is ours, for the server.

    `stderr` receives the last lines of a process's standard error; `on_end` is called with the reason when its output
    ends. `token` returns tokens of the connection's user. `widgets`: tell the server that user interfaces of its tools
    are shown. `handshake`: send `initialize` first, without the question of newer protocols that ends some servers.

    Raises OSError, ValueError, MCPError, or a group of them, if it cannot be reached.
    """
    pace, sessions, ends = LogPace(), list[McpSession](), list[str]()

    def ended(why: str) -> None:
        ends.append(why)
        on_end(why)

    async def ask_user(context: ClientRequestContext, params: types.ElicitRequestParams) -> Any:
        if not sessions:
            return types.ElicitResult(action="decline")
        return await sessions[0].calls.ask_user(params, dict(context.meta or {}))

    async def on_message(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            on_change()

    async def on_log(params: types.LoggingMessageNotificationParams) -> None:
        if pace.allows():
            extra = {"server": server.name, "severity": params.level, "line": str(params.data)[:MAX_NOTE]}
            log.info("mcp.log", extra=extra)

    client = Client(
        transports.stdio(server, stderr, ended) if server.command else transports.http(server, token),
        client_info=types.Implementation(name="understudy", version=version),
        elicitation_callback=ask_user,
        message_handler=on_message,
        logging_callback=on_log,
        log_level="warning",
        mode="legacy" if handshake else "auto",
        cache=None,
        extensions=[Widgets()] if widgets else None,
    )
    async with client:
        connection = McpSession(server, client, lambda: bool(ends))
        sessions.append(connection)
        yield connection
