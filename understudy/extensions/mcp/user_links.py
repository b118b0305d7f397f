"""Connections of single users to servers at which users sign in: opened when used, and closed when idle.

1. A connection sends only the token of its user, and carries only that user's calls and questions.
2. A call of a user who is signed out has no effect: the user is asked to sign in, and then the call is made.
3. At most `CONNECTED` connections are open at a time; the least recently used one is closed to make room.
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
"""Limit of open connections of users, each with a few tasks and a socket."""
REMEMBERED: Final = 2_000
"""Limit of users' links that are kept, with their tools; beyond it the least recently used one is dropped."""
CHECK_S: Final = 5.0
"""Seconds for which a token is used without checking whether its user has signed out on another node."""
MAX_SCOPE: Final = 200
"""Limit in characters of a server's scopes in a sentence."""
ASKS: Final = 3
"""Limit of the sign-ins that one call asks its user for."""

Spawn = Callable[[ChildSpec], Awaitable[object]]


@define(eq=False)
class UserLink(McpLink):
    """One user's link to a server, connected or not."""

    owner: str = field(default="", kw_only=True)
    accounts: "Accounts" = field(kw_only=True, repr=False)
    start: Callable[["UserLink"], Awaitable[object]] = field(kw_only=True, repr=False)
    used_at: float = field(factory=trio.current_time, init=False)
    working: bool = field(default=False, init=False)  # whether an actor makes or keeps the connection
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
        """Whether a call is open."""
        return self._attempt.connection is not None and bool(self._attempt.connection.calls.all)

    async def look(self) -> bool:
        """Read whether the user is signed in, perhaps at another node, and update the state. Return the finding."""
        signed_in = await self.accounts.signed_in(self.owner, self.server)
        if not self.working and not signed_in:
            self._set(LinkState.SIGNED_OUT, "")
        elif not self.working and self.state is not LinkState.AWAY:
            self._set(LinkState.SIGNED_IN, "")
        return signed_in

    async def wake(self) -> None:
        """Start to connect, unless it is connected or connecting already.

        Raises `SignedOut` if the user is not signed in, and `ToolError` ``busy`` if there are too many connections.
        """
        self.used_at = trio.current_time()
        if self.working:
            return
        if not await self.look():
            raise SignedOut
        if not self._may_start():  # another task has started it meanwhile
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
        """Return the connection, opening it if necessary. Raises `SignedOut`, and `ToolError` if that fails."""
        for _ in range(2):  # a connection that was just closing is opened again
            await self.wake()
            await self.settled()
            if self._attempt.connection is not None:
                return self._attempt.connection
        return await super().connected()

    async def call(self, definition: Definition, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Call a tool, see `McpLink.call`; ask the user to sign in if necessary. Raises EffectUnknown, ToolError."""
        return await self._signing_in(partial(super().call, definition, arguments, context), context)  # type: ignore[no-any-return]

    async def ask(self, request: Callable[["McpSession"], Awaitable[Any]], context: ToolContext | None = None) -> Any:
        """Make a read-only request; ask the user to sign in if necessary. Raises `ToolError`."""
        return await self._signing_in(partial(super().ask, request), context)

    async def _signing_in(self, request: Callable[[], Awaitable[Any]], context: ToolContext | None) -> Any:
        """Make a request, and repeat it each time that its user has signed in. Raises `ToolError` ``forbidden``."""
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
        """Ask the user of a call to sign in, and wait for it. Return the refusal to use if the sign-in does not help.

        Raises `ToolError` with this refusal if they do not sign in, or no user is present.
        """
        refusal = await self._refusal()
        if not context.attended:
            raise ToolError("forbidden", refusal)
        name = self.title.rpartition(" ")[0] or self.name
        scopes = await self.accounts.wanted(self.owner, self.server)
        needs = "more rights of your account" if scopes is not None else "your account"
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
        """Return whether the user is signed in with all scopes that the server has asked for so far."""
        signed_in = await self.accounts.signed_in(self.owner, self.server)
        return signed_in and await self.accounts.wanted(self.owner, self.server) is None

    def sign_in_tool(self) -> Tool:
        """Return a tool that asks the user to sign in; it replaces the server's tools while they are signed out."""

        @tool(name=f"{self.name}_sign_in", retry_safe=True, timeout_s=60.0)
        async def sign_in(context: ToolContext) -> str:
            await self.ask_to_sign_in(context)
            await self.connected()
            return f"The user is signed in to {self.name}; its tools are there from your next turn on."

        description = f"Ask the user to sign in to {self.name}. Its tools cannot be used, nor seen, before that."
        return self.offer.cached("sign_in", None, lambda: evolve(sign_in, description=description, server=self.name))

    def close(self, rest: LinkState = LinkState.SIGNED_IN) -> None:
        """Close the connection, if there is one. The link has the state `rest` afterwards."""
        self._rest, self._tokens, self._closing = rest, None, True
        if self.working:
            self.end("it is not used any more" if rest is LinkState.SIGNED_IN else "its user is signed out")
        else:
            self._set(rest, "")

    async def serve(self) -> None:
        """Connect, and stay connected while it is used. An error is not raised, but shown by the state."""
        try:
            await super().serve()
        except McpDown as error:
            if not self._closing:
                self._rest, self._failed_at = LinkState.AWAY, trio.current_time()
                log.warning("mcp.user_link_down", extra={"server": self.name, "why": str(error)})
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
        """Return an access token, as a `TokenSource`. A refusal bars the sign-in only if the connection was never made;
        later it concerns the scopes of one call."""
        now, tokens = trio.current_time(), self._tokens
        if tokens is None or refused is not None or now >= self._checked_at + CHECK_S or self.accounts.due(tokens):
            refused = refused and evolve(refused, bars=self._attempt.connection is None)
            try:
                tokens = self._tokens = await self.accounts.tokens(self.owner, self.server, refused)
            except SignedOut:
                self._tokens = None
                if not await self.accounts.signed_in(self.owner, self.server):
                    self.close(LinkState.SIGNED_OUT)
                raise
            self._checked_at = now
        return tokens.access

    async def _refusal(self) -> str:
        scopes = await self.accounts.wanted(self.owner, self.server)
        if scopes is None:
            return f"You are not signed in to {self.name}. Sign in under “Servers”, and ask again."
        rights = f"more rights ({scopes[:MAX_SCOPE]})" if scopes else "more rights"
        return f"{self.name} needs {rights} for this. A chat that uses it asks you to sign in for them."


@define(eq=False)
class UserLinks:
    """The links of users, by server and user. `spawn` starts the actor of a link; for `widgets` see `McpLink`."""

    accounts: "Accounts"
    spawn: Spawn
    clean: Clean = keep
    widgets: bool = False
    _links: OrderedDict[tuple[str, str], UserLink] = field(factory=OrderedDict, init=False, repr=False)
    _numbers: "count[int]" = field(factory=count, init=False, repr=False)

    def of(self, server: McpServer, owner: str) -> UserLink:
        """Return a user's link to a server, making it if necessary."""
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
        """Start the actor of a link, closing an idle link if there are too many. Raises `ToolError` ``busy``."""
        working = [other for other in self._links.values() if other.working and other is not link]
        if len(working) >= CONNECTED:
            idle = min((other for other in working if not other.busy), key=lambda other: other.used_at, default=None)
            if idle is None:
                raise ToolError("busy", f"Too many users are connected to servers like {link.name}; try again later.")
            idle.close()
        owner_digest = hashlib.sha256(link.owner.encode(errors="replace")).hexdigest()[:8]
        spec = ChildSpec(
            f"{link.name}-{owner_digest}-{next(self._numbers)}",
            partial(McpActor, link),
            restart=Restart.TEMPORARY,
            shutdown_s=SHUTDOWN_S,
        )
        await self.spawn(spec)
