"""Answers MCP requests: lists a user's agents and tools, and calls them as runs of conversations.

1. A call is a message of its user: durable, supervised and shown in the page like any other message.
2. The client asks its user a run's question, if it can (protocol 2026-07-28); else the run waits for an answer in
   another client, and the progress says so.
3. When the server stops, the client repeats the request with its `request_state`, the message's id, and so joins the
   run. The SDK encrypts this state, and binds it to the user, the request and a time.
"""

import uuid
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import trio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    ElicitationCapability,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from transport.auth.identity import Identity
from transport.wire.commands import Resume
from transport.wire.errors import CommandRejected
from understudy.auth.sessions import secrets_for_storage
from understudy.chat.envelope_stream import EnvelopeStream
from understudy.content.texts import run_off_loop
from understudy.extensions.mcp_door.blocks import read_blocks
from understudy.extensions.mcp_door.call import FollowedCall
from understudy.extensions.mcp_door.exchange import AsgiExchange
from understudy.extensions.mcp_door.results import McpTarget, failure, is_answer, reply, targets
from understudy.storage import queries
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import ONCE
from understudy.web.context import WebContext
from understudy.wire.codes import ERRORS
from understudy.wire.commands import Say
from understudy.wire.events import (
    AgentProgress,
    AgentThinking,
    ApprovalRequired,
    Envelope,
    QuestionAsked,
    ToolExecuting,
)
from understudy.wire.vocabulary import from_log

NAME: Final = "understudy"
LABEL: Final = "mcp"
"""Metric label of MCP's streams, and the door that is recorded with replies over MCP."""
CANCEL_S: Final = 5.0
"""Seconds allowed for cancelling the run of a client that has left."""
INSTRUCTIONS: Final = (
    "Each tool whose name begins with ask_ asks an agent of this server, in a conversation; the others are the agents' "
    "own tools."
)
Context = ServerRequestContext[Any, Any]


class McpDoor:
    """This server as an MCP server. `serve` answers one exchange; the state in its ASGI scope has the `caller`."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._known: OrderedDict[object, dict[str, McpTarget]] = OrderedDict()
        self._server: Server[Any] = Server(
            NAME,
            version=version("understudy-server"),
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        limits = context.settings.limits
        states = RequestStateSecurity(
            keys=list(dict.fromkeys(secrets_for_storage(context.settings))),
            ttl=max(limits.approval_s, limits.approval_unseen_s),
            bind_principal=lambda ctx: _caller(ctx).user,
        )
        self._server.middleware += [RequestStateBoundary(states, default_audience=NAME), _recognise_answers]

    async def serve(self, exchange: AsgiExchange) -> None:
        """Answer one request."""
        # A manager per request takes 0.1 ms. Without sessions it keeps nothing, and its tasks run under the actor of
        # the request and end with it.
        limit = self._context.settings.limits.frame_bytes
        manager = StreamableHTTPSessionManager(self._server, stateless=True, max_request_body_size=limit)
        async with manager.run():
            await manager.handle_request(exchange.scope, exchange.receive, exchange.send)

    async def _list_tools(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        if params is not None and params.cursor:
            raise MCPError(INVALID_PARAMS, "There is no such cursor: the list has one page.")
        return ListToolsResult(tools=[target.described for target in self._targets(_caller(ctx)).values()])

    def _targets(self, caller: Identity) -> dict[str, McpTarget]:
        permissions = self._context.permissions
        usable = permissions.usable(self._context.agents, caller)
        agents = {name: permissions.for_user(agent, caller) for name, agent in usable.items()}
        key = tuple((name, len(agent.tools), *(tool.name for tool in agent.tools)) for name, agent in agents.items())
        described = self._known.get(key)
        if described is None:
            described = self._known[key] = targets(agents)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return described

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        caller, joins = _caller(ctx), params.request_state is not None
        target = self._targets(caller).get(params.name)
        if target is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:MAX_SHOWN]!r} here.")
        start: Say | int
        try:
            if params.request_state is None:
                start = _say(target, params.arguments or {})
                call = FollowedCall(start.thread_id or "", start.message_id or "")
                self._context.chat.check_rate(caller, start)
            else:
                call, start = await self._join(caller, params.request_state)
                self._context.chat.check_rate(caller, Resume({call.thread_id: start}))
            return await self._follow(ctx, target, call, start, dict(params.input_responses or {}))
        except StorageUnavailable as error:
            raise MCPError(INTERNAL_ERROR, ERRORS["storage_unavailable"].text) from error
        except CommandRejected as rejected:
            if joins:  # raised, not returned, because the run goes on and the client can try again
                raise MCPError(INTERNAL_ERROR, rejected.message) from rejected
            return failure(rejected.message)

    async def _join(self, caller: Identity, message_id: str) -> tuple[FollowedCall, int]:
        """Return the call that this message began, replayed from the log, and the number of its last event there.
        Raises MCPError if its events are not in the log any more, because a call must not be made twice."""
        store, restore = self._context.store, self._context.content_filter.vault.restore_envelope
        runs = await store.read(queries.runs_of, caller.user, (message_id,))
        rows = await store.run_events(caller.user, runs[0].thread_id, runs[0].id) if runs else []
        if not rows:
            raise _gone()
        call = FollowedCall(runs[0].thread_id, message_id, runs[0].id)
        for envelope in await run_off_loop(lambda: [restore(caller.user, from_log(row.body)) for row in rows]):
            call.take(envelope)
        return call, rows[-1].seq

    async def _follow(
        self, ctx: Context, target: McpTarget, call: FollowedCall, start: Say | int, answers: dict[str, Any]
    ) -> CallToolResult | InputRequiredResult:
        """Follow the call from its start. Return its result, or the questions for its user."""
        chat, caller, progress = self._context.chat, _caller(ctx), 0
        events = await chat.follow(caller, call.thread_id, EnvelopeStream(), start, door=LABEL)
        try:
            if isinstance(start, int) and await self._context.store.run(call.run_id or "") is None:
                raise _gone()  # the run was deleted since it was read, so no event would end the wait
            while call.end is None:
                if not events.ready:
                    refusals = await self._answer(caller, call, answers)
                    if _can_ask(ctx) and (questions := call.questions(refusals)):
                        return InputRequiredResult(input_requests=dict(questions), request_state=call.message_id)
                try:
                    envelope = await anext(events)
                except StopAsyncIteration:
                    return _unended(ctx, call.message_id)
                if call.take(envelope) and (note := _note(envelope)):
                    progress += 1
                    await ctx.session.report_progress(progress, message=note)
            files = await read_blocks(self._context, caller.user, call.files, _state(ctx)["url"])
            return call.result(files, asked=target.tool is None)
        except trio.Cancelled:
            if _left(ctx) and call.run_id is not None:
                with trio.CancelScope(deadline=trio.current_time() + CANCEL_S, shield=True):
                    await chat.stop(caller, call.run_id, limited=False)
            raise
        finally:
            await events.aclose()

    async def _answer(self, caller: Identity, call: FollowedCall, answers: dict[str, Any]) -> dict[str, str]:
        """Send the run the answers to its open questions, ignoring others. Return why answers were refused, by name."""
        refusals: dict[str, str] = {}
        for name in [name for name in call.waits if name in answers]:
            try:
                await self._context.chat.answer(caller, reply(name, answers.pop(name)), door=LABEL)
            except CommandRejected as error:
                if error.code != "not_found":  # if it was answered elsewhere meanwhile, an event of that follows
                    refusals[name] = error.message
                    continue
            del call.waits[name]
        return refusals


MAX_KNOWN: Final = 32
"""Limit of the cached descriptions of sets of tools; users with the same rights share one."""
MAX_SHOWN: Final = 100
"""Limit of the characters of a client's own words in a refusal."""


def _say(target: McpTarget, arguments: dict[str, Any]) -> Say:
    """Return the message of a call. Raises CommandRejected if an agent is asked without a text."""
    agent, message_id = target.agent, uuid.uuid4().hex
    say = partial(Say, message_id=message_id, agent_type=agent.agent_type, pillar=agent.pillar)
    if target.tool is not None:
        call = f"Call {target.tool}."
        # Each call has a thread of its own, so that calls of one tool run concurrently.
        return say(call, thread_id=f"{ONCE}mcp-{message_id}", context=arguments, settings={"tool": target.tool})
    message, thread_id = arguments.get("message"), arguments.get("thread_id")
    if not isinstance(message, str) or not message.strip():
        raise CommandRejected("empty_message", "The argument `message` must be a text that is not empty.")
    if thread_id is not None and not isinstance(thread_id, str):
        raise CommandRejected("invalid_command", "The argument `thread_id` must be a text.")
    return say(message, thread_id=thread_id or f"mcp-{message_id}")


async def _recognise_answers(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Drop input responses that are no answers to forms: the protocol has servers ignore them, but the SDK refuses."""
    answers = (ctx.params or {}).get("inputResponses")
    if isinstance(answers, dict):
        valid = {name: answer for name, answer in answers.items() if is_answer(answer)}
        ctx = replace(ctx, params={**(ctx.params or {}), "inputResponses": valid})
    return await call_next(ctx)


def _gone() -> MCPError:
    return MCPError(INVALID_PARAMS, "The call is no longer in the log.", {"reason": "invalid_request_state"})


def _note(envelope: Envelope) -> str:
    """Return the progress note of an event for a waiting client, or an empty text."""
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
    """Return the result for a client if the server stops before the run has ended."""
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
    """Return whether the client has cancelled the call: in the newer protocol it does so by ending the request."""
    exchange: AsgiExchange = _state(ctx)["exchange"]
    return exchange.left.is_set() and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
