"""Executes requests of other nodes about threads that this node owns.

1. A command is executed as if a local client had sent it, except for events to the client's connection: the asking node
   sends those.
2. Nothing is forwarded: if another node owns the thread, the request fails with Moved, and the asking node looks it up.
3. Concurrent requests are bounded; requests beyond are refused, and their callers may retry.
"""

import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from attrs import define, field, frozen

from actors import ActorError, ActorRef, Ask, ChildSpec, Restart, StartChild
from transport.wire.errors import CommandRejected
from understudy.chat import messages as chat
from understudy.chat.placement import Moved, actor_name
from understudy.chat.registry import ConversationRegistry
from understudy.cluster import messages
from understudy.cluster.bus import MessageBus, Value
from understudy.cluster.codec import fault_from_error
from understudy.cluster.forwarder import EventForwarder, RenewLease, StopForwarding
from understudy.cluster.messages import RpcFault, RpcReply, RpcRequest, message_from_command
from understudy.storage.errors import StorageError

log = logging.getLogger(__name__)

CONCURRENT_REQUESTS: Final = 1000
"""Limit of concurrent requests; more are refused as unavailable."""


@frozen
class _Forwarding:
    """A forwarder, and the conversation it subscribed to."""

    forwarder: ActorRef
    conversation: ActorRef


@define(eq=False)
class RpcServer:
    """Handles the requests of other nodes. `supervisor` returns the ref of the supervisor of the forwarders."""

    threads: ConversationRegistry
    bus: MessageBus
    supervisor: Callable[[], ActorRef]
    _at_work: int = field(default=0, init=False)
    _forwarders: dict[tuple[str, str], _Forwarding] = field(factory=dict, init=False)  # by thread and node
    _sweep_at: int = field(default=64, init=False)

    async def handle(self, sender: str, request: RpcRequest) -> None:
        """Execute a request of another node and send the reply."""
        if self._at_work >= CONCURRENT_REQUESTS:
            self._reply(sender, RpcReply(request.id, fault=RpcFault("unavailable", "too much is asked")))
            return
        self._at_work += 1
        try:
            with trio.move_on_after(request.within_s):
                answer = await self._outcome(sender, request)
                self._reply(sender, answer)
        finally:
            self._at_work -= 1

    def _reply(self, sender: str, answer: RpcReply) -> None:
        if answer.id:  # no id: no reply is wanted
            self.bus.send(sender, answer)

    async def _outcome(self, sender: str, request: RpcRequest) -> RpcReply:
        try:
            return RpcReply(request.id, await self._execute(sender, request))
        except (CommandRejected, chat.MessageInOtherThread, Moved, StorageError) as error:
            return RpcReply(request.id, fault=fault_from_error(error))
        except (ActorError, trio.WouldBlock, trio.TooSlowError) as error:
            log.warning("office.not_done", extra={"command": type(request.command).__name__, "reason": str(error)})
            return RpcReply(request.id, fault=fault_from_error(error))

    async def _execute(self, sender: str, request: RpcRequest) -> Value:
        owner, thread_id, within_s = request.owner, request.thread_id, request.within_s
        thread = actor_name(owner, thread_id)
        match request.command:
            case messages.Unsubscribe():
                if (sent := self._forwarders.get((thread, sender))) is not None:
                    sent.forwarder.try_tell(StopForwarding())
                return None
            case messages.Snapshot():
                if (sent := self._forwarders.get((thread, sender))) is not None:
                    sent.conversation.try_tell(chat.RequestSnapshot(sent.forwarder))
                return None
            case messages.Subscribe():
                conversation = await self.threads.get_local(owner, thread_id)
                forwarder = await self._get_or_start_forwarder(thread, sender, conversation)
                return await forwarder.ask(RenewLease(), timeout_s=within_s)
            case command:
                conversation, message = await self.threads.get_local(owner, thread_id), message_from_command(command)
                if not isinstance(message, Ask):
                    conversation.try_tell(message)
                    return None
                outcome: Value = await conversation.ask(message, timeout_s=within_s)
                return outcome

    async def _get_or_start_forwarder(self, thread: str, node: str, conversation: ActorRef) -> ActorRef:
        """Return the forwarder of a conversation's events to a node; start one if there is none."""
        sent = self._forwarders.get((thread, node))
        if sent is not None and sent.forwarder.alive and sent.conversation == conversation:
            return sent.forwarder
        make = partial(EventForwarder, thread, node, conversation, self.bus)
        spec = ChildSpec(uuid.uuid4().hex, make, restart=Restart.TEMPORARY)
        forwarder = await self.supervisor().ask(StartChild(spec))
        self._forwarders[thread, node] = _Forwarding(forwarder, conversation)
        self._sweep()
        try:
            await conversation.ask(chat.FollowThread(forwarder, 0))
        except BaseException:  # or cancelled: it may not be subscribed, so the next request starts another
            self._forwarders.pop((thread, node), None)
            forwarder.try_tell(StopForwarding())
            raise
        return forwarder

    def _sweep(self) -> None:
        """Remove stopped forwarders from the table each time it has doubled."""
        if len(self._forwarders) >= self._sweep_at:
            self._forwarders = {key: sent for key, sent in self._forwarders.items() if sent.forwarder.alive}
            self._sweep_at = 2 * len(self._forwarders) + 64
