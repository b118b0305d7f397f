"""The actor of one WebSocket: it parses frames and dispatches commands. Its child, the outbox, sends events.

A client's error is answered with an `Error`, and the connection goes on. A server error ends this connection with 1011
and an `error_id` that is also in the log; the client sees no details.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Final

import trio
from attrs import evolve, frozen

from actors import ActorDied, Context, Exit
from transport.auth.identity import Identity
from transport.connection.base import ClientConnection
from transport.connection.callbacks import ConnectionCallbacks, ConnectionLimits
from transport.connection.heartbeat import beat
from transport.connection.limits import TokenBucket
from transport.server.socket import Socket
from transport.wire.commands import Ack, Chunk, ClientPing, Command, Hello, Refresh, Resume
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected, SocketClosed, Unauthenticated, UnsupportedData
from transport.wire.events import Pong
from transport.wire.messages import Acked, Close, arrived_at
from transport.wire.payloads import ChunkAssembler, ClientCapabilities

log: Final = logging.getLogger("transport.connection.websocket")


@frozen
class _PeriodicCheck:
    """A ping is due, or the token expires."""


class WebSocketConnection(ClientConnection):
    """One client's socket. Start it as a temporary child, then run `serve_socket`; it ends when the socket is closed.

    `identity` None: the first message must bring a token. `given_token`: the token of an anonymous session, issued to a
    socket that came without one; the welcome carries it, and a token in the first message replaces both.
    Receives `Close`, and the event `Drain`, which is sent to the client; then no run is started, and a close with 1001
    follows after `closes_in_s`.
    """

    __slots__ = (
        "_assembler", "_close_with", "_expired", "_fault_limit", "_given_token", "_parse", "_resumed", "_socket",
    )  # fmt: skip

    def __init__(
        self,
        socket: Socket,
        callbacks: ConnectionCallbacks,
        dialect: Dialect,
        *,
        identity: Identity | None = None,
        given_token: str | None = None,
        connection_id: str | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        super().__init__(
            socket,
            callbacks,
            dialect,
            identity=identity,
            connection_id=connection_id,
            limits=limits,
            label=dialect.value,
        )
        self._given_token = given_token
        self._socket = socket
        self._parse = callbacks.vocabulary.parser.parse_frame
        self._expired = False
        self._resumed = False
        self._fault_limit: TokenBucket | None = None
        self._close_with: tuple[int, str] | None = None  # close code and reason, once set
        self._assembler: ChunkAssembler | None = None

    @property
    def close_code(self) -> int | None:
        """The code with which the socket was closed, 1006 if the connection was lost; None while it is open."""
        return self._socket.code

    async def on_start(self, context: Context) -> None:
        """Start the outbox and the heartbeat."""
        await super().on_start(context)
        self._set_check_timer()

    def _set_check_timer(self) -> None:
        """Set the timer for the next ping or the token's expiry: one timer for both, as there are many connections."""
        due_s = self._limits.heartbeat.next_s(self._socket)
        if self.identity is not None and not self._expired:
            due_s = min(due_s, max(0.0, self.identity.expires_at - self._callbacks.clock()))
        self._context.set_timer("look", due_s, _PeriodicCheck())

    async def receive(self, message: object, context: Context) -> None:
        """Handle the periodic check, and the messages of every ClientConnection."""
        if not isinstance(message, _PeriodicCheck):
            await super().receive(message, context)
            return
        if self.identity is not None and not self._expired and self._callbacks.clock() >= self.identity.expires_at:
            self._token_expired()
        if self._assembler is not None:
            self._assembler.expire(trio.current_time())
        if self._socket.rtt_s is not None:
            self._callbacks.metrics.on_ponged(self._socket.rtt_s)
            self._last_rtt_s, self._socket.rtt_s = self._socket.rtt_s, None
        if await beat(self._socket, self._limits.heartbeat):
            self._set_check_timer()

    async def on_stop(self, context: Context, reason: Exit) -> None:
        """Release partial frames, and close as every ClientConnection does."""
        if self._assembler is not None:
            self._assembler.close()
        await super().on_stop(context, reason)

    # Receiving

    async def serve_socket(self) -> None:
        """Handle the client's frames until the socket is closed or the actor ends (a `SocketHandler`).

        Run this in the task that accepted the socket, once the actor has started; so the actor needs no task of its
        own.
        """
        try:
            first_decides = self.identity is None or self._given_token is not None
            joined = self.identity is None or await self._join(self.identity)
            self._given_token = None  # the welcome has carried it
            if joined and first_decides:
                joined = await self._handle_first_message()
            while joined and self._close_with is None:
                command = await self._receive_command()
                if command is not None:
                    await self._handle_command(command)
            if joined and self._close_with is not None:
                self._close_when_drained(*self._close_with)
        except SocketClosed:
            with suppress(ActorDied):  # the actor may have been killed
                self._context.stop()
        except Exception as error:  # the boundary: any error ends this connection only
            error_id = self._log_failure(error)
            self._send_refusal(CommandRejected("internal"), error_id)
            self._close_when_drained(1011, f"internal error {error_id}")
        await self._socket.wait_closed()

    async def _receive_command(self) -> Command | None:
        """Receive the next command. Return None after an invalid frame, which was answered with an error."""
        try:
            frame = await self._socket.receive()
            arrived_at.set(self._callbacks.clock())
            command = self._parse(frame)
            if isinstance(command, Chunk):
                command = await self._assemble(command)
        except CommandRejected as rejected:
            if self._fault_limit is None:
                self._fault_limit = TokenBucket(self._limits.faults_per_min, self._limits.faults_per_min)
            if self._fault_limit.take(trio.current_time()) > 0:
                self._close_with = 1008, "too many faulty messages"
            if isinstance(rejected, UnsupportedData):
                self._close_with = 1003, rejected.message
            self._callbacks.metrics.on_received("rejected")
            self._send_refusal(rejected, names=rejected.names)
            return None
        self._callbacks.metrics.on_received(command.metric_name)
        return command

    async def _assemble(self, command: Command) -> Command:
        """Return the command that the chunks starting with this one hold. Each chunk is one frame."""
        while isinstance(command, Chunk):
            if self.identity is None:
                raise CommandRejected("unauthenticated", "The first message, with the token, is one frame.")
            if self._assembler is None:
                limits, budget = self._limits, self._callbacks.chunk_budget
                self._assembler = ChunkAssembler(limits.chunks_bytes, limits.chunk_s, budget)
            text = self._assembler.add(command, trio.current_time())
            if text is None:
                command = self._parse(await self._socket.receive())
                continue
            read = partial(self._parse, text)
            command = await trio.to_thread.run_sync(read)  # up to chunks_bytes
            if isinstance(command, Chunk):
                raise CommandRejected("invalid_command", "A chunk cannot hold another one.")
        return command

    async def _handle_first_message(self) -> bool:
        """Handle the first message, which must bring a token if there is no identity. Return whether to go on."""
        token_needed = self.identity is None
        if token_needed:
            with trio.move_on_after(self._limits.first_message_s) as scope:
                command = await self._receive_command()
            if scope.cancelled_caught:
                return self._close_when_drained(4408, "no first message")
            if command is None:
                return self._close_when_drained(4400)
        else:  # an idle connection holds no scope
            command = await self._receive_command()
        token = getattr(command, "session_token", None)
        if (token is not None or token_needed) and not await self._authenticate(token):
            return False
        if command is not None:
            await self._handle_command(command)
        return True

    async def _authenticate(self, token: str | None) -> bool:
        try:
            if token is None:
                raise Unauthenticated("unauthenticated")
            identity = await self._callbacks.verify(token)
        except Unauthenticated as refused:
            self._send_refusal(CommandRejected(refused.code, refused.message))
            return self._close_when_drained(4401)
        return await self._join(identity)

    async def _join(self, identity: Identity) -> bool:
        try:
            welcome = await self._callbacks.join(identity, self.connection_id, self._outbox)
        except CommandRejected as rejected:
            self._send_refusal(rejected)
            code = _CLOSE_FOR.get(rejected.code, 1013)
            # Clients show the close reason, so for a limit it names the limit.
            return self._close_when_drained(code, rejected.message if rejected.code == "rate_limited" else None)
        if not self._socket.open:  # join() awaits storage; the actor may have been stopped meanwhile
            self._callbacks.leave(self.connection_id)
            raise SocketClosed(1006, "closed while joining")
        self._set_identity(identity)
        if self._given_token is not None:
            welcome = evolve(welcome, session_token=self._given_token)
        self._send_event(welcome, f"Connected as {identity.user}.")
        return True

    async def _handle_command(self, command: Command) -> None:
        """Carry out a command, or send the client an error that says why not.

        A command beyond its rate limit is dropped without an error if the next one supersedes it.
        """
        identity = self.identity
        assert identity is not None, "the first message has brought a token"  # noqa: S101
        try:
            retry_after = self._callbacks.allow(identity, command)
            if retry_after > 0:
                if not command.superseded:
                    raise CommandRejected("rate_limited", retry_after=retry_after)
                self._callbacks.metrics.on_ignored(command.metric_name)
                return
            match command:
                case Hello(batch=batch, chunk=chunk, gzip=gzip):
                    self._outbox.tell(ClientCapabilities(batch, chunk, gzip))
                case ClientPing(nonce=nonce):
                    self._send_event(Pong(nonce), "pong")
                case Refresh(session_token=token):
                    await self._renew(token)
                case Ack(thread_id=thread_id, seq=seq):
                    self._outbox.tell(Acked(thread_id, seq))
                case _ if self._expired:
                    raise CommandRejected("token_expired")
                case Command(starts_work=True) if self._reconnect_after_s is not None:
                    text = "The server is going away; come back in a moment."
                    raise CommandRejected("busy", text, self._reconnect_after_s)
                case _:
                    if isinstance(command, Resume) and not self._resumed:  # later ones subscribe to further threads
                        self._resumed = True
                        if command.returns:
                            self._callbacks.metrics.on_returned()
                    await self._callbacks.dispatch(identity, command, self._outbox)
        except CommandRejected as rejected:
            self._send_refusal(rejected, names={**self._names_of(command), **rejected.names})

    def _names_of(self, command: Command) -> Mapping[str, str]:
        """Return members of an envelope by which a refusal names a command."""
        ids = {name: getattr(command, name, None) for name in self._callbacks.vocabulary.envelope.client_names}
        return {**{name: value for name, value in ids.items() if value is not None}, **command.names()}

    # The token

    def _set_identity(self, identity: Identity) -> None:
        if identity == self.identity and not self._expired:
            return
        self.identity, self._expired = identity, False
        self._context.cancel_timer("renewal")
        self._set_check_timer()

    def _token_expired(self) -> None:
        self._expired = True
        self._send_refusal(CommandRejected("token_expired"))
        self._context.set_timer("renewal", self._limits.renewal_s, Close(4401, "token expired"))

    async def _renew(self, token: str) -> None:
        try:
            identity = await self._callbacks.verify(token)
        except Unauthenticated as refused:
            raise CommandRejected(refused.code, refused.message) from refused
        current = self._require_identity()
        if (identity.user, identity.tenant) != (current.user, current.tenant):
            # The client now acts for another user, who must not see this user's events.
            self._close_with = 4403, "That token is for another user."
            raise CommandRejected("forbidden", self._close_with[1])
        if identity.session != current.session:
            raise CommandRejected("forbidden", "That token is for another session.")
        self._set_identity(identity)


_CLOSE_FOR: Final = {"unauthenticated": 4401, "token_expired": 4401, "forbidden": 4403, "rate_limited": 4429}
