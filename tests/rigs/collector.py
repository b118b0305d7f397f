"""A collector of traces for tests: a local HTTP server that decodes what it is sent by OTLP."""

import ssl
from collections.abc import Callable
from typing import Any

import h11
import trio
from attrs import define, field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.rigs.receiver import Receiver
from understudy.observe.spans import trace_id


@frozen
class Received:
    """A span as the collector has it. `links` are the ids of spans, `kind` is the name without its prefix."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    error: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    started_ns: int
    ended_ns: int
    service: dict[str, Any]
    """The attributes of the resource."""


@define
class Collector(Receiver):
    """Keeps the spans of all requests. One that is `hanging` takes connections and never answers on them.

    With `tls` it speaks that, as `localhost`; `broken` counts the connections on which no request came.
    """

    done: int = 200
    hanging: bool = False
    tls: ssl.SSLContext | None = None
    broken: int = 0
    spans: list[Received] = field(factory=list)
    services: list[dict[str, Any]] = field(factory=list)
    asked: int = 0

    @property
    def secure(self) -> str:
        return f"https://localhost:{self.port}"

    def read(self, head: dict[str, str], body: bytes) -> Any:
        assert head["content-type"] == "application/x-protobuf"
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(group.resource.attributes)
            self.services.append(service)
            self.spans += [_received(span, service) for scope in group.scope_spans for span in scope.spans]

    async def answer(self, stream: trio.abc.Stream) -> None:
        self.asked += 1
        if self.hanging:
            await trio.sleep_forever()
        try:
            if self.tls is not None:
                stream = trio.SSLStream(stream, self.tls, server_side=True, https_compatible=True)
                await stream.do_handshake()
            await super().answer(stream)
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            self.broken += 1

    def named(self, start: str) -> list[Received]:
        return sorted((span for span in self.spans if span.name.startswith(start)), key=lambda span: span.started_ns)

    def one(self, start: str) -> Received:
        (span,) = self.named(start)
        return span

    def of_run(self, run_id: str) -> list[Received]:
        return [span for span in self.spans if span.trace == trace_id(run_id)]

    async def until_it(self, holds: Callable[["Collector"], object]) -> None:
        """Wait until `holds` is true of the spans."""
        with trio.fail_after(60):
            while not holds(self):  # noqa: ASYNC110 - they come over a socket
                await trio.sleep(0.01)


def _attributes(attributes: Any) -> dict[str, Any]:
    return {attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value")) for attribute in attributes}


def _received(span: OtlpSpan, service: dict[str, Any]) -> Received:
    return Received(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        OtlpSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.status.message,
        tuple(link.span_id.hex() for link in span.links),
        _attributes(span.attributes),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        service,
    )
