"""The public interface of the client."""

import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, Self

import trio

from transport.client.command_queue import CommandQueue
from transport.client.credentials import Credentials, TokenSource
from transport.client.decoder import Received
from transport.client.delivery import EventDelivery, resume_commands
from transport.client.dial import SocketUrl
from transport.client.exchange import Exchange
from transport.client.reconnect import Reconnect
from transport.client.reconnector import Reconnector
from transport.client.state import State, States
from transport.client.store import OutboxStore
from transport.client.unacked import UnackedCommand, UnackedCommands, encode_command
from transport.wire.vocabulary import Vocabulary


class Client:
    """A client, made by `open_client`. Iterate over it for all events; iteration ends when the client is closed.

    Iterating, and `exchange`, raise SocketClosed if the server closed with a code that forbids reconnecting, or
    can no longer be reached, and Unauthenticated if it refused the token. So do the methods that send, from then on;
    after the block they raise trio.ClosedResourceError.

    A method that sends returns once the command is queued; it is sent as soon as there is a connection. It raises
    trio.WouldBlock if 100 commands, or 8 MiB, are unacknowledged, CommandRejected for an invalid command, ValueError
    for one of over 8 MiB, TypeError for values that JSON lacks, and any error of the `store`. Nothing was queued then.

    A program with commands of its own makes a subclass: with its `vocabulary`, the `subprotocol` that a connection asks
    for, the `unacked_command` that knows what acknowledges its commands, and an `event_delivery` for its events.
    """

    vocabulary: ClassVar[Vocabulary] = Vocabulary()
    subprotocol: ClassVar[str | None] = None
    unacked_command: ClassVar[type[UnackedCommand]] = UnackedCommand
    event_delivery: ClassVar[type[EventDelivery]] = EventDelivery

    def __init__(
        self, reconnector: Reconnector, delivery: EventDelivery, credentials: Credentials, queue: CommandQueue
    ) -> None:
        self._reconnector = reconnector
        self._delivery = delivery
        self._credentials = credentials
        self._queue = queue

    # Events

    def __aiter__(self) -> AsyncIterator[Received]:
        self._delivery.keep_all_events()
        return self

    async def __anext__(self) -> Received:
        self._delivery.keep_all_events()
        event = await self._delivery.inbox.get()
        if event is None:
            if self._delivery.failure is not None:
                raise self._delivery.failure
            raise StopAsyncIteration
        self._delivery.record_consumed(event)
        return event

    def exchange(self, message_id: str, *, run_id: str | None = None) -> Exchange:
        """Return the events of one message from now to the end of its run; `run_id` selects one of several runs."""
        return self._delivery.open_exchange(message_id, run_id)

    def text(self, name: str) -> str:
        """Return the text of an answer so far, by the id of its run, or of its message for the latest run; else ""."""
        return self._delivery.text(name)

    @property
    def last_seq(self) -> Mapping[str, int]:
        """The `seq` of the last event of each thread that was queued for the caller."""
        return self._delivery.cursors.last_seqs

    # Commands

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a command until the server has acknowledged it. Fields that are None are left out."""
        await self._queue.enqueue(kind, fields)

    def ack(self, thread_id: str, seq: int) -> None:
        """Acknowledge the events of a thread up to `seq`. Not needed with `open_client(…, ack=True)`."""
        self._queue.send_soon({"type": "ack", "payload": {"thread_id": thread_id, "seq": seq}})

    def resume(self, threads: Mapping[str, int]) -> None:
        """Subscribe to these threads, each from the event after its seq, now and after each reconnection."""
        for thread_id, seq in threads.items():
            self._delivery.cursors.move_to(thread_id, seq)
        for command in resume_commands(threads):
            self._queue.send_soon(command, or_later=True)

    def refresh(self, token: str) -> None:
        """Renew the session's token, on this connection and for all later ones."""
        self._credentials.token = token
        if self._reconnector.connection is not None:
            self._reconnector.renewal.mark_refreshed(self._reconnector.connection)
        self._queue.send_soon({"type": "refresh", "payload": {"session_token": token}})

    # State

    @property
    def state(self) -> State:
        """The connection's state; if offline, the reason and the time of the next attempt."""
        return self._reconnector.state.now

    def states(self) -> States:
        """Return an async iterator over the current state and each later one, to the final one."""
        return States(self._reconnector.state)

    @property
    def token(self) -> str | None:
        """The session token in use; for an anonymous session, the one issued by the server."""
        return self._credentials.token

    @property
    def rtt_s(self) -> float | None:
        """Round-trip time of the last ping in seconds; None before the first, and without a connection."""
        return None if self._reconnector.connection is None else self._reconnector.connection.rtt_s

    # Opening

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        token: str | TokenSource | None = None,
        threads: Mapping[str, int] | None = None,
        reconnect: Reconnect | None = None,
        store: OutboxStore | None = None,
        ack: bool = False,
        batch: bool = True,
        chunk: bool = True,
        gzip: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        chance: Callable[[], float] = random.random,
    ) -> AsyncIterator[Self]:
        """Open a client of the server at `url` (`ws://host:port/ws` or `wss://…`), which connects in the background.

        `token` is a session token, or a function, async or not, that returns one. The function is called for each
        connection, before the token expires, and when the server reports its expiry. An OSError, TransportError or
        trio.TooSlowError from it counts as a failed attempt, Unauthenticated ends the client, other errors propagate.
        Without a token, a server that allows anonymous sessions issues one, which is used for reconnections.

        `threads` are subscribed from the start, each from the event after its seq. `store` persists unacknowledged
        commands across restarts of the program. `ack`: acknowledge events that the caller has taken, at most once a
        second. `batch`, `chunk` and `gzip` are the connection's capabilities; see `Hello`. `chance` returns numbers
        between 0 and 1, for random delays.

        Raises ValueError for an invalid `url`, and any error of `store.load()`. Later errors of the store and of the
        token function are raised by the block, in an exception group.
        """
        policy = reconnect or Reconnect()
        address = SocketUrl.parse(url, cls.subprotocol)
        unacked = UnackedCommands(cls.unacked_command)
        for command in [] if store is None else await store.load():
            unacked.add(command, encode_command(command)).tries = 1  # an earlier run of the program may have sent it
        delivery = cls.event_delivery(unacked, cls.vocabulary.events)
        credentials = Credentials(token, policy.connect_s)
        hello = {"batch": batch, "chunk": chunk, "gzip": gzip}
        reconnector = Reconnector(
            address, credentials, policy, chance, hello, unacked, delivery, tls=ssl_context, ack=ack
        )  # fmt: skip
        queue = CommandQueue(reconnector, delivery, unacked, cls.vocabulary, store)
        client = cls(reconnector, delivery, credentials, queue)
        for thread_id, seq in (threads or {}).items():
            delivery.cursors.move_to(thread_id, seq)
        failure: Exception | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reconnector.run)
                nursery.start_soon(queue.save_changes)
                try:
                    yield client
                except Exception as error:
                    failure = error  # the caller's own error: re-raised below, not in the nursery's group
                finally:
                    nursery.cancel_scope.cancel()
                    reconnector.close()
        except BaseExceptionGroup as group:
            raise (
                group if failure is None else BaseExceptionGroup(group.message, [failure, *group.exceptions])
            ) from None
        if failure is not None:
            raise failure


open_client: Final = Client.open
