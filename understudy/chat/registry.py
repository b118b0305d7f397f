"""Maps each thread to its actor on this node, and starts the actor on first use.

The actor is the conversation if this node owns the thread, otherwise a proxy to the owning node.

1. A thread has one conversation among all nodes: that of the node which claimed it in the database.
2. On a node a thread has one actor at a time, and one claim is made at a time: a second claim would fence off the
   conversation that works under the first.
3. At most `AT_A_TIME` messages are being accepted, so that each is accepted quickly (`AdmissionControl`). A message
   that is refused is refused before its conversation is asked: nothing of it is stored.
4. Messages are admitted in order of arrival, and refused after `WAIT_S`. While the first in line has waited for
   `STANDING_S`, new ones are refused at once: they would wait no shorter.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, TypeAlias, TypeVar

import trio
from attrs import define, field, frozen

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
from transport.wire.errors import CommandRejected
from transport.wire.messages import SubscribeThread, UnsubscribeThread
from understudy.chat.conversation.conversation import Conversation
from understudy.chat.conversation.thread_log import BUSY_S
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.messages import EnsureRunning, FollowThread, OwnershipLost, WaitIdle
from understudy.chat.placement import MakeProxy, Moved, Node, actor_name
from understudy.chat.services import Services
from understudy.storage import queries
from understudy.storage.errors import StorageUnavailable
from understudy.storage.keyed_lock import KeyedLock
from understudy.storage.queries import LARGEST_PAGE
from understudy.storage.records import Fence

AT_A_TIME: Final = 64
"""Messages that are being accepted: enough to fill a commit, few enough to be through in a second or two even where
other processes leave the server a tenth of a processor."""
WAIT_S: Final = 5.0
"""Seconds after which a message that was not admitted is refused: as long as a write may take."""
STANDING_S: Final = 1.0
"""Seconds after which, if the first in line still waits, further messages are refused at once."""


@define(eq=False)
class AdmissionControl:
    """The messages that are being accepted on this node, and those that wait to be."""

    _permits: trio.Semaphore = field(factory=lambda: trio.Semaphore(AT_A_TIME), init=False)
    _waiting: dict[object, float] = field(factory=dict, init=False)
    """The messages in line, in order of arrival, each with the time on trio's clock since which it waits."""

    def check(self) -> None:
        """Refuse a message that would wait for too long, before any work is done for it.

        Raises:
            CommandRejected: `busy`.
        """
        first = next(iter(self._waiting.values()), None)
        if first is not None and trio.current_time() >= first + STANDING_S:
            raise CommandRejected("busy", retry_after=BUSY_S)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for a permit, and hold it within the block.

        Raises:
            CommandRejected: There was none in time (`busy`).
        """
        self.check()
        try:
            self._permits.acquire_nowait()
        except trio.WouldBlock:
            waiting = object()
            self._waiting[waiting] = trio.current_time()
            try:
                with trio.move_on_after(WAIT_S) as limit:
                    await self._permits.acquire()
            finally:
                del self._waiting[waiting]
            if limit.cancelled_caught:
                raise CommandRejected("busy", retry_after=BUSY_S) from None
        try:
            yield
        finally:
            self._permits.release()


ACCEPT_S: Final = 30.0
"""Seconds for which a conversation may be silent; after them the command fails with `busy`. Several times as long as
the store may be: a command that was given up may be carried out all the same."""
STOP_WAIT_S: Final = 1.0
"""Seconds to wait for an actor that is stopping; then the request is repeated all the same."""
TRIES: Final = 3
"""Attempts at one request: the actor may be stopping, or the thread moving, meanwhile. The last error is raised."""
CLOCKS_APART_S: Final = 30.0
"""Seconds by which the clocks of two nodes may differ. Threads that began within them are read once more in vain."""
RESTART_BACKOFF: Final = Backoff(min_s=0.02, max_s=5.0)
"""Backoff before a conversation that crashed is started again. Less than `ACCEPT_S`, so that a message sent during the
backoff is accepted by the restarted conversation, as after a crash while the database was away."""

Key: TypeAlias = tuple[str, str]
T = TypeVar("T")


@frozen
class Entry:
    """The actor of a thread on this node: its conversation, or a proxy to the conversation on another node."""

    ref: ActorRef
    is_proxy: bool = False


class ConversationRegistry:
    """The actors of the threads in use on this node. `conversations` returns the supervisor that starts them."""

    def __init__(
        self,
        services: Services,
        conversations: Callable[[], ActorRef],
    ) -> None:
        self._services = services
        self._conversations = conversations
        self.node: Node | None = None
        """This node, None for a single one."""
        self.make_proxy: MakeProxy | None = None
        self._entries: dict[Key, Entry] = {}
        self._locks = KeyedLock[Key]()
        self._relocated: dict[Key, ActorRef] = {}  # the stopping actor of each thread
        self._missed: dict[str, float] = {}  # Unix time since when a user's connections may lack threads
        self.parts: list[type[ThreadPart]] = []
        """What extensions do in each conversation."""
        self.admission = AdmissionControl()
        """How many messages are being accepted at a time."""
        self.starts = 0
        """Attempts to start the actor of a thread that have ended, with an actor or an error."""

    async def ask(self, owner: str, thread_id: str, request: Callable[[], Ask[T]], since: float | None = None) -> T:
        """Ask a thread's conversation, on any node; `request` makes the same request for each attempt.

        `since`: see `get_or_start`.

        Raises:
            StorageError, ActorError: The conversation cannot be started now.
            Exception: The error with which the conversation fails the request.
        """
        tries = 1
        while True:
            conversation = (await self.get_or_start(owner, thread_id, since=since)).ref
            try:
                message = request()
                return await conversation.ask(message, timeout_s=ACCEPT_S)
            except ActorDied:
                # The actor stopped (idle), crashed or lost the thread meanwhile; a repeat is safe because requests have
                # ids.
                if tries == TRIES:
                    raise
                tries += 1
                with trio.move_on_after(STOP_WAIT_S):
                    await conversation.wait_stopped()

    async def ensure_running(self, owner: str, thread_id: str, run_id: str) -> None:
        """Have the conversation of an unfinished run resume or end it. Nothing if another node owns the thread.

        Raises:
            StorageError, ActorError: The thread's conversation cannot be started now.
        """
        with suppress(Moved):
            (await self.get_or_start(owner, thread_id, here=True)).ref.try_tell(EnsureRunning(run_id))

    def remind(self, owner: str, thread_id: str, run_id: str) -> bool:
        """Have the live actor of a thread resume or end an unfinished run. Return False if there is no such actor."""
        ref = self.peek(owner, thread_id)
        if ref is not None:
            ref.try_tell(EnsureRunning(run_id))
        return ref is not None

    async def get_local(self, owner: str, thread_id: str) -> ActorRef:
        """Return the conversation of a thread that this node owns, for a request of another node.

        Raises:
            Moved: Another node owns the thread.
            StorageError, ActorError: The conversation cannot be started now.
        """
        entry = await self.get_or_start(owner, thread_id, here=True)
        if entry.is_proxy:
            raise Moved("the thread is another server's")
        return entry.ref

    async def wait_idle(self, within_s: float) -> bool:
        """Wait at most `within_s` seconds until no conversation here has a run. Return False if some still have. For a
        server that stops: runs that are accepted meanwhile are not waited for."""
        with trio.move_on_after(within_s) as limit:
            for ref in [entry.ref for entry in self._entries.values() if entry.ref.alive]:
                with suppress(ActorDied, AskTimeout, MailboxFull):
                    await ref.ask(WaitIdle(), timeout_s=within_s)
        return not limit.cancelled_caught

    def peek(self, owner: str, thread_id: str) -> ActorRef | None:
        """Return the live actor of a thread on this node, without starting one; None if there is none."""
        entry = self._entries.get((owner, thread_id))
        return entry.ref if entry is not None and entry.ref.alive else None

    async def dead_with_subscribers(self) -> list[Key]:
        """Return the threads whose proxy here was killed, or gave up, while connections of their user are here.

        These connections may be subscribed, and get nothing without an actor. If the dead actor was the conversation
        itself, they are sent the end of its log and read the events that they miss: the conversation may have died
        between a commit and its publication. The next request of the thread starts the conversation, which subscribes
        them again. Threads whose actor stopped normally, or that have no connection here, are removed. Nothing else may
        remove a thread: its subscribers would wait in silence.

        Raises:
            StorageError: The logs cannot be read now. The threads stay in the registry, to be found next time.
        """
        proxies: list[Key] = []
        conversations: dict[str, list[str]] = {}
        for key, entry in list(self._entries.items()):
            if entry.ref.alive:
                continue
            if isinstance(await entry.ref.wait_stopped(), Normal) or not self._services.presence.outboxes(*key):
                self._forget(key, entry)
            elif entry.is_proxy:
                proxies.append(key)
            else:
                conversations.setdefault(key[0], []).append(key[1])
        for owner, ids in conversations.items():
            for first in range(0, len(ids), LARGEST_PAGE):
                await self._catch_up(owner, ids[first : first + LARGEST_PAGE])
        return proxies

    async def _catch_up(self, owner: str, ids: Sequence[str]) -> None:
        """Have the user's connections catch up with these threads from the log, then remove the dead ones."""
        entries = {thread_id: self._entries.get((owner, thread_id)) for thread_id in ids}
        for thread_id, head in (await self._services.store.read(queries.last_seqs, owner, ids)).items():
            for outbox in self._services.presence.outboxes(owner, thread_id):
                outbox.try_tell(SubscribeThread(thread_id, None, head, implicit=True))
        for thread_id, entry in entries.items():
            if entry is not None and not entry.ref.alive:
                self._forget((owner, thread_id), entry)

    def _forget(self, key: Key, entry: Entry) -> None:
        if self._entries.get(key) is entry:
            del self._entries[key]

    def mark_relocated(self, owner: str, thread_id: str, ending: ActorRef) -> None:
        """Record that the actor of a thread with subscribers here is stopping: see `relocated`."""
        self._relocated[owner, thread_id] = ending

    @property
    def empty(self) -> bool:
        """Whether no thread has an actor here."""
        return not self._entries

    @property
    def relocated(self) -> Sequence[tuple[Key, ActorRef]]:
        """The relocated threads whose next actor is still to be started, for `resubscribe`; last those tried last."""
        return tuple(self._relocated.items())

    async def subscribe(
        self, owner: str, thread_id: str, after: int, outbox: ActorRef, *, missed_since: float | None = None
    ) -> None:
        """Subscribe an outbox to a thread's events after `after`; see `FollowThread`.

        `missed_since`: no client asked for it, and the user's other connections may lack runs that began since then.

        Raises:
            CommandRejected: There is no such thread (`not_found`).
            StorageError, ActorError: The conversation cannot be started now.
        """
        request = partial(FollowThread, outbox, after, missed_since is not None)
        try:
            await self.ask(owner, thread_id, request, missed_since)
        except CommandRejected:
            # A conversation that waits here for its thread's first message may not know that another node accepted it.
            if self.node is None or not await self._services.store.read(queries.last_seqs, owner, [thread_id]):
                raise
            stale = (await self.get_or_start(owner, thread_id)).ref
            stale.try_tell(OwnershipLost())
            with trio.move_on_after(STOP_WAIT_S):
                await stale.wait_stopped()
            await self.ask(owner, thread_id, request, missed_since)

    def mark_missed(self, since: float, owner: str | None = None) -> None:
        """Record that connections here may lack threads in which messages were accepted since then (Unix seconds).
        `owner`: only those of this user; None: those of everybody."""
        for user in self._services.presence.users() if owner is None else (owner,):
            self._missed[user] = min(since, self._missed.get(user, since))

    @property
    def missed(self) -> Sequence[str]:
        """The users whose connections may lack threads, for `subscribe_missed`; those tried last are last."""
        return tuple(self._missed)

    async def subscribe_missed(self, owner: str) -> None:
        """Subscribe the connections of a user to the threads that they may lack, from the first message on.

        Raises:
            StorageError, ActorError: A thread cannot be read now. The user stays in `missed`.
        """
        since = self._missed.pop(owner)
        try:
            read, first = self._services.store.read, since - CLOCKS_APART_S
            begun = {first: await read(queries.begun_since, owner, first)}
            for thread_id in begun[first]:
                for outbox, opened_at in self._services.presence.opened(owner, thread_id).items():
                    if (start := max(first, opened_at)) not in begun:
                        begun[start] = await read(queries.begun_since, owner, start)
                    with suppress(CommandRejected):  # it was deleted meanwhile
                        if (after := begun[start].get(thread_id)) is not None:
                            await self.subscribe(owner, thread_id, after, outbox, missed_since=since)
        except BaseException:
            self.mark_missed(since, owner)
            raise

    async def resubscribe(self, key: Key, ending: ActorRef) -> None:
        """Start the next actor of a relocated thread, which subscribes the connections here again.

        If the thread was deleted, and there is no other one of its id, they are unsubscribed, and its placeholders
        are forgotten: the actor may have learned only that its node no longer owns the thread.

        Raises:
            StorageError, ActorError: The actor cannot be started now.
        """
        self._relocated[key] = self._relocated.pop(key, ending)  # to the end: it may be that this cannot be done now
        await ending.wait_stopped()
        owner, thread_id = key
        async with self._locks.hold(key):  # no actor that begins the thread anew subscribes them meanwhile
            exists = await self._services.store.read(queries.last_seqs, owner, [thread_id])
            if not exists and self.peek(owner, thread_id) is None:
                self._services.forget(owner, thread_id)
                for outbox in self._services.presence.outboxes(owner, thread_id):
                    outbox.try_tell(UnsubscribeThread(thread_id))
        if exists:
            await self.get_or_start(owner, thread_id)
        if self._relocated.get(key) == ending:
            del self._relocated[key]

    async def get_or_start(
        self,
        owner: str,
        thread_id: str,
        after: int | None = None,
        *,
        since: float | None = None,
        here: bool = False,
    ) -> Entry:
        """Return the actor of a thread on this node, started if necessary; see `MakeProxy` for `after`.

        `since`: when the first run may have begun that the user's connections here lack (Unix seconds); None: now, as a
        command may come before the news of the message by which the thread began. `here`: start no proxy.

        Raises:
            Moved: With `here`, if another node owns the thread.
            StorageError, ActorError: The actor cannot be started now.
        """
        key = (owner, thread_id)
        if (entry := self._entries.get(key)) is not None and entry.ref.alive:
            return entry
        async with self._locks.hold(key):
            if (entry := self._entries.get(key)) is None or not entry.ref.alive:
                try:
                    entry = self._entries[key] = await self._start(owner, thread_id, after, since, here=here)
                finally:
                    self.starts += 1
        return entry

    async def _start(self, owner: str, thread_id: str, after: int | None, since: float | None, *, here: bool) -> Entry:
        node, claimed = self.node, None
        if node is not None:
            if not node.joined:
                raise StorageUnavailable("this server is about to join the others again")
            claimed = await node.claim(owner, thread_id)
        make: Callable[[], Actor]
        if not isinstance(claimed, str):
            make = partial(Conversation, owner, thread_id, self._services, claimed, tuple(self.parts))
        elif here:
            raise Moved("the thread is another server's")
        elif self.make_proxy is None:
            raise StorageUnavailable("another server has the thread")
        else:
            since = (self._services.clock() if since is None else since) - CLOCKS_APART_S
            make = partial(self.make_proxy, owner, thread_id, claimed, after, since)
        spec = ChildSpec(actor_name(owner, thread_id), make, restart=Restart.TRANSIENT, backoff=RESTART_BACKOFF)
        try:
            ref = await self._conversations().ask(StartChild(spec), timeout_s=ACCEPT_S)
        except AlreadyStarted as already:
            ref = already.ref
        if node is not None and isinstance(claimed, Fence) and claimed.node != node.id:
            ref.try_tell(OwnershipLost())  # started after the notice to all conversations that this node has a new id
        return Entry(ref, is_proxy=isinstance(claimed, str))
