"""The operations liaison's tools on a server's own measures, and whose measures they show."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from transport.wire.events import Error, Event
from understudy.extensions.liaisons.performance import (
    errors_by_code,
    open_work,
    recent_crashes,
    server_performance,
    slow_operations,
)
from understudy.observe.actor_events import Incident
from understudy.observe.health import RestrictedStatus, ServerStatus
from understudy.observe.metrics import Metrics
from understudy.storage.owners import owner_of
from understudy.tools import ToolContext, ToolError
from understudy.tools.tool import Tool
from understudy.wire.events import AgentStarted, Envelope, FinalResponse, MessageAccepted, RunStatus, Usage

NOW = 1_000_000.0
Attach = Callable[..., ToolContext]


class OneNode:
    """The tree of a system: a writer with three messages in its mailbox."""

    path, state, restarts, age_s = "/system/storage/writer", "running", 2, 1.0
    depth: Mapping[str, int] = MappingProxyType({"high": 1, "normal": 2})
    children = ()

    def walk(self) -> Sequence["OneNode"]:
        return [self]


class BusyServer:
    """A server that was used by ada and bob in the last minutes. `view(owner, *roles)` is what their tools see."""

    def __init__(self) -> None:
        self.metrics = metrics = Metrics(lambda: NOW)
        incident = Incident(1, NOW - 30, "/system/connections/c", "ValueError", "Say", "restart", "e-1")
        system: Any = SimpleNamespace(tree=OneNode, dead_letters=SimpleNamespace(count=0))
        self.status = ServerStatus(
            system, lambda whose: {"connections": 2, "runs": sum(map(whose, ("ada", "bob"))), "runs_waiting": 0}, "1",
            recent=metrics.recent, open_runs=metrics.runs.watchdog.open, incidents=lambda: [incident],
            reads_waiting=lambda: 4,
        )  # fmt: skip
        for _ in range(99):
            metrics.storage.committed(3, 0.002)
        metrics.storage.committed(3, 0.8)
        metrics.storage.read("history", 0.003)
        metrics.runs.tool_ended("forecast", "failed", 7.0)
        metrics.connections.on_error("rate_limited")
        self.run("ada", "a-1", 2.0, FinalResponse("x", RunStatus.SUCCESS, Usage()))
        self.run("bob", "b-1", 30.0, Error("agent_timeout", "Late.", retryable=False, error_id="e"))
        self.run("bob", "b-2", 45.0, None)
        metrics.recent.count("restart", "/system/connections/*")

    def run(self, owner: str, run_id: str, seconds: float, end: Event | None) -> None:
        events: list[tuple[Event, float]] = [
            (MessageAccepted("m", run_id, "hi"), NOW - seconds),
            (AgentStarted("guide-1", "hi", NOW), NOW - seconds + 0.5),
        ]
        for event, at in [*events, *([] if end is None else [(end, NOW)])]:
            self.metrics.runs.event(Envelope(event, timestamp=at, seq=1, thread_id="t", run_id=run_id), None, owner)

    def view(self, owner: str, *roles: str) -> RestrictedStatus:
        return RestrictedStatus(self.status, owner, roles)


async def test_an_operator_sees_latencies_of_the_whole_server(attach: Attach) -> None:
    result = await server_performance.call({}, attach(server=BusyServer().view("ada", "operator")))
    rows = {row["operation"]: row for row in result.value["operations"]}
    assert rows["commit to the log"]["count"] == 100
    assert rows["commit to the log"]["p50_ms"] == pytest.approx(2.0, rel=0.1)
    assert rows["commit to the log"]["max_ms"] == 800.0
    assert rows["whole run"]["p99_ms"] == 30_000.0
    assert set(result.value["slow"]) == {"whole run", "tool call"}
    assert "Slow: whole run (p95 30.0 s, p99 30.0 s, 2 times); tool call forecast" in result.summary
    assert [step.label for step in result.next_steps] == ["Slowest operations", "Errors", "Restarts"]


async def test_the_database_alone(attach: Attach) -> None:
    result = await server_performance.call({"aspect": "database"}, attach(server=BusyServer().view("a", "operator")))
    assert {row["operation"] for row in result.value["operations"]} == {"commit to the log", "database read"}
    assert "None of these is slow" in result.summary


async def test_slow_operations_are_named_with_their_age(attach: Attach) -> None:
    context = attach(server=BusyServer().view("ada", "operator"))
    result = await slow_operations.call({}, context)
    assert [(row["operation"], row["ms"]) for row in result.value["operations"]] == [
        ("whole run", 30_000.0),
        ("tool call", 7_000.0),
        ("commit to the log", 800.0),
    ]
    none = await slow_operations.call({"threshold_ms": 60_000.0}, context)
    assert none.summary.startswith("No slow operations in the last 60 minutes: nothing exceeded 60000 ms.")


async def test_errors_are_counted_where_they_happened(attach: Attach) -> None:
    result = await errors_by_code.call({}, attach(server=BusyServer().view("ada", "operator")))
    assert result.value["errors"] == [
        {"where": "runs", "code": "agent_timeout", "count": 1},
        {"where": "requests", "code": "rate_limited", "count": 1},
        {"where": "tool forecast", "code": "failed", "count": 1},
    ]
    assert "1 of 2 runs failed" in result.summary


async def test_a_user_sees_only_the_own_runs(attach: Attach) -> None:
    context = attach(server=BusyServer().view("ada"))
    fast = await server_performance.call({}, context)
    assert {row["operation"]: row["count"] for row in fast.value["operations"]} == {
        "whole run": 1,
        "message to first event": 1,
    }
    assert "(your own runs)" in fast.summary
    assert (await errors_by_code.call({}, context)).value["errors"] == []
    work = await open_work.call({}, context)
    assert work.value["open_runs"] == []
    assert "queues" not in work.summary
    with pytest.raises(ToolError, match="operator"):
        await recent_crashes.call({}, context)


async def test_an_operator_of_a_tenant_sees_its_runs_and_nothing_of_the_server(attach: Attach) -> None:
    server = BusyServer()
    server.status.tenants = True
    server.run(owner_of("cy", "acme"), "c-1", 5.0, None)
    context = attach(server=server.view(owner_of("op", "acme"), "operator"))
    assert [run["run_id"] for run in (await open_work.call({}, context)).value["open_runs"]] == ["c-1"]
    assert (await errors_by_code.call({}, context)).value["errors"] == []
    with pytest.raises(ToolError, match="server_operator"):
        await recent_crashes.call({}, context)


async def test_silent_runs_and_queues(attach: Attach) -> None:
    result = await open_work.call({}, attach(server=BusyServer().view("ada", "operator")))
    assert [(run["run_id"], run["silent_s"]) for run in result.value["silent_runs"]] == [("b-2", 44.5)]
    assert "3 messages wait in mailboxes, most in /system/storage/writer; 4 reads wait" in result.summary


async def test_restarts_and_incidents(attach: Attach) -> None:
    result = await recent_crashes.call({}, attach(server=BusyServer().view("ada", "operator")))
    assert result.value["restarts"] == [{"path": "/system/connections/*", "restarts": 1}]
    assert result.value["incidents"][0]["error"] == "ValueError"
    assert "the latest incident was ValueError in /system/connections/c, 30 s ago" in result.summary


@pytest.mark.parametrize("tool", [server_performance, slow_operations, errors_by_code, recent_crashes])
async def test_only_an_hour_is_remembered(attach: Attach, tool: Tool) -> None:
    with pytest.raises(ToolError, match="between 1 and 60"):
        await tool.call({"minutes": 90}, attach(server=BusyServer().view("ada", "operator")))
