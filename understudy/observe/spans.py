"""The spans of runs: their ids, the header `traceparent`, and the interface that records them. Pure.

1. Ids are derived from the log of a run, so every process that works on the run adds to the same trace without any
   exchange: after a kill and a restart, and on another node.
2. The id of a trace is that of its run.
"""

import random
import re
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import Final, TypeAlias

from attrs import define, field, frozen

from understudy.observe.conventions import ERROR_TYPE

SPAN_ID_BYTES: Final = 8
TRACE_ID_BYTES: Final = 16
RANDOM_DIGITS: Final = 14
"""Hexadecimal digits at the end of a trace's id by which it is sampled: in W3C Trace Context they are random."""
SAMPLED: Final = 1
"""The flag of a recorded trace in a header."""
MAX_HEADER: Final = 100
"""Characters of a header; a longer one is ignored. A header of version 00, the only one so far, has 55."""
INTERRUPTED: Final = "interrupted"
"""The error of a span whose server died before its end."""

Attribute: TypeAlias = str | int | float | bool

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_HEADER: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class SpanKind(Enum):
    """The place of a span between programs; the values are the names of OpenTelemetry's `SpanKind`."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"


@frozen
class SpanContext:
    """The ids of a span in hexadecimal digits, by which other programs and nodes refer to it."""

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """The value of the header `traceparent` for this span."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED:02x}"


@define(eq=False)
class TraceSpan:
    """A span that has ended. Times are in Unix seconds; `error` is empty, or the type of the error that ended it.

    Texts in the `attributes` of `conventions.CONTENT` have passed the content filter.
    """

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    started_at: float
    ended_at: float
    attributes: Mapping[str, Attribute] = field(factory=dict, repr=False)
    links: tuple[SpanContext, ...] = ()
    error: str = ""


def trace_id(run_id: str) -> str:
    """Return the id of a run's trace: the run's id if it has the form of a trace's, else a hash of it."""
    if _TRACE_ID.fullmatch(run_id) and int(run_id, 16):
        return run_id
    return blake2b(run_id.encode(), digest_size=TRACE_ID_BYTES).hexdigest()


def span_of(run_id: str, *names: str) -> SpanContext:
    """Return the span of a run that `names` identify among its spans; without names its root, the message's span."""
    key = "\0".join((run_id, *names)).encode()
    return SpanContext(trace_id(run_id), blake2b(key, digest_size=SPAN_ID_BYTES).hexdigest())


def parse_header(value: object) -> SpanContext | None:
    """Return the span in a header `traceparent`; None if the header is malformed or its ids are 0."""
    if not isinstance(value, str) or len(value) > MAX_HEADER or not (match := _HEADER.fullmatch(value)):
        return None
    trace, span, _ = match.groups()
    if value.startswith("00") and value.count("-") != 3:
        return None
    return SpanContext(trace, span) if int(trace, 16) and int(span, 16) else None


def is_sampled(trace: str, ratio: float) -> bool:
    """Return whether a trace is in the sampled share `ratio` of all traces. Every process gives the same answer."""
    return ratio >= 1.0 or int(trace[-RANDOM_DIGITS:], 16) < ratio * 16**RANDOM_DIGITS


class Traces:
    """Records the spans of one server; the extension `traces` implements it. `ratio` is the share of traced runs."""

    ratio = 1.0

    def of_run(self, run_id: str) -> bool:
        """Return whether a run is traced."""
        return self.of_trace(trace_id(run_id))

    def of_trace(self, trace: str) -> bool:
        """Return whether the trace of this id is recorded."""
        return is_sampled(trace, self.ratio)

    def new_context(self, trace: str) -> SpanContext:
        """Return a span with a random id, for a span that no other process has to identify."""
        return SpanContext(trace, f"{random.getrandbits(64) or 1:016x}")

    def add(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        started_at: float,
        ended_at: float,
        attributes: Mapping[str, Attribute],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: tuple[SpanContext, ...] = (),
        error: str = "",
    ) -> None:
        """Record a span that has ended. Call it only for a trace that `of_run` or `of_trace` selects."""
        if error:
            attributes = {**attributes, ERROR_TYPE: error}
        ended_at = max(started_at, ended_at)
        self.record(TraceSpan(name, context, parent, kind, started_at, ended_at, attributes, links, error))

    def record(self, span: TraceSpan) -> None:
        """Record a span, or drop it if there is no room."""
        raise NotImplementedError
