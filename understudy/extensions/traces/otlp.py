"""Sends spans to a collector by OTLP over HTTP. Needs the extra `traces`; no other module imports OpenTelemetry."""

import logging
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_CERTIFICATE,
    OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE,
)
from opentelemetry.sdk.resources import PROCESS_PID, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from understudy.extensions.traces.sender import Send
from understudy.observe.spans import SpanContext as OwnContext
from understudy.observe.spans import TraceSpan

SEND_S: Final = 5.0
"""Timeout of one request, with its repeats when the collector is busy."""
PATH: Final = "/v1/traces"
"""The path below a collector's address at which it accepts spans."""


def otlp_sender(endpoint: str, headers: Mapping[str, str], version: str, instance: str) -> Send:
    """Return a function that sends spans to a collector. `instance` distinguishes this process from others.

    The library reads the variables `OTEL_EXPORTER_OTLP_CERTIFICATE` (the authority of the collector's certificate),
    `…_CLIENT_CERTIFICATE` and `…_CLIENT_KEY`; `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` precede the first.
    `OTEL_RESOURCE_ATTRIBUTES` can add attributes of the resource.

    Raises:
        OSError: The file of that authority cannot be read, or has no certificate.
    """
    for variable in (OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE, OTEL_EXPORTER_OTLP_CERTIFICATE):
        if file := os.environ.get(variable):
            try:
                ssl.create_default_context(cafile=file)
            except OSError as error:  # malformed content too, as ssl.SSLError is an OSError
                raise OSError(f"{variable} names {file}, which has no certificate to read: {error.strerror}") from error
    # The library logs each failed request as an error; `sender` logs the first one, and the metric counts each.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    attributes: dict[str, str | int] = {
        SERVICE_NAME: "understudy",
        SERVICE_VERSION: version,
        SERVICE_INSTANCE_ID: instance,
        PROCESS_PID: os.getpid(),
    }
    resource = Resource.create(attributes)
    scope = InstrumentationScope("understudy", version)
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + PATH, headers=dict(headers), timeout=SEND_S)

    def send(spans: Sequence[TraceSpan]) -> bool:
        return exporter.export([_readable(span, resource, scope) for span in spans]) is SpanExportResult.SUCCESS

    return send


def _readable(span: TraceSpan, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        _context(span.context),
        None if span.parent is None else _context(span.parent),
        resource,
        dict(span.attributes),
        links=[Link(_context(link)) for link in span.links],
        kind=SpanKind[span.kind.value],
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=_nanoseconds(span.started_at),
        end_time=_nanoseconds(span.ended_at),
        instrumentation_scope=scope,
    )


def _nanoseconds(seconds: float) -> int:
    """Return a Unix time in nanoseconds, rounded to microseconds, the precision of a float."""
    return round(seconds * 1_000_000) * 1000


def _context(named: OwnContext) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(named.trace_id, 16), int(named.span_id, 16), is_remote=False, trace_flags=sampled)
