"""The actor of one socket: frames in, commands out. Its child, the outbox, does the other direction.

What a client does wrong is told to it, and the connection lives on. What goes wrong here ends this connection with
1011 and an `error_id`, which the log has too; the client never sees more of it.
"""

import logging
import math
import re
import uuid
from typing import Final

import trio
from attrs import evolve, field, frozen

from actors import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    Crashed,
    Exit,
    Normal,
    Restart,
    Supervision,
    Terminated,
)
from transport.auth import Identity
from transport.codec import parse
from transport.codes import CLOSES, ERRORS
from transport.commands import Ack, ClientPing, Command, Hello, Refresh, Say
from transport.dialects import Dialect
from transport.errors import CommandRejected, SocketClosed, Unauthenticated, new_error_id
from transport.events import Drain, Envelope, Error, Event, Pong
from transport.heartbeat import Heartbeat, keep_alive
from transport.outbox import Deliver, Finish, LogPage, Outbox, OutboxLimits, Speak
from transport.ports import Ports
from transport.socket import Socket

__all__ = ["Close", "Connection", "ConnectionLimits", "Ports"]

_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")

log: Final = logging.getLogger("transport.connection")


@frozen
class Close:
    """Close the socket, after what is queued for it. `reason` None is the code's own."""

    code: int
    reason: str | None = None


@frozen
class _TokenExpired:
    """The token has run out: time to renew it begins."""


@frozen
class ConnectionLimits:
    """Times in seconds. `first_message_s`: for a token in the first message. `renewal_s`: to renew one that ran out.

    `faults`: a client that sends so many refused frames in a row is closed with 1008.
    """

    first_message_s: float = 10.0
    renewal_s: float = 60.0
    drain_s: float = 2.0
    faults: int = 100
    heartbeat: Heartbeat = field(factory=Heartbeat)
    outbox: OutboxLimits = field(factory=OutboxLimits)


class Connection(Actor):
    """One client's socket. Start it as a temporary child; it ends when the socket is closed.

    `identity` None: the first message must bring a token. `provisional`: the identity was given to a socket that
    came without a token, and gives way to a token in the first message. `default_agent` is the agent that the path
    fixes. Takes `Close`, and the event `Drain`, which is sent and followed by 1001.
    """

    supervision = Supervision()

    def __init__(
        self,
        socket: Socket,
        ports: Ports,
        dialect: Dialect,
        *,
        identity: Identity | None = None,
        provisional: bool = False,
        default_agent: tuple[str, str | None] | None = None,
        connection_id: str | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.connection_id = connection_id or uuid.uuid4().hex
        self.identity = identity
        self._provisional = provisional
        self._socket = socket
        self._ports = ports
        self._dialect = dialect
        self._default_agent = default_agent
        self._limits = limits or ConnectionLimits()
        self._outbox: ActorRef
        self._context: Context
        self._expired = False
        self._faults = 0

    async def on_start(self, context: Context) -> None:
        """Start the outbox, the reader and the heartbeat."""
        self._context = context
        self._ports.observer.on_connection(1, self._dialect.value)
        self._outbox = await context.spawn(ChildSpec("outbox", self._new_outbox, restart=Restart.TEMPORARY))
        context.watch(self._outbox)
        context.start_soon(self._read, name="read")
        context.start_soon(keep_alive, self._socket, self._limits.heartbeat, name="heartbeat")

    def _new_outbox(self) -> Outbox:
        ports = self._ports

        async def read_log(thread_id: str, after: int, limit: int) -> LogPage:
            return await ports.read_log(self._known(), thread_id, after, limit)

        return Outbox(
            self._socket,
            self._dialect,
            encoder=ports.encoder,
            read_log=read_log,
            want_snapshot=lambda thread_id: ports.want_snapshot(self._known(), thread_id, self._outbox),
            observer=ports.observer,
            limits=self._limits.outbox,
            clock=ports.clock,
        )

    async def receive(self, message: object, context: Context) -> None:
        """Take Drain, Close, and the end of the outbox."""
        match message:
            case Drain():
                self._tell(message, f"The server is going away; come back in {message.reconnect_after_s:g} s.")
                self._finish(1001)
            case Close(code, reason):
                self._finish(code, reason)
            case _TokenExpired():
                self._expire()
            case Terminated(reason=reason):
                if self._socket.open and reason.abnormal:
                    error_id = self._log_fault(reason.error if isinstance(reason, Crashed) else None)
                    await self._socket.close(1011, f"internal error {error_id}")
                context.stop()

    async def on_stop(self, _: Context, reason: Exit) -> None:
        """Close the socket, if nobody has yet, with the code that fits the end."""
        code = 1011 if isinstance(reason, Crashed) else 1000 if isinstance(reason, Normal) else 1001
        await self._socket.close(code, CLOSES[code].reason)
        self._ports.observer.on_closed(self._socket.code or code)
        self._ports.observer.on_connection(-1, self._dialect.value)

    # Frames in

    async def _read(self) -> None:
        try:
            await self._converse()
        except SocketClosed:
            self._context.stop()
        except Exception as error:  # the boundary: whatever it is, it costs this connection and no other
            error_id = self._log_fault(error)
            self._refuse(CommandRejected("internal"), error_id)
            self._finish(1011, f"internal error {error_id}")

    async def _converse(self) -> None:
        if self.identity is not None and not await self._join(self.identity):
            return
        if (self.identity is None or self._provisional) and not await self._first():
            return
        while True:
            command = await self._next()
            if command is not None:
                await self._take(command)
            elif self._faults >= self._limits.faults:
                self._finish(1008, "too many faulty messages")
                return

    async def _next(self) -> Command | None:
        """The next command; None after a frame that is none, which the client is told."""
        try:
            command = parse(await self._socket.receive(), default_agent=self._default_agent)
        except CommandRejected as rejected:
            self._faults += 1
            self._ports.observer.on_received("rejected")
            self._refuse(rejected)
            return None
        self._faults = 0
        self._ports.observer.on_received(_WORD.sub("_", type(command).__name__).lower())
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
            identity = self._ports.verify(token)
        except Unauthenticated as refused:
            self._refuse(CommandRejected(refused.code, refused.message))
            return self._finish(4401)
        return await self._join(identity)

    async def _join(self, identity: Identity) -> bool:
        try:
            welcome = await self._ports.join(identity, self.connection_id, self._outbox)
        except CommandRejected as rejected:
            self._refuse(rejected)
            return self._finish(_CLOSE_FOR.get(rejected.code, 1013))
        self.identity = identity
        self._watch_expiry(identity)
        self._tell(welcome, f"Connected as {identity.user}.")
        return True

    async def _take(self, command: Command) -> None:
        try:
            match command:
                case Hello(batch=batch, html=html):
                    self._outbox.tell(Speak(batch, html))
                case ClientPing(nonce=nonce):
                    self._tell(Pong(nonce), "pong")
                case Refresh(session_token=token):
                    self._renew(token)
                case Ack():
                    pass  # counted like every command; the client names its place again when it resumes
                case _:
                    await self._dispatch(command)
        except CommandRejected as rejected:
            self._refuse(rejected, about=command)

    async def _dispatch(self, command: Command) -> None:
        identity = self._known()
        if self._expired:
            raise CommandRejected("token_expired")
        retry_after = self._ports.allow(identity, command)
        if retry_after > 0:
            raise CommandRejected("rate_limited", retry_after=retry_after)
        await self._ports.dispatch(identity, command, self._outbox)

    # The token

    def _known(self) -> Identity:
        assert self.identity is not None, "nothing is asked for a client that is not known yet"  # noqa: S101
        return self.identity

    def _watch_expiry(self, identity: Identity) -> None:
        self._expired = False
        self._context.cancel_timer("token")
        left_s = identity.expires_at - self._ports.clock()
        if math.isfinite(left_s):
            self._context.set_timer("token", max(0.0, left_s), _TokenExpired())

    def _expire(self) -> None:
        self._expired = True
        self._refuse(CommandRejected("token_expired"))
        self._context.set_timer("token", self._limits.renewal_s, Close(4401, "token expired"))

    def _renew(self, token: str) -> None:
        try:
            identity = self._ports.verify(token)
        except Unauthenticated as refused:
            raise CommandRejected(refused.code, refused.message) from refused
        known = self._known()
        if (identity.user, identity.session, identity.tenant) != (known.user, known.session, known.tenant):
            raise CommandRejected("forbidden", "That token is for another session.")
        self.identity = identity
        self._watch_expiry(identity)

    # Events out

    def _tell(self, event: Event, message: str, about: Say | None = None) -> None:
        envelope = Envelope(event, self._ports.clock(), message=message)
        if about is not None:
            names = {name: getattr(about, name) for name in ("thread_id", "message_id", "conversation_id")}
            envelope = evolve(envelope, **names)
        self._outbox.tell(Deliver(envelope))

    def _refuse(self, rejected: CommandRejected, error_id: str | None = None, about: Command | None = None) -> None:
        """Tell the client that it was refused; of a message, which one, by the names the client gave it.

        The log has the `error_id` that the client is told, and nothing of what it sent.
        """
        self._ports.observer.on_error(rejected.code)
        error_id = error_id or new_error_id()
        extra = {"code": rejected.code, "error_id": error_id, "connection_id": self.connection_id}
        log.log(logging.WARNING if rejected.code in _OUR_FAULT else logging.INFO, "command.refused", extra=extra)
        retryable = ERRORS[rejected.code].retryable
        told = Error(rejected.code, rejected.message, retryable, error_id, rejected.retry_after)
        self._tell(told, rejected.message, about if isinstance(about, Say) else None)

    def _finish(self, code: int, reason: str | None = None) -> bool:
        """Close after what is queued. Always False: it is over."""
        known = CLOSES.get(code)
        text = reason if reason is not None else known.reason if known is not None else ""
        self._outbox.tell(Finish(code, text, self._limits.drain_s))
        return False

    def _log_fault(self, error: Exception | None) -> str:
        error_id = new_error_id()
        extra = {"error_id": error_id, "connection_id": self.connection_id}
        log.error("connection.failed", exc_info=error, extra=extra)
        return error_id


_OUR_FAULT: Final = frozenset({"busy", "internal", "storage_unavailable"})
_CLOSE_FOR: Final = {"unauthenticated": 4401, "token_expired": 4401, "forbidden": 4403, "rate_limited": 4429}
