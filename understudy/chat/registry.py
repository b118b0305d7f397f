"""What the threads have here: their conversations, which are begun when there is none, or relays to other servers.

1. A thread has one conversation among all servers: the one whose server claimed it in the database.
2. Here it has one actor at a time, and one claim is made at a time: to claim a thread again is to throw out whoever
   works under the claim before.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TypeAlias, TypeVar

import trio
from attrs import frozen

from actors import (
    Actor,
    ActorDied,
    ActorRef,
    AlreadyStarted,
    Ask,
    AskTimeout,
    Backoff,
    ChildSpec,
    MailboxFull,
    Normal,
    Restart,
    StartChild,
)
from transport.outbox.outbox import SubscribeThread
from understudy.chat.conversation.conversation import Conversation
from understudy.chat.messages import EnsureRunning, OwnershipLost, WaitIdle
from understudy.chat.placement import Moved, Node, OtherNodes, actor_name
from understudy.chat.services import Services
from understudy.storage.errors import StorageUnavailable
from understudy.storage.keyed_lock import KeyedLock
from understudy.storage.store import LARGEST_PAGE
from understudy.storage.writes import Fence

ACCEPT_S: Final = 10.0
"""Longest time from a command to its acceptance; then its sender is told that storage is not available."""
STOP_WAIT_S: Final = 1.0
"""How long one that is ending is waited for, before it is asked for anew."""
TRIES: Final = 3
"""How often something is asked of a thread's conversation: one may be ending, or the thread moving, at that moment."""
RESTART_BACKOFF: Final = Backoff(min_s=0.02, max_s=5.0)
"""How long a conversation that died rests: the first time hardly, one that cannot start longer and longer. Less than
`ACCEPT_S`: who says something while it rests is answered by it, as when it died while the database was away."""

Key: TypeAlias = tuple[str, str]
T = TypeVar("T")


@frozen
class Entry:
    """What a thread has here: its conversation, or a relay to it on another server."""

    ref: ActorRef
    is_proxy: bool = False


class ConversationRegistry:
    """The actors of the threads that somebody here has to do with, and the way to ask them."""

    def __init__(
        self,
        services: Services,
        conversations: Callable[[], ActorRef],
        node: Node | None = None,
        others: OtherNodes | None = None,
    ) -> None:
        self._services = services
        self._conversations = conversations
        self._node = node
        self._nodes = others
        self._entries: dict[Key, Entry] = {}
        self._locks = KeyedLock[Key]()
        self._relocated: dict[Key, ActorRef] = {}

    async def ask(self, owner: str, thread_id: str, request: Callable[[], Ask[T]]) -> T:
        """Ask a thread's conversation, wherever it is; `request` makes the same request each time.

        Raises:
            StorageError, ActorError: It cannot be begun now.
            Exception: What the request fails with.
        """
        tries = 1
        while True:
            conversation = (await self.get_or_start(owner, thread_id)).ref
            try:
                return await conversation.ask(request(), timeout_s=ACCEPT_S)
            except ActorDied:
                # It was ending (idle), crashed or lost the thread as this came in; the ids make a repeat safe.
                if tries == TRIES:
                    raise
                tries += 1
                with trio.move_on_after(STOP_WAIT_S):
                    await conversation.wait_stopped()

    async def ensure_running(self, owner: str, thread_id: str, run_id: str) -> None:
        """See to it that a run is worked on, or ended; another server that has its thread sees to it itself.

        Raises:
            StorageError, ActorError: The thread's conversation cannot be started now.
        """
        if (place := await self._get_or_start(owner, thread_id)) is not None:
            place.ref.try_tell(EnsureRunning(run_id))

    async def get_local(self, owner: str, thread_id: str) -> ActorRef:
        """The conversation of a thread that this server has, for another server that asks.

        Raises:
            Moved: It is another server's.
            StorageError, ActorError: It cannot be had now.
        """
        place = await self._get_or_start(owner, thread_id)
        if place is None or place.is_proxy:
            raise Moved("the thread is another server's")
        return place.ref

    async def wait_idle(self, within_s: float) -> bool:
        """Wait until no run is at work and none is in line, at most so long; False when some still are.

        For a server that stops: what is accepted meanwhile is not waited for.
        """
        with trio.move_on_after(within_s) as limit:
            for ref in self._live_refs():
                with suppress(ActorDied, AskTimeout, MailboxFull):
                    await ref.ask(WaitIdle(), timeout_s=within_s)
        return not limit.cancelled_caught

    def peek(self, owner: str, thread_id: str) -> ActorRef | None:
        """What a thread has here that is alive, without a look elsewhere."""
        place = self._entries.get((owner, thread_id))
        return place.ref if place is not None and place.ref.alive else None

    async def dead_with_subscribers(self) -> list[Key]:
        """Return the threads whose proxy here was killed, or gave up, while connections of their user are here.

        These may follow it, and wait: without an actor nothing comes to them any more. If it was the conversation
        itself, they are told how far its log reaches, and read what they lack: the conversation may have died between
        a commit and its publication. Whatever happens in the thread next starts the conversation, and that finds its
        followers by itself. Threads whose actor ended in order, or that no connection can follow, are forgotten.
        Nothing else may forget a thread: its followers would wait in silence.

        Raises:
            StorageError: The logs cannot be read now. The threads are lost still.
        """
        proxies: list[Key] = []
        conversations: dict[str, list[str]] = {}
        for key, place in list(self._entries.items()):
            if place.ref.alive:
                continue
            if isinstance(await place.ref.wait_stopped(), Normal) or not self._services.outboxes(*key):
                self._forget(key, place)
            elif place.is_proxy:
                proxies.append(key)
            else:
                conversations.setdefault(key[0], []).append(key[1])
        for owner, ids in conversations.items():
            for first in range(0, len(ids), LARGEST_PAGE):
                await self._catch_up(owner, ids[first : first + LARGEST_PAGE])
        return proxies

    async def _catch_up(self, owner: str, ids: Sequence[str]) -> None:
        """Have the user's connections read what they lack of these threads, and forget the ones that are dead."""
        places = {thread_id: self._entries.get((owner, thread_id)) for thread_id in ids}
        for thread_id, head in (await self._services.store.last_seqs(owner, ids)).items():
            for outbox in self._services.outboxes(owner, thread_id):
                outbox.try_tell(SubscribeThread(thread_id, None, head, implicit=True))
        for thread_id, place in places.items():
            if place is not None and not place.ref.alive:
                self._forget((owner, thread_id), place)

    def _forget(self, key: Key, place: Entry) -> None:
        if self._entries.get(key) is place:
            del self._entries[key]

    def mark_relocated(self, owner: str, thread_id: str, ending: ActorRef) -> None:
        """What a thread has here is ending, and somebody here follows it: see `moving`."""
        self._relocated[owner, thread_id] = ending

    def relocated(self, most: int) -> list[tuple[Key, ActorRef]]:
        """Some of what `moved` was told, for `follow_again`; others first the next time."""
        some = list(islice(self._relocated.items(), most))
        for key, ending in some:  # to the end: those that cannot be had do not stand before all the others
            del self._relocated[key]
            self._relocated[key] = ending
        return some

    async def resubscribe(self, key: Key, ending: ActorRef) -> None:
        """Find what a thread that moved has now, so that whoever follows it here goes on to do so.

        Raises:
            StorageError, ActorError: It cannot be had now.
        """
        await ending.wait_stopped()
        await self.get_or_start(*key)
        if self._relocated.get(key) == ending:
            del self._relocated[key]

    async def get_or_start(self, owner: str, thread_id: str, after: int | None = None) -> Entry:
        """What a thread has here, which is begun if there is nothing; see `OtherNodes.relay` for `after`.

        Raises:
            StorageError, ActorError: It cannot be begun now.
        """
        place = await self._get_or_start(owner, thread_id, partial(self._start_proxy, owner, thread_id, after))
        if place is None:
            raise StorageUnavailable("another server has the thread")
        return place

    async def _get_or_start(
        self, owner: str, thread_id: str, elsewhere: Callable[[str], Awaitable[Entry | None]] | None = None
    ) -> Entry | None:
        """What a thread has here; its conversation is begun, or `elsewhere` with the node that has it."""
        key = (owner, thread_id)
        if (place := self._entries.get(key)) is not None and place.ref.alive:
            return place
        async with self._locks.hold(key):
            if (place := self._entries.get(key)) is not None and place.ref.alive:
                return place
            held = await self._claim(owner, thread_id)
            if not isinstance(held, str):
                place = await self._start_conversation(owner, thread_id, held)
            else:
                place = None if elsewhere is None else await elsewhere(held)
            if place is not None:
                self._entries[key] = place
        return place

    def _live_refs(self) -> list[ActorRef]:
        return [place.ref for place in self._entries.values() if place.ref.alive]

    async def _start_conversation(self, owner: str, thread_id: str, held: Fence | None) -> Entry:
        make = partial(Conversation, owner, thread_id, self._services, held)
        ref = await self._start_child(owner, thread_id, make)
        if held is not None and self._node is not None and held.node != self._node.id:
            ref.try_tell(OwnershipLost())  # it was not there yet when all were told that this server has another name
        return Entry(ref)

    async def _start_proxy(self, owner: str, thread_id: str, after: int | None, holder: str) -> Entry | None:
        if self._nodes is None:
            return None
        make = partial(self._nodes.relay, owner, thread_id, holder, after)
        return Entry(await self._start_child(owner, thread_id, make), is_proxy=True)

    async def _claim(self, owner: str, thread_id: str) -> Fence | str | None:
        if self._node is None:
            return None
        if not self._node.joined:
            raise StorageUnavailable("this server is about to join the others again")
        return await self._services.store.claim(owner, thread_id, self._node.id)

    async def _start_child(self, owner: str, thread_id: str, make: Callable[[], Actor]) -> ActorRef:
        spec = ChildSpec(actor_name(owner, thread_id), make, restart=Restart.TRANSIENT, backoff=RESTART_BACKOFF)
        try:
            return await self._conversations().ask(StartChild(spec), timeout_s=ACCEPT_S)
        except AlreadyStarted as already:
            return already.ref
