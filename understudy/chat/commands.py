"""Dispatches the commands of connections to conversations: a look-up and an ask, without an actor of its own.

If several nodes share the database, a thread's conversation is on one of them, and proxies to it are on the others.
The dispatcher treats both alike.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import msgspec
import trio
from attrs import evolve, frozen

from actors import ActorDied, ActorError, ActorRef, Ask, AskTimeout, MailboxFull, StartFailed
from sanitization import Sanitized
from transport.auth.identity import Identity
from transport.wire.command_parser import FILE_MEMBERS
from transport.wire.commands import (
    Approve,
    Cancel,
    Command,
    Continue,
    Disallow,
    Edit,
    Feedback,
    JsonObject,
    Regenerate,
    Respond,
    Resume,
    Say,
    Steer,
    SteerMode,
    SwitchServer,
    Undo,
    Unsteer,
    UserTyping,
)
from transport.wire.errors import CommandRejected
from transport.wire.events import (
    ANSWER,
    AgentProgress,
    AnswersRead,
    ApprovalDecision,
    Envelope,
    Event,
    ThreadChanged,
    Typing,
)
from transport.wire.messages import Deliver, UnsubscribeThread, arrived_at, traceparent
from understudy.agents.budget import Budget
from understudy.agents.permissions import FORBIDDEN, NotPermitted
from understudy.agents.tool_servers import ToolServers
from understudy.chat.admission import AdmissionControl
from understudy.chat.consents import NOT_REMEMBERED, Consents
from understudy.chat.conversation.thread_log import BUSY_S, RETRY_S
from understudy.chat.messages import (
    Accept,
    AcceptSteer,
    AnswerAgain,
    AnswerQuestion,
    CancelRun,
    Decide,
    Delete,
    HandBack,
    MessageInOtherThread,
    RateAnswer,
    RequestSnapshot,
    TakeOver,
    UndoCalls,
    Version,
    WidgetCall,
    WithdrawSteer,
)
from understudy.chat.placement import (
    Active,
    Changed,
    Deleted,
    Missed,
    News,
    Node,
    OtherNodes,
    Read,
    StopsChanged,
    TypingIn,
    actor_name,
)
from understudy.chat.registry import ConversationRegistry
from understudy.chat.routing import Route, check_id, find_agent, route
from understudy.chat.run.approval import MAX_ARGUMENT_BYTES, check_note
from understudy.chat.run.continuation import check_ended
from understudy.chat.run.questions import MAX_ANSWER_BYTES, read_secret_fields, run_of_question
from understudy.chat.run_settings import CONTEXT_BYTES, WRITTEN, check_settings, unknown_settings
from understudy.chat.services import Services
from understudy.chat.stops import sentence
from understudy.chat.storage_away import AWAY
from understudy.chat.user_files import NO_FILES
from understudy.content.texts import INLINE, SanitizedValue, weigh_text
from understudy.content.vault import Vault
from understudy.observe import conventions as names
from understudy.observe.spans import Attribute, SpanKind, parse_header, span_of
from understudy.observe.traces import Traces
from understudy.storage import queries
from understudy.storage.errors import BrokerUnavailable, NotStored, StorageError, StorageUnavailable
from understudy.storage.quotas import Quotas
from understudy.storage.records import Message, RunRecord
from understudy.storage.spending_limits import SpendingLimits

NAMES_SHOWN = ("thread_id", "message_id", "conversation_id", "agent_type", "pillar")
"""Fields of a command that are repeated in a progress event which only its sender gets."""
GONE = "A file that the message refers to is not here; upload it again."
NO_FILE = "A file that `metadata` names is not here, and is left out: {}"
IGNORED = "Settings that this server does not know are ignored: {}"
MAX_RESUMED = 100
"""Threads that one `resume` may name; more are refused with `invalid_command`."""
RESUME_WORKERS = 8
"""Threads of one `resume` that are subscribed at a time; the others wait."""
TRACEPARENT = "traceparent"
"""The field of a message's `metadata` with the header of W3C Trace Context."""
SOCKET = "socket"
HTTP = "http"
"""How a user's decision or answer came, for the log: over a connection of its own, or in an HTTP request."""
_UNAVAILABLE = (StorageError, StartFailed, AskTimeout, ActorDied, MailboxFull)
"""Errors that mean that the conversation cannot be asked now; the client is advised to retry."""
OperatorAct: TypeAlias = TakeOver | HandBack | CancelRun | Steer | Approve | Respond
"""What an operator may do about a run of a user: take it over, hand it back, end it, and what its user would."""


@frozen
class Accepted:
    """The ids of an accepted message or steer; of a repeated one those of the first time."""

    message_id: str
    run_id: str
    thread_id: str


class CommandDispatcher:
    """Carries out the commands that concern conversations.

    `conversations` gives the supervisor whose dynamic children they are.
    """

    def __init__(
        self,
        services: Services,
        conversations: Callable[[], ActorRef],
    ) -> None:
        self._services = services
        self._default = next(iter(services.agents))
        self._admission = AdmissionControl()
        self.registry = ConversationRegistry(services, conversations)

    def join(self, node: Node, others: OtherNodes | None = None) -> None:
        """Claim threads as this node, before any is used. `others` is the interface to the other nodes, if there can be
        some."""
        self.registry.node, self.registry.others = node, others

    @property
    def file_bytes(self) -> int:
        """The largest file that users may upload; 0 if this server takes none."""
        return self._services.attachments("").limit_bytes

    @property
    def vault(self) -> Vault:
        """The values behind the placeholders of the users' threads."""
        return self._services.content_filter.vault

    async def dispatch(
        self, identity: Identity, command: Command, outbox: ActorRef | None, *, door: str | None = None
    ) -> Accepted | None:
        """Carry out one command of a user. Return the ids of the message and run if it started one.

        `outbox` is that of the connection which sent it; None if it came without a connection. `door` is the way that
        it came, for the log: by default `socket` or `http`.

        Raises:
            CommandRejected: The command was refused, and nothing was changed; with the code and sentence to send.
        """
        door, attempts = door or (HTTP if outbox is None else SOCKET), list[str]()
        try:
            if isinstance(command, Say):
                say, way = await self._check(identity, command, outbox)
                return await self._accept(identity, say, way, say.message_id, outbox, attempts)
            if isinstance(command, Edit):
                return await self._edit(identity, command, outbox, attempts)
            if isinstance(command, Steer):
                return await self._steer(identity, command, outbox, attempts)
            with self._services.storage_waits.notify_if_slow(partial(self._show_storage_wait, command, outbox)):
                match command:
                    case Regenerate():
                        return await self._regenerate(identity, command, outbox, attempts)
                    case Continue():
                        return await self._continue(identity, command, outbox, attempts)
                    case Feedback():
                        await self._feedback(identity.user, command, outbox)
                    case Resume(threads=threads) if outbox is not None:
                        await self._resume(identity.user, threads, outbox)
                    case Cancel(run_id=run_id):
                        await self._cancel(identity.user, run_id)
                    case Unsteer():
                        await self._unsteer(identity.user, command)
                    case Approve():
                        await self._approve(identity.user, command, door)
                    case Respond():
                        await self._answer(identity.user, command, door)
                    case Undo():
                        await self._undo(identity, command)
                    case Disallow(thread_id=thread_id, tool_name=tool_name):
                        check_id("thread_id", thread_id)
                        await self._consents().withdraw(identity.user, thread_id, tool_name, door)
                    case SwitchServer(thread_id=thread_id, server=server, on=on):
                        await self._switch_server(identity, thread_id, server, on=on)
                    case UserTyping(thread_id=thread_id):
                        self._show_typing(identity.user, thread_id, outbox)
                    case _:
                        raise CommandRejected("unknown_type")
        except _UNAVAILABLE as error:
            raise _refusal(error) from error
        return None

    def _consents(self) -> Consents:
        """Return what remembers consents. Raises CommandRejected (`forbidden`) if this server does not."""
        if (consents := self._services.parts.find(Consents)) is None:
            raise CommandRejected("forbidden", NOT_REMEMBERED)
        return consents

    async def _switch_server(self, identity: Identity, thread_id: str, server: str, *, on: bool) -> None:
        """Switch an MCP server of the user's agents in a thread."""
        usable = self._services.permissions.usable(self._services.agents, identity)
        if all(each.name != server for agent in usable.values() for each in agent.servers):
            raise CommandRejected("not_found", "There is no MCP server of that name.")
        try:
            await self._services.parts[ToolServers].switch(identity.user, thread_id, server, on=on)
        except NotStored:
            raise CommandRejected("not_found") from None

    def _pillars(self, identity: Identity) -> Mapping[str, str | None]:
        """Return the pillars of the agents that a user may use, by name; the others do not exist for them."""
        usable = self._services.permissions.usable(self._services.agents, identity)
        return {name: agent.pillar for name, agent in usable.items()}

    async def check(self, identity: Identity, say: Say) -> None:
        """Refuse a message that could not be sent now: its agent, ids, files and settings.

        Raises:
            CommandRejected: As for `dispatch`.
        """
        try:
            await self._check(identity, say, None)
        except _UNAVAILABLE as error:
            raise _refusal(error) from error

    async def _check(self, identity: Identity, say: Say, outbox: ActorRef | None) -> tuple[Say, Route]:
        way = route(say, identity.session, self._pillars(identity), self._default)
        if isinstance(name := say.settings.get("tool"), str):
            way = self._with_tool(identity, way, name)
        if say.references:
            attachments = self._services.attachments(identity.user)
            with self._services.storage_waits.notify_if_slow(partial(self._show_storage_wait, say, outbox)):
                there = {each.id for each in await attachments.rows(say.references)}
            missing = [file_id for file_id in say.references if file_id not in there]
            beside = [say.metadata.get(name) for name in FILE_MEMBERS]
            if any(each not in beside for each in missing):
                raise CommandRejected("not_found", GONE if attachments.limit_bytes else NO_FILES)
            if missing:
                say = evolve(say, references=tuple(each for each in say.references if each not in missing))
                self._show_note(NO_FILE.format(", ".join(missing)), say, outbox)
        self._refuse(identity, way)
        agent, limits = self._services.agents[way.agent], self._services.settings.limits
        settings: JsonObject = {}
        if isinstance(say, WidgetCall):
            settings = say.settings
        elif say.settings:
            most, limit_s = agent.budget.within(limits, agent.name), agent.run_limit_s(limits.run_s)
            most = most.lowered(Budget(wall_s=limit_s))
            tools = [each.name for each in self._services.permissions.for_user(agent, identity).tools]
            settings = check_settings(say.settings, limit_s, most, agent, tools, self._services.settings.message)
            if unknown := unknown_settings(say.settings, self._services.settings.message):
                self._show_note(IGNORED.format(unknown), say, outbox)
        if say.context and len(msgspec.json.encode(say.context)) > CONTEXT_BYTES:
            raise CommandRejected("message_too_large", f"`context` may have at most {CONTEXT_BYTES:,} bytes of JSON.")
        return evolve(say, settings=settings), way

    def _with_tool(self, identity: Identity, way: Route, name: str) -> Route:
        """Return the route to the agent that has a tool of this name: the addressed one, or else a colleague of it."""
        permissions, agents = self._services.permissions, self._services.agents
        addressed = agents[way.agent]
        if permissions.for_user(addressed, identity).tool(name):
            return way  # under the agent's name that the client used
        for agent in permissions.colleagues(addressed, agents, identity):
            if permissions.for_user(agent, identity).tool(name):
                return evolve(way, agent=agent.name, agent_type=agent.agent_type, pillar=agent.pillar)
        return way

    async def _edit(self, identity: Identity, edit: Edit, outbox: ActorRef | None, attempts: list[str]) -> Accepted:
        check_id("new_message_id", edit.new_message_id)
        with self._services.storage_waits.notify_if_slow(partial(self._show_storage_wait, edit, outbox)):
            edited = await self._message(identity.user, edit.message_id, "user")
            way = await self._route_of(identity, edited)
        self._refuse(identity, way)
        files = edit.references or edited.references
        say = Version(edit.content, way.thread_id, parent_id=edited.parent_id, references=files, branch_of=edited.id)
        return await self._accept(identity, say, way, edit.new_message_id, outbox, attempts)

    async def _accept(
        self,
        identity: Identity,
        say: Say,
        way: Route,
        message_id: str | None,
        outbox: ActorRef | None,
        attempts: list[str],
    ) -> Accepted:
        """Filter a message, and have its conversation accept it.

        The filter runs here, not in the conversation, so that only the sender waits for it. A message that is filtered
        in a worker thread, for which it may wait for seconds, is admitted after that.
        """
        slow = say.context or weigh_text(say.content) > INLINE
        filtered = await self._filter(identity, say, way) if slow else None
        async with self._admission.admitted():
            clean, beside = filtered or await self._filter(identity, say, way)
            services, owner, thread_id = self._services, identity.user, way.thread_id
            message_id = message_id or uuid.uuid4().hex
            # What the filter removed goes no further.
            context, settings = beside.value["context"], {**say.settings, **beside.value["settings"]}
            said = evolve(say, content=clean.text, context=context, settings=settings, metadata={}, session_token=None)
            branch_of, request_id = (say.branch_of, say.request_id) if isinstance(say, Version) else (None, None)

            def request() -> Accept:
                earlier, run_id = _attempt(attempts)
                sender = identity.roles, beside.findings, arrived_at.get(), identity.groups
                return Accept(said, clean, way, run_id, message_id, outbox, branch_of, *sender, earlier, request_id)

            ask = partial(self._ask_for_run, attempts, way, say.metadata.get(TRACEPARENT))
            # With the ids that the client sent, by which it knows its message.
            sent = evolve(say, thread_id=thread_id, message_id=message_id, agent_type=way.agent_type, pillar=way.pillar)
            with services.storage_waits.notify_if_slow(partial(self._show_storage_wait, sent, outbox)):
                try:
                    return Accepted(message_id, await ask(owner, thread_id, request), thread_id)
                except MessageInOtherThread as elsewhere:
                    thread_id = elsewhere.thread_id
                try:
                    return Accepted(message_id, await ask(owner, thread_id, request), thread_id)
                except MessageInOtherThread as elsewhere:
                    raise CommandRejected("message_id_reused") from elsewhere

    async def _filter(self, identity: Identity, say: Say, way: Route) -> tuple[Sanitized, SanitizedValue]:
        """Check a message against the limits of its user, and filter it with what came beside it."""
        content_filter, owner = self._services.content_filter, identity.user
        await self._check_limits(identity, say.content)
        is_new = partial(self._is_new, owner, way.thread_id)
        placeholders = await content_filter.thread_placeholders(owner, way.thread_id, is_new)
        clean = await content_filter.filter_message(owner, say.content, placeholders)
        written = {name: say.settings[name] for name in WRITTEN if name in say.settings}
        return clean, await content_filter.filter_context({"context": say.context, "settings": written})

    async def _check_limits(self, identity: Identity, stored: str | None = None) -> None:
        """Refuse what a user has no room to store, or may not spend. `stored` is the text, None if it is there already.

        Raises:
            CommandRejected: `quota_exceeded`.
            StorageUnavailable: It cannot be known.
        """
        parts = self._services.parts
        if stored is not None and (quotas := parts.find(Quotas)) is not None:
            await quotas.check_message(identity.user, stored)
        if (spending := parts.find(SpendingLimits)) is not None:
            await spending.check(identity)

    def _show_storage_wait(self, command: Command, outbox: ActorRef | None) -> None:
        """Send the sender of a command a progress event: the command waits for the database."""
        self._show_note(AWAY, command, outbox)

    def _show_note(self, note: str, command: Command, outbox: ActorRef | None) -> None:
        """Send the sender of a command a progress event."""
        if outbox is None:
            return
        names = {name: value for name in NAMES_SHOWN if (value := getattr(command, name, None)) is not None}
        progress = Envelope(AgentProgress(0, note), self._services.clock(), message=note).replace(**names)
        outbox.try_tell(Deliver(progress))

    async def _is_new(self, owner: str, thread_id: str) -> bool:
        """Return whether a thread has no events yet."""
        return not await self._services.store.read(queries.last_seqs, owner, [thread_id])

    async def _regenerate(
        self, identity: Identity, command: Regenerate, outbox: ActorRef | None, attempts: list[str]
    ) -> Accepted:
        check_id("request_id", command.request_id)
        message_id = command.message_id
        if message_id.startswith(ANSWER):
            run = await self._services.store.run(message_id.removeprefix(ANSWER))
            message_id = run.message_id if run is not None and run.owner == identity.user else ""
        message = await self._message(identity.user, message_id, "user")
        forks = after_step = None
        if command.call_id is not None:
            found = await self._services.store.read(queries.step_of_call, command.call_id)
            if found is None or (found[1].owner, found[1].message_id) != (identity.user, message.id):
                raise CommandRejected("not_found", "There is no tool call of that name in the work on this message.")
            forks, after_step = found[1].id, found[0].number - 1
        way = await self._route_of(identity, message)
        await self._check_limits(identity, message.content)
        about = message, way, command.request_id, outbox, attempts
        return await self._answer_again(identity, *about, forks=forks, after_step=after_step)

    async def _continue(
        self, identity: Identity, command: Continue, outbox: ActorRef | None, attempts: list[str]
    ) -> Accepted:
        """Have the message of a run that was cut answered by a run that goes on with its work and its text."""
        check_id("run_id", command.run_id)
        check_id("request_id", command.request_id)
        run = await self._run(identity.user, command.run_id)
        message = await self._message(identity.user, run.message_id, "user")
        way = await self._route_of(identity, message)
        check_ended(run, self._services.agents.get(way.agent))
        await self._check_limits(identity)
        about = message, way, command.key, outbox, attempts
        return await self._answer_again(identity, *about, forks=run.id, continues=True)

    async def _answer_again(
        self,
        identity: Identity,
        message: Message,
        way: Route,
        request_id: str | None,
        outbox: ActorRef | None,
        attempts: list[str],
        *,
        forks: str | None,
        after_step: int | None = None,
        continues: bool = False,
    ) -> Accepted:
        """Have a stored message answered by one more run; the last three arguments are as in `AnswerAgain`."""
        self._refuse(identity, way)

        def request() -> AnswerAgain:
            earlier, run_id = _attempt(attempts)
            return AnswerAgain(
                message,
                way,
                run_id,
                request_id,
                outbox,
                identity.roles,
                arrived_at.get(),
                identity.groups,
                forks,
                after_step,
                earlier,
                continues,
            )

        async with self._admission.admitted():
            run_id = await self._ask_for_run(attempts, way, None, identity.user, way.thread_id, request)
        return Accepted(message.id, run_id, way.thread_id)

    async def _ask_for_run(
        self,
        attempts: Sequence[str],
        way: Route,
        sent_from: object,
        owner: str,
        thread_id: str,
        request: Callable[[], Ask[str]],
    ) -> str:
        """Have a conversation accept a message. Return the id of its run, whose trace begins here if it is traced.

        `sent_from` is the header `traceparent` in the message, if any; else that of the HTTP request counts.
        """
        traces, error, run_id = self._services.parts.find(Traces), "", ""
        if traces is None:
            return await self.registry.ask(owner, thread_id, request)
        began, first = arrived_at.get() or self._services.clock(), len(attempts)
        try:
            run_id = await self.registry.ask(owner, thread_id, request)
            return run_id
        except CommandRejected as refused:
            error = refused.code
            raise
        except Exception as failure:
            error = type(failure).__name__
            raise
        finally:
            run_id = run_id or (attempts[-1] if len(attempts) > first else "")
            # Not of a repeated message, whose run has its trace, nor of one that another thread has.
            if run_id in attempts and error != MessageInOtherThread.__name__ and traces.of_run(run_id):
                about = message_attributes(way, owner, thread_id, run_id)
                caller = parse_header(sent_from) or parse_header(traceparent.get())
                traces.add(
                    "message",
                    span_of(run_id),
                    None,
                    began,
                    self._services.clock(),
                    about,
                    kind=SpanKind.SERVER,
                    links=() if caller is None else (caller,),
                    error=error,
                )

    async def _run(self, owner: str, run_id: str) -> RunRecord:
        run = await self._services.store.run(run_id)
        if run is None or run.owner != owner:
            raise CommandRejected("not_found", "There is no run of that name.")
        return run

    async def _message(self, owner: str, message_id: str, role: str) -> Message:
        message = await self._services.store.message(owner, message_id) if message_id else None
        if message is None or message.role != role:
            what = "answer" if role == "assistant" else "message of yours"
            raise CommandRejected("not_found", f"There is no {what} of that name.")
        return message

    async def _route_of(self, identity: Identity, message: Message) -> Route:
        """Return the route of a stored message, which its edits and new answers take too."""
        agent = find_agent(message.agent_type, message.pillar, self._pillars(identity), self._default)
        run = await self._services.store.run(message.run_id or "")
        conversation_id = (run.conversation_id if run is not None else None) or f"{agent}_{identity.session}"
        return Route(agent, message.agent_type, message.pillar, message.thread_id, conversation_id)

    async def _feedback(self, owner: str, given: Feedback, outbox: ActorRef | None) -> None:
        answer = await self._message(owner, given.message_id, "assistant")
        note = None
        if given.note is not None:
            note = await self._services.content_filter.filter_note(owner, given.note)
        rating = given.rating.value if given.rating is not None else None
        await self.registry.ask(owner, answer.thread_id, lambda: RateAnswer(answer, rating, note, outbox))

    def _show_typing(self, owner: str, thread_id: str, outbox: ActorRef | None) -> None:
        """Send all other connections of the user a typing event, subscribed or not; the thread need not exist yet."""
        check_id("thread_id", thread_id)
        self._notify(owner, thread_id, Typing(), sender=outbox)
        self._broadcast(TypingIn(owner, thread_id))

    def announce_change(self, owner: str, thread_id: str) -> None:
        """Send all connections of the user, on every node, the event that a thread of their list has changed."""
        self._notify(owner, thread_id, ThreadChanged())
        self._broadcast(Changed(owner, thread_id))

    def announce_read(self, owner: str, threads: Mapping[str, int] | None) -> None:
        """Send all connections of the user, on every node, the event that they have seen these threads; None: all."""
        self._notify(owner, None, AnswersRead(threads))
        self._broadcast(Read(owner, None if threads is None else dict(threads)))

    def announce_stops(self) -> None:
        """Have every other node read what is stopped."""
        self._broadcast(StopsChanged())

    def _refuse(self, identity: Identity, way: Route) -> None:
        """Refuse a message for an agent that is stopped, or that asks a model which the user may not use, or too many.

        Raises:
            CommandRejected: See above (`stopped`, `forbidden`, `busy`).
        """
        self._admission.check()
        services, agent = self._services, self._services.agents[way.agent]
        if (stop := services.stops.find(("agent", way.agent))) is not None:
            raise CommandRejected("stopped", sentence(stop))
        if agent.run is None:
            try:
                services.permissions.check_models(services.models_of(agent), identity)
            except NotPermitted as denied:
                raise CommandRejected(FORBIDDEN, str(denied)) from denied

    def _notify(self, owner: str, thread_id: str | None, event: Event, *, sender: ActorRef | None = None) -> None:
        """Send an event that is not logged to the connections of the user here, but not to `sender`.

        One of no thread is not sent to connections that are restricted to a thread.
        """
        message = Deliver(Envelope(event, self._services.clock(), thread_id=thread_id), shared=True)
        for outbox in self._services.presence.outboxes(owner, thread_id):
            if outbox != sender:
                outbox.try_tell(message)

    async def apply_news(self, news: News) -> None:
        """Apply the news of another node to the user's connections here."""
        match news:
            case StopsChanged():
                self._services.stops.wake()
            case Missed(since):
                self._services.stops.wake()
                self.registry.mark_missed(since)
                with suppress(StorageUnavailable):  # they stay until the next news of them, or until they are evicted
                    await self._forget_deleted()
            case Active(owner, thread_id, after) if self._services.presence.outboxes(owner, thread_id):
                try:
                    await self.registry.get_or_start(owner, thread_id, after)
                except _UNAVAILABLE:
                    self.registry.mark_missed(self._services.clock(), owner)
            case TypingIn(owner, thread_id):
                self._notify(owner, thread_id, Typing())
            case Changed(owner, thread_id):
                self._notify(owner, thread_id, ThreadChanged())
            case Read(owner, threads):
                self._notify(owner, None, AnswersRead(threads))
            case Deleted(owner, thread_id):
                self._services.forget(owner, thread_id)
                self._notify(owner, thread_id, ThreadChanged(deleted=True))
                if self.registry.peek(owner, thread_id) is None:  # else its proxy is told, after the last events
                    for outbox in self._services.presence.outboxes(owner, thread_id):
                        outbox.try_tell(UnsubscribeThread(thread_id))

    async def _forget_deleted(self) -> None:
        """Forget the placeholders of threads that do not exist any more."""
        for owner, ids in self.vault.threads().items():
            for first in range(0, len(ids), MAX_RESUMED):
                for thread_id in await self._missing(owner, ids[first : first + MAX_RESUMED]):
                    if self.registry.peek(owner, thread_id) is None:  # else the thread is being created at this moment
                        self._services.forget(owner, thread_id)

    def _broadcast(self, news: News) -> None:
        if self.registry.others is not None:
            self.registry.others.broadcast(news)

    async def _resume(self, owner: str, threads: Mapping[str, int], outbox: ActorRef) -> None:
        if len(threads) > MAX_RESUMED:
            raise CommandRejected("invalid_command", f"At most {MAX_RESUMED} threads can be resumed at once.")
        for thread_id in threads:
            check_id("thread_id", thread_id)
        # A live conversation knows by itself whether its thread exists.
        unknown = await self._missing(owner, [each for each in threads if self.registry.peek(owner, each) is None])
        errors: list[Exception] = []
        left = iter([thread_id for thread_id in threads if thread_id not in unknown])

        async def follow_some() -> None:
            for thread_id in left:
                try:
                    await self.registry.subscribe(owner, thread_id, threads[thread_id], outbox)
                except CommandRejected:  # it was deleted, or its first message was never stored
                    unknown.add(thread_id)
                except _UNAVAILABLE as error:
                    errors.append(error)

        if len(threads) == 1:
            await follow_some()
        else:
            # Concurrently, as each conversation that is started reads its log first.
            async with trio.open_nursery() as nursery:
                for _ in range(min(len(threads), RESUME_WORKERS)):
                    nursery.start_soon(follow_some)
        if errors:
            raise errors[0]
        if unknown:
            missing = [thread_id for thread_id in threads if thread_id in unknown]
            names = {"thread_id": missing[0]} if len(missing) == 1 else {}
            raise CommandRejected("not_found", f"There is no conversation called {', '.join(missing)}.", names=names)

    async def _missing(self, owner: str, ids: Sequence[str]) -> set[str]:
        """Return the ids that are no thread of the owner; no conversation is started for them."""
        return set(ids).difference(await self._services.store.read(queries.last_seqs, owner, ids)) if ids else set()

    async def operate(self, operator: str, run: RunRecord, act: OperatorAct) -> None:
        """Carry out an operator's act about a run of a user, with the user's own commands in the operator's name.

        The caller has checked that the operator may do it. A steer is sent without the user's quotas and limits.

        Raises:
            CommandRejected: The act was refused, and nothing was changed; with the code and sentence to send.
        """
        about = "That is not of this run."
        try:
            match act:
                case TakeOver() | HandBack() | CancelRun():
                    request = partial(evolve, act)  # an ask is answered once
                    await self.registry.ask(run.owner, run.thread_id, request)
                case Steer(mode=SteerMode.AFTER):
                    raise CommandRejected("invalid_command", "An operator speaks to the run: mode is `next` or `now`.")
                case Steer():
                    check_id("steer_id", act.steer_id)
                    await self._send_steer(run, act, act.steer_id or uuid.uuid4().hex, None, operator)
                case Approve(remember=True):
                    raise CommandRejected("invalid_command", "Only the user can allow a tool always.")
                case Approve(call_id=call_id):
                    found = await self._services.store.read(queries.step_of_call, call_id)
                    if found is None or found[1].id != run.id:
                        raise CommandRejected("not_found", about)
                    await self._approve(run.owner, act, HTTP, operator)
                case Respond(question_id=question_id):
                    if run_of_question(question_id) != run.id:
                        raise CommandRejected("not_found", about)
                    await self._answer(run.owner, act, HTTP, operator)
        except _UNAVAILABLE as error:
            raise _refusal(error) from error

    async def _cancel(self, owner: str, run_id: str) -> None:
        run = await self._run(owner, run_id)
        if run.ended_at is None:
            await self.registry.ask(owner, run.thread_id, partial(CancelRun, run_id))

    async def _steer(self, identity: Identity, steer: Steer, outbox: ActorRef | None, attempts: list[str]) -> Accepted:
        """Have the conversation of a run accept a steer; one that is to wait for the run's end is a message."""
        services, owner = self._services, identity.user
        check_id("steer_id", steer.steer_id)
        steer_id = steer.steer_id or uuid.uuid4().hex
        with services.storage_waits.notify_if_slow(partial(self._show_storage_wait, steer, outbox)):
            run = await self._run(owner, steer.run_id)
            if steer.mode is SteerMode.AFTER:
                way = await self._route_of(identity, await self._message(owner, run.message_id, "user"))
        if steer.mode is SteerMode.AFTER:
            self._refuse(identity, way)
            say = Say(steer.content, way.thread_id, steer_id, way.conversation_id, way.agent_type, way.pillar)
            return await self._accept(identity, say, way, steer_id, outbox, attempts)
        await self._check_limits(identity, steer.content)
        with services.storage_waits.notify_if_slow(partial(self._show_storage_wait, steer, outbox)):
            await self._send_steer(run, steer, steer_id, outbox)
        return Accepted(steer_id, run.id, run.thread_id)

    async def _send_steer(
        self, run: RunRecord, steer: Steer, steer_id: str, outbox: ActorRef | None, by: str | None = None
    ) -> None:
        """Filter a steer, and have the conversation of its run accept it. `by` is as in `AcceptSteer`."""
        content_filter, owner = self._services.content_filter, run.owner
        is_new = partial(self._is_new, owner, run.thread_id)
        placeholders = await content_filter.thread_placeholders(owner, run.thread_id, is_new)
        clean = await content_filter.filter_message(owner, steer.content, placeholders)
        request = partial(AcceptSteer, run.id, steer_id, steer.mode is SteerMode.NOW, clean, outbox, by)
        await self.registry.ask(owner, run.thread_id, request)

    async def _unsteer(self, owner: str, command: Unsteer) -> None:
        run, message = await self._services.store.run(command.run_id), None
        withdrawn = False
        if run is not None and run.owner == owner:
            request = partial(WithdrawSteer, run.id, command.steer_id)
            withdrawn = run.ended_at is None and await self.registry.ask(owner, run.thread_id, request)
            if not withdrawn:  # it may be a message by now, or have been one from the beginning
                message = await self._services.store.message(owner, command.steer_id)
        if message is not None and run is not None and message.thread_id == run.thread_id:
            cancel = partial(CancelRun, message.run_id or "", waiting=True)
            withdrawn = await self.registry.ask(owner, run.thread_id, cancel)
        if not withdrawn:
            raise CommandRejected("not_found", "No message of that name waits for that run.")

    async def _approve(self, owner: str, approve: Approve, door: str, by: str | None = None) -> None:
        """Decide about a call of a user's run; `by` is the operator who does so, None for the user."""
        if approve.remember:
            self._consents()
        note = await self._services.content_filter.filter_note(owner, check_note(approve.note or ""))
        decision = ApprovalDecision(approve.decision.value)
        parameters = None
        if approve.parameters is not None:
            if len(msgspec.json.encode(approve.parameters)) > MAX_ARGUMENT_BYTES:
                raise CommandRejected("message_too_large", f"At most {MAX_ARGUMENT_BYTES:,} bytes can be shown.")
            parameters = (await self._services.content_filter.filter_context(approve.parameters)).value
        request = partial(
            Decide, approve.call_id, decision, note, parameters, remember=approve.remember, by=by or owner, door=door
        )
        found = await self._services.store.read(queries.step_of_call, approve.call_id)
        run = None if found is None else found[1]
        await self._ask_open(owner, run, request, "No tool call of that name waits for your consent.")

    async def _answer(self, owner: str, answer: Respond, door: str, by: str | None = None) -> None:
        """Answer a question of a user's run; `by` is as in `_approve`."""
        given = None
        if answer.answer is not None and len(msgspec.json.encode(answer.answer)) > MAX_ANSWER_BYTES:
            raise CommandRejected("message_too_large", f"An answer has at most {MAX_ANSWER_BYTES:,} bytes of JSON.")
        run = await self._services.store.run(run_of_question(answer.question_id))
        if answer.answer is not None and run is not None and run.owner == owner:
            # The values of secret fields are neither stored nor shown; filtered, they would be of no use to the tool.
            secrets = await read_secret_fields(self._services.store, run, answer.question_id)
            shown = {name: value for name, value in answer.answer.items() if name not in secrets}
            clean = (await self._services.content_filter.filter_context(shown)).value
            given = {**clean, **{name: answer.answer[name] for name in secrets if name in answer.answer}}
        request = partial(AnswerQuestion, answer.question_id, given, by or owner, door)
        refusal = "No open question has that id; it may have been answered already."
        await self._ask_open(owner, run, request, refusal)

    async def _ask_open(
        self, owner: str, run: RunRecord | None, request: Callable[[], Ask[bool]], refusal: str
    ) -> None:
        """Ask the conversation of a run. Raises `not_found` if it is not an open one of the user, or it says no."""
        if (
            run is None
            or run.owner != owner
            or run.ended_at is not None
            or not await self.registry.ask(owner, run.thread_id, request)
        ):
            raise CommandRejected("not_found", refusal)

    async def _undo(self, identity: Identity, undo: Undo) -> None:
        store, run, call_id = self._services.store, None, undo.call_id
        if call_id is not None:
            found = await store.read(queries.step_of_call, call_id)
            run = None if found is None else found[1]
        elif undo.run_id is not None:
            run = await store.run(undo.run_id)
        if run is None or run.owner != identity.user:
            raise CommandRejected("not_found", "There is no tool call or run of that name.")
        request = partial(UndoCalls, run.id, call_id, identity.roles)
        await self.registry.ask(identity.user, run.thread_id, request)

    def request_snapshot(self, identity: Identity, thread_id: str, outbox: ActorRef) -> None:
        """Have the running answer of a thread sent again to an outbox that missed a part of it."""
        if (conversation := self.registry.peek(identity.user, thread_id)) is not None:
            conversation.try_tell(RequestSnapshot(outbox))

    async def delete_thread(self, owner: str, thread_id: str, *, unless_since: float | None = None) -> bool:
        """Delete a thread, its conversation and its runs. Return False if it was not deleted for `unless_since`.

        `unless_since`: do not delete a thread with a run, or with a message since that time (Unix seconds).

        Raises:
            StorageUnavailable: The thread could not be deleted.
        """
        try:
            if not await self.registry.ask(owner, thread_id, lambda: Delete(unless_since)):
                return False
        except (ActorError, trio.WouldBlock, BrokerUnavailable) as error:
            raise StorageUnavailable(str(error)) from error
        self._services.forget(owner, thread_id)  # another node may have owned the conversation
        self._notify(owner, thread_id, ThreadChanged(deleted=True))
        self._broadcast(Deleted(owner, thread_id))
        return True


def message_attributes(way: Route, owner: str, thread_id: str, run_id: str) -> dict[str, Attribute]:
    """Return the attributes of a message's span. Ids that clients choose are not among them: they may be words."""
    known: dict[str, Attribute] = {names.RUN: run_id, names.CONVERSATION: actor_name(owner, thread_id)}
    return {**known, names.AGENT_NAME: way.agent}


def _refusal(error: Exception) -> CommandRejected:
    """Return what to tell a client if its conversation cannot be asked now. One that has not answered yet is busy."""
    if isinstance(error, AskTimeout | MailboxFull):
        return CommandRejected("busy", retry_after=BUSY_S)
    return CommandRejected("storage_unavailable", retry_after=RETRY_S)


def _attempt(attempts: list[str]) -> tuple[tuple[str, ...], str]:
    """Begin an attempt at a command. Return the run ids of the earlier ones, and a new run id.

    Each attempt has another, so the reply says which one was accepted.
    """
    earlier, run_id = tuple(attempts), uuid.uuid4().hex
    attempts.append(run_id)
    return earlier, run_id
