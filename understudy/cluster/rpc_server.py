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
from understudy.chat.placement import Moved, name_of
from understudy.chat.registry import Whereabouts
from understudy.cluster import messages
from understudy.cluster.bus import Post, Value
from understudy.cluster.codec import fault_of
from understudy.cluster.forwarder import Courier, Unwanted, Wanted
from understudy.cluster.messages import Answer, Fault, Request
from understudy.storage.errors import StorageError

log = logging.getLogger(__name__)

AT_WORK: Final = 1000
"""Requests that are carried out at a time."""


@frozen
class _Sent:
    """A courier, and the conversation that it follows."""

    courier: ActorRef
    conversation: ActorRef


@define(eq=False)
class Office:
    """Serves other nodes. `couriers` gives the supervisor whose temporary children the couriers are."""

    threads: Whereabouts
    post: Post
    couriers: Callable[[], ActorRef]
    _at_work: int = field(default=0, init=False)
    _couriers: dict[tuple[str, str], _Sent] = field(factory=dict, init=False)  # by thread and node
    _sweep_at: int = field(default=64, init=False)

    async def serve(self, sender: str, request: Request) -> None:
        """Carry out a request of another node, and answer it."""
        if self._at_work >= AT_WORK:
            self._answer(sender, Answer(request.id, fault=Fault("unavailable", "too much is asked")))
            return
        self._at_work += 1
        try:
            with trio.move_on_after(request.within_s):
                answer = await self._outcome(sender, request)
                self._answer(sender, answer)
        finally:
            self._at_work -= 1

    def _answer(self, sender: str, answer: Answer) -> None:
        if answer.id:  # else nobody waits for it
            self.post.send(sender, answer)

    async def _outcome(self, sender: str, request: Request) -> Answer:
        try:
            return Answer(request.id, await self._done(sender, request))
        except (CommandRejected, chat.SaidElsewhere, Moved, StorageError) as error:
            return Answer(request.id, fault=fault_of(error))
        except (ActorError, trio.WouldBlock, trio.TooSlowError) as error:
            log.warning("office.not_done", extra={"command": type(request.command).__name__, "reason": str(error)})
            return Answer(request.id, fault=fault_of(error))

    async def _done(self, sender: str, request: Request) -> Value:
        owner, thread_id, within_s = request.owner, request.thread_id, request.within_s
        thread = name_of(owner, thread_id)
        match request.command:
            case messages.Leave():
                if (sent := self._couriers.get((thread, sender))) is not None:
                    sent.courier.try_tell(Unwanted())
                return None
            case messages.Snapshot():
                if (sent := self._couriers.get((thread, sender))) is not None:
                    sent.conversation.try_tell(chat.WantSnapshot(sent.courier))
                return None
            case messages.Wake(run_id):
                (await self.threads.own(owner, thread_id)).try_tell(chat.Wake(run_id))
                return None
            case messages.Attend():
                conversation = await self.threads.own(owner, thread_id)
                courier = await self._courier(thread, sender, conversation)
                return await courier.ask(Wanted(), timeout_s=within_s)
            case command:
                conversation = await self.threads.own(owner, thread_id)
                outcome: Value = await conversation.ask(_asked(command), timeout_s=within_s)
                return outcome

    async def _courier(self, thread: str, node: str, conversation: ActorRef) -> ActorRef:
        """The courier that follows a conversation for a node; it is begun when there is none."""
        sent = self._couriers.get((thread, node))
        if sent is not None and sent.courier.alive and sent.conversation == conversation:
            return sent.courier
        make = partial(Courier, thread, node, conversation, self.post)
        spec = ChildSpec(uuid.uuid4().hex, make, restart=Restart.TEMPORARY)
        courier = await self.couriers().ask(StartChild(spec))
        self._couriers[thread, node] = _Sent(courier, conversation)
        self._sweep()
        try:
            await conversation.ask(chat.FollowThread(courier, 0))
        except BaseException:  # or the time is over: it may follow nothing, and the next one that is begun shall
            self._couriers.pop((thread, node), None)
            courier.try_tell(Unwanted())
            raise
        return courier

    def _sweep(self) -> None:
        """Forget couriers that have ended, now and then."""
        if len(self._couriers) >= self._sweep_at:
            self._couriers = {key: sent for key, sent in self._couriers.items() if sent.courier.alive}
            self._sweep_at = 2 * len(self._couriers) + 64


def _asked(command: messages.Command) -> Ask[Any]:
    """What another node asks, as a conversation is asked it."""
    arrived_at = time.time()
    match command:
        case messages.Accept(say, clean, route, run_id, message_id, branch_of, raw, roles, beside):
            return chat.Accept(say, clean, route, run_id, message_id, None, branch_of, raw, roles, beside, arrived_at)
        case messages.AnswerAgain(message, route, run_id, request_id, roles):
            return chat.AnswerAgain(message, route, run_id, request_id, None, roles, arrived_at)
        case messages.Rate(answer, rating, note):
            return chat.Rate(answer, rating, note, None)
        case messages.CancelRun(run_id):
            return chat.CancelRun(run_id)
        case messages.Decide(call_id, decision, note):
            return chat.Decide(call_id, decision, note)
        case messages.Delete(unless_since):
            return chat.Delete(unless_since)
    raise TypeError(type(command).__name__)
