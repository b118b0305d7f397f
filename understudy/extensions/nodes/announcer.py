"""What this node tells others of its threads: each event once, to the nodes that follow its thread.

1. Who follows is soft state: a node says so every few seconds (`proxy_table.CHECK_S`), and is forgotten when it has not
   for `FOLLOWED_S`. It belongs to the node, not to a conversation, which may die and start again.
2. Events wait here for the bus, which takes those of all threads together. Each is encoded once, however many nodes
   follow; pieces of text that follow each other are joined.
3. With the number of the last event go its row and those before it, as far as they are short and wait together; the
   others are read from the log. What could not be sent is told again as a number.
4. What has no room is not sent: text is lost, and events are read from the log.
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
"""Seconds after which a node does not follow any more that has not said so again."""
MOST_FOLLOWED: Final = 100_000
"""Threads that others may follow, and nodes that may follow one: whoever can `NOTIFY` can say that it does."""
WAITING: Final = 10_000
"""Limit of events that wait to be sent."""


@define(eq=False)
class _Followed:
    """A thread (its user, and id) that other nodes follow, each until a time of trio's clock. `head` is the last number
    of the log; `behind`: it is to be told, without a row."""

    key: tuple[str, str]
    until: dict[str, float] = field(factory=dict)
    waiting: list[Envelope] = field(factory=list)
    head: int = 0
    incarnation: float | None = None
    behind: bool = False
    deleted: ThreadGone | None = None

    def nodes(self) -> Collection[str]:
        """Return the nodes that follow now."""
        now = trio.current_time()
        self.until = {node: until for node, until in self.until.items() if until > now}
        return self.until


@define(eq=False)
class Announcer:
    """The threads of `node` that others follow; implements `OtherNodes`. `wake(at_once)` has the bus `take` what
    waits, `broadcast` sends news to all nodes."""

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
        """Note that a node follows a thread. Return False if it has done so already, or too many do."""
        self._sweep()
        followed = self._threads.get((owner, thread_id)) or _Followed((owner, thread_id))
        is_new = node not in followed.nodes()
        if is_new and max(len(self._threads), len(followed.until)) >= MOST_FOLLOWED:
            return False
        self._threads[owner, thread_id] = followed
        followed.until[node] = trio.current_time() + FOLLOWED_S
        return is_new

    def _sweep(self) -> None:
        """Forget the threads that nobody follows any more, each time their number has doubled."""
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
        """Yield what waits of each thread: the nodes that follow it, and what they are told."""
        self._sending, self._to_send, self._waiting = self._to_send, {}, 0
        for followed in self._sending:
            told = self._told(followed)
            yield followed.nodes(), told

    def _told(self, followed: _Followed) -> Iterator[Told]:
        waiting, followed.waiting = followed.waiting, []
        first = next((each.seq for each in waiting if each.seq is not None), followed.head + 1)
        about = (self.node.id, *followed.key)
        if followed.behind:
            followed.behind = False
            yield Advanced(*about, followed.head, followed.incarnation)
        head = first - 1
        for numbered, group in groupby(waiting, key=lambda each: each.seq is not None):
            together = list(group)
            if numbered:
                head = together[-1].seq or head
                yield Advanced(*about, head, followed.incarnation, _last_rows(together))
            elif self.with_text:
                for each in (piece for merged in merge_text(together) for piece in pieces_of(merged)):
                    yield Passing(*about, head, msgspec.Raw(to_log(each)), each.text_epoch)
        if followed.deleted is not None:
            yield followed.deleted

    def tell_again(self) -> None:
        """Have the numbers told again of what was taken last: it could not be sent. Text has gone by."""
        sent, self._sending = self._sending, {}
        for followed in sent:
            followed.behind = True
            self._send(followed)


def _last_rows(envelopes: Sequence[Envelope]) -> tuple[msgspec.Raw, ...]:
    """Return the rows of the last events that fit beside a number."""
    size, first = 0, len(envelopes)
    while first and (row := envelopes[first - 1].frame) and (size := size + len(row)) <= FRAMES_MAX:
        first -= 1
    return tuple(msgspec.Raw(envelope.frame) for envelope in envelopes[first:])
