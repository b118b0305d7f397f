"""A tab of a user: the base of all kinds of clients in a soak, and the tab on the product's own client."""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import trio
from attrs import define, field

from tests.network.received import JsonObject, Ledger, ReceivedLog, SentMessage
from transport.wire.errors import TransportError
from transport.wire.events import PartialResult, Resync
from understudy.client import Client, Received, Reconnect, open_client
from understudy.wire.commands import SteerMode

BACK = Reconnect(first_s=0.3, max_s=3.0, attempts=10**6, connect_s=5.0, ping_s=4.0, resume_s=2.0)

LATE = ("run_ended", "not_found", "already_undone", "undo_expired", "not_undoable", "busy")
"""Codes with which steers, answers and undos are refused that come too late or too early."""


@define(eq=False)
class Tab:
    """A client of one user that is subscribed to `threads` at `address`.

    `slow_s` is its delay per event while the network is bad. `received` has its events; a tab reopened from the start
    begins a new one. `status` is the state its client reports for the connection.
    """

    name: str
    user: str
    token: str
    threads: tuple[str, ...]
    address: str
    ledger: Ledger
    chance: Random
    nursery: trio.Nursery
    slow_s: float = 0.0
    status: str = field(default="", init=False)
    received: ReceivedLog = field(init=False)
    _session_scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _away_s: float = field(default=0.0, init=False)
    _asks_again: bool = field(default=False, init=False)
    _begins: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    async def run(self) -> None:
        """Keep the tab open, or closed for a while, until cancelled."""
        while True:
            with trio.CancelScope() as self._session_scope:
                try:
                    await self._session()
                except TransportError as error:
                    self.fault(f"gave up: {error}")
                    self._away_s = 1.0
            if self._begins:  # no event goes to the earlier log any more
                self.received.current = self._begins = False
                self._begin()
            await trio.sleep(self._away_s)

    async def _session(self) -> None:
        raise NotImplementedError

    def reload(self, away_s: float, *, afresh: bool) -> None:
        """Close the tab and reopen it after this time, from its cursors or from the first event."""
        self.ledger.counts["tabs closed and opened"] += 1
        self._away_s = away_s
        self._begins = self._begins or afresh
        self._session_scope.cancel()

    def _begin(self) -> None:
        self.received = ReceivedLog(self.name, self.ledger)
        self.ledger.received.append((self.received, self.user, self.threads))

    async def say(self, message: SentMessage) -> None:
        """Send or repeat a message, now or once connected."""
        raise NotImplementedError

    def say_soon(self, message: SentMessage) -> None:
        """Send a message in the background."""
        self.nursery.start_soon(self.say, message)

    async def stop_run(self, run_id: str) -> None:
        raise NotImplementedError

    async def order(self, kind: str, **payload: Any) -> None:
        """Send a `steer`, an `unsteer`, an `answer` or an `undo`, once; it may be lost."""
        raise NotImplementedError

    @property
    def waiting(self) -> Sequence[str]:
        """Return the messages that are not known to be accepted."""
        raise NotImplementedError

    def fault(self, what: str) -> None:
        """Record a violation."""
        self.ledger.faults.append(f"{self.name}: {what}")

    def take(self, event: JsonObject) -> None:
        """Record a durable event and the state of its message."""
        if event["type"] == "message_accepted":
            data = event["data"]
            self.ledger.told.setdefault(data["message_id"], set()).add(data["run_id"])
        self.received.take(event)

    def refused(self, message_id: str | None, data: Mapping[str, Any]) -> None:
        """Handle a refused command. Retryable messages are repeated; a thread may not exist yet."""
        code = data["code"]
        self.ledger.counts[f"refused: {code}"] += 1
        if message_id not in self.ledger.said and (code in LATE or (data["retryable"] and message_id is not None)):
            return  # of a steer, an answer or an undo
        if message_id in self.ledger.said and data["retryable"]:
            self.nursery.start_soon(self._again, self.ledger.said[message_id], data.get("retry_after") or 1.0)
        elif message_id is None and code == "not_found":
            pass  # the thread does not exist yet; all tabs get its first event
        elif message_id is None and data["retryable"]:
            if not self._asks_again:
                self._asks_again = True
                self.nursery.start_soon(self._follow_later)
        else:
            self.fault(f"was refused with {code}: {data['message']}")

    async def _again(self, message: SentMessage, after_s: float) -> None:
        await trio.sleep(min(after_s, 3.0))
        await self.say(message)

    async def _follow_later(self) -> None:
        await trio.sleep(1.0)
        self._asks_again = False
        for thread_id in self.threads:
            await self.follow(thread_id)

    async def follow(self, thread_id: str) -> None:
        """Subscribe to a thread from this tab's cursor."""
        raise NotImplementedError

    async def look(self) -> None:
        """Spend this user's delay on an event."""
        await trio.sleep(self.slow_s)


@define
class Kept:
    """Storage for commands that the server has not accepted; it survives the closing of a tab."""

    commands: Sequence[JsonObject] = ()

    async def load(self) -> Sequence[JsonObject]:
        """Return the commands saved last."""
        return self.commands

    async def save(self, commands: Sequence[JsonObject]) -> None:
        """Save these commands."""
        self.commands = list(commands)


@define(eq=False)
class ProductTab(Tab):
    """A tab on `transport.client`.

    When opened it repeats its messages that were not seen as accepted: it may have been closed before it handled a
    retryable refusal.
    """

    _client: Client | None = None
    _there: trio.Event = field(factory=trio.Event)
    _store: Kept = field(factory=Kept)
    _unseen: dict[str, SentMessage] = field(factory=dict)

    async def _session(self) -> None:
        options: dict[str, Any] = {name: self.chance.random() < 0.7 for name in ("batch", "chunk", "gzip", "ack")}
        threads = {name: self.received.last(name) for name in self.threads}
        url = self.address.replace("http", "ws", 1) + "/ws"
        opened = partial(open_client, url, token=self.token, threads=threads, reconnect=BACK, store=self._store)
        try:
            async with opened(chance=self.chance.random, **options) as client:
                self._client = client
                self._there.set()
                for message in self._unseen.values():
                    self.say_soon(message)
                async for event in client:
                    self._hear(event)
                    self.status = f"{client.state.status.value} {client.state.reason}"
                    if self.slow_s:
                        await self.look()
        finally:
            self._client, self._there = None, trio.Event()

    def _hear(self, event: Received) -> None:
        if event.seq is not None:
            self.take(event.raw)
        elif event.refusal:
            self.refused(event.message_id, event.raw["data"])
        elif isinstance(event.event, PartialResult):
            piece = event.event
            if not self.received.take_text(str(event.run_id), piece.offset, piece.text):
                self.fault("a piece of text was given after a hole")
        elif isinstance(event.event, Resync):
            self.fault("it is beyond the end of the log")

    async def _with_client(self, use: Any) -> None:
        while True:
            await self._there.wait()
            try:
                if self._client is not None:
                    await use(self._client)
                    return
            except (trio.ClosedResourceError, TransportError, trio.WouldBlock):
                pass
            await trio.sleep(0.1)

    def take(self, event: JsonObject) -> None:
        """Keep a durable event."""
        if event["type"] == "message_accepted":
            self._unseen.pop(event["data"]["message_id"], None)
        super().take(event)

    async def say(self, message: SentMessage) -> None:
        """Leave it to the client."""
        if message.message_id not in self.ledger.accepted:
            self._unseen[message.message_id] = message
        name, thread_id, content = message.message_id, message.thread_id, message.content
        await self._with_client(
            lambda client: client.say(content, message_id=name, thread_id=thread_id, agent_type="planned")
        )

    async def stop_run(self, run_id: str) -> None:
        """Leave it to the client."""
        await self._with_client(lambda client: client.cancel(run_id))

    async def order(self, kind: str, **payload: Any) -> None:
        """Leave it to the client."""

        async def send(client: Client) -> None:
            match kind:
                case "steer":
                    fields = {"mode": SteerMode(payload["mode"]), "steer_id": payload["steer_id"]}
                    await client.steer(payload["run_id"], payload["content"], **fields)
                case "unsteer":
                    await client.unsteer(**payload)
                case "answer":
                    await client.answer_question(**payload)
                case "undo":
                    await client.undo(**payload)

        await self._with_client(send)

    async def follow(self, thread_id: str) -> None:
        """Leave it to the client."""

        async def ask(client: Client) -> None:
            client.resume(
                {thread_id: client.last_seq.get(thread_id, 0)}
            )  # the cursor of the client, ahead of the events handled here

        await self._with_client(ask)

    @property
    def waiting(self) -> Sequence[str]:
        """What the client has not settled."""
        if self._client is not None:
            return self._client.unaccepted
        return [
            command["payload"]["message_id"] for command in self._store.commands if command["type"] == "user_message"
        ]
