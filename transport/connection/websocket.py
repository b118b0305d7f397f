"""The actor of one socket: frames in, commands out. Its child, the outbox, does the other direction.

What a client does wrong is told to it, and the connection lives on. What goes wrong here ends this connection with
1011 and an `error_id`, which the log has too; the client never sees more of it.
"""

import logging
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import trio
from attrs import evolve, frozen

from actors import ActorDied, Context, Exit
from transport.auth.identity import Identity
from transport.connection.base import Link
from transport.connection.callbacks import ConnectionLimits, Ports
from transport.connection.heartbeat import beat
from transport.connection.limits import UNTOLD, TokenBucket
from transport.outbox.outbox import Rendered, Speak
from transport.server.arrival import arrived_at
from transport.server.socket import Socket
from transport.wire.chunks import Assembler
from transport.wire.codec import parse
from transport.wire.command_parser import NAMES, asked_names
from transport.wire.commands import Ack, Chunk, ClientPing, Command, Edit, Hello, Refresh, Regenerate, Resume, Say
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected, SocketClosed, Unauthenticated, UnsupportedData
from transport.wire.events import Pong
from transport.wire.messages import Close

__all__ = ["Close", "Connection", "ConnectionLimits", "Ports"]

_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")

log: Final = logging.getLogger("transport.connection.websocket")


@frozen
class _Look:
    """Time for a ping, or for the end of a token."""


class Connection(Link):
    """One client's socket. Start it as a temporary child, then run `read`; it ends when the socket is closed.

    `identity` None: the first message must bring a token. `given_token`: the identity was given, with this token, to a
    socket that came without one; the welcome carries it, and both give way to a token in the first message.
    `default_agent` is the agent that the path fixes. Takes `Close`, and the event `Drain`: it is sent, no
    more work is begun, and 1001 follows after its `closes_in_s`.
    """

    __slots__ = ("_assembler", "_default_agent", "_expired", "_faults", "_given", "_resumed", "_socket", "_unfit")

    def __init__(
        self,
        socket: Socket,
        ports: Ports,
        dialect: Dialect,
        *,
        identity: Identity | None = None,
        given_token: str | None = None,
        default_agent: tuple[str, str | None] | None = None,
        connection_id: str | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        super().__init__(
            socket, ports, dialect, identity=identity, connection_id=connection_id, limits=limits, label=dialect.value
        )
        self._given = (identity, given_token)
        self._socket = socket
        self._default_agent = default_agent
        self._expired = False
        self._resumed = False
        self._faults: TokenBucket | None = None
        self._unfit: tuple[int, str] | None = None  # the close code and reason, once this client is not heard any more
        self._assembler: Assembler | None = None

    async def on_start(self, context: Context) -> None:
        """Start the outbox and the heartbeat."""
        await super().on_start(context)
        self._plan()

    def _plan(self) -> None:
        """Look again when a ping is due, or the token runs out: one timer for both, as there are many connections."""
        due_s = self._limits.heartbeat.next_s(self._socket)
        if self.identity is not None and not self._expired:
            due_s = min(due_s, max(0.0, self.identity.expires_at - self._ports.clock()))
        self._context.set_timer("look", due_s, _Look())

    async def receive(self, message: object, context: Context) -> None:
        """Take what every link takes."""
        if not isinstance(message, _Look):
            await super().receive(message, context)
            return
        if self.identity is not None and not self._expired and self._ports.clock() >= self.identity.expires_at:
            self._expire()
        if self._assembler is not None:
            self._assembler.expire(trio.current_time())
        if await beat(self._socket, self._limits.heartbeat):
            self._plan()

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Forget the parts that came; end as every link does."""
        if self._assembler is not None:
            self._assembler.close()
        await super().on_stop(context, reason)

    # Frames in

    async def read(self) -> None:
        """Take the client's frames until the socket is closed or the actor ends.

        For the task that accepted the socket, once the actor has started: one of the actor's own would be one more.
        """
        try:
            await self._converse()
        except SocketClosed:
            with suppress(ActorDied):  # it was killed, perhaps
                self._context.stop()
        except Exception as error:  # the boundary: whatever it is, it costs this connection and no other
            error_id = self._log_fault(error)
            self._refuse(CommandRejected("internal"), error_id)
            self._finish(1011, f"internal error {error_id}")
        await self._socket.wait_closed()

    async def _converse(self) -> None:
        if self.identity is not None and not await self._join(self.identity):
            return
        if (self.identity is None or self._given[1] is not None) and not await self._first():
            return
        while self._unfit is None:
            command = await self._next()
            if command is not None:
                await self._take(command)
        self._finish(*self._unfit)

    async def _next(self) -> Command | None:
        """The next command; None after a frame that is none, which the client is told."""
        try:
            frame = await self._socket.receive()
            arrived_at.set(self._ports.clock())
            command = await self._whole(parse(frame, default_agent=self._default_agent))
        except CommandRejected as rejected:
            if self._faults is None:
                self._faults = TokenBucket(self._limits.faults_per_min, self._limits.faults_per_min)
            if self._faults.take(trio.current_time()) > 0:
                self._unfit = 1008, "too many faulty messages"
            if isinstance(rejected, UnsupportedData):
                self._unfit = 1003, rejected.message
            self._ports.observer.on_received("rejected")
            self._refuse(rejected, names=rejected.names)
            return None
        self._ports.observer.on_received(_name_of(command))
        return command

    async def _whole(self, command: Command) -> Command:
        """The command itself, or the one whose first part it is. The limit of a frame is that of a part."""
        while isinstance(command, Chunk):
            if self.identity is None:
                raise CommandRejected("unauthenticated", "The first message, with the token, is one frame.")
            if self._assembler is None:
                limits, room = self._limits, self._ports.chunk_room
                self._assembler = Assembler(limits.chunks_bytes, limits.chunk_s, room)
            text = self._assembler.add(command, trio.current_time())
            if text is None:
                command = parse(await self._socket.receive(), default_agent=self._default_agent)
                continue
            read = partial(parse, text, default_agent=self._default_agent)
            command = await trio.to_thread.run_sync(read)  # megabytes, perhaps
            if isinstance(command, Chunk):
                raise CommandRejected("invalid_command", "A chunk cannot hold another one.")
        return command

    async def _first(self) -> bool:
        """The first message, which may, and for a socket without identity must, bring a token. False: it is over."""
        needed = self.identity is None
        command = None
        with trio.move_on_after(self._limits.first_message_s if needed else math.inf):
            command = await self._next()
            if command is None and needed:
                return self._finish(4400)
        token = getattr(command, "session_token", None)
        if command is None and needed:
            return self._finish(4408, "no first message")
        if (token is not None or needed) and not await self._adopt(token):
            return False
        if command is not None:
            await self._take(command)
        return True

    async def _adopt(self, token: str | None) -> bool:
        try:
            if token is None:
                raise Unauthenticated("unauthenticated")
            identity = await self._ports.verify(token)
        except Unauthenticated as refused:
            self._refuse(CommandRejected(refused.code, refused.message))
            return self._finish(4401)
        return await self._join(identity)

    async def _join(self, identity: Identity) -> bool:
        try:
            welcome = await self._ports.join(identity, self.connection_id, self._outbox)
        except CommandRejected as rejected:
            self._refuse(rejected)
            code = _CLOSE_FOR.get(rejected.code, 1013)
            # Clients show the reason of the close, so that of a limit says which one it is.
            return self._finish(code, rejected.message if rejected.code == "rate_limited" else None)
        if not self._socket.open:  # the actor has ended meanwhile, perhaps
            self._ports.leave(self.connection_id)
            raise SocketClosed(1006, "closed while joining")
        self._adopt_identity(identity)
        given_to, token = self._given
        if token is not None and given_to == identity:
            welcome = evolve(welcome, session_token=token)
        self._tell(welcome, f"Connected as {identity.user}.")
        return True

    async def _take(self, command: Command) -> None:
        try:
            if not self._allowed(command):
                return
            match command:
                case Hello(batch=batch, chunk=chunk, gzip=gzip, html=html):
                    self._outbox.tell(Speak(batch, chunk, gzip, html))
                case ClientPing(nonce=nonce):
                    self._tell(Pong(nonce), "pong")
                case Refresh(session_token=token):
                    await self._renew(token)
                case Ack(thread_id=thread_id, seq=seq):
                    self._outbox.tell(Rendered(thread_id, seq))
                case _:
                    await self._dispatch(command)
        except CommandRejected as rejected:
            self._refuse(rejected, names={**_names_of(command), **rejected.names})

    def _allowed(self, command: Command) -> bool:
        """Whether it is to be done; one that comes too often is refused, or, if it may be lost, not taken."""
        retry_after = self._ports.allow(self._known(), command)
        if retry_after <= 0:
            return True
        if type(command) not in UNTOLD:
            raise CommandRejected("rate_limited", retry_after=retry_after)
        self._ports.observer.on_ignored(_name_of(command))
        return False

    async def _dispatch(self, command: Command) -> None:
        if self._expired:
            raise CommandRejected("token_expired")
        if self._leaving is not None and isinstance(command, _BEGINS_WORK):
            raise CommandRejected("busy", "The server is going away; come back in a moment.", self._leaving)
        if isinstance(command, Resume) and not self._resumed:  # later ones open further threads
            self._resumed = True
            if command.returns:
                self._ports.observer.on_returned()
        await self._ports.dispatch(self._known(), command, self._outbox)

    # The token

    def _adopt_identity(self, identity: Identity) -> None:
        self.identity, self._expired = identity, False
        self._context.cancel_timer("renewal")
        self._plan()

    def _expire(self) -> None:
        self._expired = True
        self._refuse(CommandRejected("token_expired"))
        self._context.set_timer("renewal", self._limits.renewal_s, Close(4401, "token expired"))

    async def _renew(self, token: str) -> None:
        try:
            identity = await self._ports.verify(token)
        except Unauthenticated as refused:
            raise CommandRejected(refused.code, refused.message) from refused
        known = self._known()
        if (identity.user, identity.tenant) != (known.user, known.tenant):
            # The client speaks for somebody else now, who must not be shown what is this user's.
            self._unfit = 4403, "That token is for another user."
            raise CommandRejected("forbidden", self._unfit[1])
        if identity.session != known.session:
            raise CommandRejected("forbidden", "That token is for another session.")
        self._adopt_identity(identity)


def _name_of(command: Command) -> str:
    return _WORD.sub("_", type(command).__name__).lower()


def _names_of(command: Command) -> Mapping[str, str]:
    """The client's names for a message it said, with the agent that is for, or for the one a command is about."""
    names = {name: value for name in NAMES if (value := getattr(command, name, None)) is not None}
    if isinstance(command, Edit):
        names["message_id"] = command.new_message_id or command.message_id
    if isinstance(command, Say):
        names |= asked_names(command.agent_type, command.pillar)
    return names


_BEGINS_WORK: Final = (Say, Edit, Regenerate)
_CLOSE_FOR: Final = {"unauthenticated": 4401, "token_expired": 4401, "forbidden": 4403, "rate_limited": 4429}
