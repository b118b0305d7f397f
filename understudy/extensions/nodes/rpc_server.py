"""Executes requests of other nodes about threads that this node owns.

1. A command is executed as if a local client had sent it, except that the asking node sends the events for the client's
   connection.
2. A request is never forwarded: if another node owns the thread, it fails with Moved, and the asking node looks up the
   owner.
3. The number of concurrent requests is bounded; more are refused, and their callers may retry.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec
import trio
from attrs import define, field

from actors import ActorError
from transport.wire.errors import CommandRejected
from understudy.chat import messages as chat
from understudy.chat.placement import Moved
from understudy.chat.registry import ConversationRegistry
from understudy.extensions.nodes.bus import MessageBus, Value
from understudy.extensions.nodes.codec import fault_from_error
from understudy.extensions.nodes.hop import hop
from understudy.extensions.nodes.messages import RpcFault, RpcReply, RpcRequest, message_of
from understudy.observe.logs import new_error_id
from understudy.observe.spans import SpanKind, Traces, parse_header
from understudy.storage.errors import StorageError

log = logging.getLogger(__name__)

CONCURRENT_REQUESTS: Final = 1000
"""Limit of concurrent requests; more are refused as unavailable."""


@define(eq=False)
class RpcServer:
    """Handles the requests of other nodes. `traces` returns the collector of spans, None if nothing is traced."""

    threads: ConversationRegistry
    bus: MessageBus
    traces: Callable[[], Traces | None] = lambda: None
    _at_work: int = field(default=0, init=False)

    async def handle(self, sender: str, request: RpcRequest, within_s: float) -> None:
        """Execute a request of another node and send the reply; send none if it takes longer than `within_s`."""
        if self._at_work >= CONCURRENT_REQUESTS:
            self.bus.reply(sender, RpcReply(request.id, fault=RpcFault("unavailable", "too much is asked")))
            return
        self._at_work += 1
        try:
            with trio.move_on_after(within_s):
                self.bus.reply(sender, await self._answer(sender, request, within_s))
        finally:
            self.bus.finish(request.id)
            self._at_work -= 1

    async def _answer(self, sender: str, request: RpcRequest, within_s: float) -> RpcReply:
        parent, extra = parse_header(request.traceparent), {"command": request.command}
        try:
            with hop(self.traces(), parent, SpanKind.SERVER, request.command, sender):
                return RpcReply(request.id, await self._execute(request, within_s))
        except msgspec.ValidationError as error:
            self.bus.drop(sender, error)
            return RpcReply(request.id, fault=RpcFault("unavailable", f"it is torn: {error}"))
        except (CommandRejected, chat.MessageInOtherThread, Moved, StorageError) as error:
            failed: Exception = error
        except (ActorError, trio.WouldBlock, trio.TooSlowError) as error:
            log.warning("rpc.failed", extra=extra | {"reason": str(error)})
            failed = error
        except Exception as error:  # without a reply the asking node would send it again and again
            log.exception("rpc.crashed", extra=extra | {"error_id": new_error_id()})
            failed = error
        return RpcReply(request.id, fault=fault_from_error(failed))

    async def _execute(self, request: RpcRequest, within_s: float) -> Value:
        message = message_of(request, self.threads.parts)
        conversation = await self.threads.get_local(request.owner, request.thread_id)
        outcome: Value = await conversation.ask(message, timeout_s=within_s)
        return outcome
