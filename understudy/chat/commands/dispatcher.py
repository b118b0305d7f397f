"""Carries out the commands of connections, each by its function, and announces to all connections of a user, on every
node, what has changed. It has no actor of its own.

If several nodes share the database, a thread's conversation is on one of them, and proxies to it are on the others.
Both are asked alike.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias, TypeVar

import trio

from actors import ActorError, ActorRef, Ask
from transport.auth.identity import Identity
from transport.wire.commands import Command, Resume
from transport.wire.errors import CommandRejected
from transport.wire.messages import UnsubscribeThread
from understudy.chat.commands import answer, threads
from understudy.chat.commands.accept import accept_edit, accept_say, check_say, regenerate
from understudy.chat.commands.request import HTTP, SOCKET, UNAVAILABLE, Accepted, Request, refusal
from understudy.chat.commands.threads import MAX_RESUMED, broadcast, missing, notify
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.messages import Delete, RequestSnapshot, Version, WidgetCall
from understudy.chat.placement import (
    Active,
    Changed,
    Deleted,
    MakeProxy,
    Missed,
    News,
    Node,
    Read,
    StopsChanged,
    TypingIn,
)
from understudy.chat.registry import ConversationRegistry
from understudy.chat.services import Services
from understudy.content.vault import Vault
from understudy.storage.errors import StorageUnavailable
from understudy.wire import commands as wire
from understudy.wire.commands import Say
from understudy.wire.events import AnswersRead, ThreadChanged, Typing

CommandFunction: TypeAlias = Callable[[Request[Any], Services], Awaitable[Accepted | None]]
"""Carries out a command. Raises CommandRejected, or an error of `UNAVAILABLE`; nothing was changed then."""
COMMANDS: Final[Mapping[type, CommandFunction]] = {
    Say: accept_say,
    Version: accept_say,
    WidgetCall: accept_say,
    wire.Edit: accept_edit,
    wire.Regenerate: regenerate,
    wire.Cancel: threads.cancel,
    wire.Approve: answer.approve,
    wire.Disallow: answer.disallow,
    wire.Respond: answer.respond,
    wire.Feedback: answer.rate,
    Resume: threads.resume,
    wire.UserTyping: threads.show_typing,
    wire.SwitchServer: threads.switch_server,
}
"""The functions of the commands that concern conversations."""
T = TypeVar("T")


class CommandDispatcher:
    """Carries out commands. `conversations` gives the supervisor whose dynamic children the conversations are."""

    def __init__(self, services: Services, conversations: Callable[[], ActorRef]) -> None:
        self._services = services
        self._functions = dict(COMMANDS)
        self._wrap: Callable[[CommandFunction], CommandFunction] | None = None
        self.registry = services.conversations = ConversationRegistry(services, conversations)

    def extend(self, commands: Mapping[type, CommandFunction], part: type[ThreadPart] | None = None) -> None:
        """Have the commands of an extension carried out, and its `part` made for each conversation."""
        wrap = self._wrap
        wrapped = commands if wrap is None else {kind: wrap(function) for kind, function in commands.items()}
        self._functions.update(wrapped)
        if part is not None:
            self.registry.parts.append(part)

    def surround(self, wrap: Callable[[CommandFunction], CommandFunction]) -> None:
        """Replace the function of every command by that which `wrap`, of one extension, makes of it."""
        self._wrap = wrap
        self.extend(self._functions)

    def join(self, node: Node, make_proxy: MakeProxy | None = None) -> None:
        """Claim threads as this node, from before any is used. `make_proxy` is None if there can be no other node."""
        self.registry.node, self.registry.make_proxy = node, make_proxy

    @property
    def file_bytes(self) -> int:
        """The largest file that users may upload; 0 if this server takes none."""
        return self._services.attachments("").limit_bytes

    @property
    def vault(self) -> Vault:
        """The values behind the placeholders of the users' threads."""
        return self._services.content_filter.vault

    async def dispatch(
        self,
        identity: Identity,
        command: Command,
        outbox: ActorRef | None,
        *,
        door: str | None = None,
        by: str | None = None,
    ) -> Accepted | None:
        """Carry out one command of a user. Return the ids of the message and run if it started one.

        `outbox` is that of the connection which sent it; None if it came without a connection. `door` is the way that
        it came, for the log: by default `socket` or `http`. `by` is the operator who sends it in place of the user.

        Raises:
            CommandRejected: The command was refused, and nothing was changed; with the code and sentence to send.
        """
        function = self._functions.get(type(command))
        if function is None:
            raise CommandRejected("unknown_type")
        door = door or (HTTP if outbox is None else SOCKET)
        try:
            return await function(Request(identity, command, outbox, door, by), self._services)
        except UNAVAILABLE as error:
            raise refusal(error) from error

    async def check(self, identity: Identity, say: Say) -> None:
        """Check the agent, ids, files and settings of a message, and refuse one that could not be sent now.

        Raises:
            CommandRejected: As for `dispatch`.
        """
        try:
            await check_say(Request(identity, say), self._services)
        except UNAVAILABLE as error:
            raise refusal(error) from error

    async def ask(self, owner: str, thread_id: str, request: Callable[[], Ask[T]]) -> T:
        """Ask a thread's conversation, on any node, for an operator. `request` makes the request for each attempt.

        Raises:
            CommandRejected: The conversation cannot be asked now, or refuses.
        """
        try:
            return await self.registry.ask(owner, thread_id, request)
        except UNAVAILABLE as error:
            raise refusal(error) from error

    def announce_change(self, owner: str, thread_id: str) -> None:
        """Send all connections of the user, on every node, the event that a thread of their list has changed."""
        notify(owner, thread_id, ThreadChanged(), self._services)
        broadcast(Changed(owner, thread_id), self._services)

    def announce_read(self, owner: str, threads: Mapping[str, int] | None) -> None:
        """Send all connections of the user, on every node, the event that they have seen these threads; None: all."""
        notify(owner, None, AnswersRead(threads), self._services)
        broadcast(Read(owner, None if threads is None else dict(threads)), self._services)

    def announce_stops(self) -> None:
        """Have every other node read what is stopped."""
        broadcast(StopsChanged(), self._services)

    async def apply_news(self, news: News) -> None:
        """Apply the news of another node to the user's connections here."""
        match news:
            case StopsChanged():
                self._services.stops.wake()
            case Missed(since):
                self._services.stops.wake()
                self.registry.mark_missed(since)
                with suppress(StorageUnavailable):  # placeholders stay until the next such news, or their eviction
                    await self._forget_deleted()
            case Active(owner, thread_id, after) if self._services.presence.outboxes(owner, thread_id):
                try:
                    await self.registry.get_or_start(owner, thread_id, after)
                except UNAVAILABLE:
                    self.registry.mark_missed(self._services.clock(), owner)
            case TypingIn(owner, thread_id):
                notify(owner, thread_id, Typing(), self._services)
            case Changed(owner, thread_id):
                notify(owner, thread_id, ThreadChanged(), self._services)
            case Read(owner, threads):
                notify(owner, None, AnswersRead(threads), self._services)
            case Deleted(owner, thread_id):
                self._services.forget(owner, thread_id)
                notify(owner, thread_id, ThreadChanged(deleted=True), self._services)
                if self.registry.peek(owner, thread_id) is None:  # else its proxy is told, after the last events
                    for outbox in self._services.presence.outboxes(owner, thread_id):
                        outbox.try_tell(UnsubscribeThread(thread_id))

    async def _forget_deleted(self) -> None:
        """Forget the placeholders of threads that do not exist any more."""
        for owner, ids in self.vault.threads().items():
            for first in range(0, len(ids), MAX_RESUMED):
                for thread_id in await missing(owner, ids[first : first + MAX_RESUMED], self._services):
                    if self.registry.peek(owner, thread_id) is None:  # else the thread is being created at this moment
                        self._services.forget(owner, thread_id)

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
        except (ActorError, trio.WouldBlock) as error:
            raise StorageUnavailable(str(error)) from error
        self._services.forget(owner, thread_id)  # another node may have owned the conversation
        notify(owner, thread_id, ThreadChanged(deleted=True), self._services)
        broadcast(Deleted(owner, thread_id), self._services)
        return True
