"""The link to one MCP server, shared by all agents that use it: its state, its calls, and the actor that connects it.

1. The actor lives as long as one connection. The end of the connection crashes it, and its supervisor restarts it with
   backoff.
2. A call of a tool whose definition has changed since it was offered is refused.
3. A run or a call waits for an unreachable server at most `WAIT_S`.
"""

import enum
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import Factory, define, evolve, field

from actors import Actor, Context
from understudy.extensions.mcp.calls import make_call
from understudy.extensions.mcp.definitions import Definition
from understudy.extensions.mcp.errors import ConnectionLost, McpDown, SessionGone, TaskLost, Throttled
from understudy.extensions.mcp.offer import Clean, Offer, keep
from understudy.extensions.mcp.results import to_tool_result
from understudy.tools.containment import errors_in
from understudy.tools.context import ToolContext
from understudy.tools.errors import EffectUnknown, ToolError
from understudy.tools.mcp_server import McpServer
from understudy.tools.result import ToolResult

if TYPE_CHECKING:
    from understudy.extensions.mcp.connection import McpSession
    from understudy.extensions.mcp.transports import TokenSource

log = logging.getLogger(__name__)

WAIT_S: Final = 10.0
"""Seconds that a run or a call waits for a server that starts or restarts."""
PATIENCE: Final = 3
"""Consecutive failed connections after which a server is away: its tools are not offered until it is back."""
AGAIN_S: Final = 30.0
"""Seconds between a failed reading of a server's tools and the next."""
MAX_WAIT_S: Final = 8.0
"""Longest wait in seconds that a server may ask a call for; if it asks for more, the call fails with its message."""
SHUTDOWN_S: Final = 8.0
"""Grace of a server's actor: ending a stubborn process takes up to 3.5 s and cannot be cancelled."""
REFRESH_S: Final = 1.0
"""Least seconds between two readings of a server's tools, however often it reports changes."""


class LinkState(enum.StrEnum):
    """Whether a server can be called."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    AWAY = "away"
    SIGNED_OUT = "signed_out"
    """Its user has to sign in."""
    SIGNED_IN = "signed_in"
    """Its user is signed in; the connection is opened when it is used."""


@define(eq=False)
class _Attempt:
    """One attempt to connect, and its connection while calls can be made. `why` is the first reason for its end;
    `noted`: the link has recorded the end. `agreed`: on a protocol."""

    connection: "McpSession | None" = None
    agreed: bool = False
    why: str = ""
    noted: bool = False
    ended: trio.Event = field(factory=trio.Event)
    _changed: trio.Event = field(factory=trio.Event)

    def end(self, why: str) -> None:
        """End the connection, or the attempt to make one."""
        self.why = self.why or why
        self.ended.set()

    def set_changed(self) -> None:
        """Note that the tools may have changed."""
        self._changed.set()

    async def wait_changed(self, within_s: float) -> None:
        """Wait until the tools may have changed since the last wait."""
        with trio.move_on_after(within_s):
            await self._changed.wait()
        self._changed = trio.Event()


@define(eq=False)
class McpLink:
    """The link to a server. `state` has lasted `since` (Unix seconds). `why`: for operators, why it is not ready.
    `widgets`: the server is told that user interfaces of its tools are shown."""

    server: McpServer
    clean: Clean = keep
    widgets: bool = False
    offer: Offer = field(default=Factory(lambda link: Offer(link.server, link.clean), takes_self=True), init=False)
    token: "TokenSource | None" = field(default=None, init=False, repr=False)
    state: LinkState = field(default=LinkState.STARTING, init=False)
    why: str = field(default="", init=False)
    since: float = field(factory=time.time, init=False)
    title: str = field(default="", init=False)
    protocol: str = field(default="", init=False)
    failures: int = field(default=0, init=False)
    started: bool = field(default=False, init=False)  # its actor runs, and records the end of the connection
    _attempt: _Attempt = field(factory=_Attempt, init=False, repr=False)
    _settled: trio.Event = field(factory=trio.Event, init=False, repr=False)  # no longer starting or restarting
    _handshake: bool = field(default=False, init=False, repr=False)  # whether `initialize` must be the first message

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.name

    @property
    def offered(self) -> bool:
        """Whether its tools are offered to agents: it has some, and is not away."""
        return bool(self.offer.tools) and self.state is not LinkState.AWAY

    async def settled(self, within_s: float = WAIT_S) -> None:
        """Wait until the server is ready, or away."""
        with trio.move_on_after(within_s):
            await self._settled.wait()

    async def call(self, definition: Definition, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Call a tool.

        It is made once more if it had no effect, because the server asked to wait or did not know the session any more,
        and if the connection was lost during a call that is safe to retry.

        Raises:
            EffectUnknown: The connection was lost during a call that is not safe to retry.
            ToolError: The server is away or refuses, the call failed, or the tool has another definition now.
        """
        for attempt in (1, 2):
            connection = await self.connected()
            current = self.offer.tools.get(definition.name)
            if current is None or current.digest != definition.digest:
                raise ToolError("tool_failed", f"{self.name} has changed {definition.name}; see its new definition.")
            try:
                answer = await make_call(self, connection, definition, arguments, context)
            except TaskLost as lost:
                if not definition.retry_safe or attempt == 2:
                    raise EffectUnknown("tool_failed", str(lost)) from None
                # The next attempt starts a new task, so it must not find the handle of the lost one.
                handle = context.means.handle and evolve(context.means.handle, value=None)
                context = evolve(context, means=evolve(context.means, handle=handle))
            except Throttled as throttled:
                if attempt == 2 or throttled.wait_s > MAX_WAIT_S:
                    raise
                context.progress(0.0, None, f"{self.name} asks to wait for {throttled.wait_s:g} s")
                await trio.sleep(throttled.wait_s)
            except SessionGone as gone:
                if attempt == 2 or not await self.report(connection):
                    raise ToolError("tool_failed", f"{self.name} refused: {gone}") from None
            except ConnectionLost as lost:
                await self.report(connection)
                sentence = f"{self.name} was lost during the call: {lost}."
                if not definition.retry_safe:
                    raise EffectUnknown("tool_failed", sentence) from None
                if attempt == 2:
                    raise ToolError("tool_failed", sentence) from None
            else:
                return await to_tool_result(answer, definition.name, context.files)
        raise AssertionError("unreachable")

    async def ask(self, request: Callable[["McpSession"], Awaitable[Any]], context: ToolContext | None = None) -> Any:
        """Make a read-only request, and repeat it once if the connection was lost. Raises `ToolError`.

        `context` is that of a call, whose user may be asked to sign in.
        """
        for attempt in (1, 2):
            connection = await self.connected()
            try:
                return await request(connection)
            except ConnectionLost as lost:
                if not await self.report(connection) or attempt == 2:
                    raise ToolError("tool_failed", f"{self.name} was lost: {lost}.") from None
        raise AssertionError("unreachable")

    async def connected(self) -> "McpSession":
        """Wait for the connection and return it. Raises `ToolError` ``tool_failed`` if there is none in time."""
        if self.state is not LinkState.AWAY:
            await self.settled()
        if self._attempt.connection is None:
            raise ToolError("tool_failed", f"The MCP server {self.name} cannot be reached now; try again later.")
        return self._attempt.connection

    async def report(self, connection: "McpSession") -> bool:
        """Check after a failed request whether the server still answers; if not, end the connection.

        Return whether that connection has ended. Any answer of the server, also a refusal, keeps it open.
        """
        if connection is not self._attempt.connection:
            return True
        if self.server.command:
            if connection.ended():
                self.end("the connection was closed")
            return connection.ended()
        try:
            await connection.list_all("tools")
        except ConnectionLost as error:
            self.end(str(error))
            return True
        except ToolError:
            self._attempt.set_changed()
        return False

    def end(self, why: str) -> None:
        """End the connection. Calls from now on wait for the next one."""
        self._attempt.end(why)
        if self._attempt.connection is not None:
            self._set_lost(self._attempt.why)

    async def serve(self) -> None:
        """Connect, and stay connected. Raises `McpDown` when the connection ends, or cannot be made in time."""
        why = "the server stops"
        try:
            why = await self._attend()
            if self.server.command and self._attempt.why and not self._attempt.agreed:
                self._handshake = not self._handshake
                if self._handshake:  # some processes end at any first message but `initialize`
                    why = await self._attend()
        finally:
            self._set_lost(why)
        raise McpDown(f"{self.name} ({self.server.where}): {why}")

    async def _attend(self) -> str:
        """Connect once, and stay connected. Return the reason for the end."""
        from understudy.extensions.mcp.connection import connect

        self._attempt = attempt = _Attempt()
        lines, start_s = deque[str](maxlen=5), self.server.start_s
        try:
            with trio.CancelScope(deadline=trio.current_time() + start_s) as limit:
                async with connect(
                    self.server,
                    lines,
                    self.end,
                    attempt.set_changed,
                    version("understudy-server"),
                    self.token,
                    widgets=self.widgets,
                    handshake=self._handshake,
                ) as connection:
                    attempt.agreed = True
                    await self.offer.read_tools(connection)
                    await self.offer.look_for_resources(connection)
                    limit.deadline = math.inf
                    self._set_ready(connection)
                    await self._serve(connection)
        except Exception as error:
            why = attempt.why or _reason(error)
            return f"{why}; its last output was: {lines[-1]}" if lines else why
        return f"it did not answer within {start_s:g} s"

    async def _serve(self, connection: "McpSession") -> None:
        from understudy.extensions.mcp.connection import SessionWatch

        async with trio.open_nursery() as nursery:
            nursery.start_soon(SessionWatch(connection, self._attempt.set_changed).run)
            nursery.start_soon(self._refresh, connection)
            await self._attempt.ended.wait()
            raise McpDown(self._attempt.why)

    async def _refresh(self, connection: "McpSession") -> None:
        """Read the tools whenever they may have changed, and every `AGAIN_S` while they cannot be read."""
        while True:
            await self._attempt.wait_changed(AGAIN_S if self.offer.unread else math.inf)
            await self.offer.read_tools(connection)
            self._set_connected()
            await trio.sleep(REFRESH_S)

    def _set_ready(self, connection: "McpSession") -> None:
        self._attempt.connection, self.failures = connection, 0
        self.title, self.protocol = connection.title, connection.protocol
        self._set_connected()
        self._settled.set()
        extra = {"server": self.name, "tools": len(self.offer.tools), "protocol": self.protocol}
        log.info("mcp.ready", extra=extra | {"left_out": len(self.offer.left_out)})

    def _set_connected(self) -> None:
        """Set the state of a connected server: ready, or away if its tools could never be read."""
        no_tools_read = self.offer.unread and not self.offer.tools
        self._set(LinkState.AWAY if no_tools_read else LinkState.READY, self.offer.unread)

    def _set_lost(self, why: str) -> None:
        """Record the end of the connection or of the attempt to connect; a repetition only updates the reason."""
        attempt = self._attempt
        if attempt.noted:
            self.why = why
            return
        attempt.noted, was_ready = True, attempt.connection is not None
        attempt.connection = None
        self.failures = 0 if was_ready else self.failures + 1
        if was_ready or (self.offer.tools and self.failures < PATIENCE):
            self._settled = trio.Event() if self._settled.is_set() else self._settled
            self._set(LinkState.RESTARTING, why)
        else:
            self._set(LinkState.AWAY, why)
            self._settled.set()

    def _set(self, state: LinkState, why: str) -> None:
        if state is not self.state:
            self.since = time.time()
        self.state, self.why = state, why


def _reason(error: BaseException) -> str:
    """Return the first error in a group as part of a sentence."""
    error = next(errors_in(error))
    if isinstance(error, FileNotFoundError):
        return f"there is no program {error.filename}"
    return " ".join((str(error) or type(error).__name__).split())[:300].rstrip(".")


class McpActor(Actor):
    """Keeps one server connected while its connection lives. A lost connection crashes it; an intended end stops it."""

    def __init__(self, link: McpLink) -> None:
        self.link = link

    async def on_start(self, context: Context) -> None:
        """Start to connect in a task, so that the start of the server does not wait for it."""
        self.link.started = True
        context.start_soon(self._serve, context)

    async def _serve(self, context: Context) -> None:
        await self.link.serve()
        context.stop()

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages."""
