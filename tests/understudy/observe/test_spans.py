"""Ids and headers of spans."""

import uuid

import pytest

from understudy.observe.spans import SpanContext, is_sampled, parse_header, span_of, trace_id

RUN = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def test_the_trace_of_a_run_has_its_id() -> None:
    assert trace_id(RUN) == RUN
    assert span_of(RUN).trace_id == RUN


@pytest.mark.parametrize("run_id", ["0" * 32, "run-1", RUN.upper(), RUN + "0", ""])
def test_a_run_whose_id_names_no_trace_has_one_too(run_id: str) -> None:
    derived = trace_id(run_id)
    assert len(derived) == 32
    assert int(derived, 16)
    assert derived == trace_id(run_id)
    assert derived != run_id


def test_spans_are_told_apart_by_all_their_names() -> None:
    assert span_of("r", "a", "b") == span_of("r", "a", "b")
    ids = {span_of("r", *names).span_id for names in ((), ("a",), ("a", "b"), ("ab",), ("a", "", "b"))}
    assert len(ids | {span_of("s").span_id}) == 6
    assert all(len(span_id) == 16 for span_id in ids)


def test_a_header_names_the_span_it_was_made_of() -> None:
    context = SpanContext(RUN, SPAN)
    assert context.header == f"00-{RUN}-{SPAN}-01"
    assert parse_header(context.header) == context


@pytest.mark.parametrize(
    "header", [f"00-{RUN}-{SPAN}-00", f"01-{RUN}-{SPAN}-01", f"fe-{RUN}-{SPAN}-01-what-comes-later"]
)
def test_headers_of_other_versions_and_flags_are_read(header: str) -> None:
    assert parse_header(header) == SpanContext(RUN, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        None, 7, {"traceparent": RUN}, "", "00", f"ff-{RUN}-{SPAN}-01", f"00-{RUN}-{SPAN}-01-more", f"00-{RUN}-{SPAN}",
        f"00-{RUN.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{RUN}-{'0' * 16}-01", f"00-{RUN}-{SPAN}-01\n",
        f"fe-{RUN}-{SPAN}-01-{'x' * 1000}", f"00-{RUN}-{SPAN}-01 ", f"00-{RUN}-{SPAN}-0é",
    ],
)  # fmt: skip
def test_a_malformed_header_names_nothing(header: object) -> None:
    assert parse_header(header) is None


def test_a_share_of_the_traces_is_sampled() -> None:
    """By their ids, so that all processes choose the same ones."""
    traces = [uuid.UUID(int=number * 2**100 + (number * 0x9E3779B97F4A7C15) % 2**64).hex for number in range(4000)]
    assert sum(is_sampled(trace, 0.25) for trace in traces) == pytest.approx(1000, rel=0.1)
    assert all(is_sampled(trace, 1.0) for trace in traces)
    assert not any(is_sampled(trace, 0.0) for trace in traces)
    assert all(is_sampled(trace, 0.5) for trace in traces if is_sampled(trace, 0.25))
