"""Connections of users to servers at which each signs in: made when they are used, and closed when they are not.

1. A connection sends the token of its user only, and its questions are of that user's calls.
2. A call of a user who is signed out has had no effect: the user is asked to sign in, and the call is made then.
3. At most `CONNECTED` are open at a time; the one that was not used for longest makes room.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, evolve, field

from actors import ActorError, ChildSpec, Restart
from understudy.extensions.mcp.definitions import Definition
from understudy.extensions.mcp.errors import McpDown, RefusedToken, SignedOut
from understudy.extensions.mcp.link import SHUTDOWN_S, LinkState, McpActor, McpLink
from understudy.extensions.mcp.offer import Clean, keep
from understudy.tools.context import ToolContext
from understudy.tools.errors import QuestionUnanswered, ToolError
from understudy.tools.form import Question
from understudy.tools.mcp_server import McpServer
from understudy.tools.result import ToolResult
from understudy.tools.tool import Tool, tool

if TYPE_CHECKING:
    from understudy.extensions.mcp.connection import McpSession
    from understudy.extensions.mcp.oauth.accounts import Accounts
    from understudy.extensions.mcp.oauth.grants import UserTokens

log = logging.getLogger(__name__)

IDLE_S: Final = 300.0
"""Seconds without a call after which a connection is closed."""
AGAIN_S: Final = 2.0
"""Seconds after a failed connection before the next one is tried."""
CONNECTED: Final = 200
"""Connections of users at a time, each with a task or two and a socket."""
REMEMBERED: Final = 2_000
"""Users' links that are kept, with the tools that they had; the one that was not used for longest is dropped."""
CHECK_S: Final = 5.0
"""Seconds for which a token is used without looking whether its user has signed out on another node."""
MAX_SCOPE: Final = 200
"""Characters of a server's scopes in a sentence."""
ASKS: Final = 3
"""Times that one call asks its user to sign in."""

Spawn = Callable[[ChildSpec], Awaitable[object]]


@define(eq=False)
class UserLink(McpLink):
    """One user's connection to a server, whether it is open or not."""

    owner: str = field(default="", kw_only=True)
    accounts: "Accounts" = field(kw_only=True, repr=False)
    start: Callable[["UserLink"], Awaitable[object]] = field(kw_only=True, repr=False)
    used_at: float = field(factory=trio.current_time, init=False)
    working: bool = field(default=False, init=False)  # an actor connects, or keeps connected
    _failed_at: float = field(default=-AGAIN_S, init=False)
    _tokens: "UserTokens | None" = field(default=None, init=False, repr=False)
    _checked_at: float = field(default=0.0, init=False)
    _rest: LinkState = field(default=LinkState.SIGNED_IN, init=False)  # the state once the connection has ended
    _closing: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.token = self._token
        self.state = LinkState.SIGNED_OUT
        self._settled.set()

    @property
    def busy(self) -> bool:
        """Whether a call is at work."""
        return self._attempt.connection is not None and bool(self._attempt.connection.calls.all)

    async def look(self) -> bool:
        """Find out whether the user is signed in, also by another node. Return whether it is so."""
        signed_in = await self.accounts.signed_in(self.owner, self.server)
        if not self.working and not signed_in:
            self._set(LinkState.SIGNED_OUT, "")
        elif not self.working and self.state is not LinkState.AWAY:
            self._set(LinkState.SIGNED_IN, "")
        return signed_in

    async def wake(self) -> None:
        """Begin to connect if nobody does, and the user is signed in.

        Raises `SignedOut` if not, and `ToolError` ``busy`` if there are too many connections.
        """
        self.used_at = trio.current_time()
        if self.working:
            return
        if not await self.look():
            raise SignedOut
        if not self._may_start():  # another task has, meanwhile
            return
        self.working, self._closing, self._rest, self._tokens = True, False, LinkState.SIGNED_IN, None
        self.started = False
        self._settled = trio.Event()
        self._set(LinkState.STARTING, "")
        try:
            await self.start(self)
        except ActorError:
            raise ToolError("busy", f"There is no connection to {self.name} now; try again in a moment.") from None
        finally:
            if not self.started:
                self._set_resting(LinkState.SIGNED_IN)

    def _may_start(self) -> bool:
        return not self.working and self.used_at >= self._failed_at + AGAIN_S

    async def connected(self) -> "McpSession":
        """Return the connection, made if there is none. Raises `SignedOut`, and `ToolError` if it cannot be made."""
        for _ in range(2):  # it may have been closing
            await self.wake()
            await self.settled()
            if self._attempt.connection is not None:
                return self._attempt.connection
        return await super().connected()

    async def call(self, definition: Definition, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Call a tool as `McpLink` does; ask the user to sign in if need be. Raises what that raises."""
        return await self._signing_in(partial(super().call, definition, arguments, context), context)  # type: ignore[no-any-return]

    async def ask(self, request: Callable[["McpSession"], Awaitable[Any]], context: ToolContext | None = None) -> Any:
        """Make a request that only reads; ask the user to sign in if need be. Raises `ToolError`."""
        return await self._signing_in(partial(super().ask, request), context)

    async def _signing_in(self, request: Callable[[], Awaitable[Any]], context: ToolContext | None) -> Any:
        """Make a request, and anew each time that its user has signed in. Raises `ToolError` ``forbidden``."""
        refusal = ""
        for _ in range(ASKS):
            try:
                return await request()
            except SignedOut:
                if context is None:
                    raise ToolError("forbidden", await self._refusal()) from None
                refusal = await self.ask_to_sign_in(context)
        raise ToolError("forbidden", refusal)

    async def ask_to_sign_in(self, context: ToolContext) -> str:
        """Wait until the user of a call has signed in. Return the sentence for a user to whom that does not help.

        Raises `ToolError` with it if they do not sign in, or nobody is there.
        """
        refusal = await self._refusal()
        if not context.attended:
            raise ToolError("forbidden", refusal)
        name = self.title.rpartition(" ")[0] or self.name
        wanted = await self.accounts.wanted(self.owner, self.server)
        needs = "more rights of your account" if wanted is not None else "your account"
        question = Question(
            f"Sign in to {name}"[:200],
            {"type": "object", "properties": {}},
            f"A tool of {self.name} needs {needs} there. Sign in on this server's page.",
            sign_in=self.name,
        )
        try:
            await context.means.asker(question, lambda _: None)
        except QuestionUnanswered:
            raise ToolError("forbidden", refusal) from None
        if not await self.signed_in_for_all():
            raise ToolError("forbidden", refusal)
        return refusal

    async def signed_in_for_all(self) -> bool:
        """Return whether the user is signed in, and for all scopes that the server has named so far."""
        signed_in = await self.accounts.signed_in(self.owner, self.server)
        return signed_in and await self.accounts.wanted(self.owner, self.server) is None

    def sign_in_tool(self) -> Tool:
        """Return the tool that stands for those of a server at which the user is not signed in."""

        @tool(name=f"{self.name}_sign_in", retry_safe=True, timeout_s=60.0)
        async def sign_in(context: ToolContext) -> str:
            await self.ask_to_sign_in(context)
            await self.connected()
            return f"The user is signed in to {self.name}; its tools are there from your next turn on."

        about = f"Ask the user to sign in to {self.name}. Its tools cannot be used, nor seen, before that."
        return self.offer.cached("sign_in", None, lambda: evolve(sign_in, description=about, server=self.name))

    def close(self, rest: LinkState = LinkState.SIGNED_IN) -> None:
        """End the connection, if there is one; the link rests in this state then."""
        self._rest, self._tokens, self._closing = rest, None, True
        if self.working:
            self.end("it is not used any more" if rest is LinkState.SIGNED_IN else "its user is signed out")
        else:
            self._set(rest, "")

    async def serve(self) -> None:
        """Connect, and stay connected while it is used. An error is told by the state."""
        try:
            await super().serve()
        except McpDown as down:
            if not self._closing:
                self._rest, self._failed_at = LinkState.AWAY, trio.current_time()
                log.warning("mcp.user_link_down", extra={"server": self.name, "why": str(down)})
        finally:
            self._set_resting(self._rest)

    async def _serve(self, connection: "McpSession") -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close_when_idle)
            await super()._serve(connection)

    async def _close_when_idle(self) -> None:
        while self.busy or trio.current_time() < self.used_at + IDLE_S:  # noqa: ASYNC110 - until it is not used
            await trio.sleep(max(IDLE_S / 10, self.used_at + IDLE_S - trio.current_time()))
        self.close()

    def _set_resting(self, state: LinkState) -> None:
        self.working = False
        self._set(state, self.why if state is LinkState.AWAY else "")
        self._settled.set()

    async def _token(self, refused: RefusedToken | None) -> str:
        """Return an access token, as `TokenSource` has it.

        The connection goes on if one call alone needs more scopes: one that never came about needs them at all.
        """
        now, known = trio.current_time(), self._tokens
        if known is None or refused is not None or now >= self._checked_at + CHECK_S or self.accounts.due(known):
            refused = refused and evolve(refused, bars=self._attempt.connection is None)
            try:
                known = self._tokens = await self.accounts.tokens(self.owner, self.server, refused)
            except SignedOut:
                self._tokens = None
                if not await self.accounts.signed_in(self.owner, self.server):
                    self.close(LinkState.SIGNED_OUT)
                raise
            self._checked_at = now
        return known.access

    async def _refusal(self) -> str:
        wanted = await self.accounts.wanted(self.owner, self.server)
        if wanted is None:
            return f"You are not signed in to {self.name}. Sign in under “Servers”, and ask again."
        rights = f"more rights ({wanted[:MAX_SCOPE]})" if wanted else "more rights"
        return f"{self.name} needs {rights} for this. A chat that uses it asks you to sign in for them."


@define(eq=False)
class UserLinks:
    """The links of users, by server and user. `spawn` starts the actor of one; `widgets` is as in `McpLink`."""

    accounts: "Accounts"
    spawn: Spawn
    clean: Clean = keep
    widgets: bool = False
    _links: OrderedDict[tuple[str, str], UserLink] = field(factory=OrderedDict, init=False, repr=False)
    _numbers: "count[int]" = field(factory=count, init=False, repr=False)

    def of(self, server: McpServer, owner: str) -> UserLink:
        """Return a user's link to a server."""
        link = self._links.get((server.name, owner))
        if link is None:
            link = UserLink(server, self.clean, self.widgets, owner=owner, accounts=self.accounts, start=self._start)
            self._links[server.name, owner] = link
            if len(self._links) > REMEMBERED:
                resting = next((key for key, entry in self._links.items() if not entry.working), None)
                if resting is not None:
                    del self._links[resting]
        self._links.move_to_end((server.name, owner))
        return link

    async def _start(self, link: UserLink) -> None:
        """Start the actor of a link, and close another one if there are too many. Raises `ToolError` ``busy``."""
        working = [other for other in self._links.values() if other.working and other is not link]
        if len(working) >= CONNECTED:
            idle = min((other for other in working if not other.busy), key=lambda other: other.used_at, default=None)
            if idle is None:
                raise ToolError("busy", f"Too many users are connected to servers like {link.name}; try again later.")
            idle.close()
        who = hashlib.sha256(link.owner.encode(errors="replace")).hexdigest()[:8]
        spec = ChildSpec(
            f"{link.name}-{who}-{next(self._numbers)}",
            partial(McpActor, link),
            restart=Restart.TEMPORARY,
            shutdown_s=SHUTDOWN_S,
        )
        await self.spawn(spec)
