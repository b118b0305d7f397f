"""The chat as its doors see it: a message is accepted, a thread followed, a question answered, a run stopped.

A door is a protocol by which clients come, or a program that embeds the chat. Sockets have all commands of the wire
(`understudy.chat.commands`), and the same limits.
"""

import logging
import re
import uuid
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from attrs import define

from actors import ActorError, ActorRef, ChildSpec, Restart, StartChild
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionCallbacks, ConnectionLimits
from transport.connection.event_stream import EventStreamConnection, GetOutbox
from transport.server.eventstream import EventStream
from transport.wire.commands import Command, Resume
from transport.wire.errors import CommandRejected
from transport.wire.messages import Deliver
from understudy.chat.commands.dispatcher import CommandDispatcher
from understudy.chat.commands.request import HTTP, Accepted
from understudy.chat.presence import Presence
from understudy.wire.commands import Approve, Cancel, Continue, Edit, Regenerate, Respond, Say, Steer
from understudy.wire.events import Envelope

log = logging.getLogger(__name__)

Message: TypeAlias = Say | Edit | Regenerate | Continue | Steer
"""What starts work: it is accepted, and answered by a run."""
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
"""Where a word of a class name begins: `UserTyping` is counted as `user_typing`."""
S = TypeVar("S", bound=EventStream)


@define
class Chat:
    """What a door does in the name of a user.

    1. An accepted message is stored. Its run does not need the door, and ends.
    2. A follower gets every event of its thread once and in order: first from the log, then as they are published. What
       a slow one has not read stays in the log, not in memory.
    3. A refusal is a CommandRejected with its code and a sentence for the client; it has changed nothing.

    `connections` returns the supervisor under which streams run as temporary children; `callbacks` registers their
    connections, and counts commands. While `draining` returns true, nothing is followed and no run is started.
    """

    commands: CommandDispatcher
    callbacks: ConnectionCallbacks
    presence: Presence
    connections: Callable[[], ActorRef]
    limits: ConnectionLimits
    draining: Callable[[], bool]

    async def accept(self, identity: Identity, message: Message, *, limited: bool = True) -> Accepted:
        """Accept a message. Return its ids, and that of its run; those of the first time if it is repeated.

        `limited`: it counts against the rate limit of its user.

        Raises:
            CommandRejected: It is refused, or exceeds a rate limit.
        """
        accepted = await self.run_command(identity, message, limited=limited)
        assert accepted is not None  # noqa: S101 - for the type checker: a message starts a run
        return accepted

    async def follow(
        self,
        identity: Identity,
        thread_id: str,
        stream: S,
        start: int | Message = 0,
        *,
        door: str,
        welcome: bool = False,
    ) -> S:
        """Have the events of a thread written to a stream, and return it. It ends with its reader, who must close it.

        `start`: the number of the event after which it begins; or a message that is accepted once the stream is open,
        so that none is stored whose client cannot follow it. The caller counts that message by `check_rate`. `door` is
        the label in metrics. `welcome`: the first event is a connection's welcome.

        Raises:
            CommandRejected: The user has too many connections, there is no such thread, or the message is refused; then
                the stream is closed.
        """
        self._refuse_if_draining()
        connection_id = uuid.uuid4().hex
        stream.beat_s = self.limits.heartbeat.interval_s
        spec = ChildSpec(
            connection_id,
            lambda: EventStreamConnection(
                stream,
                self.callbacks,
                identity,
                thread_id,
                dialect=stream.dialect,
                wrap_frame=stream.wrap_frame,
                label=door,
                connection_id=connection_id,
                limits=self.limits,
            ),
            restart=Restart.TEMPORARY,
        )
        command = Resume({thread_id: start}) if isinstance(start, int) else start
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
            if isinstance(command, Resume) and command.returns:
                self.callbacks.metrics.on_returned()
            await self.commands.dispatch(identity, command, outbox)
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, ActorError):
                log.warning("stream.not_started", extra={"reason": str(error)})
                raise CommandRejected("busy", retry_after=1.0) from error
            raise
        return stream

    async def answer(self, identity: Identity, reply: Approve | Respond, *, door: str = HTTP) -> None:
        """Answer what a run of the user waits for: a call that needs consent, or a question. `door` is for the log.

        Raises:
            CommandRejected: Nothing waits for it (`not_found`), it does not fit, or it exceeds a rate limit.
        """
        await self.run_command(identity, reply, door=door)

    async def stop(self, identity: Identity, run_id: str, *, limited: bool = True) -> None:
        """Stop a run of the user; it ends with what it has. One that has ended stays as it is.

        `limited`: this counts against a rate limit of its user.

        Raises:
            CommandRejected: There is no such run (`not_found`), or this exceeds a rate limit.
        """
        await self.run_command(identity, Cancel(run_id), limited=limited)

    async def run_command(
        self, identity: Identity, command: Command, *, door: str = HTTP, limited: bool = True
    ) -> Accepted | None:
        """Carry out any command of the wire that came without a connection. Return the ids of its run, if any.

        Raises:
            CommandRejected: The command is refused, or exceeds a rate limit.
        """
        self.callbacks.metrics.on_received(_WORD.sub("_", type(command).__name__).lower())
        if limited:
            self.check_rate(identity, command)
        if isinstance(command, Message):
            self._refuse_if_draining()
        return await self.commands.dispatch(identity, command, None, door=door)

    def check_rate(self, identity: Identity, command: Command) -> None:
        """Count a command against its user's rate limits: before its body is read, if that may be large.

        Raises:
            CommandRejected: `rate_limited`, with the time to wait.
        """
        retry_after = self.callbacks.allow(identity, command)
        if retry_after > 0:
            raise CommandRejected("rate_limited", retry_after=retry_after)

    def _refuse_if_draining(self) -> None:
        if self.draining():
            raise CommandRejected("busy", "The server is going away; come back in a moment.", 1.0)
