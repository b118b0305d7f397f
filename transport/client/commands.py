"""The commands of a client, and the queue in which they wait until the server has acknowledged them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import trio

from transport.client.decoder import Received, read_event
from transport.client.delivery import EventDelivery
from transport.client.reconnector import Reconnector
from transport.client.store import OutboxStore
from transport.client.unacked import SMALL_BYTES, UnackedCommands, encode_command
from transport.wire.command_parser import parse_frame
from transport.wire.commands import Decision, Rating, SteerMode

JsonObject: TypeAlias = Mapping[str, Any]


class CommandQueue:
    """The unacknowledged commands, of which the store has a copy. Others are sent at once, or never."""

    def __init__(
        self, connecting: Reconnector, delivery: EventDelivery, unacked: UnackedCommands, store: OutboxStore | None
    ) -> None:
        self.unacked: UnackedCommands = unacked
        self._reconnector = connecting
        self._delivery = delivery
        self._store = store
        self._saving = trio.Lock()

    def send_soon(self, command: JsonObject, *, or_later: bool = False) -> None:
        """Send a command if there is a connection. `or_later`: the next connection makes up for one that is refused."""
        line = self._reconnector.connection
        if line is not None and not line.send_soon(command) and or_later:
            self._delivery.cursors.mark_refused()  # all threads are resumed when gaps are next filled

    async def enqueue(self, kind: str, fields: JsonObject) -> None:
        """Queue a command of these fields, without those that are None. Raises what methods of `Client` raise."""
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
            if not self.unacked.fits(frame):
                raise trio.WouldBlock("too many commands are unacknowledged")
            if self._store is not None:
                await self._store.save([*self.unacked.commands, command])
            # Nothing is awaited from here to the caller, so that no event arrives before the caller listens.
            self.unacked.add(command, frame)
        if self._reconnector.connection is not None:
            self._reconnector.connection.wake()

    async def withdraw(self, message_id: str) -> bool:
        """Take a message out, as `ClientCommands.withdraw`."""
        async with self._saving:
            kept = self.unacked.get(("message", message_id))
            if kept is None or (kept.tries and kept.due_at <= trio.current_time()):
                return False
            self.unacked.remove(kept.key)
            if self._store is not None:
                await self._store.save(self.unacked.commands)
        await self._delivery.receive_event(_withdrawn(message_id), 1000)
        return True

    def _raise_if_ended(self) -> None:
        if self._delivery.ended:
            raise self._delivery.failure or trio.ClosedResourceError("this client is closed")

    async def save_changes(self) -> None:
        """Save to the store what remains after each acknowledgement. `open_client` runs this."""
        while self._store is not None:
            await self._delivery.unacked_changed.wait()
            self._delivery.unacked_changed = trio.Event()
            async with self._saving:
                await self._store.save(self.unacked.commands)


def _withdrawn(message_id: str) -> Received:
    text = "The message was taken back before it was sent."
    data = {"code": "run_cancelled", "message": text, "retryable": False, "error_id": ""}
    return read_event({"type": "error", "message_id": message_id, "message": text, "data": data})


class ClientCommands:
    """What a client can say to the server."""

    def __init__(self, queue: CommandQueue) -> None:
        self._queue = queue

    async def say(self, content: str, **fields: Any) -> str:
        """Send a message and return its `message_id`. `fields` are other members of a say, such as `thread_id`.

        `exchange`, called with that id before anything else is awaited, misses no event.
        """
        message_id = str(fields.pop("message_id", None) or uuid.uuid4().hex)
        await self._queue.enqueue("user_message", {"content": content, "message_id": message_id, **fields})
        return message_id

    async def edit(self, message_id: str, content: str, *, new_message_id: str | None = None) -> str:
        """Edit a message on a branch of its own. Return the new message's `message_id`."""
        new = new_message_id or uuid.uuid4().hex
        await self._queue.enqueue("edit", {"message_id": message_id, "content": content, "new_message_id": new})
        return new

    async def regenerate(self, message_id: str, *, request_id: str | None = None) -> str:
        """Request another answer to a message, named by its own id or its answer's. Return the `request_id`."""
        request = request_id or uuid.uuid4().hex
        await self._queue.enqueue("regenerate", {"message_id": message_id, "request_id": request})
        return request

    async def continue_answer(self, run_id: str, *, request_id: str | None = None) -> str:
        """Go on with the answer of a run that was cut, in another run. Return the `request_id`.

        The events of that run begin with a `MessageAccepted` whose `continues` is `run_id`. Without a `request_id` a
        run is continued once, whoever asks. A run whose answer is whole is refused with `not_continuable`.
        """
        request = request_id or f"continue-{run_id}"
        await self._queue.enqueue("continue", {"run_id": run_id, "request_id": request})
        return request

    async def withdraw(self, message_id: str) -> bool:
        """Withdraw a message that was not sent yet, or was refused and waits to be sent again.

        Return whether that was possible. If so, waiting for its answer ends in a refusal with code `run_cancelled`.
        """
        return await self._queue.withdraw(message_id)

    @property
    def unaccepted(self) -> Sequence[str]:
        """The ids of the messages that the server has not accepted yet, oldest first."""
        return [each.message_id for each in self._queue.unacked.messages]

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
        await self._queue.enqueue("approve", given | ({"remember": True} if remember else {}))

    def disallow(self, thread_id: str, tool_name: str) -> None:
        """Take back that a tool is always allowed in a thread, now or on the next connection."""
        payload = {"thread_id": thread_id, "tool_name": tool_name}
        self._queue.send_soon({"type": "disallow", "payload": payload}, or_later=True)

    def switch_server(self, thread_id: str, server: str, *, on: bool) -> None:
        """Switch an MCP server off in a thread, or on again, now or on the next connection."""
        payload = {"thread_id": thread_id, "server": server, "on": on}
        self._queue.send_soon({"type": "switch_server", "payload": payload}, or_later=True)

    async def answer_question(self, question_id: str, answer: Mapping[str, Any] | None) -> None:
        """Answer a question that a run asks, with an object that fits its schema; None declines to answer."""
        given = {"decline": True} if answer is None else {"answer": dict(answer)}
        await self._queue.enqueue("answer", {"question_id": question_id, **given})

    async def undo(self, *, call_id: str | None = None, run_id: str | None = None) -> None:
        """Undo a tool call of an ended run, or with `run_id` all its calls that can be, the newest first.

        Raises ValueError unless exactly one of them is given.
        """
        if (call_id is None) == (run_id is None):
            raise ValueError("give either call_id or run_id")
        await self._queue.enqueue("undo", {"call_id": call_id} if run_id is None else {"run_id": run_id})

    async def steer(
        self, run_id: str, content: str, *, mode: SteerMode = SteerMode.NEXT, steer_id: str | None = None
    ) -> str:
        """Send a run at work a further message, and return its `steer_id`. A run that has ended refuses it.

        With `SteerMode.AFTER` it is an ordinary message under that id, which waits until the run has ended.
        """
        steer_id = steer_id or uuid.uuid4().hex
        fields = {"run_id": run_id, "content": content, "mode": SteerMode(mode).value, "steer_id": steer_id}
        await self._queue.enqueue("steer", fields)
        return steer_id

    async def unsteer(self, run_id: str, steer_id: str) -> None:
        """Take back a steer that its run has not taken yet."""
        await self._queue.enqueue("unsteer", {"run_id": run_id, "steer_id": steer_id})

    async def feedback(self, message_id: str, rating: Rating | None, *, note: str | None = None) -> None:
        """Rate an answer; None withdraws the rating."""
        value = None if rating is None else Rating(rating).value
        await self._queue.enqueue("feedback", {"message_id": message_id, "rating": value, "note": note})

    async def cancel(self, run_id: str) -> None:
        """Stop a run."""
        await self._queue.enqueue("cancel", {"run_id": run_id})

    def typing(self, thread_id: str) -> None:
        """Signal the user's other connections that the user is typing; dropped without a connection."""
        self._queue.send_soon({"type": "typing", "payload": {"thread_id": thread_id}})

    def ack(self, thread_id: str, seq: int) -> None:
        """Acknowledge the events of a thread up to `seq`. Not needed with `open_client(…, ack=True)`."""
        self._queue.send_soon({"type": "ack", "payload": {"thread_id": thread_id, "seq": seq}})
