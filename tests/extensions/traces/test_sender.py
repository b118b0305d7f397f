"""The queue of spans and the thread that sends them, with collectors that take them, refuse them, and hang."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence

import pytest
import trio
from attrs import define, field

from understudy.extensions.traces.sender import BATCH, CONTENT_CHARS, SentTraces, as_messages, as_text
from understudy.observe.spans import SpanContext, TraceSpan

TRACE = "0af7651916cd43dd8448eb211c80319c"


@define(eq=False)
class Sink:
    """Takes spans in the place of a collector, while `open` is set, and answers `accepts`."""

    accepts: bool = True
    received: list[TraceSpan] = field(factory=list)
    open: threading.Event = field(factory=threading.Event)
    requested: threading.Event = field(factory=threading.Event)
    fails: bool = False

    def __attrs_post_init__(self) -> None:
        self.open.set()

    def __call__(self, spans: Sequence[TraceSpan]) -> bool:
        self.requested.set()
        assert len(spans) <= BATCH
        self.open.wait()
        if self.fails:
            raise RuntimeError("not a collector")
        self.received += spans
        return self.accepts


def fill(traces: SentTraces, count: int) -> None:
    for number in range(count):
        traces.add(f"span {number}", SpanContext(TRACE, f"{number + 1:016x}"), None, 1.0, 2.0, {})


async def until_set(event: threading.Event) -> None:
    assert await trio.to_thread.run_sync(event.wait, 30)


async def test_spans_come_in_order_and_closing_sends_the_rest() -> None:
    sink, dropped = Sink(), Counter[str]()
    traces = SentTraces(sink, lambda why, count: dropped.update({why: count}))
    traces.start()
    fill(traces, 3 * BATCH + 5)
    await traces.aclose(30)
    assert [span.name for span in sink.received] == [f"span {number}" for number in range(3 * BATCH + 5)]
    assert not dropped


async def test_a_collector_that_hangs_delays_nobody_and_is_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, dropped = Sink(), Counter[str]()
    sink.open.clear()
    traces = SentTraces(sink, lambda why, count: dropped.update({why: count}), queued=20)
    traces.start()
    with caplog.at_level(logging.INFO):
        fill(traces, 1)
        traces.hurry()
        await until_set(sink.requested)
        fill(traces, 50)
        assert dropped == {"queue": 30}
        began = time.monotonic()
        with trio.fail_after(60):
            await traces.aclose(0.2)
        assert 0.15 < time.monotonic() - began < 10
    assert dropped == {"queue": 30, "shutdown": 21}
    fill(traces, 1)
    sink.accepts = False
    sink.open.set()
    await trio.to_thread.run_sync(traces._thread.join, 30)
    assert dropped == {"queue": 30, "shutdown": 22}, "what it refuses now was counted when it was left"
    assert [record.message for record in caplog.records] == ["traces.dropping"]


@pytest.mark.parametrize("fails", [False, True])
async def test_refused_spans_are_counted_and_the_end_of_the_outage_is_logged(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sink, dropped, counted = Sink(accepts=False, fails=fails), Counter[str](), threading.Event()

    def count(why: str, spans: int) -> None:
        dropped[why] += spans
        counted.set()

    traces = SentTraces(sink, count)
    traces.start()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            counted.clear()
            fill(traces, 2)
            traces.hurry()
            await until_set(counted)
        sink.accepts, sink.fails = True, False
        fill(traces, 1)
        await traces.aclose(30)
    assert dropped == {"collector": 4}
    messages = [record.message for record in caplog.records if record.message != "traces.not_sent"]
    assert messages == ["traces.dropping", "traces.delivered_again"]
    assert len(caplog.records) == (4 if fails else 2)


async def test_a_span_that_would_end_before_it_began_has_no_length() -> None:
    sink = Sink()
    traces = SentTraces(sink, lambda *_: None)
    traces.start()
    traces.add("back", SpanContext(TRACE, "1" * 16), None, 5.0, 4.0, {"a": 1}, error="broken")
    await traces.aclose(30)
    (span,) = sink.received
    assert (span.started_at, span.ended_at) == (5.0, 5.0)
    assert (span.attributes, span.error) == ({"a": 1, "error.type": "broken"}, "broken")


def test_texts_are_cut() -> None:
    assert as_text("x" * CONTENT_CHARS) == "x" * CONTENT_CHARS
    assert as_text("x" * (CONTENT_CHARS + 1)) == "x" * CONTENT_CHARS + "…"
    assert as_text({"a": [1, None]}) == '{"a":[1,null]}'
    assert as_text(None) == "null"
    assert as_text(object()).startswith('"<object object')
    ring: list[object] = []
    ring.append(ring)
    assert as_text(ring) == as_text({"a": "\ud800"}) == "(not shown)"
    assert as_text("a\ud800b") == "a?b"
    assert "a?b" in as_messages("user", "a\ud800b")
    assert as_messages("user", "hi") == '[{"role":"user","parts":[{"type":"text","content":"hi"}]}]'
