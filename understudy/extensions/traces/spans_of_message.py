"""Records the span of a message: from the arrival of its command to its acceptance or refusal by its conversation."""

from typing import Any, Final

from transport.wire.errors import CommandRejected
from transport.wire.messages import arrived_at, traceparent
from understudy.chat.commands.dispatcher import CommandFunction
from understudy.chat.commands.request import Accepted, Request
from understudy.chat.messages import MessageInOtherThread
from understudy.chat.placement import actor_name
from understudy.chat.services import Services
from understudy.observe import conventions as names
from understudy.observe.spans import Attribute, SpanKind, Traces, parse_header, span_of

TRACEPARENT: Final = "traceparent"
"""The field of a message's `metadata` with the header of W3C Trace Context."""


def traced(traces: Traces, function: CommandFunction) -> CommandFunction:
    """Return the function of a command, wrapped so that it records the span of the message that the command sends."""

    async def carry_out(request: Request[Any], services: Services) -> Accepted | None:
        began, accepted, error, elsewhere = arrived_at.get() or services.clock(), None, "", False
        try:
            accepted = await function(request, services)
        except CommandRejected as refused:
            # A message that another thread has accepted has a span already.
            error, elsewhere = refused.code, isinstance(refused.__cause__, MessageInOtherThread)
            raise
        except Exception as failure:
            error = type(failure).__name__
            raise
        finally:
            if request.attempts and not elsewhere:
                _record(traces, request, accepted, began, services.clock(), error)
        return accepted

    return carry_out


def _record(
    traces: Traces, request: Request[Any], accepted: Accepted | None, began: float, now: float, error: str
) -> None:
    """Record the span of the message that a conversation was asked to accept, unless it was accepted earlier."""
    last = request.attempts[-1]
    run_id, thread_id = last.run_id, last.order.route.thread_id
    if accepted is not None:
        run_id, thread_id = accepted.run_id, accepted.thread_id
    if not traces.of_run(run_id) or all(attempt.run_id != run_id for attempt in request.attempts):
        return
    # The sender may name its span in the message's metadata, or else in a header of the HTTP request.
    sent_from = getattr(request.command, "metadata", {}).get(TRACEPARENT)
    caller = parse_header(sent_from) or parse_header(traceparent.get())
    # The attributes have no ids that clients choose, as these may be users' words.
    attributes: dict[str, Attribute] = {names.RUN: run_id, names.CONVERSATION: actor_name(request.owner, thread_id)}
    attributes[names.AGENT_NAME] = last.order.route.agent
    links = () if caller is None else (caller,)
    traces.add("message", span_of(run_id), None, began, now, attributes, kind=SpanKind.SERVER, links=links, error=error)
