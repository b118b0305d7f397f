"""Traces: sends the spans of runs to a collector.

A part of each run records its work (`spans_of_run`), a part of its conversation its commits (`spans_of_commits`), and a
wrapper around commands its message (`spans_of_message`). Other extensions record spans of their own by
`understudy.observe.spans.Traces`, if this one is on.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from understudy.extension import Extension

if TYPE_CHECKING:
    from understudy.observe.collectors import CountedBy
    from understudy.web.context import WebContext


class TracesOfRuns(Extension):
    """See the module."""

    name = "traces"
    about = "send traces of runs to a collector"
    table = "otlp"

    def settings(self) -> type:
        """Return the settings of traces."""
        from understudy.extensions.traces.settings import OtlpSettings

        return OtlpSettings

    def metrics(self) -> "Sequence[CountedBy]":
        """Return the counter of lost spans."""
        from understudy.extensions.traces.collector import DROPPED

        return [DROPPED]

    async def open(self, server: "WebContext") -> None:
        """Start sending traces, if a collector is set. Raises ExtraNotInstalled, and OSError for its certificate."""
        from understudy.extensions.traces.settings import OtlpSettings

        settings = server.settings.of(OtlpSettings)
        if settings.endpoint:
            import trio

            from understudy.extensions.traces.collector import DROPPED, open_traces
            from understudy.extensions.traces.spans_of_commits import SpansOfCommits
            from understudy.extensions.traces.spans_of_message import traced
            from understudy.extensions.traces.spans_of_run import spans_of_run
            from understudy.observe.spans import Traces

            database = "postgresql" if server.settings.on_postgresql else "sqlite"
            dropped = partial(server.metrics.count, DROPPED)
            release = version("understudy-server")
            traces = await trio.to_thread.run_sync(open_traces, settings, release, database, dropped)
            server.parts.add(traces, Traces)
            server.parts.of_runs.append(partial(spans_of_run, traces, server.services))
            server.chat.commands.surround(partial(traced, traces))
            server.chat.commands.extend({}, SpansOfCommits)
            server.parts.closing.push_async_callback(traces.aclose, server.settings.grace_s / 4)


EXTENSION: Final = TracesOfRuns()
