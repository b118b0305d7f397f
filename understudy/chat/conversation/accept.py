"""How a conversation takes a message in: scrubbed, stored with its run, shown as accepted, and put in line.

1. What comes again under the same id is the same message, and is shown its acceptance again; what differs is refused.
2. What is refused has changed nothing.
"""

from attrs import define, evolve

from actors import Context
from transport.wire.commands import JsonObject
from transport.wire.errors import CommandRejected, UnreadableEvent
from transport.wire.events import Envelope, MessageAccepted, Typing
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.event_log import EventLog
from understudy.chat.conversation.run_queue import RETRY_S, RunQueue
from understudy.chat.conversation.subscribers import Subscribers
from understudy.chat.messages import Accept, AnswerAgain, MessageInOtherThread, RunRequest
from understudy.chat.routing import ANSWER
from understudy.chat.run.run_settings import read_settings
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.services import Services
from understudy.content.summary import build_alert, build_summary
from understudy.content.vault import equal_but_for_placeholders
from understudy.storage.errors import AlreadyStored, StorageUnavailable, Unstorable
from understudy.storage.rows import Message, RawText


@define(eq=False)
class MessageAcceptor:
    """Takes the messages of one thread in."""

    log: EventLog
    services: Services
    subscribers: Subscribers
    queue: RunQueue

    async def accept_message(self, ask: Accept | AnswerAgain, context: Context) -> None:
        """Answer one request.

        Raises:
            Fenced: Another server has the thread.
            SequenceConflict, NotStored, RunNotQueued: The log has more than the conversation knows of: an earlier
                commit that seemed to fail did not. In each of these cases the request is not answered.
        """
        try:
            if await self._replayed(ask, context):
                return
            self.queue.reserve(ask.run_id)
            try:
                live = await self._store(ask, context)
            except AlreadyStored:  # at the same moment, in another thread
                self.queue.cancel_reservation(ask.run_id)
                if not await self._replayed(ask, context):
                    ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
            except BaseException:
                self.queue.cancel_reservation(ask.run_id)
                raise
            else:
                await self.queue.enqueue(live, context)
        except (CommandRejected, MessageInOtherThread) as refused:
            ask.fail(refused)
        except StorageUnavailable:
            ask.fail(CommandRejected("storage_unavailable", retry_after=RETRY_S))
        except Unstorable:
            ask.fail(CommandRejected("invalid_command", "That text cannot be stored."))

    # what is here already

    async def _replayed(self, ask: Accept | AnswerAgain, context: Context) -> bool:
        """If it is here already, show its acceptance again, and all that came of it to who did not follow."""
        if isinstance(ask, Accept):
            prior = await self._stored_message(ask)
            run_id = prior.run_id if prior is not None else None
        else:
            prior, run_id = ask.message, await self._stored_run(ask)
        if prior is None or run_id is None:
            return False
        await self.queue.ensure_queued(run_id)
        self.subscribers.replay_acceptance(
            ask.outbox, await self.log.acceptance(prior, run_id), self.log.last_seq, context
        )
        ask.reply(run_id)
        return True

    async def _stored_message(self, ask: Accept) -> Message | None:
        """The message that came before under this id, None if none did. Raises when that was another one."""
        prior = await self.services.store.message(self.log.owner, ask.message_id)
        if prior is None:
            return None
        if prior.thread_id != self.log.thread_id:
            await self._reject_other_thread(ask, prior)
        say, text = ask.say, ask.filtered.text
        same_place = prior.branch_of == ask.branch_of and say.parent_id in (None, prior.parent_id)
        if not same_place or not equal_but_for_placeholders(prior.content, text) or prior.references != say.references:
            raise CommandRejected("message_id_reused")
        return prior

    async def _reject_other_thread(self, ask: Accept, prior: Message) -> None:
        """Always raises: the message may mean the one in another thread, unless it names a thread or conversation."""
        named = ask.say.thread_id is not None
        if not named and ask.say.conversation_id is not None:
            run = await self.services.store.run(prior.run_id or "")
            named = run is None or run.conversation_id != ask.say.conversation_id
        if named:
            raise CommandRejected("message_id_reused")
        raise MessageInOtherThread(prior.thread_id)

    async def _stored_run(self, ask: AnswerAgain) -> str | None:
        """The run that this request began before, None if it did not. Raises when that was for another message."""
        if ask.request_id is None:
            return None
        run = await self.services.store.run_of_request(self.log.owner, ask.request_id)
        if run is not None and run.message_id != ask.message.id:
            raise CommandRejected("message_id_reused", "That request_id names another request already.")
        return run.id if run is not None else None

    # what is new

    async def _store(self, ask: Accept | AnswerAgain, context: Context) -> ActiveRun:
        """Store the message with its run, and show that it was accepted; returns the run, which is to join the line."""
        if isinstance(ask, Accept):
            parent, branch_of = await self._parent(ask), ask.branch_of
        else:
            parent, branch_of = ask.message.parent_id, ask.message.id
        if branch_of is not None and not self.log.exists:  # deleted at this moment
            raise CommandRejected("not_found", "There is no message of that name.")
        context_given, settings_given = await self._context_and_settings(ask)
        live = self._new_run(ask)
        live.request = job = evolve(live.request, context=context_given, settings=read_settings(settings_given))
        self.subscribers.subscribe(ask.outbox, self.log.last_seq, context)
        names = (job.message_id, job.run_id, job.content, job.references, parent, branch_of)
        accepted = MessageAccepted(*names, context_given or None, settings_given or None)
        envelopes = await self.log.commit(live, [accepted], opening=True, raw=self._raw(ask))
        self.subscribers.publish(envelopes, self.log.last_seq, context, arrived_at=ask.arrived_at)
        if (
            isinstance(ask, Accept)
            and (alert := build_alert((*ask.filtered.findings, *ask.context_findings))) is not None
        ):
            self.subscribers.send_alert(live, alert)
        ask.reply(job.run_id)
        return live

    async def _context_and_settings(self, ask: Accept | AnswerAgain) -> tuple[JsonObject, JsonObject]:
        """The context and the settings of a message: its own, or of the message that it is an edit of, from the log."""
        if isinstance(ask, AnswerAgain):
            earlier: Message | None = ask.message
        elif ask.branch_of is not None:
            earlier = await self.services.store.message(self.log.owner, ask.branch_of)
        else:
            return ask.say.context, ask.say.settings
        if earlier is None or earlier.run_id is None:
            return {}, {}
        try:
            accepted = (await self.log.acceptance(earlier, earlier.run_id)).event
        except UnreadableEvent:  # the message itself can be read, and is answered without what came with it
            return {}, {}
        if not isinstance(accepted, MessageAccepted):
            return {}, {}
        return accepted.context or {}, accepted.settings or {}

    def _raw(self, ask: Accept | AnswerAgain) -> RawText | None:
        """The message as it was sent, sealed, where that is kept."""
        if not isinstance(ask, Accept) or ask.raw is None:
            return None
        return RawText(self.log.owner, ask.message_id, self.log.thread_id, ask.raw)

    async def _parent(self, ask: Accept) -> str | None:
        """The answer that a message follows. Raises when it names none of this thread."""
        named = ask.say.parent_id
        if ask.branch_of is not None:
            return named
        if named is None:
            return self.log.newest_answer
        run = await self.services.store.run(named.removeprefix(ANSWER)) if named.startswith(ANSWER) else None
        if run is None or (run.owner, run.thread_id) != (self.log.owner, self.log.thread_id):
            raise CommandRejected("not_found", "There is no answer of that name in this conversation.")
        return named

    def _new_run(self, ask: Accept | AnswerAgain) -> ActiveRun:
        """The run of a message."""
        found = None
        if isinstance(ask, Accept):
            message_id, content, references = ask.message_id, ask.filtered.text, ask.say.references
            threshold = self.services.summary_from
            clean = ask.filtered
            found = build_summary(
                "inbound", clean.findings, threshold, omitted=clean.omitted, beside=ask.context_findings
            )
        else:
            message_id, content, references = ask.message.id, ask.message.content, ask.message.references
        owner, thread_id = self.log.owner, self.log.thread_id
        job = RunRequest(
            ask.run_id, owner, thread_id, message_id, content, references, ask.route.agent, found, ask.roles
        )
        around = Envelope(
            event=Typing(),
            timestamp=0.0,
            thread_id=thread_id,
            run_id=ask.run_id,
            message_id=message_id,
            conversation_id=ask.route.conversation_id,
            agent_type=ask.route.agent_type,
            pillar=ask.route.pillar,
        )
        live = ActiveRun(job, RunProtocol(job.run_id), around)
        if isinstance(ask, AnswerAgain):
            live.regenerates, live.request_id = True, ask.request_id
        return live
