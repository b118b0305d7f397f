"""Queues the events of this node's threads for the nodes that follow these threads.

1. The followers of a thread are soft state: a node says every few seconds (`proxy_table.CHECK_S`) that it follows, and
   is forgotten after `FOLLOWED_S` without that. The state is the node's, as a conversation may die and start again.
2. Events wait here for the bus, which takes those of all threads together. Each is encoded once, however many nodes
   follow; adjacent pieces of text are joined.
3. The number of the last event is sent with its row and the rows before it, as far as they are short and wait together;
   other events are read from the log. After a failure only the number is sent again.
4. If the queue is full, text is lost, and events are read from the log.
5. Text in which placeholders may be restored is not sent: it is scrubbed for its own user only.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec
import trio
from attrs import define, field

from transport.outbox.delivery import merge_text
from understudy.chat.placement import News, Node
from understudy.extensions.nodes.codec import pieces_of
from understudy.extensions.nodes.messages import FRAMES_MAX, Advanced, Passing, ThreadGone, Told
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import to_log

FOLLOWED_S: Final = 30.0
"""Seconds after which a follower is forgotten that has not repeated that it follows."""
MOST_FOLLOWED: Final = 100_000
"""Limit of followed threads, and of followers of one; more are ignored, as any session that can `NOTIFY` can claim to
follow."""
WAITING: Final = 10_000
"""Limit of events that wait to be sent, over all threads."""


@define(eq=False)
class _Followed:
    """A thread, `key` its user and id, that other nodes follow: `until` has a time of trio's clock for each. `head` is
    the last number of the log. `behind`: it must be sent, without a row."""

    key: tuple[str, str]
    until: dict[str, float] = field(factory=dict)
    waiting: list[Envelope] = field(factory=list)
    head: int = 0
    incarnation: float | None = None
    behind: bool = False
    deleted: ThreadGone | None = None

    def nodes(self) -> Collection[str]:
        """Return the nodes that follow now, and forget the others."""
        now = trio.current_time()
        self.until = {node: until for node, until in self.until.items() if until > now}
        return self.until


@define(eq=False)
class Announcer:
    """The threads of `node` that others follow; implements `OtherNodes`.

    `wake(at_once)` has the bus call `take`; `broadcast` sends news to all nodes.
    """

    node: Node
    wake: Callable[[bool], None]
    broadcast: Callable[[News], None]
    with_text: bool = True
    _threads: dict[tuple[str, str], _Followed] = field(factory=dict, init=False)
    _to_send: dict[_Followed, None] = field(factory=dict, init=False)
    _sending: dict[_Followed, None] = field(factory=dict, init=False)
    _waiting: int = field(default=0, init=False)
    _sweep_at: int = field(default=64, init=False)

    def follow(self, node: str, owner: str, thread_id: str) -> bool:
        """Record that a node follows a thread. Return False if it follows already, or there are too many followers."""
        self._sweep()
        followed = self._threads.get((owner, thread_id)) or _Followed((owner, thread_id))
        is_new = node not in followed.nodes()
        if is_new and max(len(self._threads), len(followed.until)) >= MOST_FOLLOWED:
            return False
        self._threads[owner, thread_id] = followed
        followed.until[node] = trio.current_time() + FOLLOWED_S
        return is_new

    def _sweep(self) -> None:
        """Forget the threads without followers, each time the number of threads has doubled."""
        if len(self._threads) >= self._sweep_at:
            self._threads = {key: followed for key, followed in self._threads.items() if followed.nodes()}
            self._sweep_at = 2 * len(self._threads) + 64

    def is_followed(self, owner: str, thread_id: str) -> bool:
        """As `OtherNodes.is_followed`."""
        followed = self._threads.get((owner, thread_id))
        return followed is not None and bool(followed.nodes())

    def deliver(self, owner: str, thread_id: str, incarnation: float | None, envelopes: Sequence[Envelope]) -> None:
        """As `OtherNodes.deliver`."""
        if (followed := self._threads.get((owner, thread_id))) is None:
            return
        followed.incarnation = incarnation
        last, room = envelopes[-1].seq, self._waiting < WAITING
        if last is not None:
            followed.head, followed.behind = last, followed.behind or not room
        if room:
            followed.waiting += envelopes
            self._waiting += len(envelopes)
        self._send(followed, at_once=last is not None)

    def tell_end(self, owner: str, thread_id: str, incarnation: float | None, last_seq: int) -> None:
        """As `OtherNodes.tell_end`."""
        if (followed := self._threads.get((owner, thread_id))) is not None:
            followed.head, followed.incarnation, followed.behind = last_seq, incarnation, True
            self._send(followed)

    def tell_deleted(self, owner: str, thread_id: str, incarnation: float | None) -> None:
        """As `OtherNodes.tell_deleted`."""
        if (followed := self._threads.pop((owner, thread_id), None)) is not None:
            followed.deleted = ThreadGone(self.node.id, *followed.key, incarnation)
            self._send(followed)

    def _send(self, followed: _Followed, *, at_once: bool = True) -> None:
        self._to_send[followed] = None
        self.wake(at_once)

    def take(self) -> Iterator[tuple[Collection[str], Iterator[Told]]]:
        """Yield for each thread with waiting events the nodes that follow it, and the messages to them."""
        self._sending, self._to_send, self._waiting = self._to_send, {}, 0
        for followed in self._sending:
            messages = self._told(followed)
            yield followed.nodes(), messages

    def _told(self, followed: _Followed) -> Iterator[Told]:
        waiting, followed.waiting = followed.waiting, []
        first = next((envelope.seq for envelope in waiting if envelope.seq is not None), followed.head + 1)
        thread = (self.node.id, *followed.key)
        if followed.behind:
            followed.behind = False
            yield Advanced(*thread, followed.head, followed.incarnation)
        head = first - 1
        for numbered, group in groupby(waiting, key=lambda envelope: envelope.seq is not None):
            together = list(group)
            if numbered:
                head = together[-1].seq or head
                yield Advanced(*thread, head, followed.incarnation, _last_rows(together))
            elif self.with_text:
                for each in (piece for merged in merge_text(together) for piece in pieces_of(merged)):
                    yield Passing(*thread, head, msgspec.Raw(to_log(each)), each.text_epoch)
        if followed.deleted is not None:
            yield followed.deleted

    def tell_again(self) -> None:
        """Queue the last numbers of the threads that `take` yielded last, as these could not be sent. Text is lost."""
        sent, self._sending = self._sending, {}
        for followed in sent:
            followed.behind = True
            self._send(followed)


def _last_rows(envelopes: Sequence[Envelope]) -> tuple[msgspec.Raw, ...]:
    """Return the rows of the last events, as many as fit beside a number; fewer if one before them has no row."""
    size, first = 0, len(envelopes)
    while first and (row := envelopes[first - 1].frame) and (size := size + len(row)) <= FRAMES_MAX:
        first -= 1
    return tuple(msgspec.Raw(envelope.frame) for envelope in envelopes[first:])
