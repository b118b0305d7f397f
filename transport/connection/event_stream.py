"""The actor of one event stream (server-sent events), which sends but does not receive.

It ends when the client disconnects, the token expires, the server drains, or it receives `Close`.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from attrs import define, frozen

from actors import ActorDied, ActorRef, Ask, Context
from transport.auth.identity import Identity
from transport.connection.base import ClientConnection, ClosableSink
from transport.connection.callbacks import ConnectionCallbacks, ConnectionLimits
from transport.outbox.outbox import Outbox
from transport.wire.codec import WrapFrame
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected
from transport.wire.messages import Deliver, Reply, SubscribeThread

log: Final = logging.getLogger("transport.stream")
READ_DEADLINE_S: Final = 30.0
"""Seconds in which the reader must begin; otherwise the client was lost before the response, and the stream ends."""


class ReadableSink(ClosableSink, Protocol):
    """A sink that knows whether its reader has begun, and calls `on_end` when either side has ended it."""

    reading: bool
    on_end: Callable[[], object] | None


class ThreadOutbox(Outbox):
    """An outbox that delivers the events of one thread, and events without a thread.

    A conversation subscribes all connections of its user. In a stream of one thread an event's id is its `seq`, so a
    client would mistake another thread's event for one of this thread.
    """

    def __init__(self, *outbox: Any, thread_id: str, **options: Any) -> None:
        super().__init__(*outbox, **options)
        self._thread_id = thread_id

    async def receive(self, message: object, context: Context) -> None:
        """Handle messages about the thread, or about no thread; drop others."""
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
    """Ask an event stream for its outbox."""


@frozen
class _TokenExpired:
    """The token has expired."""


@frozen
class _ReadDeadline:
    """READ_DEADLINE_S have passed."""


class EventStreamConnection(ClientConnection):
    """One event stream. Start it as a temporary child; it ends with the stream.

    `wrap_frame`, if any, turns each encoded event into the bytes to write; `label` is its label in metrics. Receives
    `GetOutbox`, and the messages of every ClientConnection.
    """

    __slots__ = ("_stream", "_thread_id", "_wrap_frame")

    def __init__(
        self,
        stream: ReadableSink,
        callbacks: ConnectionCallbacks,
        identity: Identity,
        thread_id: str,
        *,
        dialect: Dialect,
        wrap_frame: WrapFrame | None,
        label: str,
        connection_id: str,
        limits: ConnectionLimits | None = None,
    ) -> None:
        super().__init__(
            stream, callbacks, dialect, identity=identity, connection_id=connection_id, limits=limits, label=label
        )
        self._stream = stream
        self._thread_id = thread_id
        self._wrap_frame = wrap_frame

    async def on_start(self, context: Context) -> None:
        """Start the outbox, and watch for the end of the stream and of the token."""
        await super().on_start(context)
        self._stream.on_end = self._on_end
        # The request may have been cancelled while this actor was started.
        context.set_timer("begin", READ_DEADLINE_S if self._stream.open else 0.0, _ReadDeadline())
        left_s = self._require_identity().expires_at - self._callbacks.clock()
        if math.isfinite(left_s):
            context.set_timer("token", max(0.0, left_s), _TokenExpired())

    def _create_outbox(self, kind: Callable[..., Outbox] = ThreadOutbox, **options: Any) -> Outbox:
        return super()._create_outbox(kind, thread_id=self._thread_id, wrap_frame=self._wrap_frame, **options)

    async def receive(self, message: object, context: Context) -> None:
        """Handle GetOutbox, and the messages of every ClientConnection."""
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

    def _on_end(self) -> None:
        with suppress(ActorDied):  # the stream may end because the actor does
            self._context.stop()
