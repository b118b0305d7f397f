"""Event streams over HTTP, and commands of clients without a WebSocket: the same dispatcher, the same limits."""

import logging
import re
import uuid
from collections.abc import Callable
from typing import Final

from attrs import define

from actors import ActorError, ActorRef, ChildSpec, Lane, Restart, StartChild
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionCallbacks, ConnectionLimits
from transport.connection.event_stream import EventStreamConnection, GetOutbox
from transport.server.eventstream import EventStream
from transport.server.translated_stream import wrap_for_log
from transport.wire import commands
from transport.wire.codec import WrapFrame
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected
from transport.wire.events import Alert, Envelope
from transport.wire.messages import Deliver
from understudy.auth.rights import Whose
from understudy.chat.commands import Accepted, CommandDispatcher
from understudy.web.presence import Presence

log = logging.getLogger(__name__)

CONNECTIONLESS: Final = (
    commands.Say, commands.Cancel, commands.Steer, commands.Unsteer, commands.Approve, commands.Respond,
    commands.Disallow, commands.SwitchServer, commands.Undo, commands.Edit, commands.Regenerate, commands.Continue,
    commands.Feedback, commands.UserTyping,
)  # fmt: skip
"""Commands that need no connection. The others concern the connection they came by."""
STARTS_WORK: Final = (commands.Say, commands.Edit, commands.Regenerate, commands.Continue, commands.Steer)
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
WRITE_TIMEOUT_S: Final = 60.0
"""Seconds for one write of about 16 KiB. A client that reads nothing at all is dropped much earlier."""


@define
class EventStreams:
    """Opens event streams. `connections` returns the supervisor under which they run as temporary children.

    `draining`: whether the server is draining; then no stream is opened and no run started.
    """

    callbacks: ConnectionCallbacks
    dispatcher: CommandDispatcher
    presence: Presence
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    draining: Callable[[], bool]

    @property
    def heartbeat_s(self) -> float:
        """Seconds without an event after which a stream sends a heartbeat."""
        return self.limits.heartbeat.interval_s

    async def open(
        self,
        identity: Identity,
        thread_id: str,
        stream: EventStream,
        command: commands.Command,
        *,
        dialect: Dialect = Dialect.CANONICAL,
        wrap_frame: WrapFrame,
        label: str,
        welcome: bool,
    ) -> None:
        """Register a stream, carry out `command` for it, and let it be written from then on.

        `welcome`: whether its first event is a connection's welcome.

        Raises:
            CommandRejected: The user has too many connections, or the command is refused; then the stream is closed.
        """
        self._refuse_if_draining()
        connection_id = uuid.uuid4().hex
        spec = ChildSpec(
            connection_id,
            lambda: EventStreamConnection(
                stream,
                self.callbacks,
                identity,
                thread_id,
                dialect=dialect,
                wrap_frame=wrap_frame,
                label=label,
                connection_id=connection_id,
                limits=self.limits,
            ),
            restart=Restart.TEMPORARY,
        )
        try:
            connection = await self.connections().ask(StartChild(spec))
            outbox = await connection.ask(GetOutbox())
            greeting = await self.callbacks.join(identity, connection_id, outbox)
            if not (stream.open and connection.alive):
                # The stream closed while join() was running; `leave` may have run first, so undo the join.
                self.callbacks.leave(connection_id)
                raise CommandRejected("busy", retry_after=1.0)
            self.presence.restrict_to_thread(connection_id, thread_id)
            if welcome:
                message = f"Connected as {greeting.user}."
                outbox.tell(Deliver(Envelope(greeting, self.callbacks.clock(), message=message)))
            if isinstance(command, commands.Resume) and command.returns:
                self.callbacks.metrics.on_returned()
            await self.callbacks.dispatch(identity, command, outbox)
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, ActorError):
                log.warning("stream.not_started", extra={"reason": str(error)})
                raise CommandRejected("busy", retry_after=1.0) from error
            raise

    async def follow(
        self, identity: Identity, thread_id: str, stream: EventStream, command: commands.Command, label: str
    ) -> None:
        """Open a stream that translates the events itself, or hands them on as the log has them; see `open`."""
        await self.open(identity, thread_id, stream, command, wrap_frame=wrap_for_log, label=label, welcome=False)

    def check_rate(self, identity: Identity, command: commands.Command) -> None:
        """Count a command against its user's rate limits.

        Raises:
            CommandRejected: `rate_limited`, with the time to wait.
        """
        retry_after = self.callbacks.allow(identity, command)
        if retry_after > 0:
            raise CommandRejected("rate_limited", retry_after=retry_after)

    async def run_command(
        self, identity: Identity, command: commands.Command, *, door: str | None = None
    ) -> Accepted | None:
        """Carry out a command that came without a connection. Return the ids of the run it started, if any.

        `door` is the way that it came, if not in a request of its own.

        Raises:
            CommandRejected: The command is refused, or exceeds a rate limit.
        """
        self.callbacks.metrics.on_received(_WORD.sub("_", type(command).__name__).lower())
        self.check_rate(identity, command)
        if isinstance(command, STARTS_WORK):
            self._refuse_if_draining()
        return await self.dispatcher.dispatch(identity, command, None, door=door)

    def _refuse_if_draining(self) -> None:
        if self.draining():
            raise CommandRejected("busy", "The server is going away; come back in a moment.", 1.0)

    def send_alert(self, message: str, whose: Whose) -> int:
        """Send an alert to the connections of the selected users, ahead of queued events. Return their number."""
        envelope = Envelope(Alert(message), self.callbacks.clock(), message=message)
        message_to_all = Deliver(envelope, shared=True)
        sent = 0
        for outbox in self.presence.outboxes_of(whose):
            if outbox.try_tell(message_to_all, lane=Lane.ALERT):
                sent += 1
            else:
                log.warning("alert.declined", extra={"path": outbox.path})
        return sent
