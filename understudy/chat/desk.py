"""Where a connection's commands go: a look-up and an ask, no process of its own that could fail for everybody."""

import uuid
from collections.abc import Callable, Mapping
from functools import partial

import trio

from actors import (
    ActorDied,
    ActorError,
    ActorRef,
    AlreadyStarted,
    AskTimeout,
    Backoff,
    ChildSpec,
    MailboxFull,
    Restart,
    StartChild,
    StartFailed,
)
from transport.auth import Identity
from transport.commands import Cancel, Command, Resume, Say, UserTyping
from transport.errors import CommandRejected
from understudy.chat.conversation import Conversation
from understudy.chat.messages import Accept, CancelRun, Delete, FollowThread, SomebodyTypes, Wake, WantSnapshot
from understudy.chat.offer import offer
from understudy.chat.routing import check_id, route
from understudy.chat.services import Services
from understudy.storage.errors import StorageError, StorageUnavailable

ACCEPT_S = 10.0
"""Longest time from a command to its acceptance; then its sender is told that storage is not available."""
RESTING = Backoff(min_s=0.02, max_s=30.0)
"""How long a conversation that died rests: the first time hardly, one that cannot start longer and longer."""
MAX_RESUMED = 100
"""Threads that one `resume` may name."""


class Desk:
    """Takes the commands that concern conversations, and starts the conversations that are not alive.

    `conversations` gives the supervisor whose dynamic children they are.
    """

    def __init__(self, services: Services, conversations: Callable[[], ActorRef]) -> None:
        self._services = services
        self._conversations = conversations
        self._alive: dict[tuple[str, str], ActorRef] = {}
        self._sweep_at = 64

    async def __call__(self, who: Identity, command: Command, outbox: ActorRef) -> None:
        """Carry out one command of a user.

        Raises:
            CommandRejected: With the code and the sentence the sender is to see; nothing was changed.
        """
        try:
            match command:
                case Say():
                    await self._say(who, command, outbox)
                case Resume(threads=threads):
                    await self._resume(who.user, threads, outbox)
                case Cancel(run_id=run_id):
                    await self._cancel(who.user, run_id)
                case UserTyping(thread_id=thread_id):
                    if (conversation := self._alive.get((who.user, thread_id))) is not None:
                        offer(conversation, SomebodyTypes(outbox))
        except (StorageError, StartFailed, AskTimeout, ActorDied, MailboxFull) as error:
            raise CommandRejected("storage_unavailable", retry_after=1.0) from error

    async def _say(self, who: Identity, say: Say, outbox: ActorRef) -> None:
        way = route(say, who.session, {name: agent.pillar for name, agent in self._services.agents.items()})
        owner, attachments = who.user, self._services.attachments(who.user)
        for file_id in say.references:
            if not await attachments.has(file_id):
                raise CommandRejected("not_found", "A file that the message refers to is not here; upload it again.")
        message_id = say.message_id or uuid.uuid4().hex
        for attempt in (1, 2):
            conversation = await self._conversation(owner, way.thread_id)
            ask = Accept(say, way, uuid.uuid4().hex, message_id, outbox)
            try:
                await conversation.ask(ask, timeout_s=ACCEPT_S)
                return
            except ActorDied:
                # It was ending (idle) or crashed as the message came in; the message's id makes a repeat safe.
                if attempt == 2:
                    raise

    async def _resume(self, owner: str, threads: Mapping[str, int], outbox: ActorRef) -> None:
        if len(threads) > MAX_RESUMED:
            raise CommandRejected("invalid_command", f"At most {MAX_RESUMED} threads can be resumed at once.")
        unknown = []
        for thread_id, after in threads.items():
            check_id("thread_id", thread_id)
            if await self._services.store.thread(owner, thread_id) is None:
                unknown.append(thread_id)
                continue
            conversation = await self._conversation(owner, thread_id)
            await conversation.ask(FollowThread(outbox, after), timeout_s=ACCEPT_S)
        if unknown:
            raise CommandRejected("not_found", f"There is no conversation called {', '.join(unknown)}.")

    async def _cancel(self, owner: str, run_id: str) -> None:
        run = await self._services.store.run(run_id)
        if run is None or run.owner != owner:
            raise CommandRejected("not_found", "There is no run of that name.")
        if run.ended_at is None:
            conversation = await self._conversation(owner, run.thread_id)
            await conversation.ask(CancelRun(run_id), timeout_s=ACCEPT_S)

    def want_snapshot(self, who: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Have the running answer of a thread sent again to an outbox that has a hole in it."""
        if (conversation := self._alive.get((who.user, thread_id))) is not None:
            offer(conversation, WantSnapshot(outbox))

    async def delete(self, owner: str, thread_id: str) -> None:
        """Delete a thread and end its conversation, with whatever runs in it.

        Raises:
            StorageUnavailable: It could not be deleted.
        """
        try:
            conversation = await self._conversation(owner, thread_id)
            await conversation.ask(Delete(), timeout_s=ACCEPT_S)
        except (ActorError, trio.WouldBlock) as error:
            raise StorageUnavailable(str(error)) from error

    async def wake(self, owner: str, thread_id: str, run_id: str) -> None:
        """See to it that somebody works on a run, or that it is ended.

        Raises:
            StorageError, ActorError: The thread's conversation cannot be started now.
        """
        offer(await self._conversation(owner, thread_id), Wake(run_id))

    async def _conversation(self, owner: str, thread_id: str) -> ActorRef:
        key = (owner, thread_id)
        ref = self._alive.get(key)
        if ref is not None and ref.alive:
            return ref
        # The name is a hash: paths are logged and shown to operators, and these ids are the user's own words.
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{owner}\0{thread_id}").hex
        services = self._services
        make = partial(Conversation, owner, thread_id, services)
        spec = ChildSpec(name, make, restart=Restart.TRANSIENT, backoff=RESTING)
        try:
            ref = await self._conversations().ask(StartChild(spec), timeout_s=ACCEPT_S)
        except AlreadyStarted as already:
            ref = already.ref
        self._alive[key] = ref
        self._sweep()
        return ref

    def _sweep(self) -> None:
        """Forget conversations that have ended, now and then."""
        if len(self._alive) >= self._sweep_at:
            self._alive = {key: ref for key, ref in self._alive.items() if ref.alive}
            self._sweep_at = 2 * len(self._alive) + 64
