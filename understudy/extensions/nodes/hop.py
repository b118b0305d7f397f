"""The spans of a command on its way between nodes: where it is forwarded, and where it is executed."""

from attrs import define

from understudy.observe import conventions as names
from understudy.observe.spans import Attribute, SpanContext, SpanKind, parse_header, span_of
from understudy.observe.traces import Traces


@define(eq=False)
class Hop:
    """One side of the way: its own `span`, below that of the message or of the other side."""

    traces: Traces
    parent: SpanContext
    span: SpanContext
    kind: SpanKind
    began_at: float

    @classmethod
    def of(cls, traces: Traces | None, run_id: str | None, now: float) -> "Hop | None":
        """Return the side that forwards a command about a run; None if it is about none, or that is not traced."""
        if traces is None or run_id is None or not traces.of_run(run_id):
            return None
        root = span_of(run_id)
        return cls(traces, root, traces.new_context(root.trace_id), SpanKind.CLIENT, now)

    @classmethod
    def from_header(cls, traces: Traces | None, traceparent: str, now: float) -> "Hop | None":
        """Return the side that executes a command; None if the other node does not trace it, or this one does not."""
        if traces is None or (parent := parse_header(traceparent)) is None or not traces.of_trace(parent.trace_id):
            return None
        return cls(traces, parent, traces.new_context(parent.trace_id), SpanKind.SERVER, now)

    def end(self, verb: str, command: str, node: str, now: float, *, error: str = "") -> None:
        """Record the span. `verb` says what this side does with the command, `node` is the other side."""
        about: dict[str, Attribute] = {names.RPC_METHOD: command, names.NODE: node}
        self.traces.add(
            f"{verb} {command}", self.span, self.parent, self.began_at, now, about, kind=self.kind, error=error
        )
