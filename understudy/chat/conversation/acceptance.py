"""The acceptance of messages, and of requests to answer one again: checks, the commit, and repeats.

1. A refused request has changed nothing.
2. A repeated request is answered with its first acceptance; another one under the same id is refused.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import define, evolve, frozen

from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import Event
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import read_acceptance
from understudy.chat.conversation.run_queue import RunQueue
from understudy.chat.conversation.thread_log import BUSY_S, RETRY_S, ThreadLog, refusal_of
from understudy.chat.messages import Accept, Again, MessageInOtherThread, RunOrder, RunRequest
from understudy.chat.run.work import agent_started
from understudy.chat.run_limiter import release_permit
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RunState
from understudy.content.vault import equal_but_for_placeholders
from understudy.storage import queries
from understudy.storage.errors import AlreadyStored, StorageUnavailable, Unstorable
from understudy.storage.records import Message, StepRecord
from understudy.wire.events import ANSWER, Envelope, MessageAccepted, Typing

MAX_QUEUED: Final = 10
"""Messages that may wait behind the running one in a thread; more are refused with `busy`."""
MAX_WIDGET_CALLS: Final = 4
"""Calls of user interfaces of tools at a time in a thread; more are refused with `busy`, so that messages have room."""
TENANT_BUSY: Final = "Too many messages of your organisation wait for an answer; try again in a moment."


@frozen
class EarlierWork:
    """The part of a server by which runs begin with the work of others: `steps` returns what a run takes over of the
    run of that id, up to a step, or all of it if that is None, to go on with its answer."""

    steps: Callable[[ThreadLog, RunRequest, str, int | None], Awaitable[tuple[StepRecord, ...]]]


@define(eq=False)
class Acceptance:
    """Accepts the messages of a thread."""

    thread: ThreadLog
    queue: RunQueue

    async def accept(self, ask: Accept) -> None:
        """Commit a message with its run, reply, and enqueue the run; or refuse it.

        Whether a message is a repeated one is read only if it cannot be stored: most are new.
        """
        active: ActiveRun | None = None
        refusal: CommandRejected | None = None
        try:
            if ask.order.again is not None and await self._accepted_before(ask):
                return
            try:
                active = await self._admit(ask)
            except CommandRejected as refused:
                refusal = refused
            except AlreadyStored:
                if not self.thread.exists:
                    self.thread.subscribers.incarnation = None
            if active is not None:
                await self.queue.enqueue(active)
                return
            if not await self._accepted_before(ask):
                raise refusal or CommandRejected("storage_unavailable", retry_after=RETRY_S)
        except (CommandRejected, MessageInOtherThread, StorageUnavailable, Unstorable) as error:
            ask.fail(refusal_of(error))

    async def _admit(self, ask: Accept) -> ActiveRun:
        """Reserve a permit or a queue position, and commit a message with its run.

        Raises:
            CommandRejected, StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        limiter, active, waiting = self.thread.services.limiter, None, self.queue.order
        if len(waiting) > MAX_QUEUED:
            raise CommandRejected("busy", f"{MAX_QUEUED} messages wait in this conversation already.", BUSY_S)
        if WIDGET_SETTING in ask.order.say.settings:
            at_work = sum(WIDGET_SETTING in run.request.settings for run in self.thread.runs.values())
            if at_work >= MAX_WIDGET_CALLS:
                raise CommandRejected("busy", f"{MAX_WIDGET_CALLS} calls of widgets are at work already.", BUSY_S)
        if not limiter.reserve(ask.run_id, self.thread.owner, behind=bool(waiting)):
            sentence = TENANT_BUSY if limiter.tenant_fills_queue(self.thread.owner) else ""
            raise CommandRejected("busy", sentence, BUSY_S)
        try:
            active = await self._store_message(ask)
        finally:
            if active is None:
                release_permit(limiter, ask.run_id)
        return active

    async def _accepted_before(self, ask: Accept) -> bool:
        """Reply to a repeated request with its acceptance and all that came after. Return False if it is not repeated.

        Raises:
            CommandRejected, MessageInOtherThread: Another request was accepted under this id.
        """
        order, owner = ask.order, self.thread.owner
        if order.again is None:
            prior = await self.thread.store.message(owner, order.say.message_id or "")
            if prior is None:
                return False
            await self._check_same(order, prior)
            run_id = prior.run_id
        else:
            prior, run = order.again.message, None
            if order.request_id is not None:
                run = await self.thread.store.read(queries.run_of_request, owner, order.request_id)
                if run is not None and run.message_id != prior.id:
                    raise CommandRejected("message_id_reused", "That request_id names another request already.")
            run_id = None if run is None else run.id
        if run_id is None:
            return False
        await self.thread.check_queued(run_id)
        accepted = await read_acceptance(self.thread.store, prior, run_id)
        self.thread.replay_acceptance(ask.outbox, accepted, resend=run_id not in ask.earlier)
        ask.reply(run_id)
        return True

    async def _check_same(self, order: RunOrder, prior: Message) -> None:
        """Raise if the stored message under the id of this one is another, or stands in another thread."""
        say = order.say
        if prior.thread_id != self.thread.thread_id:
            # A message that names no thread or conversation may mean the one in the other thread.
            named = say.thread_id is not None
            if not named and say.conversation_id is not None:
                run = await self.thread.store.run(prior.run_id or "")
                named = run is None or run.conversation_id != say.conversation_id
            raise CommandRejected("message_id_reused") if named else MessageInOtherThread(prior.thread_id)
        same_place = prior.branch_of == order.branch_of and say.parent_id in (None, prior.parent_id)
        same_text = equal_but_for_placeholders(prior.content, say.content)
        if not (same_place and same_text and prior.references == say.references):
            raise CommandRejected("message_id_reused")

    async def _store_message(self, ask: Accept) -> ActiveRun:
        """Commit a message with its run, publish its acceptance, and reply."""
        thread, order, run_id = self.thread, ask.order, ask.run_id
        say, again, route, summary = order.say, order.again, order.route, order.summary
        message_id, parent = say.message_id or "", say.parent_id
        context, settings = say.context, say.settings
        if order.branch_of is not None:
            if not thread.exists:  # the thread was deleted at this moment
                raise CommandRejected("not_found", "There is no message of that name.")
            if again is None and order.branch_of == message_id:  # as of one that is answered again
                raise CommandRejected("message_id_reused")
            earlier = await self._earlier_context(order.branch_of)
            context, settings = context or earlier[0], settings or earlier[1]
        elif parent is None:
            parent = thread.newest_answer
        else:
            await self._check_parent(parent)
        active = ActiveRun(
            RunRequest(
                run_id=run_id,
                owner=thread.owner,
                thread_id=thread.thread_id,
                message_id=message_id,
                content=say.content,
                references=say.references,
                agent=route.agent,
                findings_summary=summary,
                roles=order.sender.roles,
                context=context,
                settings=settings,
                groups=order.sender.groups,
            ),
            RunState(run_id),
            Envelope(
                event=Typing(),
                timestamp=0.0,
                thread_id=thread.thread_id,
                run_id=run_id,
                message_id=message_id,
                conversation_id=route.conversation_id,
                agent_type=route.agent_type,
                pillar=route.pillar,
            ),
            request_id=order.request_id,
        )
        steps = () if again is None else await self._taken_over(again, active)
        if thread.subscribers.incarnation is None:
            thread.subscribers.incarnation = thread.now
        names = (message_id, run_id, say.content, say.references, parent, order.branch_of)
        continues = again.forks if again is not None and again.continues else None
        accepted = MessageAccepted(*names, context or None, settings or None, continues)
        begun: Sequence[Event] = ()
        agent = thread.services.agents.get(route.agent)
        at_once = not (steps or self.queue.order) and run_id in thread.services.limiter.permits
        if agent is not None and at_once and (agent.agent_type, agent.pillar) == (route.agent_type, route.pillar):
            started = agent_started(agent, thread.now)
            active.request = evolve(active.request, agent_id=started.agent_id)
            begun = (started,) if summary is None else (started, summary)
        await thread.append(active, [accepted, *begun], steps=steps, arrived_at=ask.arrived_at, subscribe=ask.outbox)
        if order.alert is not None:
            thread.show_alert(active, order.alert)
        ask.reply(run_id)
        return active

    async def _taken_over(self, again: Again, active: ActiveRun) -> tuple[StepRecord, ...]:
        """Return the steps that a run takes over of the one that it forks or continues. Raises `CommandRejected`."""
        thread = self.thread
        if again.forks is None:
            return ()
        if (earlier := thread.services.parts.find(EarlierWork)) is None:
            raise CommandRejected("invalid_command", "This server answers a message from its beginning only.")
        steps = await earlier.steps(thread, active.request, again.forks, None if again.continues else again.after_step)
        active.taken_over = Past.of(RunState.read(active.request.run_id, (), steps))
        if again.continues:
            text = active.taken_over.shown_text
            active.text.begin_with(thread.restore(text), text)
        return steps

    async def _check_parent(self, named: str) -> None:
        """Raise if a message does not follow an answer of this thread."""
        run = None
        if named.startswith(ANSWER):
            run = await self.thread.store.run(named.removeprefix(ANSWER))
        if run is None or (run.owner, run.thread_id) != (self.thread.owner, self.thread.thread_id):
            raise CommandRejected("not_found", "There is no answer of that name in this conversation.")

    async def _earlier_context(self, message_id: str) -> tuple[JsonObject, JsonObject]:
        """Return the context and settings that a stored message was accepted with, from the log."""
        earlier = await self.thread.store.message(self.thread.owner, message_id)
        if earlier is None or (run_id := earlier.run_id) is None:
            return {}, {}
        try:
            accepted = (await read_acceptance(self.thread.store, earlier, run_id)).event
        except UnreadableEvent:  # the message itself can be read, and is answered without what came with it
            return {}, {}
        if not isinstance(accepted, MessageAccepted):
            return {}, {}
        return accepted.context or {}, accepted.settings or {}
