"""A chat room in a program of your own: the server half of `transport`, which resumes each client where it was cut off.

    python examples/room.py

docs/how-to/embed-a-chat-server.md explains it. The room has an event, a command and an error code of its own. Ann and
Bob talk by clients that reconnect by themselves; Bob's network is cut again and again, and Ann's stops carrying
anything. Each is shown every line once, in order.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from secrets import token_hex
from typing import Any, ClassVar

import trio
from attrs import frozen

from actors import ActorRef, ChildSpec, Restart, StartChild, Supervisor, open_system
from transport.auth.identity import Identity, find_token, origin_allowed
from transport.client import Client, Received, Reconnect
from transport.connection.callbacks import ConnectionLimits
from transport.connection.websocket import WebSocketConnection
from transport.outbox.metrics import ConnectionMetrics
from transport.outbox.outbox import GetBacklog, LogPage, OutboxBacklog, OutboxLimits
from transport.server.http import error_body
from transport.server.listener import Upgrade, serve
from transport.wire import command_parser, fields, vocabulary
from transport.wire.codes import ERRORS, ErrorCode, register_errors
from transport.wire.commands import Command, Resume
from transport.wire.dialects import CANONICAL, Endpoints
from transport.wire.errors import CommandRejected, Unauthenticated, UnknownEndpoint
from transport.wire.events import Envelope, Error, Event, Welcome
from transport.wire.messages import Deliver, Reply, SubscribeThread
from transport.wire.payloads import ChunkBudget
from transport.wire.vocabulary import Vocabulary


@frozen
class Posted(Event):
    """A member has posted a line."""

    type: ClassVar[str] = "posted"
    author: str
    text: str


@frozen
class Post(Command):
    """Post a line in a room. A client that gets no event for it sends it again, with the same `message_id`."""

    starts_work: ClassVar[bool] = True
    thread_id: str
    message_id: str
    text: str
    session_token: str | None = None


VOCABULARY = Vocabulary(
    events={**vocabulary.EVENTS, "posted": Posted},
    commands={**command_parser.COMMANDS, "post": Post},
    checks={**fields.CHECKS, "text": fields.PLAIN_TEXT},
)
ENDPOINTS = Endpoints({"/ws": CANONICAL})
register_errors([ErrorCode("shouting", "Please do not shout.", retryable=False, http_status=422)])

ROOM = "room"
ALLOWED_ORIGINS: tuple[str, ...] = ()  # pages of others that may connect; a page of this server's own always may
LIMITS = ConnectionLimits(outbox=OutboxLimits(queue_bytes=64 * 1024, queue_events=100))
"""Limits of the events that wait for one member; further ones are read from the log when the member reads again."""


class Room:
    """One thread for all members: its log, and the outboxes that subscribe to it. `members` has names by token."""

    def __init__(self, members: Mapping[str, str], connections: ActorRef) -> None:
        self.members, self.connections = members, connections
        self.log: list[Envelope] = []  # in a real program a database
        self.accepted: dict[tuple[str, str], Envelope] = {}
        self.outboxes: dict[str, ActorRef] = {}
        self.subscribed: set[ActorRef] = set()
        self.vocabulary, self.metrics, self.chunk_budget = VOCABULARY, ConnectionMetrics(), ChunkBudget()

    async def handle_upgrade(self, upgrade: Upgrade) -> WebSocketConnection | None:
        """Admit a WebSocket, or refuse it. The connection and its actor end together."""
        try:
            choice = ENDPOINTS.negotiate(upgrade.path, upgrade.subprotocols, upgrade.query)
            identity = await self.verify(find_token(upgrade.headers, upgrade.query, upgrade.subprotocols) or "")
            if not origin_allowed(upgrade.headers.get("origin"), upgrade.headers.get("host"), ALLOWED_ORIGINS):
                raise CommandRejected("forbidden")
        except (UnknownEndpoint, Unauthenticated, CommandRejected) as refused:
            code = "not_found" if isinstance(refused, UnknownEndpoint) else refused.code
            await upgrade.refuse(ERRORS[code].http_status, error_body(code))
            return None
        socket = await upgrade.accept(choice.subprotocol)
        connection = WebSocketConnection(socket, self, choice.dialect, identity=identity, limits=LIMITS)
        spec = ChildSpec(connection.connection_id, lambda: connection, restart=Restart.TEMPORARY)
        await self.connections.ask(StartChild(spec))
        return connection

    # The methods that a connection calls: `transport.connection.callbacks.ConnectionCallbacks`

    def clock(self) -> float:
        return time.time()

    async def verify(self, token: str) -> Identity:
        if token not in self.members:
            raise Unauthenticated("unauthenticated")
        return Identity(user=self.members[token], session=token)

    async def join(self, identity: Identity, connection_id: str, outbox: ActorRef) -> Welcome:
        self.outboxes[connection_id] = outbox
        return Welcome(
            connection_id, identity.user, identity.session, "room.v1", {}, LIMITS.heartbeat.interval_s,
            threads={ROOM: len(self.log)}, capabilities=("batch", "chunk", "gzip"),
        )  # fmt: skip

    def leave(self, connection_id: str) -> None:
        if connection_id in self.outboxes:
            self.subscribed.discard(self.outboxes.pop(connection_id))

    def allow(self, identity: Identity, command: Command) -> float:
        return 0.0  # no rate limit

    async def dispatch(self, identity: Identity, command: Command, outbox: ActorRef | None) -> None:
        match command:
            case Post(thread_id="room", text=text):
                if text.isupper():
                    raise CommandRejected("shouting")
                self.say(identity.user, text, command.message_id, outbox)
            case Resume(threads={"room": after}) if outbox is not None:
                outbox.tell(SubscribeThread(ROOM, after, len(self.log)))
                self.subscribed.add(outbox)
            case Post() | Resume():
                raise CommandRejected("not_found")
            case _:
                raise CommandRejected("unknown_type")

    def say(self, user: str, text: str, message_id: str, outbox: ActorRef | None) -> None:
        """Store a line, and then send it to all members. A client that got no event for it sends it once more."""
        known = self.accepted.get((user, message_id))
        if known is not None:
            if outbox is not None:
                outbox.tell(Reply(known, len(self.log)))
            return
        seq = len(self.log) + 1
        line = Envelope(Posted(user, text), self.clock(), seq, ROOM, message_id=message_id, message=f"{user}: {text}")
        self.log.append(line)
        self.accepted[user, message_id] = line
        said = Deliver(line, shared=True)  # encoded once
        for outbox in self.subscribed:
            outbox.tell(said)

    async def read_log(self, identity: Identity, thread_id: str, after: int, limit: int) -> LogPage:
        return LogPage(self.log[after : after + limit], len(self.log))

    def request_snapshot(self, identity: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Do nothing: no text is streamed here."""


async def not_found(scope: Mapping[str, Any], _: object, send: Callable[[Mapping[str, Any]], Any]) -> None:
    """Answer all requests that are no WebSocket. Replace this by the ASGI application of your program."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})


class RoomClient(Client):
    """A client that knows the room's events and commands."""

    vocabulary = VOCABULARY

    async def post(self, text: str) -> str:
        """Post a line, now or on the next connection. Return its id."""
        message_id = uuid.uuid4().hex
        await self.send("post", thread_id=ROOM, message_id=message_id, text=text)
        return message_id

    async def outcome(self, text: str) -> Received:
        """Post a line. Return the event that shows it, or refuses it."""
        return await anext(self.exchange(await self.post(text)))


class Line:
    """A network between a client and the server. It can be cut, and it can stop carrying the server's data."""

    def __init__(self, port: int) -> None:
        self.port, self.connections = port, 0
        self.carries = trio.Event()
        self.carries.set()
        self.scope = trio.CancelScope()

    async def connect(self, client: trio.SocketStream) -> None:
        self.connections += 1
        with trio.CancelScope() as self.scope:
            async with await trio.open_tcp_stream("127.0.0.1", self.port) as server, trio.open_nursery() as nursery:
                nursery.start_soon(self.carry, client, server)
                nursery.start_soon(self.carry, server, client)

    async def carry(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for chunk in source:
                if source.socket.getpeername()[1] == self.port:
                    await self.carries.wait()
                await sink.send_all(chunk)
        self.scope.cancel()

    async def open(self, nursery: trio.Nursery, token: str) -> RoomClient:
        """Return a client at the other end, which reads the room from its first line."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, self.connect, [listener])
        url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/ws"
        client: RoomClient = await nursery.start(stay, url, token)
        return client


async def stay(url: str, token: str, *, task_status: trio.TaskStatus[RoomClient]) -> None:
    soon = Reconnect(max_s=0.1)  # unlike a client on a real network
    async with RoomClient.open(url, token=token, threads={ROOM: 0}, reconnect=soon) as client:
        task_status.started(client)
        await trio.sleep_forever()


async def hear(client: RoomClient, heard: list[str]) -> None:
    """Collect the lines that a client gets, up to the last one."""
    async for received in client:
        if isinstance(received.event, Posted):
            heard.append(received.message)
            if heard[-1].endswith("that was all"):
                return


async def main() -> dict[str, Any]:
    """Return all lines, those that ann and bob got, bob's connections, and the most bytes that waited for ann."""
    async with open_system("chat", [ChildSpec("connections", partial(Supervisor, []))]) as system:
        room = Room({"a-token": "ann", "b-token": "bob"}, system.get("/chat/connections"))
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            await nursery.start(partial(serve, listeners, asgi_app=not_found, upgrade_handler=room))
            port = listeners[0].socket.getsockname()[1]
            ann_line, bob_line = Line(port), Line(port)
            ann, bob = await ann_line.open(nursery, "a-token"), await bob_line.open(nursery, "b-token")
            heard: dict[str, list[str]] = {"ann": [], "bob": []}
            waiting: list[OutboxBacklog] = []
            async with trio.open_nursery() as readers:
                readers.start_soon(hear, ann, heard["ann"])
                readers.start_soon(hear, bob, heard["bob"])
                await ann.outcome("hello")
                refused = (await ann.outcome("HELLO")).event
                ann_line.carries = trio.Event()
                for block in range(5):
                    for number in range(80):
                        await bob.post(f"{block}.{number} {token_hex(1000)}")
                        if number == 40:
                            await trio.sleep(0.01)  # some of the lines are on their way, and others answered
                            bob_line.scope.cancel()
                    await bob.outcome(f"that was block {block}")
                    waiting += [await outbox.ask(GetBacklog()) for outbox in room.outboxes.values()]
                ann_line.carries.set()
                await bob.post("that was all")
            nursery.cancel_scope.cancel()
    said = [envelope.message for envelope in room.log]
    most = max(backlog.bytes for backlog in waiting)
    print(f"ann shouted: {refused.code}, {refused.message}" if isinstance(refused, Error) else "ann shouted")
    print(f"{len(said)} lines were said; ann heard {len(heard['ann'])}, bob {len(heard['bob'])}")
    print(f"bob connected {bob_line.connections} times; at most {most:,} bytes waited for ann, the rest in the log")
    return {"said": said, "heard": heard, "connections": bob_line.connections, "most": most}


if __name__ == "__main__":
    trio.run(main)
