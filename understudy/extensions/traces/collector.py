"""Starts sending traces to a collector."""

import uuid
from collections.abc import Callable
from typing import Final

from understudy.extensions.traces.sender import SentTraces
from understudy.extensions.traces.settings import OtlpSettings
from understudy.observe.collectors import CountedBy
from understudy.storage.errors import ExtraNotInstalled

DROPPED: Final = CountedBy(
    "understudy_trace_spans_dropped",
    "Spans that did not reach the collector of traces: `queue`, `collector`, `shutdown`.",
    "reason",
)


def open_traces(
    settings: OtlpSettings, release: str, database: str, on_dropped: Callable[[str, int], None]
) -> SentTraces:
    """Start sending traces of a `release` with a `database`; `on_dropped(why, count)` counts lost spans.

    Takes some 0.3 s. Raises ExtraNotInstalled; OSError if the authority of the collector's certificate cannot be read.
    """
    try:
        from understudy.extensions.traces.otlp import otlp_sender
    except ModuleNotFoundError as error:
        raise ExtraNotInstalled("otlp.endpoint", "traces") from error
    pairs = (header.partition("=") for header in settings.headers)
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    traces = SentTraces(
        otlp_sender(settings.endpoint, headers, release, uuid.uuid4().hex),
        on_dropped,
        ratio=settings.ratio,
        content=settings.content,
        database=database,
    )
    traces.start()
    return traces
