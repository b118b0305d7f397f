"""Event streams over HTTP, and the commands of clients that have no socket: the same desk, the same limits."""

import logging
import re
import uuid
from collections.abc import Callable
from typing import Final

from attrs import define

from actors import ActorError, ActorRef, ChildSpec, Lane, Restart, StartChild
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionCallbacks
from transport.connection.event_stream import EventStreamConnection, GetOutbox
from transport.connection.websocket import ConnectionLimits
from transport.outbox.outbox import Deliver
from transport.server.eventstream import EventStream
from transport.wire.commands import Approve, Cancel, Command, Edit, Feedback, Regenerate, Resume, Say, UserTyping
from transport.wire.dialects import Dialect
from transport.wire.encoder import WrapFrame
from transport.wire.errors import CommandRejected
from transport.wire.events import Alert, Envelope, Welcome
from understudy.auth.rights import Whose
from understudy.chat.commands import Accepted, CommandDispatcher
from understudy.web.presence import Presence

log = logging.getLogger(__name__)

CONNECTIONLESS: Final = (Say, Cancel, Approve, Edit, Regenerate, Feedback, UserTyping)
"""The commands that need no connection; the others are about one."""
STARTS_RUN: Final = (Say, Edit, Regenerate)
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
WRITE_TIMEOUT_S: Final = 60.0
"""How long a client may take for one write of about 64 KiB; one that takes nothing at all is dropped much earlier."""


@define
class EventStreams:
    """Opens event streams. `connections` gives the supervisor whose temporary children they are.

    `closing` says whether the server is going away: nothing is begun then.
    """

    callbacks: ConnectionCallbacks
    dispatcher: CommandDispatcher
    presence: Presence
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    draining: Callable[[], bool]

    @property
    def heartbeat_s(self) -> float:
        """After how long without an event a stream gives a sign of life, in seconds."""
        return self.limits.heartbeat.interval_s

    async def open(
        self,
        who: Identity,
        thread_id: str,
        stream: EventStream,
        command: Command,
        *,
        dialect: Dialect = Dialect.CANONICAL,
        dress: WrapFrame,
        label: str,
        welcome: bool,
    ) -> None:
        """Count a stream in, have `command` done for it, and let it be written from then on.

        `welcome`: its first event is the welcome of a connection.

        Raises:
            CommandRejected: There are too many connections, or the command is refused; the stream is closed then.
        """
        self._refuse_if_draining()
        connection_id = uuid.uuid4().hex
        spec = ChildSpec(
            connection_id,
            lambda: EventStreamConnection(
                stream,
                self.callbacks,
                who,
                thread_id,
                dialect=dialect,
                dress=dress,
                label=label,
                connection_id=connection_id,
                limits=self.limits,
            ),
            restart=Restart.TEMPORARY,
        )
        try:
            connection = await self.connections().ask(StartChild(spec))
            outbox = await connection.ask(GetOutbox())
            greeting = await self.callbacks.join(who, connection_id, outbox)
            if not (stream.open and connection.alive):  # it has ended meanwhile, and was counted out before it was in
                self.callbacks.leave(connection_id)
                raise CommandRejected("busy", retry_after=1.0)
            self.presence.restrict_to_thread(connection_id, thread_id)
            if welcome:
                outbox.tell(Deliver(self._welcome(greeting)))
            if isinstance(command, Resume) and command.returns:
                self.callbacks.metrics.on_returned()
            await self.callbacks.dispatch(who, command, outbox)
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, ActorError):
                log.warning("stream.not_started", extra={"reason": str(error)})
                raise CommandRejected("busy", retry_after=1.0) from error
            raise

    def _welcome(self, greeting: Welcome) -> Envelope:
        return Envelope(greeting, self.callbacks.clock(), message=f"Connected as {greeting.user}.")

    def check_rate(self, who: Identity, command: Command) -> None:
        """Count a command against its user's limits.

        Raises:
            CommandRejected: `rate_limited`, with the time to wait.
        """
        retry_after = self.callbacks.allow(who, command)
        if retry_after > 0:
            raise CommandRejected("rate_limited", retry_after=retry_after)

    async def run_command(self, who: Identity, command: Command) -> Accepted | None:
        """Have a command done that came by itself; gives the names of the run it began, if it began one.

        Raises:
            CommandRejected: It is refused, or comes too soon.
        """
        self.callbacks.metrics.on_received(_WORD.sub("_", type(command).__name__).lower())
        self.check_rate(who, command)
        if isinstance(command, STARTS_RUN):
            self._refuse_if_draining()
        return await self.dispatcher.dispatch(who, command, None)

    def _refuse_if_draining(self) -> None:
        if self.draining():
            raise CommandRejected("busy", "The server is going away; come back in a moment.", 1.0)

    def send_alert(self, message: str, whose: Whose) -> int:
        """Send an alert to the connections of the users meant, ahead of what is queued. Return their number."""
        envelope = Envelope(Alert(message), self.callbacks.clock(), message=message)
        message_to_all = Deliver(envelope, shared=True)
        told = 0
        for outbox in self.presence.outboxes_of(whose):
            if outbox.try_tell(message_to_all, lane=Lane.ALERT):
                told += 1
            else:
                log.warning("alert.declined", extra={"path": outbox.path})
        return told
