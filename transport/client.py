"""A client that comes back by itself: one connection at a time, what was missed is asked for, nothing is told twice.

    async with open_client("ws://127.0.0.1:8002/ws", token=token) as client:
        await client.say("How many rows has it?", thread_id="t")
        async for event in client:
            ...

Events are dicts of the canonical dialect, in order within each thread, without gaps and without repeats, across
reconnections. Where the server's log does not reach back far enough, a `resync` says so. A message that was neither
accepted nor refused when a connection broke is sent again on the next, under the same `message_id`, which makes it
one message for the server. A refusal is an `error` that names the `message_id`.
"""

import json
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import trio
from attrs import frozen
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from transport.codes import CLOSES
from transport.cursors import Cursors, Judgement
from transport.errors import SocketClosed, TransportError, Unauthenticated

JsonObject: TypeAlias = Mapping[str, Any]

SUBPROTOCOL: Final = "understudy.v1"
_MAX_EVENTS: Final = 1000
_MAX_UNACCEPTED: Final = 100
_MAX_COMMANDS: Final = 16
_MAX_RESUMED: Final = 100  # threads that a server takes in one resume
_MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024


@frozen
class Reconnect:
    """How to come back: after a random time of up to `first_s`, doubled at each failure in a row, never over `max_s`.

    The whole time is random ("full jitter"), so that many clients do not come back at once. `attempts` failures in
    a row are the end. `connect_s` is the deadline of one attempt. A server that does not answer a ping, one every
    `ping_s`, before the next is due counts as gone. Missing events that do not come are asked for every `resume_s`.
    """

    first_s: float = 0.5
    max_s: float = 30.0
    attempts: int = 20
    connect_s: float = 10.0
    ping_s: float = 30.0
    resume_s: float = 5.0

    def delay_s(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row; `chance` is between 0 and 1."""
        return min(self.max_s, self.first_s * 2.0 ** min(failures, 30)) * chance


class Client:
    """Made by `open_client`. Iterate over it for events; iteration ends when the client is closed.

    Iterating raises SocketClosed when the server closed with a code after which a client must not come back, or
    when it cannot be reached any more, and Unauthenticated when it refused the token.
    """

    def __init__(self, url: str, token: str | None, reconnect: Reconnect, chance: Callable[[], float]) -> None:
        self.token = token
        self._cursors = Cursors()
        self._hole = trio.Event()
        self._resent: frozenset[str] = frozenset()  # messages that an earlier connection may have taken along
        self._url = url
        self._reconnect = reconnect
        self._chance = chance
        self._connected = False
        self._outward, self._commands = trio.open_memory_channel[JsonObject](_MAX_COMMANDS)
        self._unaccepted: dict[str, JsonObject] = {}
        self._failure: TransportError | None = None
        self._inward, self._events = trio.open_memory_channel[dict[str, Any]](_MAX_EVENTS)

    @property
    def last_seq(self) -> Mapping[str, int]:
        """The number of the last event taken of each thread."""
        return self._cursors.places

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        try:
            return await self._events.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    async def say(self, content: str, **fields: Any) -> str:
        """Send a message; returns its `message_id`. `fields` are the other members of a say, such as `thread_id`.

        While there is no connection it is kept for the next one. Raises trio.WouldBlock when a hundred are not
        accepted yet.
        """
        if len(self._unaccepted) >= _MAX_UNACCEPTED:
            raise trio.WouldBlock("too many messages wait to be accepted")
        message_id = str(fields.pop("message_id", None) or uuid.uuid4().hex)
        payload = {"content": content, "message_id": message_id, **fields}
        self._unaccepted[message_id] = {"type": "user_message", "payload": payload}
        if self._connected:
            await self._outward.send(self._unaccepted[message_id])
        else:
            await trio.lowlevel.checkpoint()
        return message_id

    async def cancel(self, run_id: str) -> None:
        """Stop a run; sent with the next connection when there is none."""
        await self._outward.send({"type": "cancel", "payload": {"run_id": run_id}})

    async def resume(self, threads: Mapping[str, int]) -> None:
        """Follow these threads, each from the event after the given seq, now and after each reconnection."""
        self.stand(threads)
        for command in _resumes(threads):
            await self._outward.send(command)

    def stand(self, threads: Mapping[str, int]) -> None:
        """Take these for the last events that the caller has; the next connection resumes there."""
        for thread_id, seq in threads.items():
            self._cursors.move(thread_id, seq)

    async def refresh(self, token: str) -> None:
        """Renew the session: on this connection, and for all later ones."""
        self.token = token
        await self._outward.send({"type": "refresh", "payload": {"session_token": token}})

    async def run(self) -> None:
        """Connect, and connect again, until that makes no sense any more. `open_client` runs this."""
        failures = 0
        with self._inward:
            while True:
                failures = 0 if await self._connect() else failures + 1
                if self._failure is None and failures >= self._reconnect.attempts:
                    self._failure = SocketClosed(1006, "the server cannot be reached")
                if self._failure is not None:
                    return
                await trio.sleep(self._reconnect.delay_s(failures, self._chance()))

    async def _connect(self) -> bool:
        """Hold one connection to its end; whether it came so far that the server said something."""
        welcomed = False
        try:
            with trio.fail_after(self._reconnect.connect_s):
                stream = await _dial(self._url)
        except (OSError, trio.TooSlowError):
            return False
        try:
            async with trio.open_nursery() as nursery:
                welcomed = await self._shake_hands(nursery, stream)
                nursery.cancel_scope.cancel()
        except* (HandshakeError, trio.BrokenResourceError, trio.TooSlowError) as group:
            self._failure = _fatal(_only(group))
        finally:
            await trio.aclose_forcefully(stream)
        return welcomed

    async def _shake_hands(
        self, nursery: trio.Nursery, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    ) -> bool:
        parts = urlsplit(self._url)
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = [] if self.token is None else [(b"Authorization", b"Bearer " + self.token.encode())]
        with trio.fail_after(self._reconnect.connect_s):
            # A refusal is raised by the task that reads, into the nursery.
            socket = await wrap_client_stream(
                nursery, stream, parts.netloc, resource, subprotocols=[SUBPROTOCOL], extra_headers=headers,
                max_message_size=_MAX_MESSAGE_BYTES,
            )  # fmt: skip
        return await self._converse(socket)

    async def _converse(self, socket: WebSocketConnection) -> bool:
        """Send and receive until the connection ends; whether anything was received."""
        welcomed = False
        # Fixed before anything is read: an event that is read first would move the place past a hole.
        first = _resumes(self._cursors.connected())
        first += self._unaccepted.values()
        self._resent = frozenset(self._unaccepted)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak, socket, first)
                nursery.start_soon(self._fill_holes, socket)
                nursery.start_soon(self._keep_alive, socket)
                self._connected = True
                while True:
                    told = json.loads(await socket.get_message())
                    welcomed = True
                    for event in told if isinstance(told, list) else [told]:
                        await self._take(event)
        except* ConnectionClosed as group:
            self._note_closed(_only(group))
        finally:
            self._connected = False
            # Long enough to say goodbye; when this is cancelled, nobody is left to read the answer.
            with trio.move_on_after(0.1, shield=True):
                await socket.aclose()
        return welcomed

    async def _speak(self, socket: WebSocketConnection, first: Sequence[JsonObject]) -> None:
        # A task of the connection sends, as a send that is cancelled could leave half a frame behind.
        for command in first:
            await _send(socket, command)
        async for command in self._commands:
            await _send(socket, command)

    async def _fill_holes(self, socket: WebSocketConnection) -> None:
        """Resume the threads that miss events: at once, and again when nothing has come of it."""
        deadline = trio.current_time() + self._reconnect.resume_s
        while True:
            with trio.move_on_at(deadline) as waited:
                await self._hole.wait()
            self._hole = trio.Event()
            if waited.cancelled_caught:
                deadline = trio.current_time() + self._reconnect.resume_s
            for command in _resumes(self._cursors.wanted(again=waited.cancelled_caught)):
                await _send(socket, command)

    async def _keep_alive(self, socket: WebSocketConnection) -> None:
        while True:
            await trio.sleep(self._reconnect.ping_s)
            with trio.move_on_after(self._reconnect.ping_s) as scope:
                await socket.ping()
            if scope.cancelled_caught:
                raise ConnectionClosed(None)

    def _note_closed(self, closed: BaseException) -> None:
        reason = getattr(closed, "reason", None)
        if reason is None:
            return
        known = CLOSES.get(reason.code)
        if known is not None and not known.reconnect:
            self._failure = SocketClosed(int(reason.code), reason.reason or "")

    async def _take(self, event: dict[str, Any]) -> None:
        data = event.get("data") or {}
        kind, thread_id, seq = event.get("type"), event.get("thread_id"), event.get("seq")
        own = kind == "message_accepted" and self._unaccepted.pop(data.get("message_id", ""), None) is not None
        if thread_id is not None and seq is not None:
            began = thread_id not in self.last_seq
            judgement = self._cursors.judge(thread_id, seq, waiting=not own and self._awaits(thread_id))
            if own and began and data["message_id"] in self._resent:
                self._cursors.doubt(thread_id)  # it may have been accepted long ago, and more have come of it
                self._hole.set()
            if judgement is Judgement.HOLE:
                self._hole.set()
            if judgement is not Judgement.TAKE:
                return
        match kind:
            case "welcome":
                self.token = data.get("session_token") or self.token
            case "error" if event.get("run_id") is None:
                # Refused. Whether to say it again is the caller's to decide.
                self._unaccepted.pop(event.get("message_id", ""), None)
                if event.get("message_id") is None and data.get("retryable"):
                    self._cursors.refused()
            case "resync" if thread_id is not None:
                self._cursors.move(thread_id, data["last_seq"])
        await self._inward.send(event)

    def _awaits(self, thread_id: str) -> bool:
        """Whether a message waits to be accepted in this thread; one that names no thread may be in any."""
        return thread_id not in self.last_seq and any(
            command["payload"].get("thread_id") == thread_id
            or (message_id in self._resent and command["payload"].get("thread_id") is None)
            for message_id, command in self._unaccepted.items()
        )


def _resumes(threads: Mapping[str, int]) -> list[JsonObject]:
    places = list(threads.items())
    parts = (dict(places[at : at + _MAX_RESUMED]) for at in range(0, len(places), _MAX_RESUMED))
    return [{"type": "resume", "payload": {"threads": part}} for part in parts]


async def _send(socket: WebSocketConnection, command: JsonObject) -> None:
    await socket.send_message(json.dumps(command, ensure_ascii=False))


async def _dial(url: str) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "wss":
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443, https_compatible=True)
    return await trio.open_tcp_stream(host, parts.port or 80)


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fatal(error: BaseException) -> TransportError | None:
    """The end, where the server refuses to have this client; None where it is worth trying again."""
    if isinstance(error, ConnectionRejected):
        if error.status_code in (401, 403):
            return Unauthenticated("unauthenticated", f"the server refused the token ({error.status_code})")
        if error.status_code < 500 and error.status_code not in (408, 429):
            return SocketClosed(1008, f"the server refused with {error.status_code}")
    return None


@asynccontextmanager
async def open_client(
    url: str,
    *,
    token: str | None = None,
    threads: Mapping[str, int] | None = None,
    reconnect: Reconnect | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[Client]:
    """A client of the server at `url` (`ws://host:port/ws`), connected as soon as it can be.

    `token` is a session token; without one, a server that allows it gives one, kept for reconnections. `threads`
    are followed from the start, each from the event after its seq.
    """
    client = Client(url, token, reconnect or Reconnect(), chance)
    client.stand(threads or {})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        try:
            yield client
        finally:
            nursery.cancel_scope.cancel()
