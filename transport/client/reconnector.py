"""The reconnect loop of a client: connect again after each end, until an end that forbids it."""

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import trio
from trio_websocket import WebSocketConnection

from transport.client.connection import Connection
from transport.client.credentials import Credentials
from transport.client.decoder import Events, Received
from transport.client.delivery import EventDelivery, resume_commands
from transport.client.dial import ConnectFailed, MonitoredStream, SocketUrl, flatten_errors, open_stream, open_websocket
from transport.client.reconnect import MAX_RETRY_AFTER_S, ConnectionEnd, Reconnect
from transport.client.state import ObservedState, State, Status
from transport.client.token_renewal import TokenRenewal
from transport.client.unacked import UnackedCommands
from transport.wire.errors import SocketClosed, TransportError, Unauthenticated
from transport.wire.events import Error, Welcome

JsonObject: TypeAlias = Mapping[str, Any]

_ACK_S: Final = 1.0  # seconds between two acknowledgements
_SLOW: Final = "the server did not answer in time"


class Reconnector:
    """Holds one connection at a time. `connection` is the one in use, or None; `renewal` renews its token."""

    def __init__(
        self,
        address: SocketUrl,
        credentials: Credentials,
        policy: Reconnect,
        chance: Callable[[], float],
        hello: JsonObject,
        unacked: UnackedCommands,
        delivery: EventDelivery,
        *,
        tls: ssl.SSLContext | None,
        ack: bool,
    ) -> None:
        self.connection: Connection | None = None
        self.state = ObservedState()
        self._address = address
        self._credentials = credentials
        self._reconnect = policy
        self._chance = chance
        self._hello = {"type": "hello", "payload": hello}
        self._unacked = unacked
        self._delivery = delivery
        self._tls = tls
        self._ack = ack
        self._steady_at = float("inf")
        self._token_refused = self._was_online = False
        self.renewal = TokenRenewal(credentials, unacked)

    async def run(self) -> None:
        """Connect and reconnect until the server refuses this client for good."""
        failures = 0
        while True:
            self.state.set(State(Status.CONNECTING))
            ending = await self._connect()
            steady = trio.current_time() >= self._steady_at
            failures = 0 if steady else failures + 1
            failure = self._failure(ending, failures)
            if failure is not None:
                self.state.set(State(Status.REFUSED, str(failure)))
                self._delivery.end(failure)
                return
            wait_s = 0.0 if ending.drained and steady else self._reconnect.delay_s(max(failures - 1, 0), self._chance())
            wait_s = max(wait_s, min(ending.not_before_s or 0.0, MAX_RETRY_AFTER_S))
            self.state.set(State(Status.OFFLINE, ending.reason, trio.current_time() + wait_s))
            await trio.sleep(wait_s)

    def close(self) -> None:
        """Close the client: no more events come."""
        self.state.set(State(Status.CLOSED))
        self._delivery.end(None)

    def _failure(self, ending: ConnectionEnd, failures: int) -> TransportError | None:
        if ending.token and self._credentials.source is not None and not self._token_refused:
            self._token_refused = True  # the source may have a newer one; two refusals in a row end the client
            return None
        retries = ending.failure is None or (ending.answered and self._was_online)
        if retries and failures >= self._reconnect.attempts:
            return SocketClosed(1006, f"the server cannot be reached: {ending.reason}")
        return None if retries else ending.failure

    async def _connect(self) -> ConnectionEnd:
        """Open one connection and run it to its end."""
        self._steady_at = float("inf")
        try:
            token = await self._credentials.get_token()
        except Unauthenticated as error:
            return ConnectionEnd(str(error), error)
        except (OSError, TransportError, trio.TooSlowError):
            return ConnectionEnd("no session token could be obtained")
        deadline = trio.current_time() + self._reconnect.connect_s
        try:
            with trio.fail_at(deadline):
                stream = await open_stream(self._address, self._tls)
        except ConnectFailed as failed:
            return failed.ending
        except trio.TooSlowError:
            return ConnectionEnd(_SLOW)
        return await self._open_socket(stream, token, deadline)

    async def _open_socket(self, stream: MonitoredStream, token: str | None, deadline: float) -> ConnectionEnd:
        ending = ConnectionEnd("")
        try:
            async with trio.open_nursery() as nursery:
                with trio.fail_at(deadline):
                    socket = await open_websocket(nursery, stream, self._address, token)
                ending = await self._run_connection(socket, stream)
                nursery.cancel_scope.cancel()
        except* trio.TooSlowError:
            ending = ConnectionEnd(_SLOW)
        except* ConnectFailed as group:
            ending = next(error.ending for error in flatten_errors(group) if isinstance(error, ConnectFailed))
        finally:
            await trio.aclose_forcefully(stream)
        return ending

    async def _run_connection(self, socket: WebSocketConnection, stream: MonitoredStream) -> ConnectionEnd:
        connection = self.connection = Connection(socket, stream, self._reconnect, self._unacked)
        first = [self._hello, *self._delivery.start_connection()]
        tasks = [partial(self._fill_gaps, connection)]
        if self._credentials.source is not None:
            tasks.append(partial(self.renewal.run, connection))
        if self._ack:
            tasks.append(partial(self._acknowledge, connection))
        try:
            ending = await connection.run(first, self, tasks)
        finally:
            self.connection = None
            messages = [message for message in self._unacked.messages if message in connection.sent]
            self._delivery.connection_lost(messages, {} if connection.welcome is None else connection.welcome.threads)
            self._unacked.reset_for_connection()
            self.renewal.forget()
        return ending

    @property
    def events(self) -> Events:
        """The classes of events by type."""
        return self._delivery.events

    async def receive_event(self, event: Received, size: int) -> None:
        """Handle an event of the connection, and pass it on to the delivery."""
        if self._steady_at == float("inf"):
            self._steady_at = trio.current_time() + self._reconnect.steady_s
            self._was_online = True
            self.state.set(State(Status.ONLINE))
        current = self.connection
        match event.event:
            case Welcome(session_token=token):
                self._credentials.token = token or self._credentials.token
                self._token_refused = False
            case Error(code=code) if event.refusal and current is not None and self.renewal.retry(event, code, current):
                return
            case Error(retryable=True) as error if event.refusal and current is not None:
                repeated = self._retry_later(event, error, current)
                if repeated and current.drained_at is not None:
                    return  # the message is sent on the next connection
                event = event.replace(repeated=repeated)
        await self._delivery.receive_event(event, size)

    def _retry_later(self, event: Received, error: Error, connection: Connection) -> bool:
        """Postpone refused commands, which are then sent again. Return whether the refused message is still pending."""
        refused = self._unacked.refused_by(event)
        named = bool(refused) and event.message_id is not None
        if connection.drained_at is not None:
            return named
        now, chance = trio.current_time(), self._chance()
        for command in refused:
            wait_s = self._reconnect.pause_s(command.refusals, error.retry_after, chance)
            if now + wait_s > min(now, command.refused_at) + self._reconnect.retry_s:
                return False
            command.postpone(now, wait_s)
        self._delivery.mark_resent(refused)
        connection.resend(refused)
        return named

    async def _fill_gaps(self, connection: Connection) -> None:
        """Resume threads with gaps: at once, and again every `resume_s` while events are missing."""
        delivery, every_s = self._delivery, self._reconnect.resume_s
        deadline = trio.current_time() + every_s
        while True:
            with trio.move_on_at(deadline) as waited:
                await delivery.gap_found.wait()
            delivery.gap_found = trio.Event()
            if waited.cancelled_caught:
                deadline = trio.current_time() + every_s
            for command in resume_commands(delivery.cursors.threads_to_resume(again=waited.cancelled_caught)):
                await connection.send(command)

    async def _acknowledge(self, connection: Connection) -> None:
        """Acknowledge the events that the caller has taken, at most once a second."""
        seqs: dict[str, int] = {}
        while True:
            await trio.sleep(_ACK_S)
            newer = {thread_id: seq for thread_id, seq in self._delivery.consumed.items() if seqs.get(thread_id) != seq}
            for thread_id, seq in newer.items():
                await connection.send({"type": "ack", "payload": {"thread_id": thread_id, "seq": seq}})
            seqs |= newer
