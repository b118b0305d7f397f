"""Spans of runs, their ids, the header by which other programs name theirs, and where they are recorded. Pure.

1. The ids follow from what the log has of a run, so every process that works on it adds to the same trace without being
   told of it: after a kill and a restart, and on another node.
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
"""Hexadecimal digits at the end of a trace's id by which it is sampled: W3C Trace Context has these be random."""
SAMPLED: Final = 1
"""The flag in a header of a trace that is recorded."""
MAX_HEADER: Final = 100
"""Characters of a header that are read; one of the only version there is has 55."""
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
    """The name of a span, for spans of other programs and nodes: ids in hexadecimal digits."""

    trace_id: str
    span_id: str

    @property
    def header(self) -> str:
        """The value of the header `traceparent` that names it."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED:02x}"


@define(eq=False)
class TraceSpan:
    """A span that has ended. Times are in Unix seconds; `error` is empty, or the type of the error that ended it.

    `attributes` of the conventions for content are texts that went through the content filter.
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
    """Return the id of a run's trace: the run's own, if it has the form of one."""
    if _TRACE_ID.fullmatch(run_id) and int(run_id, 16):
        return run_id
    return blake2b(run_id.encode(), digest_size=TRACE_ID_BYTES).hexdigest()


def span_of(run_id: str, *names: str) -> SpanContext:
    """Return the span of a run that these names tell from its others; without any the root, its message's."""
    key = "\0".join((run_id, *names)).encode()
    return SpanContext(trace_id(run_id), blake2b(key, digest_size=SPAN_ID_BYTES).hexdigest())


def parse_header(value: object) -> SpanContext | None:
    """Return the span that a header `traceparent` names; None if it is malformed or names none."""
    if not isinstance(value, str) or len(value) > MAX_HEADER or not (match := _HEADER.fullmatch(value)):
        return None
    trace, span, _ = match.groups()
    if value.startswith("00") and value.count("-") != 3:
        return None
    return SpanContext(trace, span) if int(trace, 16) and int(span, 16) else None


def is_sampled(trace: str, ratio: float) -> bool:
    """Return whether a trace is among this share of all; the same in every process."""
    return ratio >= 1.0 or int(trace[-RANDOM_DIGITS:], 16) < ratio * 16**RANDOM_DIGITS


class Traces:
    """The spans of one server, as the extension `traces` takes them. `ratio` is the share of runs that are traced."""

    ratio = 1.0

    def of_run(self, run_id: str) -> bool:
        """Return whether a run is traced."""
        return self.of_trace(trace_id(run_id))

    def of_trace(self, trace: str) -> bool:
        """Return whether the trace of this id is one of those that are recorded."""
        return is_sampled(trace, self.ratio)

    def new_context(self, trace: str) -> SpanContext:
        """Return a new span of a trace, for one that nothing has to find again."""
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
        """Record a span that has ended. Only for a trace that `of_run` has chosen."""
        if error:
            attributes = {**attributes, ERROR_TYPE: error}
        ended_at = max(started_at, ended_at)
        self.record(TraceSpan(name, context, parent, kind, started_at, ended_at, attributes, links, error))

    def record(self, span: TraceSpan) -> None:
        """Take a span, or drop it."""
        raise NotImplementedError
