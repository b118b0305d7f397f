"""Carries out here what another node asks, of a thread that this one has.

1. What is asked is done as if it had been asked here, but for what concerns the connection: the asking node sees to it.
2. Nothing is passed on: where another node has the thread, the one that asks finds out where.
3. As much as is asked at a time is bounded; what is beyond is refused, and made again by whoever made it.
"""

import logging
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

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
from understudy.cluster.messages import RpcFault, RpcReply, RpcRequest
from understudy.storage.errors import StorageError

log = logging.getLogger(__name__)

CONCURRENT_REQUESTS: Final = 1000
"""Requests that are carried out at a time."""


@frozen
class _Forwarding:
    """A courier, and the conversation that it follows."""

    forwarder: ActorRef
    conversation: ActorRef


@define(eq=False)
class RpcServer:
    """Serves other nodes. `couriers` gives the supervisor whose temporary children the couriers are."""

    threads: ConversationRegistry
    bus: MessageBus
    supervisor: Callable[[], ActorRef]
    _at_work: int = field(default=0, init=False)
    _forwarders: dict[tuple[str, str], _Forwarding] = field(factory=dict, init=False)  # by thread and node
    _sweep_at: int = field(default=64, init=False)

    async def handle(self, sender: str, request: RpcRequest) -> None:
        """Carry out a request of another node, and answer it."""
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
        if answer.id:  # else nobody waits for it
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
            case messages.Wake(run_id):
                (await self.threads.get_local(owner, thread_id)).try_tell(chat.EnsureRunning(run_id))
                return None
            case messages.Subscribe():
                conversation = await self.threads.get_local(owner, thread_id)
                courier = await self._get_or_start_forwarder(thread, sender, conversation)
                return await courier.ask(RenewLease(), timeout_s=within_s)
            case command:
                conversation = await self.threads.get_local(owner, thread_id)
                outcome: Value = await conversation.ask(_to_ask(command), timeout_s=within_s)
                return outcome

    async def _get_or_start_forwarder(self, thread: str, node: str, conversation: ActorRef) -> ActorRef:
        """The courier that follows a conversation for a node; it is begun when there is none."""
        sent = self._forwarders.get((thread, node))
        if sent is not None and sent.forwarder.alive and sent.conversation == conversation:
            return sent.forwarder
        make = partial(EventForwarder, thread, node, conversation, self.bus)
        spec = ChildSpec(uuid.uuid4().hex, make, restart=Restart.TEMPORARY)
        courier = await self.supervisor().ask(StartChild(spec))
        self._forwarders[thread, node] = _Forwarding(courier, conversation)
        self._sweep()
        try:
            await conversation.ask(chat.FollowThread(courier, 0))
        except BaseException:  # or the time is over: it may follow nothing, and the next one that is begun shall
            self._forwarders.pop((thread, node), None)
            courier.try_tell(StopForwarding())
            raise
        return courier

    def _sweep(self) -> None:
        """Forget couriers that have ended, now and then."""
        if len(self._forwarders) >= self._sweep_at:
            self._forwarders = {key: sent for key, sent in self._forwarders.items() if sent.forwarder.alive}
            self._sweep_at = 2 * len(self._forwarders) + 64


def _to_ask(command: messages.Command) -> Ask[Any]:
    """What another node asks, as a conversation is asked it."""
    arrived_at = time.time()
    match command:
        case messages.Accept(say, clean, route, run_id, message_id, branch_of, raw, roles, beside):
            return chat.Accept(say, clean, route, run_id, message_id, None, branch_of, raw, roles, beside, arrived_at)
        case messages.AnswerAgain(message, route, run_id, request_id, roles):
            return chat.AnswerAgain(message, route, run_id, request_id, None, roles, arrived_at)
        case messages.Rate(answer, rating, note):
            return chat.RateAnswer(answer, rating, note, None)
        case messages.CancelRun(run_id):
            return chat.CancelRun(run_id)
        case messages.Decide(call_id, decision, note):
            return chat.Decide(call_id, decision, note)
        case messages.Delete(unless_since):
            return chat.Delete(unless_since)
    raise TypeError(type(command).__name__)
