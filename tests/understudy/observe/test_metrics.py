"""Every metric can be read; servers count separately; the number of labels is bounded."""

import time
from collections.abc import Mapping

import pytest
from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

from actors.events import ActorRestarting, DeadLetter, ShutdownOverdue, SlowHandler
from sanitization import Action, Category, Finding
from transport.wire.events import Error, Event
from understudy.observe.metrics import Metrics
from understudy.observe.run_metrics import TOOLS_MAX
from understudy.wire.events import AgentStarted, Envelope, FinalResponse, MessageAccepted, RunStatus, Usage


@frozen
class Node:
    path: str
    depth: Mapping[str, int]
    children: tuple["Node", ...] = ()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def tell(metrics: Metrics, event: Event, at: float, run_id: str | None = "r") -> None:
    metrics.runs.event(Envelope(event, timestamp=at, seq=1, thread_id="t", run_id=run_id))


def test_connections_by_dialect_and_their_ends_by_code(metrics: Metrics) -> None:
    for change in (1, 1, -1):
        metrics.connections.on_connection(change, "flat")
    assert value(metrics, "understudy_connections", dialect="flat") == 1
    for code in (1013, 1006, 3000, 3001, 4999):
        metrics.connections.on_closed(code)
    for label, count in (("1013", 1), ("1006", 1), ("other", 3)):
        assert value(metrics, "understudy_connections_closed_total", code=label) == count


def test_commands_and_events_by_type(metrics: Metrics) -> None:
    metrics.connections.on_received("say")
    metrics.connections.on_received("resume")
    metrics.connections.on_returned()
    metrics.connections.on_sent(["final_response", "error", "final_response"], [99.98, 99.995, 100.5], 100.0)
    metrics.connections.on_sent(["typing"] * 3, [99.95, 99.96, 99.97], 100.0)
    metrics.connections.on_sent(["final_response"], [40.0], 100.0)
    metrics.connections.on_sent(["final_response"] * 2, [], 100.0)
    metrics.connections.on_sent(["error", "error"], [99.0], 100.0)  # one of them is a replay
    metrics.connections.on_dropped("typing")
    metrics.connections.on_ignored("ack")
    assert value(metrics, "understudy_messages_ignored_total", type="ack") == 1
    assert value(metrics, "understudy_messages_total", type="say") == 1
    assert value(metrics, "understudy_reconnects_total") == 1
    assert value(metrics, "understudy_events_sent_total", type="final_response") == 5
    assert value(metrics, "understudy_events_replayed_total") == 3
    assert value(metrics, "understudy_events_sent_total", type="error") == 3
    assert time.time() - value(metrics, "understudy_events_sent_created", type="error") < 60.0
    for bound, count in (("0.0005", 1), ("0.01", 2), ("0.025", 3), ("0.05", 6), ("10.0", 7), ("+Inf", 8)):
        assert value(metrics, "understudy_delivery_latency_seconds_bucket", le=bound) == count
    assert value(metrics, "understudy_delivery_latency_seconds_count") == 8
    assert value(metrics, "understudy_delivery_latency_seconds_sum") == pytest.approx(61.145)
    assert value(metrics, "understudy_events_dropped_total", type="typing") == 1


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (FinalResponse("x", RunStatus.SUCCESS, Usage()), "success"),
        (FinalResponse("x", RunStatus.CANCELLED, Usage()), "cancelled"),
        (Error("agent_timeout", "x", True, "e"), "agent_timeout"),
    ],
)
def test_runs_by_outcome(end: Event, outcome: str, metrics: Metrics) -> None:
    tell(metrics, MessageAccepted("m", "r", "hello"), 100.0)
    assert value(metrics, "understudy_runs_without_end") == 1
    tell(metrics, AgentStarted("a", "x", 100.2), 100.25)
    tell(metrics, end, 103.0)
    assert value(metrics, "understudy_runs_without_end") == 0
    assert value(metrics, "understudy_runs_total", outcome=outcome) == 1
    assert value(metrics, "understudy_time_to_first_event_seconds_sum") == 0.25
    assert value(metrics, "understudy_run_duration_seconds_sum") == 3.0
    assert value(metrics, "understudy_events_committed_total", type="agent_started") == 1
    tell(metrics, end, 104.0)
    assert value(metrics, "understudy_runs_ended_twice_total") == 1
    assert value(metrics, "understudy_runs_total", outcome=outcome) == 1


def test_an_event_without_a_run_is_counted_and_opens_none(metrics: Metrics) -> None:
    tell(metrics, Error("internal", "x", True, "e"), 0.0, run_id=None)
    assert value(metrics, "understudy_events_committed_total", type="error") == 1
    assert value(metrics, "understudy_runs_without_end") == 0


def test_tool_calls_by_tool_and_status(metrics: Metrics) -> None:
    """A model invents names without end; none of them takes the place of a real tool."""
    for _ in range(3):
        metrics.runs.tool_ended(None, "failed", 0.1)
    for number in range(TOOLS_MAX + 5):
        metrics.runs.tool_ended(f"tool{number}", "ok", 0.5)
    metrics.runs.tool_ended("tool0", "failed", 0.5)
    assert value(metrics, "understudy_tool_calls_total", tool="tool0", status="failed") == 1
    assert value(metrics, "understudy_tool_calls_total", tool="other", status="ok") == 5
    assert value(metrics, "understudy_tool_calls_total", tool="other", status="failed") == 3
    assert value(metrics, "understudy_tool_call_duration_seconds_count", tool="tool0") == 2


def test_a_run_that_ends_with_an_unknown_code_is_labelled_other(metrics: Metrics) -> None:
    """A label is a code of the registry; another release's log may hold other codes."""
    tell(metrics, MessageAccepted("m", "r", "hello"), 100.0)
    tell(metrics, Error("made_up_by_somebody", "x", True, "e"), 101.0)
    metrics.connections.on_error("made_up_by_somebody")
    assert value(metrics, "understudy_runs_total", outcome="other") == 1
    assert value(metrics, "understudy_errors_total", code="other") == 1
    assert "made_up" not in metrics.render().decode()


def test_actors_that_hold_the_loop_do_not_end_or_restart_by_the_pattern_of_their_path(metrics: Metrics) -> None:
    metrics.actors.record(SlowHandler("/system/conversations/t1/run-1", "Go", 0.2))
    metrics.actors.record(ShutdownOverdue("/system/conversations/t1", 5.0))
    for name in ("8f3e", "a71c"):
        metrics.actors.record(ActorRestarting(f"/system/conversations/{name}", 1, 0.1))
    metrics.actors.record(DeadLetter("/system/x", "normal", object(), "overflow"))
    metrics.actors.record("anything else")
    assert value(metrics, "understudy_loop_held_total", path="/system/conversations/*/*") == 1
    assert value(metrics, "understudy_actors_lingering_total", path="/system/conversations/*") == 1
    assert value(metrics, "understudy_actor_restarts_total", path="/system/conversations/*") == 2
    assert value(metrics, "understudy_dead_letters_total", why="overflow") == 1


def test_mailbox_depth_is_read_at_the_scrape(metrics: Metrics) -> None:
    trees = [
        Node("/system", {"normal": 1}, (Node("/system/runs/a1", {"high": 2}), Node("/system/runs/b2", {"high": 3}))),
        Node("/system", {"normal": 7}),
        None,
    ]
    metrics.actors.observe_tree(lambda: trees.pop(0))
    assert value(metrics, "understudy_mailbox_depth_messages", path="/system/runs/*", lane="high") == 5
    assert value(metrics, "understudy_mailbox_depth_messages", path="/system", lane="normal") == 7
    assert b"understudy_actors" in metrics.render(), "also while there is no tree"


def test_commits_and_errors(metrics: Metrics) -> None:
    metrics.storage.committed(40, 0.003)
    metrics.connections.on_error("not_found")
    metrics.connections.on_error("not_found")
    assert value(metrics, "understudy_store_commit_events_sum") == 40
    assert value(metrics, "understudy_store_commit_seconds_sum") == 0.003
    assert value(metrics, "understudy_errors_total", code="not_found") == 2


def test_servers_count_apart() -> None:
    first, other = Metrics(), Metrics()
    first.connections.on_error("busy")
    assert value(other, "understudy_errors_total", code="busy") == 0


def test_tokens_of_models_are_counted_and_cached_ones_once(metrics: Metrics) -> None:
    metrics.runs.models.used("m", Usage(100, 20, 1, cost=0.5, cached=60))
    metrics.runs.models.used("m", Usage(1, 2, 1))
    kinds = ("input", "cached", "output")
    assert [value(metrics, "understudy_model_tokens_total", model="m", kind=kind) for kind in kinds] == [41, 60, 22]
    assert value(metrics, "understudy_model_cost_total", model="m") == 0.5


def test_names_end_in_units(metrics: Metrics) -> None:
    metrics.actors.observe_tree(lambda: None)
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.name.startswith(("understudy_", "process_"))
        assert family.documentation
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_events"))


def test_finds_are_counted_by_names_of_a_closed_set(metrics: Metrics) -> None:
    kinds = [Finding(f"pii.k{number}", Category.PII, 0, 1, 1.0, "", "d", Action.FLAG) for number in range(300)]
    metrics.findings.record_sanitized("tool", [*kinds, kinds[0]], 7)
    for number in range(300):
        metrics.findings.record_detector_failure("inbound", f"d{number}")
    text = metrics.render().decode()
    name = "understudy_scrub_findings_total"
    assert f'{name}{{action="flag",category="pii",direction="tool",kind="pii.k0"}} 2.0' in text
    assert f'{name}{{action="flag",category="pii",direction="tool",kind="other"}} 100.0' in text
    assert f'{name}{{action="other",category="other",direction="tool",kind="other"}} 7.0' in text
    assert 'understudy_scrub_failures_total{detector="other",direction="inbound"} 100.0' in text
