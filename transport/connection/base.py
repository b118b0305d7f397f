"""What the actors of clients have in common, whichever way the events go: an outbox, a last word, an end."""

import logging
import uuid
from collections.abc import Mapping
from typing import Final, Protocol

from actors import Actor, ActorRef, ChildSpec, Context, Crashed, Exit, Normal, Restart, Supervision, Terminated
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionLimits, Ports
from transport.outbox.outbox import LogPage, Outbox
from transport.outbox.sink import Sink
from transport.wire.codes import CLOSES, ERRORS
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected, new_error_id
from transport.wire.events import Drain, Envelope, Error, Event
from transport.wire.messages import Close, Deliver, Finish

log: Final = logging.getLogger("transport.connection.websocket")

_OUR_FAULT: Final = frozenset({"busy", "internal", "storage_unavailable"})


class Way(Sink, Protocol):
    """A sink that knows how it was closed."""

    @property
    def code(self) -> int | None:
        """The close code, None while it is open."""


class Link(Actor):
    """One client, for as long as its way lasts. Its child, the outbox, sends; what comes in is a subclass's.

    `label` is what it is counted under. Takes `Close`, and the event `Drain`: it is sent, and 1001 follows after its
    `closes_in_s`.
    """

    __slots__ = (
        "_context", "_dialect", "_label", "_leaving", "_limits", "_outbox", "_ports", "_way", "connection_id",
        "identity",
    )  # fmt: skip

    supervision = Supervision()

    def __init__(
        self,
        way: Way,
        ports: Ports,
        dialect: Dialect,
        *,
        identity: Identity | None,
        connection_id: str | None,
        limits: ConnectionLimits | None,
        label: str,
    ) -> None:
        self.connection_id = connection_id or uuid.uuid4().hex
        self.identity = identity
        self._way = way
        self._ports = ports
        self._dialect = dialect
        self._label = label
        self._limits = limits or ConnectionLimits()
        self._leaving: float | None = None  # when the client is to come back, once the server is going away
        self._outbox: ActorRef
        self._context: Context

    async def on_start(self, context: Context) -> None:
        """Start the outbox."""
        self._context = context
        self._ports.observer.on_connection(1, self._label)
        self._outbox = await context.spawn(ChildSpec("outbox", self.new_outbox, restart=Restart.TEMPORARY))
        context.watch(self._outbox)

    def new_outbox(self) -> Outbox:
        """The outbox of this client."""
        return Outbox(
            self._way,
            self._dialect,
            encoder=self._ports.encoder,
            read_log=self._read_log,
            want_snapshot=self._ask_snapshot,
            observer=self._ports.observer,
            limits=self._limits.outbox,
            clock=self._ports.clock,
        )

    async def _read_log(self, thread_id: str, after: int, limit: int, html: bool) -> LogPage:
        return await self._ports.read_log(self._known(), thread_id, after, limit, html)

    def _ask_snapshot(self, thread_id: str) -> None:
        self._ports.want_snapshot(self._known(), thread_id, self._outbox)

    def _known(self) -> Identity:
        assert self.identity is not None, "nothing is asked for a client that is not known yet"  # noqa: S101
        return self.identity

    async def receive(self, message: object, context: Context) -> None:
        """Take Drain, Close, and the end of the outbox."""
        match message:
            case Drain(reconnect_after_s=after_s, closes_in_s=closes_in_s):
                self._leaving = after_s
                self._tell(message, f"The server is going away; come back in {after_s:g} s.")
                if closes_in_s > 0:
                    context.set_timer("drain", closes_in_s, Close(1001))
                else:
                    self._finish(1001)
            case Close(code, reason):
                self._finish(code, reason)
            case Terminated(reason=reason):
                if self._way.open and reason.abnormal:
                    error_id = self._log_fault(reason.error if isinstance(reason, Crashed) else None)
                    await self._way.close(1011, f"internal error {error_id}")
                context.stop()

    async def on_stop(self, _: Context, reason: Exit) -> None:
        """Close, if nobody has yet, with the code that fits the end."""
        self._ports.leave(self.connection_id)  # first: a killed actor's hook ends at its first wait
        code = 1011 if isinstance(reason, Crashed) else 1000 if isinstance(reason, Normal) else 1001
        try:
            await self._way.close(code, CLOSES[code].reason)
        finally:
            self._ports.observer.on_closed(self._way.code or code)
            self._ports.observer.on_connection(-1, self._label)

    def _tell(self, event: Event, message: str, names: Mapping[str, str] | None = None) -> None:
        envelope = Envelope(event, self._ports.clock(), message=message)
        self._outbox.tell(Deliver(envelope.but(**names) if names else envelope))

    def _refuse(
        self, rejected: CommandRejected, error_id: str | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        """Tell the client that it was refused, and by `names` what that is about.

        The log has the `error_id` that the client is told, and nothing of what it sent.
        """
        self._ports.observer.on_error(rejected.code)
        error_id = error_id or new_error_id()
        extra = {"code": rejected.code, "error_id": error_id, "connection_id": self.connection_id}
        # A flood of refusals must not be able to fill a disk; it is counted.
        quiet = logging.DEBUG if rejected.code == "rate_limited" else logging.INFO
        log.log(logging.WARNING if rejected.code in _OUR_FAULT else quiet, "command.refused", extra=extra)
        retryable = ERRORS[rejected.code].retryable
        told = Error(rejected.code, rejected.message, retryable, error_id, rejected.retry_after)
        self._tell(told, rejected.message, names)

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
