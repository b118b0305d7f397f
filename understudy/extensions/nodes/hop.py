"""The spans of a command on its way between nodes: where it is forwarded, and where it is executed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from understudy.observe import conventions as names
from understudy.observe.spans import SpanContext, SpanKind, Traces


@contextmanager
def hop(traces: Traces | None, parent: SpanContext | None, kind: SpanKind, command: str, node: str) -> Iterator[str]:
    """Record what is within as a span below `parent`, with the error that ends it. Yield the header that names the
    span, empty if this is not traced. `node` is the other side."""
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
        about: dict[str, str | int | float | bool] = {names.RPC_METHOD: command, names.NODE: node}
        traces.add(name, span, parent, began_at, time.time(), about, kind=kind, error=error)
