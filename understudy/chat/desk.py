"""Where a connection's commands go: a look-up and an ask, no process of its own that could fail for everybody."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import trio
from attrs import evolve, frozen

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
from transport.commands import Approve, Cancel, Command, Edit, Feedback, Regenerate, Resume, Say, UserTyping
from transport.errors import CommandRejected
from transport.events import ApprovalDecision, Envelope, Typing
from transport.outbox import Deliver
from understudy.chat.consent import check_note
from understudy.chat.conversation import Conversation
from understudy.chat.messages import (
    Accept,
    AnswerAgain,
    CancelRun,
    Decide,
    Delete,
    FollowThread,
    Quiet,
    Rate,
    SaidElsewhere,
    Wake,
    WantSnapshot,
)
from understudy.chat.offer import offer
from understudy.chat.routing import ANSWER, Route, check_id, find_agent, route
from understudy.chat.services import Services
from understudy.scrubbing.vault import Vault
from understudy.storage.errors import StorageError, StorageUnavailable
from understudy.storage.rows import Message

ACCEPT_S = 10.0
"""Longest time from a command to its acceptance; then its sender is told that storage is not available."""
RESTING = Backoff(min_s=0.02, max_s=30.0)
"""How long a conversation that died rests: the first time hardly, one that cannot start longer and longer."""
MAX_RESUMED = 100
"""Threads that one `resume` may name."""
RESUMED_TOGETHER = 8
"""How many of them are seen to at a time."""
_AWAY = (StorageError, StartFailed, AskTimeout, ActorDied, MailboxFull)
"""A conversation cannot be had now; it may be soon."""


@frozen
class Accepted:
    """The names of a message that was accepted; of one that was said before, those of the first time."""

    message_id: str
    run_id: str
    thread_id: str


class Desk:
    """Takes the commands that concern conversations, and starts the conversations that are not alive.

    `conversations` gives the supervisor whose dynamic children they are.
    """

    def __init__(self, services: Services, conversations: Callable[[], ActorRef]) -> None:
        self._services = services
        self._conversations = conversations
        self._alive: dict[tuple[str, str], ActorRef] = {}
        self._sweep_at = 64

    @property
    def vault(self) -> Vault:
        """What the placeholders of the users' threads stand for."""
        return self._services.guard.vault

    async def __call__(self, who: Identity, command: Command, outbox: ActorRef | None) -> Accepted | None:
        """Carry out one command of a user; gives the names of what it began, if it began a run.

        `outbox` is that of the connection it came by; None: it came without one.

        Raises:
            CommandRejected: With the code and the sentence the sender is to see; nothing was changed.
        """
        try:
            match command:
                case Say():
                    return await self._say(who, command, outbox)
                case Edit():
                    return await self._edit(who, command, outbox)
                case Regenerate():
                    return await self._regenerate(who, command, outbox)
                case Feedback():
                    await self._feedback(who.user, command, outbox)
                case Resume(threads=threads) if outbox is not None:
                    await self._resume(who.user, threads, outbox)
                case Cancel(run_id=run_id):
                    await self._cancel(who.user, run_id)
                case Approve():
                    await self._approve(who.user, command)
                case UserTyping(thread_id=thread_id):
                    self._show_typing(who.user, thread_id, outbox)
                case _:
                    raise CommandRejected("unknown_type")
        except _AWAY as error:
            raise CommandRejected("storage_unavailable", retry_after=1.0) from error
        return None

    async def _say(self, who: Identity, say: Say, outbox: ActorRef | None) -> Accepted:
        way = route(say, who.session, {name: agent.pillar for name, agent in self._services.agents.items()})
        owner, attachments = who.user, self._services.attachments(who.user)
        for file_id in say.references:
            if not await attachments.has(file_id):
                raise CommandRejected("not_found", "A file that the message refers to is not here; upload it again.")
        message_id = say.message_id or uuid.uuid4().hex
        run_id = uuid.uuid4().hex
        return await self._take_in(owner, say, way, (run_id, message_id), outbox)

    async def _edit(self, who: Identity, edit: Edit, outbox: ActorRef | None) -> Accepted:
        edited = await self._message(who.user, edit.message_id, "user")
        check_id("new_message_id", edit.new_message_id)
        way, run_id, message_id = (
            await self._way(who, edited),
            uuid.uuid4().hex,
            edit.new_message_id or uuid.uuid4().hex,
        )
        say = Say(edit.content, way.thread_id, parent_id=edited.parent_id, references=edited.references)
        return await self._take_in(who.user, say, way, (run_id, message_id), outbox, edited.id)

    async def _take_in(
        self,
        owner: str,
        say: Say,
        way: Route,
        ids: tuple[str, str],
        outbox: ActorRef | None,
        branch_of: str | None = None,
    ) -> Accepted:
        """Look through a message, and have its conversation take it in. `ids` are those of its run and its own.

        Looked through here, so that nobody waits for it but who said it.
        """
        guard, thread_id, (run_id, message_id) = self._services.guard, way.thread_id, ids
        placeholders = await guard.placeholders(owner, thread_id, partial(self._is_new, owner, thread_id))
        clean = await guard.message(owner, say.content, placeholders)
        raw = say.content if guard.sealer is not None and clean.text != say.content else None
        said = evolve(say, content=clean.text)  # from here on nobody has the rest
        return await self._take(
            owner, thread_id, message_id, lambda: Accept(said, clean, way, run_id, message_id, outbox, branch_of, raw)
        )

    async def _is_new(self, owner: str, thread_id: str) -> bool:
        """Whether nothing was said in a thread yet."""
        return not await self._services.store.last_seqs(owner, [thread_id])

    async def _regenerate(self, who: Identity, command: Regenerate, outbox: ActorRef | None) -> Accepted:
        check_id("request_id", command.request_id)
        message_id = command.message_id
        if message_id.startswith(ANSWER):
            run = await self._services.store.run(message_id.removeprefix(ANSWER))
            message_id = run.message_id if run is not None and run.owner == who.user else ""
        message = await self._message(who.user, message_id, "user")
        way, run_id = await self._way(who, message), uuid.uuid4().hex
        return await self._take(
            who.user, way.thread_id, message_id, lambda: AnswerAgain(message, way, run_id, command.request_id, outbox)
        )

    async def _take(
        self, owner: str, thread_id: str, message_id: str, request: Callable[[], Accept | AnswerAgain]
    ) -> Accepted:
        """Have a conversation take something in; `request` makes the same request each time."""
        moved = died = False
        while True:
            conversation = await self._conversation(owner, thread_id)
            try:
                run_id = await conversation.ask(request(), timeout_s=ACCEPT_S)
                return Accepted(message_id, run_id, thread_id)
            except SaidElsewhere as elsewhere:
                if moved:
                    raise CommandRejected("message_id_reused") from elsewhere
                moved, thread_id = True, elsewhere.thread_id
            except ActorDied:
                # It was ending (idle) or crashed as the message came in; the ids make a repeat safe.
                if died:
                    raise
                died = True

    async def _message(self, owner: str, message_id: str, role: str) -> Message:
        message = await self._services.store.message(owner, message_id) if message_id else None
        if message is None or message.role != role:
            what = "answer" if role == "assistant" else "message of yours"
            raise CommandRejected("not_found", f"There is no {what} of that name.")
        return message

    async def _way(self, who: Identity, message: Message) -> Route:
        """Where a message went: to the same agent, in the same thread and conversation, goes what comes of it later."""
        agents = {name: agent.pillar for name, agent in self._services.agents.items()}
        agent = find_agent(message.agent_type, message.pillar, agents)
        run = await self._services.store.run(message.run_id or "")
        conversation_id = (run.conversation_id if run is not None else None) or f"{agent}_{who.session}"
        return Route(agent, message.agent_type, message.pillar, message.thread_id, conversation_id)

    async def _feedback(self, owner: str, given: Feedback, outbox: ActorRef | None) -> None:
        answer = await self._message(owner, given.message_id, "assistant")
        note = None
        if given.note is not None:
            note = await self._services.guard.note(owner, given.note)
        conversation = await self._conversation(owner, answer.thread_id)
        rating = given.rating.value if given.rating is not None else None
        await conversation.ask(Rate(answer, rating, note, outbox), timeout_s=ACCEPT_S)

    def _show_typing(self, owner: str, thread_id: str, outbox: ActorRef | None) -> None:
        """To all other connections of the user: whether they follow the thread, which need not exist yet, or not."""
        check_id("thread_id", thread_id)
        typing = Envelope(Typing(), self._services.clock(), thread_id=thread_id)
        message = Deliver(typing, shared=True)
        for other in self._services.outboxes(owner, thread_id):
            if other != outbox:
                offer(other, message)

    async def _resume(self, owner: str, threads: Mapping[str, int], outbox: ActorRef) -> None:
        if len(threads) > MAX_RESUMED:
            raise CommandRejected("invalid_command", f"At most {MAX_RESUMED} threads can be resumed at once.")
        for thread_id in threads:
            check_id("thread_id", thread_id)
        unknown = await self._unknown(owner, [each for each in threads if not self._talks(owner, each)])
        errors: list[Exception] = []
        left = iter([thread_id for thread_id in threads if thread_id not in unknown])

        async def follow_some() -> None:
            for thread_id in left:
                try:
                    conversation = await self._conversation(owner, thread_id)
                    await conversation.ask(FollowThread(outbox, threads[thread_id]), timeout_s=ACCEPT_S)
                except CommandRejected:  # it was deleted, or its first message was never stored
                    unknown.add(thread_id)
                except _AWAY as error:
                    errors.append(error)

        if len(threads) == 1:
            await follow_some()
        else:
            # Together: each that begins now reads its log first.
            async with trio.open_nursery() as nursery:
                for _ in range(min(len(threads), RESUMED_TOGETHER)):
                    nursery.start_soon(follow_some)
        if errors:
            raise errors[0]
        if unknown:
            missing = [thread_id for thread_id in threads if thread_id in unknown]
            names = {"thread_id": missing[0]} if len(missing) == 1 else {}
            raise CommandRejected("not_found", f"There is no conversation called {', '.join(missing)}.", names=names)

    def _talks(self, owner: str, thread_id: str) -> bool:
        """Whether the thread's conversation is alive, and so knows by itself whether there is such a thread."""
        conversation = self._alive.get((owner, thread_id))
        return conversation is not None and conversation.alive

    async def _unknown(self, owner: str, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are no thread of the owner's: no conversation is begun for them."""
        return set(ids).difference(await self._services.store.last_seqs(owner, ids)) if ids else set()

    async def _cancel(self, owner: str, run_id: str) -> None:
        run = await self._services.store.run(run_id)
        if run is None or run.owner != owner:
            raise CommandRejected("not_found", "There is no run of that name.")
        if run.ended_at is None:
            conversation = await self._conversation(owner, run.thread_id)
            await conversation.ask(CancelRun(run_id), timeout_s=ACCEPT_S)

    async def _approve(self, owner: str, approve: Approve) -> None:
        note = check_note(approve.note or "")
        run = self._services.consents.run_of(owner, approve.call_id)
        if run is not None:
            note = await self._services.guard.note(owner, note)
            ask = Decide(approve.call_id, ApprovalDecision(approve.decision.value), note)
            with suppress(ActorDied):  # with its run it waits no more
                if await run.ask(ask, timeout_s=ACCEPT_S):
                    return
        raise CommandRejected("not_found", "No tool call of that name waits for your consent.")

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

    async def quiet(self, within_s: float) -> bool:
        """Wait until no run is at work and none is in line, at most so long; False when some still are.

        For a server that stops: what is accepted meanwhile is not waited for.
        """
        with trio.move_on_after(within_s) as limit:
            for conversation in list(self._alive.values()):
                with suppress(ActorDied, AskTimeout, MailboxFull):
                    await conversation.ask(Quiet(), timeout_s=within_s)
        return not limit.cancelled_caught

    async def wake(self, owner: str, thread_id: str, run_id: str) -> None:
        """See to it that somebody works on a run, or that it is ended.

        Raises:
            StorageError, ActorError: The thread's conversation cannot be started now.
        """
        offer(await self._conversation(owner, thread_id), Wake(run_id))

    async def follow_again(self, owner: str, thread_id: str) -> None:
        """Find out anew who has a thread: then those of its user's connections follow that may be told of it.

        Raises:
            StorageError, ActorError: It cannot be found out now.
        """
        await self._conversation(owner, thread_id)

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
