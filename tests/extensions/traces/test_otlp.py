"""What is sent to a collector, and collectors that are away, refuse, or answer with nonsense."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.rigs.collector import Collector
from understudy.extensions.traces.collector import open_traces
from understudy.extensions.traces.otlp import otlp_sender
from understudy.extensions.traces.sender import SentTraces
from understudy.extensions.traces.settings import OtlpSettings
from understudy.observe.spans import SpanContext, SpanKind, TraceSpan
from understudy.storage.errors import ExtraNotInstalled

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = TraceSpan(
    "one",
    SpanContext(TRACE, "b7ad6b7169203331"),
    SpanContext(TRACE, "00f067aa0ba902b7"),
    SpanKind.CLIENT,
    1_700_000_000.5,
    1_700_000_001.25,
    {"text": "hi", "count": 3, "share": 0.5, "whole": True},
    (SpanContext(TRACE, "1" * 16),),
    "broken",
)


async def test_a_span_arrives_with_all_it_has(nursery: trio.Nursery) -> None:
    collector = Collector()
    await collector.start(nursery)
    send = otlp_sender(f"{collector.origin}/", {"x-team": "blue"}, "1.2", "here")
    assert await trio.to_thread.run_sync(partial(send, [SPAN]))
    (span,) = collector.spans
    assert (span.name, span.trace, span.id, span.parent) == ("one", TRACE, "b7ad6b7169203331", "00f067aa0ba902b7")
    assert (span.kind, span.error, span.links) == ("CLIENT", "broken", ("1" * 16,))
    assert span.attributes == {"text": "hi", "count": 3, "share": 0.5, "whole": True}
    assert span.ended_ns - span.started_ns == 750_000_000
    (service,) = collector.services
    assert (service["service.name"], service["service.version"]) == ("understudy", "1.2")
    assert (service["service.instance.id"], service["process.pid"]) == ("here", os.getpid())
    assert "understudy.worker" not in service
    ((head, _),) = collector.got
    assert head["x-team"] == "blue"


def opened(endpoint: str) -> SentTraces:
    return open_traces(OtlpSettings(endpoint), "1", "sqlite", lambda *_: None)


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"])
def test_an_authority_that_cannot_be_read_is_refused_at_once(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise no span would ever arrive."""
    (tmp_path / "no.pem").write_text("no certificate")
    for file in (tmp_path / "none.pem", tmp_path / "no.pem"):
        monkeypatch.setenv(variable, str(file))
        with pytest.raises(OSError, match=f"{variable} names {file}"):
            opened("https://127.0.0.1:9")


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_a_refusal_is_no_delivery(status: int, nursery: trio.Nursery) -> None:
    collector = Collector(done=status)
    await collector.start(nursery)
    assert not await trio.to_thread.run_sync(otlp_sender(collector.origin, {}, "1", "here"), [SPAN])


async def test_a_collector_that_hangs_is_given_up(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.traces.otlp.SEND_S", 0.2)
    collector = Collector(hanging=True)
    await collector.start(nursery)
    send = otlp_sender(collector.origin, {}, "1", "here")
    with trio.fail_after(60):
        assert not await trio.to_thread.run_sync(send, [SPAN])
    assert collector.asked


async def test_nothing_at_the_address_is_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.extensions.traces.otlp.SEND_S", 0.2)
    assert not await trio.to_thread.run_sync(otlp_sender("http://127.0.0.1:9", {}, "1", "here"), [SPAN])


def test_a_server_without_traces_does_not_import_it() -> None:
    code = (
        "import sys; import understudy.app.build, understudy.app.serve; "
        "import understudy.extensions.traces.collector, understudy.extensions.traces.settings; "
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout.strip() == "[]"


def test_a_server_that_lacks_the_extra_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "understudy.extensions.traces.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(
        ExtraNotInstalled, match=r"otlp.endpoint needs the extra traces: pip install 'understudy-server\[traces\]'"
    ):
        opened("http://127.0.0.1:9")
