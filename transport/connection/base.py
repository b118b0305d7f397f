"""The base of the two connection actors: it owns the outbox, sends refusals, and closes."""

import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from attrs import define, frozen

from actors import Actor, ActorRef, Ask, ChildSpec, Context, Crashed, Exit, Normal, Restart, Supervision, Terminated
from transport.auth.identity import Identity
from transport.connection.callbacks import ConnectionCallbacks, ConnectionLimits
from transport.outbox.outbox import LogPage, Outbox, Sink
from transport.wire.codes import CLOSES, ERRORS
from transport.wire.dialects import Dialect
from transport.wire.errors import CommandRejected, new_error_id
from transport.wire.events import Drain, Error, Event
from transport.wire.messages import Close, CloseWhenDrained, Deliver

log: Final = logging.getLogger("transport.connection.websocket")

_OUR_FAULT: Final = 500
"""The lowest HTTP status of a refusal that is the server's fault."""


@frozen
class ConnectionInfo:
    """A connection as an operator sees it. `rtt_s`: round-trip time of the last answered ping; None before that."""

    dialect: str
    rtt_s: float | None = None


@define(eq=False)
class DescribeConnection(Ask[ConnectionInfo]):
    """To a connection: reply with its `ConnectionInfo`."""


class ClosableSink(Sink, Protocol):
    """A sink with a close code."""

    @property
    def code(self) -> int | None:
        """The close code; None while the sink is open."""


class ClientConnection(Actor):
    """One client, until its sink closes. Its child, the outbox, sends events; subclasses handle input.

    `label` is its label in metrics. Receives `Close`, and the event `Drain`, which is sent to the client; a close with
    1001 follows after `closes_in_s`.
    """

    __slots__ = (
        "_callbacks", "_context", "_dialect", "_label", "_last_rtt_s", "_limits", "_outbox",
        "_reconnect_after_s", "_sink", "connection_id", "identity",
    )  # fmt: skip

    supervision = Supervision()

    def __init__(
        self,
        sink: ClosableSink,
        callbacks: ConnectionCallbacks,
        dialect: Dialect,
        *,
        identity: Identity | None,
        connection_id: str | None,
        limits: ConnectionLimits | None,
        label: str,
    ) -> None:
        self.connection_id = connection_id or uuid.uuid4().hex
        self.identity = identity
        self._sink = sink
        self._callbacks = callbacks
        self._dialect = dialect
        self._label = label
        self._limits = limits or ConnectionLimits()
        self._reconnect_after_s: float | None = None  # set by Drain
        self._last_rtt_s: float | None = None
        self._outbox: ActorRef
        self._context: Context

    async def on_start(self, context: Context) -> None:
        """Start the outbox."""
        self._context = context
        self._callbacks.metrics.on_connection(1, self._label)
        self._outbox = await context.spawn(ChildSpec("outbox", self._create_outbox, restart=Restart.TEMPORARY))
        context.watch(self._outbox)

    def _create_outbox(self, kind: Callable[..., Outbox] = Outbox, **options: Any) -> Outbox:
        return kind(
            self._sink,
            self._dialect,
            vocabulary=self._callbacks.vocabulary,
            read_log=self._read_log,
            request_snapshot=self._request_snapshot,
            metrics=self._callbacks.metrics,
            limits=self._limits.outbox,
            clock=self._callbacks.clock,
            **options,
        )

    async def _read_log(self, thread_id: str, after: int, limit: int) -> LogPage:
        return await self._callbacks.read_log(self._require_identity(), thread_id, after, limit)

    def _request_snapshot(self, thread_id: str) -> None:
        self._callbacks.request_snapshot(self._require_identity(), thread_id, self._outbox)

    def _require_identity(self) -> Identity:
        assert self.identity is not None, "the client has not authenticated yet"  # noqa: S101
        return self.identity

    async def receive(self, message: object, context: Context) -> None:
        """Handle Drain, Close, and the termination of the outbox."""
        match message:
            case Drain(reconnect_after_s=after_s, closes_in_s=closes_in_s):
                self._reconnect_after_s = after_s
                self._send_event(message, f"The server is going away; come back in {after_s:g} s.")
                if closes_in_s > 0:
                    context.set_timer("drain", closes_in_s, Close(1001))
                else:
                    self._close_when_drained(1001)
            case DescribeConnection():
                message.reply(ConnectionInfo(self._label, self._last_rtt_s))
            case Close(code, reason):
                self._close_when_drained(code, reason)
            case Terminated(reason=reason):
                if self._sink.open and reason.abnormal:
                    error_id = self._log_failure(reason.error if isinstance(reason, Crashed) else None)
                    await self._sink.close(1011, f"internal error {error_id}")
                context.stop()

    async def on_stop(self, _: Context, reason: Exit) -> None:
        """Close, unless already closed, with the code that fits the exit reason."""
        self._callbacks.leave(self.connection_id)  # first: a killed actor's hook ends at its first wait
        code = 1011 if isinstance(reason, Crashed) else 1000 if isinstance(reason, Normal) else 1001
        try:
            await self._sink.close(code, CLOSES[code].reason)
        finally:
            self._callbacks.metrics.on_closed(self._sink.code or code)
            self._callbacks.metrics.on_connection(-1, self._label)

    def _send_event(self, event: Event, message: str, names: Mapping[str, str] | None = None) -> None:
        envelope = self._callbacks.vocabulary.envelope(event, self._callbacks.clock(), message=message)
        self._outbox.tell(Deliver(envelope.replace(**names) if names else envelope))

    def _send_refusal(
        self, rejected: CommandRejected, error_id: str | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        """Send an error to the client; `names` identify the message it refers to.

        The log line has the same `error_id`, and nothing of what the client sent.
        """
        self._callbacks.metrics.on_error(rejected.code)
        error_id = error_id or new_error_id()
        extra = self._names(error_id) | {"code": rejected.code}
        # Rate-limit refusals are logged at debug level, so that a flood cannot fill the disk; the metrics count them.
        level = logging.DEBUG if rejected.code == "rate_limited" else logging.INFO
        fault = ERRORS[rejected.code]
        log.log(logging.WARNING if fault.http_status >= _OUR_FAULT else level, "command.refused", extra=extra)
        error = Error(rejected.code, rejected.message, fault.retryable, error_id, rejected.retry_after)
        self._send_event(error, rejected.message, names)

    def _close_when_drained(self, code: int, reason: str | None = None) -> bool:
        """Close once the queue has been sent. Return False, for callers that return whether to go on."""
        close = CLOSES.get(code)
        text = reason if reason is not None else close.reason if close is not None else ""
        self._outbox.tell(CloseWhenDrained(code, text, self._limits.drain_s))
        return False

    def _log_failure(self, error: Exception | None) -> str:
        error_id = new_error_id()
        log.error("connection.failed", exc_info=error, extra=self._names(error_id))
        return error_id

    def _names(self, error_id: str) -> dict[str, str | None]:
        """Return the fields of a log line that name the error, the connection and the user."""
        user = None if self.identity is None else self.identity.user
        return {"error_id": error_id, "connection_id": self.connection_id, "user": user}
