"""The queue in which a client's commands wait until the server has acknowledged them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import trio

from transport.client.decoder import refusal
from transport.client.delivery import EventDelivery
from transport.client.reconnector import Reconnector
from transport.client.store import OutboxStore
from transport.client.unacked import SMALL_BYTES, UnackedCommands, encode_command
from transport.wire.vocabulary import Vocabulary

JsonObject: TypeAlias = Mapping[str, Any]


class CommandQueue:
    """Queues commands until they are acknowledged, with a copy in the store. Others are sent at once, or never."""

    def __init__(
        self,
        reconnector: Reconnector,
        delivery: EventDelivery,
        unacked: UnackedCommands,
        vocabulary: Vocabulary,
        store: OutboxStore | None,
    ) -> None:
        self._parse = vocabulary.parser.parse_frame
        self.unacked: UnackedCommands = unacked
        self._reconnector = reconnector
        self._delivery = delivery
        self._store = store
        self._saving = trio.Lock()

    def send_soon(self, command: JsonObject, *, or_later: bool = False) -> None:
        """Send a command if there is a connection. `or_later`: if its queue is full, all threads are resumed later."""
        connection = self._reconnector.connection
        if connection is not None and not connection.send_soon(command) and or_later:
            self._delivery.cursors.mark_refused()

    async def enqueue(self, kind: str, fields: JsonObject) -> None:
        """Queue a command of these fields, without those that are None. Raises the errors of `Client`'s methods."""
        self._raise_if_ended()
        payload = {name: value for name, value in fields.items() if value is not None}
        command = {"type": kind, "payload": payload}
        frame = encode_command(command)
        if len(frame) > SMALL_BYTES:
            await trio.to_thread.run_sync(self._parse, frame, abandon_on_cancel=True)
        else:
            self._parse(frame)  # a server that cannot parse a command cannot name it in its refusal
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

    async def withdraw(self, message_id: str, code: str) -> bool:
        """Withdraw a message that was not sent yet, or was refused and waits to be sent again.

        Return whether that was possible. If so, the caller receives a refusal of the message with this code.
        """
        async with self._saving:
            command = self.unacked.get(("message", message_id))
            if command is None or (command.tries and command.due_at <= trio.current_time()):
                return False
            self.unacked.remove(command.key)
            if self._store is not None:
                await self._store.save(self.unacked.commands)
        text = "The message was taken back before it was sent."
        await self._delivery.receive_event(refusal(code, text, message_id), 1000)
        return True

    def _raise_if_ended(self) -> None:
        if self._delivery.ended:
            raise self._delivery.failure or trio.ClosedResourceError("this client is closed")

    async def save_changes(self) -> None:
        """Save the remaining commands to the store after each acknowledgement. `open_client` runs this."""
        while self._store is not None:
            await self._delivery.unacked_changed.wait()
            self._delivery.unacked_changed = trio.Event()
            async with self._saving:
                await self._store.save(self.unacked.commands)
