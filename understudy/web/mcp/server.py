"""Answers MCP requests: lists a user's agents and tools, and calls them as runs of conversations.

A call is a message of its user: durable, supervised and seen in the page like any other. A question of a run is asked
by the client, if it can (protocol 2026-07-28); else it waits for its user in another client, and the progress says so.
A client that cannot wait for the rest, as the server stops, asks again with the `request_state`, which is the
message's id, and joins the run.
"""

import uuid
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import trio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    ElicitResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from transport.auth.identity import Identity
from transport.server.eventstream import EventStream
from transport.server.translated_stream import wrap_for_log
from transport.wire.codec import from_log
from transport.wire.commands import Cancel, Say
from transport.wire.errors import CommandRejected
from transport.wire.events import (
    AgentProgress,
    AgentThinking,
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    Error,
    FinalResponse,
    QuestionAnswered,
    QuestionAsked,
    ToolCompleted,
    ToolExecuting,
)
from understudy.storage.records import ONCE
from understudy.web.context import WebContext
from understudy.web.mcp.exchange import AsgiExchange
from understudy.web.mcp.results import (
    McpTarget,
    answer_result,
    elicitation,
    error_result,
    failure,
    reply,
    targets,
    tool_result,
)
from understudy.web.sse import WRITE_TIMEOUT_S

LABEL: Final = "mcp"
"""Metric label of these streams, and the door of decisions."""
APPROVAL: Final = "approval:"
QUESTION: Final = "question:"
CANCEL_S: Final = 5.0
"""Seconds for the cancelling of the run of a client that has left."""
INSTRUCTIONS: Final = (
    "Each tool whose name begins with ask_ asks an agent of this server, in a conversation; the others are the agents' "
    "own tools."
)
Context = ServerRequestContext[Any, Any]


class RunStream(EventStream):
    """The events of a thread as they come, for a reader in this process: take them from `events` after each step."""

    def __init__(self, *, beat_s: float) -> None:
        super().__init__(lambda: b"", beat_s=beat_s, write_s=WRITE_TIMEOUT_S)
        self.events: deque[Envelope] = deque()

    def write_now(self, payloads: Sequence[bytes]) -> bool:
        """Queue events. Return whether the reader has taken all earlier ones. Raises SocketClosed after the end."""
        in_step = super().write_now([b"."])
        self.events.extend(map(from_log, payloads))
        return in_step


class McpDoor:
    """This server as one of MCP. `serve` is an ASGI application for one request; its scope's state has the `caller`."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._known: OrderedDict[object, dict[str, McpTarget]] = OrderedDict()
        self._server: Server[Any] = Server(
            "understudy",
            version=version("understudy-server"),
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )

    async def serve(self, exchange: AsgiExchange) -> None:
        """Answer one request."""
        # One manager for each, which takes 0.1 ms: without sessions it has nothing to keep, and its tasks end with the
        # request, under the actor of the request.
        limit = self._context.settings.limits.frame_bytes
        manager = StreamableHTTPSessionManager(self._server, stateless=True, max_request_body_size=limit)
        async with manager.run():
            await manager.handle_request(exchange.scope, exchange.receive, exchange.send)

    async def _list_tools(self, ctx: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[each.described for each in self._targets(_caller(ctx)).values()])

    def _targets(self, caller: Identity) -> dict[str, McpTarget]:
        permissions = self._context.permissions
        usable = permissions.usable(self._context.agents, caller)
        own = {name: permissions.for_user(agent, caller) for name, agent in usable.items()}
        key = tuple((name, len(agent.tools), *(each.name for each in agent.tools)) for name, agent in own.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = targets(own)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return found

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        caller, streams = _caller(ctx), self._context.streams
        target = self._targets(caller).get(params.name)
        if target is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:MAX_SHOWN]!r} here.")
        try:
            for name, response in (params.input_responses or {}).items():
                kind, _, wanted = name.partition(":")
                if isinstance(response, ElicitResult):
                    command = reply(wanted, approval=f"{kind}:" == APPROVAL, result=response)
                    await streams.run_command(caller, command, door=LABEL)
            say = _say(target, params.arguments or {}, params.request_state)
            streams.check_rate(caller, say)
            return await self._follow(ctx, caller, target, say)
        except CommandRejected as refused:
            return failure(refused.message)

    async def _follow(
        self, ctx: Context, caller: Identity, target: McpTarget, say: Say
    ) -> CallToolResult | InputRequiredResult:
        """Send the message, or join its run, and return how it ended, or what its user is asked."""
        streams, thread_id, message_id = self._context.streams, say.thread_id or "", say.message_id or ""
        stream = RunStream(beat_s=streams.heartbeat_s)
        await streams.open(caller, thread_id, stream, say, wrap_frame=wrap_for_log, label=LABEL,
                           welcome=False)  # fmt: skip
        run_id: str | None = None
        completed: ToolCompleted | None = None
        waits: dict[str, ApprovalRequired | QuestionAsked] = {}
        noted: float = 0
        try:
            async for _ in stream:
                while stream.events:
                    envelope = stream.events.popleft()
                    if run_id is None and envelope.message_id == message_id:
                        run_id = envelope.run_id
                    if envelope.run_id is None or envelope.run_id != run_id:
                        continue
                    match envelope.event:
                        case FinalResponse() as final if target.tool is None:
                            return answer_result(final, thread_id, run_id)
                        case FinalResponse() as final:
                            return tool_result(completed, final)
                        case Error() as error:
                            return error_result(error)
                        case ToolCompleted() as completed:
                            waits = {name: each for name, each in waits.items() if each.call_id != completed.call_id}
                        case ApprovalRequired(call_id=name) as wait:
                            waits[APPROVAL + name] = wait
                        case QuestionAsked(question_id=name) as wait:
                            waits[QUESTION + name] = wait
                        case ApprovalDecided(call_id=name):
                            waits.pop(APPROVAL + name, None)
                        case QuestionAnswered(question_id=name):
                            waits.pop(QUESTION + name, None)
                    if note := _note(envelope):
                        noted += 1
                        await ctx.session.report_progress(noted, message=note)
                if waits and _can_ask(ctx):
                    asked = {name: elicitation(each) for name, each in waits.items()}
                    questions = {name: each for name, each in asked.items() if each is not None}
                    if questions:
                        return InputRequiredResult(input_requests=dict(questions), request_state=message_id)
            return _unended(ctx, message_id)
        except trio.Cancelled:
            if _left(ctx) and run_id is not None:
                with trio.CancelScope(deadline=trio.current_time() + CANCEL_S, shield=True):
                    await streams.run_command(caller, Cancel(run_id), door=LABEL)
            raise
        finally:
            await stream.aclose()


MAX_KNOWN: Final = 32
"""Sets of tools that are kept described: users with the same rights share one."""
MAX_SHOWN: Final = 100
"""Characters of a client's own words in a refusal."""


def _say(target: McpTarget, arguments: dict[str, Any], request_state: str | None) -> Say:
    """Return the message that a call stands for. Raises CommandRejected if an agent is given no text."""
    agent, message_id = target.agent, request_state or uuid.uuid4().hex
    to = partial(Say, message_id=message_id, agent_type=agent.agent_type, pillar=agent.pillar)
    if target.tool is not None:
        call = f"Call {target.tool}."
        # A thread of its own, so that calls of one tool run side by side.
        return to(call, thread_id=f"{ONCE}mcp-{message_id}", context=arguments, settings={"tool": target.tool})
    message, thread_id = arguments.get("message"), arguments.get("thread_id")
    if not isinstance(message, str) or not message.strip():
        raise CommandRejected("empty_message", "The argument `message` must be a text that is not empty.")
    if thread_id is not None and not isinstance(thread_id, str):
        raise CommandRejected("invalid_command", "The argument `thread_id` must be a text.")
    return to(message, thread_id=thread_id or f"mcp-{message_id}")


def _note(envelope: Envelope) -> str:
    """Return what a client shows of an event while it waits; empty: nothing."""
    match envelope.event:
        case AgentThinking(thought=thought):
            return thought
        case AgentProgress(note=note):
            return note
        case ToolExecuting(tool_name=name, description=description):
            return description or name
        case ApprovalRequired(tool_name=name):
            return f"Waits for its user, who may allow {name} in the chat page."
        case QuestionAsked(title=title):
            return f"Waits for its user, who is asked in the chat page: {title}"
    return ""


def _unended(ctx: Context, message_id: str) -> CallToolResult | InputRequiredResult:
    """Return the result for a client that the server leaves before the run has ended, as it stops."""
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return InputRequiredResult(request_state=message_id)
    return failure("The server is going away; the run goes on, and its answer will be in the chat page.")


def _can_ask(ctx: Context) -> bool:
    """Return whether the client can ask its user and call again with the reply."""
    asking = ClientCapabilities(elicitation=ElicitationCapability())
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and ctx.session.check_client_capability(asking)


def _state(ctx: Context) -> dict[str, Any]:
    if ctx.request is None:
        raise MCPError(INTERNAL_ERROR, "The request has no caller.")
    state: dict[str, Any] = ctx.request.scope["state"]
    return state


def _caller(ctx: Context) -> Identity:
    caller: Identity = _state(ctx)["caller"]
    return caller


def _left(ctx: Context) -> bool:
    """Return whether the client has ended the request: in the newer protocol that is how it cancels a call."""
    exchange: AsgiExchange = _state(ctx)["exchange"]
    return exchange.left.is_set() and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
