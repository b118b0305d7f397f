"""The actor of one event stream: as `transport.connection.websocket.Connection`, but nothing comes in by it.

It owns the outbox and ends it: when the client has left, the token has run out, the server goes away, or somebody
says so.
"""

import logging
import math
from typing import Any, Final, Protocol

from attrs import define, frozen

from actors import ActorRef, Ask, Context
from transport.auth.identity import Identity
from transport.connection.base import ClientConnection, ClosableSink
from transport.connection.callbacks import ConnectionCallbacks
from transport.connection.websocket import ConnectionLimits
from transport.outbox.outbox import Deliver, Outbox, Reply, SubscribeThread
from transport.wire.dialects import Dialect
from transport.wire.encoder import WrapFrame
from transport.wire.errors import CommandRejected

log: Final = logging.getLogger("transport.stream")
READ_DEADLINE_S: Final = 30.0
"""How long a stream may wait for its reader: one that never begins has lost its client before the answer."""


class ReadableSink(ClosableSink, Protocol):
    """A way that knows whether its reader has begun, and when it has ended."""

    reading: bool

    async def wait_closed(self) -> None:
        """Wait until either side has ended it."""


class ThreadOutbox(Outbox):
    """An outbox that is told of one thread, and of what concerns no thread.

    Conversations let all connections of their user follow. In a stream of one thread, where an event's id is its
    `seq`, an event of another thread would be taken for one of this.
    """

    def __init__(self, *outbox: Any, thread_id: str, **options: Any) -> None:
        super().__init__(*outbox, **options)
        self._thread_id = thread_id

    async def receive(self, message: object, context: Context) -> None:
        """Serve what an outbox serves, as far as it concerns the thread."""
        match message:
            case Deliver(envelopes=[envelope, *_]) if envelope.thread_id not in (None, self._thread_id):
                return
            case Reply(envelope) if envelope.thread_id not in (None, self._thread_id):
                return
            case SubscribeThread(thread_id) if thread_id != self._thread_id:
                return
        await super().receive(message, context)


@define(eq=False)
class GetOutbox(Ask[ActorRef]):
    """To an event stream: which outbox is it read from?"""


@frozen
class _TokenExpired:
    """The token has run out."""


@frozen
class _ReadDeadline:
    """The reader has had time to begin."""


class EventStreamConnection(ClientConnection):
    """One event stream. Start it as a temporary child; it ends when the stream does.

    `dress` makes of each encoded event what is written; `label` is what the stream is counted under. Takes
    `WhichOutbox`, and what every link takes.
    """

    __slots__ = ("_stream", "_thread_id", "_wrap_frame")

    def __init__(
        self,
        stream: ReadableSink,
        ports: ConnectionCallbacks,
        identity: Identity,
        thread_id: str,
        *,
        dialect: Dialect,
        dress: WrapFrame,
        label: str,
        connection_id: str,
        limits: ConnectionLimits | None = None,
    ) -> None:
        super().__init__(
            stream, ports, dialect, identity=identity, connection_id=connection_id, limits=limits, label=label
        )
        self._stream = stream
        self._thread_id = thread_id
        self._wrap_frame = dress

    async def on_start(self, context: Context) -> None:
        """Start the outbox, and watch the client and its token."""
        await super().on_start(context)
        context.start_soon(self._watch, context, name="watch")
        context.set_timer("begin", READ_DEADLINE_S, _ReadDeadline())
        left_s = self._require_identity().expires_at - self._callbacks.clock()
        if math.isfinite(left_s):
            context.set_timer("token", max(0.0, left_s), _TokenExpired())

    def create_outbox(self) -> Outbox:
        """The outbox of this thread alone."""
        return ThreadOutbox(
            self._stream,
            self._dialect,
            encoder=self._callbacks.encoder,
            read_log=self._read_log,
            want_snapshot=self._request_snapshot,
            observer=self._callbacks.metrics,
            limits=self._limits.outbox,
            clock=self._callbacks.clock,
            dress=self._wrap_frame,
            thread_id=self._thread_id,
        )

    async def receive(self, message: object, context: Context) -> None:
        """Take WhichOutbox, and what every link takes."""
        match message:
            case GetOutbox():
                message.reply(self._outbox)
            case _TokenExpired():
                self._send_refusal(CommandRejected("token_expired"))
                self._close_when_drained(4401, "token expired")
            case _ReadDeadline():
                if not self._stream.reading:
                    context.stop()
            case _:
                await super().receive(message, context)

    async def _watch(self, context: Context) -> None:
        await self._stream.wait_closed()
        context.stop()
