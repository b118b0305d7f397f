"""Messaging between nodes: requests and replies as rows of the inbox, messages that may be lost as wakeups.

1. Requests and replies are rows (`inbox`), several in one transaction. A node reads its rows when it is woken, and
   every second in any case; while it hears no wakeups, ten times a second.
2. Events of threads (`announcer`) and news go as wakeups, several in one. Streamed text is never sent twice: a client
   sees the gap at the next number, or reads the text from the log.
3. A request that may or may not have been executed fails, and its caller may retry it.
4. Every queue is bounded: a message that does not fit is not sent, as if the carrier of wakeups were away.
5. A message that cannot be read, because it is torn, forged or of another release, is dropped, counted and logged; the
   sender of a letter gets a fault.
"""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NoReturn, TypeAlias

import trio
from attrs import define, field

from actors import ChildSpec
from understudy.chat.placement import Missed, News, Node, TypingIn
from understudy.extensions.nodes.announcer import Announcer
from understudy.extensions.nodes.background import Background
from understudy.extensions.nodes.codec import (
    VERSION,
    UnreadableLetter,
    decode_letter,
    encode_letter,
    encode_passing,
    join_passing,
    reply_value,
)
from understudy.extensions.nodes.inbox import AT_ONCE, Letter, deliver, letters_for
from understudy.extensions.nodes.messages import Following, Heard, Mail, RpcFault, RpcReply, RpcRequest, Told, fields_of
from understudy.extensions.nodes.wakeups import NEWS, Wakeups, channel_of
from understudy.storage.errors import StorageError, StorageUnavailable, WakeupsUnavailable
from understudy.storage.polling import until_next
from understudy.storage.store import Store

log = logging.getLogger(__name__)

Value: TypeAlias = bool | int | str | None

PENDING: Final = 10_000
"""Limit of requests that wait for a reply, and of letters, news and wakeups that wait to be sent: more are refused."""
REPLY_S: Final = 30.0
"""Seconds after which a reply expires: longer than any node waits for one."""
REMEMBERED: Final = 20_000
"""Limit of remembered ids of begun requests: more than arrive while a commit is repeated."""
TEXT_DELAY_S: Final = 0.03
"""Batching delay of streamed text: below what readers perceive."""
RETRY_S: Final = 0.1
"""Pause before the next wakeups after some could not be sent."""
POLL_S: Final = 1.0
"""Interval of reads of the inbox, whether this node was woken or not."""
QUICK_S: Final = 0.1
"""Interval of reads of the inbox while this node hears no wakeups, as behind a pooler."""


@define(eq=False)
class _Pending:
    """A request to a node that waits for its reply; `settled` is set with the outcome."""

    node: str
    settled: trio.Event = field(factory=trio.Event)
    outcome: RpcReply | Exception | None = None


class MessageBus:
    """Queues messages to other nodes, and matches their replies with the requests. The actors of `children` send.

    `hears`: wakeups arrive. `peers`: other nodes are alive, so news must be sent. `dropped` counts unreadable messages.
    """

    def __init__(
        self,
        store: Store,
        node: Node,
        wakeups: Wakeups,
        dropped: Callable[[str], object] = id,
        *,
        with_text: bool = True,
    ) -> None:
        self._store = store
        self._node = node
        self._wakeups = wakeups
        self._dropped = dropped
        self.hears = False
        self.peers = False
        self.woken = trio.Event()
        self.announcer = Announcer(node, self._wake, self.broadcast, with_text)
        self._letters: list[Letter] = []
        self._done: set[str] = set()
        self._taken: set[str] = set()  # ids of letters that are being executed, or not yet deleted
        self._begun: dict[str, None] = {}  # ids of the last requests that were begun, oldest first
        self._to_deliver = trio.Event()
        self._waiting: dict[str, list[Told]] = {}  # wakeups to send, by the channel
        self._missed_since: float | None = None  # Unix time of the first news that was not sent
        self._pending: dict[str, _Pending] = {}
        self._to_publish, self._at_once = trio.Event(), trio.Event()
        self._sent_at = -math.inf  # on trio's clock

    # requests

    async def ask(
        self, node: str, owner: str, thread_id: str, message: object, *, timeout_s: float, traceparent: str = ""
    ) -> Value:
        """Have the conversation of a thread of another node handle a message, and return the reply.

        `traceparent` names the span of the request.

        Raises:
            CommandRejected, MessageInOtherThread: The other node raised it.
            Moved: The other node does not own the thread, or is down.
            StorageUnavailable: Its storage is down, or the request was not sent, or not answered in time; the command
                may or may not have been executed.
        """
        if len(self._pending) >= PENDING:
            raise StorageUnavailable("too many requests wait for other servers")
        name = uuid.uuid4().hex
        request = RpcRequest(name, owner, thread_id, type(message).__name__, fields_of(message), traceparent)
        wait = self._pending[name] = _Pending(node)
        try:
            self._post(Letter(name, node, self._node.id, VERSION, encode_letter(request), timeout_s))
            with trio.move_on_after(timeout_s):
                await wait.settled.wait()
            if wait.outcome is None:
                raise StorageUnavailable(f"another server did not answer within {timeout_s:g} s")
            if isinstance(wait.outcome, Exception):
                raise wait.outcome
            return reply_value(wait.outcome)
        finally:
            del self._pending[name]

    def reply(self, node: str, answer: RpcReply) -> None:
        """Reply to a request of another node, and delete its letter."""
        self._post(Letter(uuid.uuid4().hex, node, self._node.id, VERSION, encode_letter(answer), REPLY_S))
        self.finish(answer.id)

    def finish(self, letter_id: str) -> None:
        """Have the letter of a finished request, or of a reply that was read, deleted with the next commit."""
        self._done.add(letter_id)
        self._to_deliver.set()

    def _post(self, letter: Letter) -> None:
        if len(self._letters) >= PENDING:
            self._settle(letter.id, StorageUnavailable("too much waits for other servers"))
            return
        self._letters.append(letter)
        self._to_deliver.set()

    def _settle(self, request_id: str, outcome: RpcReply | Exception) -> None:
        """End the wait for the reply to a request; no effect if the caller has given up already."""
        wait = self._pending.get(request_id)
        if wait is not None and wait.outcome is None:
            wait.outcome = outcome
            wait.settled.set()

    def fail_pending(self, error: Exception, node: str | None = None) -> None:
        """Fail the pending requests to a node that is down; with None those to all nodes.

        The latter is for a node that has a new id: replies to its previous id are lost.
        """
        for request_id, wait in self._pending.items():
            if node in (None, wait.node):
                self._settle(request_id, error)

    async def deliver(self) -> NoReturn:
        """Store the queued letters and wake their recipients, until cancelled."""
        while True:
            await self._to_deliver.wait()
            self._to_deliver = trio.Event()
            letters, self._letters = self._letters, []
            done, self._done = self._done, set()
            try:
                await self._store.commit(deliver(letters, done))
            except BaseException as error:  # also if this actor is killed during the commit
                for letter in letters:
                    self._settle(letter.id, StorageUnavailable(str(error)))
                self._done |= done  # they are deleted with the next commit
                if not isinstance(error, StorageError):
                    raise
            else:
                self._taken -= done
                for node in {letter.node for letter in letters}:
                    self.tell(node, Mail())

    async def read(self, execute: Callable[[str, RpcRequest, float], None]) -> NoReturn:
        """Read the letters to this node until cancelled; `execute(sender, request, within_s)` begins a request."""
        name = self._node.id
        while True:
            self.woken = trio.Event()
            if name != self._node.id:
                name = self._node.id
                self.fail_pending(StorageUnavailable("this server was taken for dead"))
            try:
                letters = await self._store.read(letters_for, name, tuple(self._taken))
            except StorageError:
                letters = []
            for letter in letters:
                self._open(letter, execute)
            if len(letters) < AT_ONCE:
                with trio.move_on_after(until_next(POLL_S if self.hears else QUICK_S)):
                    await self.woken.wait()

    def _open(self, letter: Letter, execute: Callable[[str, RpcRequest, float], None]) -> None:
        self._taken.add(letter.id)
        try:
            content = decode_letter(letter)
        except UnreadableLetter as error:
            self.drop(letter.sender, error)
            self.reply(letter.sender, RpcReply(letter.id, fault=RpcFault("unavailable", str(error))))
            return
        if isinstance(content, RpcRequest):
            if self._is_new(content.id):
                execute(letter.sender, content, letter.within_s)
            else:
                self.finish(letter.id)
            return
        self._settle(content.id, content)
        self.finish(letter.id)

    def _is_new(self, request_id: str) -> bool:
        """Remember a request; return False if it was begun before, as a repeated commit may have stored it twice."""
        if request_id in self._begun:
            return False
        self._begun[request_id] = None
        if len(self._begun) > REMEMBERED:
            del self._begun[next(iter(self._begun))]
        return True

    def drop(self, place: str, error: Exception) -> None:
        """Count and log a message that cannot be read."""
        log.warning("inbox.dropped", extra={"reason": "unreadable", "place": place, "detail": str(error)})
        self._dropped("unreadable")

    # wakeups

    def tell(self, node: str, told: Told) -> None:
        """Queue a wakeup to a node; it is dropped if too many wait."""
        waiting = self._waiting.setdefault(channel_of(node), [])
        if len(waiting) < PENDING:
            waiting.append(told)
            self._wake()

    def follow(self, node: str, owner: str, thread_id: str, *, snapshot: bool) -> None:
        """Tell a node that its thread is followed here. `snapshot`: have it send the last number and streamed text."""
        self.tell(node, Following(self._node.id, owner, thread_id, snapshot))

    def broadcast(self, news: News) -> None:
        """Send news to all nodes. News that do not fit into the queue are announced as `Missed` later."""
        if not self.peers:
            return
        waiting = self._waiting.setdefault(NEWS, [])
        if len(waiting) < PENDING:
            waiting.append(Heard(self._node.id, news))
            self._wake()
        elif not isinstance(news, TypingIn):
            self._mark_missed(time.time())

    def _mark_missed(self, since: float) -> None:
        self._missed_since = since if self._missed_since is None else min(since, self._missed_since)
        self._wake()

    def _wake(self, at_once: bool = True) -> None:
        self._to_publish.set()
        if at_once:
            self._at_once.set()

    async def publish(self) -> NoReturn:
        """Send the queued wakeups until cancelled, together all that were queued while the previous ones were sent."""
        try:
            while True:
                await self._to_publish.wait()
                with trio.move_on_at(self._sent_at + TEXT_DELAY_S):
                    await self._at_once.wait()
                self._to_publish, self._at_once = trio.Event(), trio.Event()
                await self._publish()
        finally:
            self._wakeups.close()

    async def _publish(self) -> None:
        """Send the queued wakeups. After a failure events are sent again as numbers only, and news as `Missed`."""
        since = time.time()
        waiting, self._waiting = self._waiting, {}
        if self._missed_since is not None:
            waiting.setdefault(NEWS, []).append(Heard(self._node.id, Missed(self._missed_since)))
            since, self._missed_since = self._missed_since, None
        messages = self._encode(waiting)
        try:
            if messages:
                await self._wakeups.publish(messages)
        except BaseException as error:  # also if this actor is killed while it sends
            self.announcer.tell_again()
            if waiting.pop(NEWS, ()):
                self._mark_missed(since)
            for channel, told in waiting.items():
                self._waiting[channel] = [*told, *self._waiting.get(channel, ())][:PENDING]
            self._wake()
            if not isinstance(error, WakeupsUnavailable):
                raise
            log.warning("wakeups.not_sent", extra={"reason": error.reason})
            await trio.sleep(RETRY_S)
        self._sent_at = trio.current_time()

    def _encode(self, waiting: dict[str, list[Told]]) -> list[tuple[str, str]]:
        """Return pairs of a channel and a message: the events of threads first, the news last."""
        parts, largest = dict[str, list[str]](), self._wakeups.largest
        outgoing: list[tuple[Iterable[str], Iterable[Told]]] = [
            *((map(channel_of, nodes), messages) for nodes, messages in self.announcer.take()),
            *(([channel], waiting[channel]) for channel in sorted(waiting, key=NEWS.__eq__)),
        ]
        for channels, told in outgoing:
            encoded = [part for message in told for part in encode_passing(message, largest)]
            for channel in channels:
                parts.setdefault(channel, []).extend(encoded)
        return [(channel, text) for channel, texts in parts.items() for text in join_passing(texts, largest)]

    def children(self) -> Sequence[ChildSpec]:
        """Return the actors that send letters and wakeups."""
        loops = {"letters": self.deliver, "bus": self.publish}
        return [ChildSpec(name, partial(Background, loop)) for name, loop in loops.items()]
