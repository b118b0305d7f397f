"""A client written from the page "Write a client", on stock trio-websocket, without code of the product."""

import gzip
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import trio
import trio_websocket
from attrs import define, field
from wsproto.utilities import ProtocolError

from tests.network.received import JsonObject, SentMessage
from tests.network.tab import Tab

COME_BACK = (1001, 1006, 1011, 1013, 4408, 4429)
CONNECT_S = 5.0
PONG_S = 3.0
ANSWER_S = 6.0
_LOST = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, ProtocolError)
_CLOSED = (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError)


@define(eq=False)
class PlainTab(Tab):
    """A tab on a plain socket. `dedupes` turns on the cursor rule; without it, a soak must find violations."""

    dedupes: bool = True
    _outbox: dict[str, SentMessage] = field(factory=dict)
    _flying: str | None = None
    _tries: dict[str, int] = field(factory=dict)
    _asked: set[str] = field(factory=set)  # resumed, no event since
    _joined: set[str] = field(factory=set)  # resumed, with an event since on this connection
    _parts: dict[str, list[str]] = field(factory=dict)
    _cancels: set[str] = field(factory=set)
    _orders: list[JsonObject] = field(factory=list)
    _missing: set[str] = field(factory=set)
    _work: trio.Event = field(factory=trio.Event)
    _socket: Any = None
    _failures: int = 0
    _welcome: dict[str, Any] | None = None
    _drained: bool = False
    _wait_s: float | None = None

    # The outbox

    async def say(self, message: SentMessage) -> None:
        """Put a message into the outbox, which is shown at once and sent in order."""
        self._outbox.setdefault(message.message_id, message)
        self._work.set()

    async def stop_run(self, run_id: str) -> None:
        self._cancels.add(run_id)
        self._work.set()

    async def order(self, kind: str, **payload: Any) -> None:
        self._orders.append({"type": kind, "payload": payload})
        self._work.set()

    async def follow(self, thread_id: str) -> None:
        self._missing.add(thread_id)
        self._work.set()

    @property
    def waiting(self) -> Sequence[str]:
        return list(self._outbox)

    # Connections

    async def _session(self) -> None:
        while True:
            self._welcome, self._flying, self._drained, self._wait_s = None, None, False, None
            code = await self._connection()
            if code not in COME_BACK:
                self.fault(f"was closed with {code}")
            self._failures = 0 if self._welcome is not None else self._failures + 1
            wait_s = min(3.0, 0.3 * 2**self._failures) * self.chance.uniform(0.5, 1)
            await trio.sleep(wait_s if self._wait_s is None else min(self._wait_s, 3.0))

    async def _connection(self) -> int:
        """Hold a connection to its end. Return its close code, 1006 if there was none."""
        where, code = urlsplit(self.address), 1006
        stream: trio.SocketStream | None = None
        try:
            with trio.fail_after(CONNECT_S):
                stream = await trio.open_tcp_stream(where.hostname or "", where.port or 80)
            async with trio.open_nursery() as nursery:
                with trio.fail_after(CONNECT_S):
                    headers = [(b"Authorization", f"Bearer {self.token}".encode())]
                    self._socket = await trio_websocket.wrap_client_stream(
                        nursery, stream, where.netloc, "/ws", subprotocols=["understudy.v1"], extra_headers=headers
                    )
                nursery.start_soon(self._speak)
                try:
                    await self._listen()
                finally:
                    nursery.cancel_scope.cancel()
        except* _LOST:
            pass
        except* _CLOSED as group:
            code = _code_of(group)
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)
        return code

    async def _listen(self) -> None:
        """Read events, ping after silence, and give up without a pong."""
        heartbeat_s = CONNECT_S
        while True:
            with trio.move_on_after(heartbeat_s) as quiet:
                frame = await self._socket.get_message()
            if quiet.cancelled_caught and self._welcome is None:
                return
            if quiet.cancelled_caught:
                with trio.fail_after(PONG_S):
                    await self._send({"type": "ping"})
                    frame = await self._socket.get_message()
            for event in self._events(json.loads(gzip.decompress(frame) if isinstance(frame, bytes) else frame)):
                if event["type"] == "welcome":
                    self._welcome, heartbeat_s = event["data"], event["data"]["heartbeat_s"]
                    await self._greet()
                else:
                    await self._hear(event)
                    if self.slow_s:
                        await self.look()

    async def _greet(self) -> None:
        names = [name for name in ("batch", "chunk", "gzip") if self.chance.random() < 0.5]
        if names:
            await self._send({"type": "hello", "payload": dict.fromkeys(names, True)})
        await self._resume(*self.threads)
        self._parts.clear()
        self._work.set()

    async def _resume(self, *threads: str) -> None:
        self.ledger.counts["resumes of plain clients"] += 1
        self._asked.update(threads)
        self._joined.difference_update(threads)
        cursors = {thread: self.received.last(thread) for thread in threads}
        await self._send({"type": "resume", "payload": {"threads": cursors}})

    async def _send(self, command: JsonObject) -> None:
        deadline = trio.current_time() + CONNECT_S
        with trio.CancelScope(shield=True, deadline=deadline):  # a cancelled write would leave half a frame
            await self._socket.send_message(json.dumps(command))

    def _events(self, value: Any) -> list[JsonObject]:
        if isinstance(value, list):
            return [event for frame in value for event in self._events(frame)]
        if value["type"] != "chunk":
            return [value]
        parts = self._parts.setdefault(value["id"], [])
        if value["index"] != len(parts):
            self.fault("a part came out of its order")
        parts.append(value["data"])
        return self._events(json.loads("".join(self._parts.pop(value["id"])))) if len(parts) == value["count"] else []

    # Events

    async def _hear(self, event: JsonObject) -> None:
        data, seq = event["data"], event.get("seq")
        kind, message_id = event["type"], event.get("message_id")
        if kind == "message_accepted" and message_id in self._outbox:
            self._settled(str(message_id))
        if seq is not None:
            await self._check_seq(event, seq)
            if kind == "message_accepted" and self._tries.pop(str(message_id), 0) > 1:
                await self._resume(event["thread_id"])  # from this client's cursor, which is never ahead
        elif kind == "error":
            if message_id in self._outbox:
                self._settled(str(message_id))
            self.refused(message_id, data)
        elif kind == "partial_result":
            if not self.received.take_text(event["run_id"], data["offset"], data["text"]):
                self.fault(f"a piece of text of {event['run_id']} came after a hole")
                await self._resume(event["thread_id"])
        elif kind == "resync":
            self.fault("it is beyond the end of the log")
        elif kind == "drain":
            self._drained, self._wait_s = True, data["reconnect_after_s"]

    async def _check_seq(self, event: JsonObject, seq: int) -> None:
        thread_id = event["thread_id"]
        last = self.received.last(thread_id)
        if seq == last + 1 or not self.dedupes:
            if thread_id in self._asked:
                self._asked.discard(thread_id)
                self._joined.add(thread_id)
            self.take(event)
        elif seq <= last:
            self.ledger.counts["duplicates that plain clients dropped"] += 1
        else:
            self.ledger.counts["holes that plain clients saw"] += 1
            if thread_id in self._joined and event["type"] != "message_accepted":  # an acceptance may answer a repeat
                self.fault(f"on one connection {seq} of {thread_id}, {event['type']}, came after {last}")
            if thread_id not in self._asked:
                await self._resume(thread_id)

    def _settled(self, message_id: str) -> None:
        self._outbox.pop(message_id, None)
        if self._flying == message_id:
            self._flying = None
            self._work.set()

    # Messages

    async def _speak(self) -> None:
        with suppress(*_LOST, *_CLOSED):  # the reader reports the close
            while True:
                await self._work.wait()
                self._work = trio.Event()
                if self._welcome is None or self._drained:
                    continue
                await self._say_small()
                while self._outbox and self._flying is None:
                    await self._fly(next(iter(self._outbox.values())))

    async def _fly(self, message: SentMessage) -> None:
        self._flying = message.message_id
        self._tries[message.message_id] = self._tries.get(message.message_id, 0) + 1
        fields = {"content": message.content, "thread_id": message.thread_id, "message_id": message.message_id}
        await self._send({"type": "user_message", "payload": {**fields, "agent_type": "planned"}})
        with trio.move_on_after(ANSWER_S):
            while self._flying == message.message_id:
                await self._work.wait()
                self._work = trio.Event()
                await self._say_small()
        self._flying = None

    async def _say_small(self) -> None:
        while self._cancels:
            await self._send({"type": "cancel", "payload": {"run_id": self._cancels.pop()}})
        while self._orders:
            await self._send(self._orders.pop(0))
        while self._missing:
            await self._resume(self._missing.pop())


def _code_of(group: BaseExceptionGroup[BaseException]) -> int:
    for error in _leaves(group):
        reason = getattr(error, "reason", None)
        if isinstance(error, trio_websocket.ConnectionRejected):
            return 1006 if error.status_code in (429, 503) else error.status_code
        if reason is not None:
            return int(reason.code)
    return 1006


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for exception in error.exceptions for leaf in _leaves(exception)]
    return [error]
