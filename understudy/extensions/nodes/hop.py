"""The trace spans of a command between nodes: one on the node that forwards it, one on the node that executes it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from understudy.observe import conventions as names
from understudy.observe.spans import SpanContext, SpanKind, Traces


@contextmanager
def hop(traces: Traces | None, parent: SpanContext | None, kind: SpanKind, command: str, node: str) -> Iterator[str]:
    """Record the block as a child span of `parent`, with the error that ends it. Yield the `traceparent` header.

    The header is empty if the trace is not recorded. `node` is the other node.
    """
    if traces is None or parent is None or not traces.of_trace(parent.trace_id):
        yield ""
        return
    span, began_at, error = traces.new_context(parent.trace_id), time.time(), ""
    try:
        yield span.header
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        name = f"{'forward' if kind is SpanKind.CLIENT else 'execute'} {command}"
        attributes: dict[str, str | int | float | bool] = {names.RPC_METHOD: command, names.NODE: node}
        traces.add(name, span, parent, began_at, time.time(), attributes, kind=kind, error=error)
