"""The client of the chat: its commands, and the answers to its messages."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from transport.client import client
from understudy.client.delivery import ChatDelivery, ChatExchange
from understudy.client.unacked import UnackedChatCommand
from understudy.wire.commands import Decision, Rating, SteerMode
from understudy.wire.dialects import SUBPROTOCOL
from understudy.wire.events import FinalResponse
from understudy.wire.vocabulary import VOCABULARY


class Client(client.Client):
    """A client of the chat, made by `open_client`: see `transport.client.Client`."""

    vocabulary = VOCABULARY
    subprotocol = SUBPROTOCOL
    unacked_command = UnackedChatCommand
    event_delivery = ChatDelivery

    # Messages and their answers

    def exchange(self, message_id: str, *, run_id: str | None = None) -> ChatExchange:
        """Return the events of one message from now to the end of its run; `run_id` selects one of several runs."""
        return cast("ChatExchange", super().exchange(message_id, run_id=run_id))

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
        """Continue an answer that was cut off, in another run. Return the `request_id`.

        The events of the new run begin with a `MessageAccepted` whose `continues` is `run_id`. Without a `request_id` a
        run is continued only once, even by several clients. The refusal of a whole answer is `not_continuable`.
        """
        request = request_id or f"continue-{run_id}"
        await self._queue.enqueue("continue", {"run_id": run_id, "request_id": request})
        return request

    async def withdraw(self, message_id: str) -> bool:
        """Withdraw a message that was not sent yet, or was refused and waits to be sent again.

        Return whether that was possible. If so, waiting for its answer ends in a refusal with code `run_cancelled`.
        """
        return await self._queue.withdraw(message_id, "run_cancelled")

    @property
    def unaccepted(self) -> Sequence[str]:
        """The ids of the messages that the server has not accepted yet, oldest first."""
        return [message.message_id for message in self._queue.unacked.messages]

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
        fields = {"call_id": call_id, "decision": decision.value, "note": note, "parameters": parameters}
        await self._queue.enqueue("approve", fields | ({"remember": True} if remember else {}))

    def disallow(self, thread_id: str, tool_name: str) -> None:
        """Revoke that a tool is always allowed in a thread, now or on the next connection."""
        payload = {"thread_id": thread_id, "tool_name": tool_name}
        self._queue.send_soon({"type": "disallow", "payload": payload}, or_later=True)

    def switch_server(self, thread_id: str, server: str, *, on: bool) -> None:
        """Switch an MCP server off in a thread, or on again, now or on the next connection."""
        payload = {"thread_id": thread_id, "server": server, "on": on}
        self._queue.send_soon({"type": "switch_server", "payload": payload}, or_later=True)

    async def answer_question(self, question_id: str, answer: Mapping[str, Any] | None) -> None:
        """Answer a question that a run asks, with an object that fits its schema; None declines to answer."""
        fields = {"decline": True} if answer is None else {"answer": dict(answer)}
        await self._queue.enqueue("answer", {"question_id": question_id, **fields})

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
        """Send a running run a further message. Return its `steer_id`. A run that has ended refuses it.

        With `SteerMode.AFTER` it is an ordinary message with that id, which waits until the run has ended.
        """
        steer_id = steer_id or uuid.uuid4().hex
        fields = {"run_id": run_id, "content": content, "mode": SteerMode(mode).value, "steer_id": steer_id}
        await self._queue.enqueue("steer", fields)
        return steer_id

    async def unsteer(self, run_id: str, steer_id: str) -> None:
        """Withdraw a steer that its run has not taken yet."""
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


open_client: Final = Client.open
