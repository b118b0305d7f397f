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
    """The unacknowledged commands, of which the store has a copy. Others are sent at once, or never."""

    def __init__(
        self,
        connecting: Reconnector,
        delivery: EventDelivery,
        unacked: UnackedCommands,
        vocabulary: Vocabulary,
        store: OutboxStore | None,
    ) -> None:
        self._parse = vocabulary.parser.parse_frame
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
        payload = {name: value for name, value in fields.items() if value is not None}
        command = {"type": kind, "payload": payload}
        frame = encode_command(command)
        if len(frame) > SMALL_BYTES:
            await trio.to_thread.run_sync(self._parse, frame, abandon_on_cancel=True)
        else:
            self._parse(frame)  # a server could not name the command that it cannot parse
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
            kept = self.unacked.get(("message", message_id))
            if kept is None or (kept.tries and kept.due_at <= trio.current_time()):
                return False
            self.unacked.remove(kept.key)
            if self._store is not None:
                await self._store.save(self.unacked.commands)
        text = "The message was taken back before it was sent."
        await self._delivery.receive_event(refusal(code, text, message_id), 1000)
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
