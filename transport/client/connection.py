"""One connection, from the first command to the close."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto.utilities import ProtocolError

from transport.client.decoder import MAX_FRAME_BYTES, Events, Received, read_frame, refusal
from transport.client.dial import MonitoredStream, flatten_errors
from transport.client.reconnect import ConnectionEnd, Reconnect, ended_by_close
from transport.client.unacked import SMALL_BYTES, UnackedCommand, UnackedCommands, encode_command
from transport.wire.codes import ERRORS
from transport.wire.commands import Chunk
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import Drain, Welcome
from transport.wire.payloads import ChunkAssembler, split

JsonObject: TypeAlias = Mapping[str, Any]

_FRAME_BYTES: Final = 256 * 1024  # assumed limit of a server that names none
_MAX_URGENT: Final = 64  # commands without acknowledgement that may be queued; further ones are refused
_GOODBYE_S: Final = 0.1  # deadline in seconds for sending the close frame
GONE: Final = "the server does not answer any more"
LOST: Final = "the connection was lost"


class EventReceiver(Protocol):
    """Receives the events of a connection, which are decoded as `events`."""

    @property
    def events(self) -> Events:
        """The classes of events by type."""

    async def receive_event(self, event: Received, size: int) -> None:
        """Receive an event of about `size` bytes. Waits while there is no room for it."""


class Connection:
    """A connection in use. `drained_at` is the time of the server's `Drain`, on trio's clock."""

    def __init__(
        self,
        socket: WebSocketConnection,
        stream: MonitoredStream,
        reconnect: Reconnect,
        unacked: UnackedCommands,
    ) -> None:
        self.welcome: Welcome | None = None
        self.welcomed = trio.Event()
        self.drained_at: float | None = None
        self.rtt_s: float | None = None
        self.sent: set[UnackedCommand] = set()
        self._socket = socket
        self._stream = stream
        self._reconnect = reconnect
        self._unacked = unacked
        self._urgent: deque[JsonObject] = deque()
        self._work = trio.Event()
        self._assembler = ChunkAssembler(MAX_FRAME_BYTES)
        self._busy = False
        self._last_chunk_id = 0
        self._ending = ConnectionEnd(LOST)

    async def run(
        self, first: Sequence[JsonObject], receiver: EventReceiver, tasks: Sequence[Callable[[], Awaitable[None]]] = ()
    ) -> ConnectionEnd:
        """Send and receive until the end, and return it. `first` is sent first; `tasks` run meanwhile."""
        self._urgent.extend(first)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_silence)
                sending: list[Callable[[], Awaitable[None]]] = [
                    partial(self._send_commands, receiver),
                    self._ping,
                    *tasks,
                ]
                for send in sending:
                    nursery.start_soon(_ignore_send_failure, send)
                await self._receive_frames(receiver)
        except* (ConnectionClosed, ProtocolError):
            pass
        except* UnreadableEvent as group:
            self._ending = ConnectionEnd(f"the server does not speak this protocol ({flatten_errors(group)[0]})")
            await self._close(1002)
        finally:
            await self._close(1000)
        reason = self._socket.closed
        if reason is not None and self._ending.reason == LOST and reason.code != 1006:
            self._ending = ended_by_close(int(reason.code), reason.reason or "")
        return self._ending

    async def _close(self, code: int) -> None:
        # Long enough to send the close frame; the server's answer is not awaited.
        with trio.move_on_after(_GOODBYE_S, shield=True):
            await self._socket.aclose(code)

    # Sending

    def send_soon(self, command: JsonObject) -> bool:
        """Queue a command that need not be acknowledged. Return False if _MAX_URGENT are queued already."""
        if len(self._urgent) >= _MAX_URGENT:
            return False
        self._urgent.append(command)
        self.wake()
        return True

    def wake(self) -> None:
        """Wake the sender: there is something to send."""
        self._work.set()

    def resend(self, commands: Iterable[UnackedCommand]) -> None:
        """Send these commands again, as soon as they are due."""
        self.sent.difference_update(commands)
        self.wake()

    def disconnect(self, reason: str) -> NoReturn:
        """End this connection, so that another one is made. To be called only from its receiver of events."""
        self._ending = ConnectionEnd(reason)
        raise ConnectionClosed(None)

    async def send(self, command: JsonObject) -> None:
        """Send a command now. Only for tasks of the connection: a cancelled send would leave half a frame."""
        await self._socket.send_message(encode_command(command).decode())

    async def _send_commands(self, receiver: EventReceiver) -> None:
        while True:
            self._work = trio.Event()
            await self._send_urgent()
            # A draining server starts no runs: messages wait for the next connection.
            now = trio.current_time()
            command = self._unacked.next_due(self.sent, now, messages=self.drained_at is None)
            if command is None:
                with trio.move_on_at(self._unacked.due_at(now)):
                    await self._work.wait()
                continue
            if len(command.frame) > SMALL_BYTES:
                await self.welcomed.wait()  # the welcome says how large a frame may be
                if self._unacked.get(command.key) is not command:
                    continue
            self.sent.add(command)
            command.tries += 1
            await self._send_command(command, receiver)

    async def _send_urgent(self) -> None:
        while self._urgent:
            await self.send(self._urgent.popleft())

    async def _send_command(self, command: UnackedCommand, receiver: EventReceiver) -> None:
        size = len(command.frame)
        if size <= self._limit("frame_bytes", _FRAME_BYTES):
            await self._socket.send_message(command.frame.decode())
        elif self.welcome is not None and "chunk" in self.welcome.capabilities and size <= self._limit("chunks_bytes"):
            self._last_chunk_id += 1
            for part in split(command.frame, str(self._last_chunk_id)):
                await self._socket.send_message(part.decode())
                await self._send_urgent()
        else:
            await receiver.receive_event(_too_large(command), 1000)

    def _limit(self, name: str, default: int = MAX_FRAME_BYTES) -> int:
        value = self.welcome.limits.get(name) if self.welcome is not None else None
        return value if isinstance(value, int) and value > 0 else default

    # Receiving

    async def _receive_frames(self, receiver: EventReceiver) -> None:
        while True:
            self._busy = False
            self._stream.heard_at = trio.current_time()  # unread bytes may have arrived while this was busy
            frame = await self._socket.get_message()
            self._busy = True
            await self._handle_frame(frame, receiver)

    async def _handle_frame(self, frame: str | bytes, receiver: EventReceiver, *, whole: bool = False) -> None:
        if isinstance(frame, str) and len(frame) <= SMALL_BYTES:
            events = read_frame(frame, receiver.events)
        else:
            events = await trio.to_thread.run_sync(read_frame, frame, receiver.events, abandon_on_cancel=True)
        size = len(frame) // max(len(events), 1) + 1
        for event in events:
            if isinstance(event, Chunk):
                if whole:
                    raise UnreadableEvent("a part of a frame is within another")
                text = self._add_chunk(event)
                if text is not None:
                    await self._handle_frame(text, receiver, whole=True)
                continue
            self._record_event(event)
            await receiver.receive_event(event, size)

    def _add_chunk(self, chunk: Chunk) -> str | None:
        try:
            return self._assembler.add(chunk, trio.current_time())
        except CommandRejected as error:
            raise UnreadableEvent(error.message) from error

    def _record_event(self, event: Received) -> None:
        match event.event:
            case Welcome() as welcome:
                self.welcome = welcome
                self.welcomed.set()
            case Drain(reconnect_after_s=after_s):
                self.drained_at = trio.current_time()
                self._ending = ConnectionEnd("the server goes away for a moment", not_before_s=after_s, drained=True)

    # Liveness

    async def _ping(self) -> None:
        while True:
            await trio.sleep(self._reconnect.ping_s / 2)
            began = trio.current_time()
            await self._socket.ping()
            self.rtt_s = trio.current_time() - began

    async def _watch_silence(self) -> None:
        # Any byte shows that the server is alive. While the caller takes no events, nothing is read: silence then does
        # not mean that the server is dead.
        while True:
            left_s = self._stream.heard_at + self._reconnect.ping_s - trio.current_time()
            if left_s <= 0 and not self._busy:
                self._ending = ConnectionEnd(GONE) if not self._ending.drained else self._ending
                raise ConnectionClosed(None)
            await trio.sleep(left_s if left_s > 0 else self._reconnect.ping_s / 4)


async def _ignore_send_failure(sending: Callable[[], Awaitable[None]]) -> None:
    # A failed send does not end the connection: received events are still to be read, up to the close.
    with suppress(ConnectionClosed, ProtocolError):
        await sending()


def _too_large(command: UnackedCommand) -> Received:
    """Build the refusal that a server would send for a command that is too large for it."""
    code = "message_too_large"
    return refusal(code, ERRORS[code].text, command.message_id or None, command.thread_id)
