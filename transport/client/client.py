"""The public interface of the client."""

import random
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import trio

from transport.client.credentials import Credentials, TokenSource
from transport.client.decoder import Received, read_event
from transport.client.delivery import EventDelivery, resume_commands
from transport.client.dial import SocketUrl
from transport.client.exchange import Exchange
from transport.client.reconnect import Reconnect
from transport.client.reconnector import Reconnector
from transport.client.state import State, States
from transport.client.store import OutboxStore
from transport.client.unacked import SMALL_BYTES, UnackedCommands, encode_command
from transport.wire.command_parser import parse_frame
from transport.wire.commands import Decision, Rating, SteerMode
from transport.wire.events import FinalResponse

JsonObject: TypeAlias = Mapping[str, Any]


class Client:
    """A client, made by `open_client`. Iterate over it for all events; iteration ends when the client is closed.

    Iterating, `exchange` and `answer` raise SocketClosed if the server closed with a code that forbids reconnecting, or
    can no longer be reached, and Unauthenticated if it refused the token. So do the methods that send, from then on;
    after the block they raise trio.ClosedResourceError.

    A method that sends returns once the command is queued; it is sent as soon as there is a connection. It raises
    trio.WouldBlock if 100 commands, or 8 MiB, are unacknowledged, CommandRejected for an invalid command, ValueError
    for one of over 8 MiB, TypeError for values that JSON lacks, and any error of the `store`. Nothing was queued then.
    """

    def __init__(
        self,
        connecting: Reconnector,
        delivery: EventDelivery,
        credentials: Credentials,
        unsent: UnackedCommands,
        store: OutboxStore | None,
    ) -> None:
        self._reconnector = connecting
        self._delivery = delivery
        self._credentials = credentials
        self._unacked = unsent
        self._store = store
        self._saving = trio.Lock()

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

    async def say(self, content: str, **fields: Any) -> str:
        """Send a message and return its `message_id`. `fields` are other members of a say, such as `thread_id`.

        `exchange`, called with that id before anything else is awaited, misses no event.
        """
        message_id = str(fields.pop("message_id", None) or uuid.uuid4().hex)
        await self._enqueue("user_message", {"content": content, "message_id": message_id, **fields})
        return message_id

    async def answer(self, content: str, **fields: Any) -> str:
        """Send a message and wait for the text of its answer. Cancelling this does not stop the run.

        Raises:
            RunFailed: The message was refused, or its run ended in an error. The text so far of a run that was
                stopped is an answer.
        """
        message_id = str(fields.pop("message_id", None) or uuid.uuid4().hex)
        arc = self.exchange(message_id)
        await self.say(content, message_id=message_id, **fields)
        ended = (await arc.answer()).event
        return ended.message if isinstance(ended, FinalResponse) else ""

    async def edit(self, message_id: str, content: str, *, new_message_id: str | None = None) -> str:
        """Edit a message on a branch of its own. Return the new message's `message_id`."""
        new = new_message_id or uuid.uuid4().hex
        await self._enqueue("edit", {"message_id": message_id, "content": content, "new_message_id": new})
        return new

    async def regenerate(self, message_id: str, *, request_id: str | None = None) -> str:
        """Request another answer to a message, named by its own id or its answer's. Return the `request_id`."""
        request = request_id or uuid.uuid4().hex
        await self._enqueue("regenerate", {"message_id": message_id, "request_id": request})
        return request

    async def continue_answer(self, run_id: str, *, request_id: str | None = None) -> str:
        """Go on with the answer of a run that was cut, in another run. Return the `request_id`.

        The events of that run begin with a `MessageAccepted` whose `continues` is `run_id`. Without a `request_id` a
        run is continued once, whoever asks. A run whose answer is whole is refused with `not_continuable`.
        """
        request = request_id or f"continue-{run_id}"
        await self._enqueue("continue", {"run_id": run_id, "request_id": request})
        return request

    async def withdraw(self, message_id: str) -> bool:
        """Withdraw a message that was not sent yet, or was refused and waits to be sent again.

        Return whether that was possible. If so, waiting for its answer ends in a refusal with code `run_cancelled`.
        """
        async with self._saving:
            kept = self._unacked.get(("message", message_id))
            if kept is None or (kept.tries and kept.due_at <= trio.current_time()):
                return False
            self._unacked.remove(kept.key)
            if self._store is not None:
                await self._store.save(self._unacked.commands)
        await self._delivery.receive_event(_withdrawn(message_id), 1000)
        return True

    @property
    def unaccepted(self) -> Sequence[str]:
        """The ids of the messages that the server has not accepted yet, oldest first."""
        return [each.message_id for each in self._unacked.messages]

    async def approve(
        self,
        call_id: str,
        allow: bool = True,
        *,
        note: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        remember: bool = False,
    ) -> None:
        """Approve or deny a tool call that waits for approval; the agent reads the `note`.

        `parameters` change those of an allowed call; `remember` allows the tool always in this thread.
        """
        decision = Decision.ALLOW if allow else Decision.DENY
        given = {"call_id": call_id, "decision": decision.value, "note": note, "parameters": parameters}
        await self._enqueue("approve", given | ({"remember": True} if remember else {}))

    def disallow(self, thread_id: str, tool_name: str) -> None:
        """Take back that a tool is always allowed in a thread, now or on the next connection."""
        payload = {"thread_id": thread_id, "tool_name": tool_name}
        self._send_soon({"type": "disallow", "payload": payload}, or_later=True)

    def switch_server(self, thread_id: str, server: str, *, on: bool) -> None:
        """Switch an MCP server off in a thread, or on again, now or on the next connection."""
        payload = {"thread_id": thread_id, "server": server, "on": on}
        self._send_soon({"type": "switch_server", "payload": payload}, or_later=True)

    async def answer_question(self, question_id: str, answer: Mapping[str, Any] | None) -> None:
        """Answer a question that a run asks, with an object that fits its schema; None declines to answer."""
        given = {"decline": True} if answer is None else {"answer": dict(answer)}
        await self._enqueue("answer", {"question_id": question_id, **given})

    async def undo(self, *, call_id: str | None = None, run_id: str | None = None) -> None:
        """Undo a tool call of an ended run, or with `run_id` all its calls that can be, the newest first.

        Raises ValueError unless exactly one of them is given.
        """
        if (call_id is None) == (run_id is None):
            raise ValueError("give either call_id or run_id")
        await self._enqueue("undo", {"call_id": call_id} if run_id is None else {"run_id": run_id})

    async def steer(
        self, run_id: str, content: str, *, mode: SteerMode = SteerMode.NEXT, steer_id: str | None = None
    ) -> str:
        """Send a run at work a further message, and return its `steer_id`. A run that has ended refuses it.

        With `SteerMode.AFTER` it is an ordinary message under that id, which waits until the run has ended.
        """
        steer_id = steer_id or uuid.uuid4().hex
        fields = {"run_id": run_id, "content": content, "mode": SteerMode(mode).value, "steer_id": steer_id}
        await self._enqueue("steer", fields)
        return steer_id

    async def unsteer(self, run_id: str, steer_id: str) -> None:
        """Take back a steer that its run has not taken yet."""
        await self._enqueue("unsteer", {"run_id": run_id, "steer_id": steer_id})

    async def feedback(self, message_id: str, rating: Rating | None, *, note: str | None = None) -> None:
        """Rate an answer; None withdraws the rating."""
        value = None if rating is None else Rating(rating).value
        await self._enqueue("feedback", {"message_id": message_id, "rating": value, "note": note})

    async def cancel(self, run_id: str) -> None:
        """Stop a run."""
        await self._enqueue("cancel", {"run_id": run_id})

    def typing(self, thread_id: str) -> None:
        """Signal the user's other connections that the user is typing; dropped without a connection."""
        self._send_soon({"type": "typing", "payload": {"thread_id": thread_id}})

    def ack(self, thread_id: str, seq: int) -> None:
        """Acknowledge the events of a thread up to `seq`. Not needed with `open_client(…, ack=True)`."""
        self._send_soon({"type": "ack", "payload": {"thread_id": thread_id, "seq": seq}})

    def resume(self, threads: Mapping[str, int]) -> None:
        """Subscribe to these threads, each from the event after its seq, now and after each reconnection."""
        for thread_id, seq in threads.items():
            self._delivery.cursors.move_to(thread_id, seq)
        for command in resume_commands(threads):
            self._send_soon(command, or_later=True)

    def refresh(self, token: str) -> None:
        """Renew the session's token, on this connection and for all later ones."""
        self._credentials.token = token
        if self._reconnector.connection is not None:
            self._reconnector.renewal.mark_refreshed(self._reconnector.connection)
        self._send_soon({"type": "refresh", "payload": {"session_token": token}})

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

    # Internal

    def _send_soon(self, command: JsonObject, *, or_later: bool = False) -> None:
        line = self._reconnector.connection
        if line is not None and not line.send_soon(command) and or_later:
            self._delivery.cursors.mark_refused()  # all threads are resumed when gaps are next filled

    async def _enqueue(self, kind: str, fields: JsonObject) -> None:
        self._raise_if_ended()
        payload = {name: value for name, value in fields.items() if value is not None or name == "rating"}
        command = {"type": kind, "payload": payload}
        frame = encode_command(command)
        if len(frame) > SMALL_BYTES:
            await trio.to_thread.run_sync(parse_frame, frame, abandon_on_cancel=True)
        else:
            parse_frame(frame)  # a server could not name the command that it cannot parse
        async with self._saving:
            self._raise_if_ended()
            if not self._unacked.fits(frame):
                raise trio.WouldBlock("too many commands are unacknowledged")
            if self._store is not None:
                await self._store.save([*self._unacked.commands, command])
            # Nothing is awaited from here to the caller, so that no event arrives before the caller listens.
            self._unacked.add(command, frame)
        if self._reconnector.connection is not None:
            self._reconnector.connection.wake()

    def _raise_if_ended(self) -> None:
        if self._delivery.ended:
            raise self._delivery.failure or trio.ClosedResourceError("this client is closed")

    async def _save_changes(self) -> None:
        """Save to the store what remains after each acknowledgement. `open_client` runs this."""
        while self._store is not None:
            await self._delivery.unacked_changed.wait()
            self._delivery.unacked_changed = trio.Event()
            async with self._saving:
                await self._store.save(self._unacked.commands)


def _withdrawn(message_id: str) -> Received:
    text = "The message was taken back before it was sent."
    data = {"code": "run_cancelled", "message": text, "retryable": False, "error_id": ""}
    return read_event({"type": "error", "message_id": message_id, "message": text, "data": data})


@asynccontextmanager
async def open_client(
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
) -> AsyncIterator[Client]:
    """Open a client of the server at `url` (`ws://host:port/ws` or `wss://…`), which connects in the background.

    `token` is a session token, or a function, async or not, that returns one. The function is called for each
    connection, before the token expires, and when the server reports its expiry. An OSError, TransportError or
    trio.TooSlowError from it counts as a failed attempt, Unauthenticated ends the client, other errors propagate.
    Without a token, a server that allows anonymous sessions issues one, which is used for reconnections.

    `threads` are subscribed from the start, each from the event after its seq. `store` persists unacknowledged commands
    across restarts of the program. `ack`: acknowledge events that the caller has taken, at most once a second. `batch`,
    `chunk` and `gzip` are the connection's capabilities; see `hello` in the protocol. `chance` returns numbers
    between 0 and 1, for random delays.

    Raises ValueError for an invalid `url`, and any error of `store.load()`. Later errors of the store and of the token
    function are raised by the block, in an exception group.
    """
    how = reconnect or Reconnect()
    address = SocketUrl.parse(url)
    unsent = UnackedCommands()
    for command in [] if store is None else await store.load():
        unsent.add(command, encode_command(command)).tries = 1  # the program's last connection may have sent it
    delivery = EventDelivery(unsent)
    credentials = Credentials(token, how.connect_s)
    hello = {"batch": batch, "chunk": chunk, "gzip": gzip}
    connecting = Reconnector(
        address, credentials, how, chance, hello, unsent, delivery, tls=ssl_context, ack=ack
    )  # fmt: skip
    client = Client(connecting, delivery, credentials, unsent, store)
    for thread_id, seq in (threads or {}).items():
        delivery.cursors.move_to(thread_id, seq)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connecting.run)
            nursery.start_soon(client._save_changes)
            try:
                yield client
            except Exception as error:
                failure = error  # the caller's own error: re-raised below, not in the nursery's group
            finally:
                nursery.cancel_scope.cancel()
                connecting.close()
    except BaseExceptionGroup as group:
        raise group if failure is None else BaseExceptionGroup(group.message, [failure, *group.exceptions]) from None
    if failure is not None:
        raise failure
