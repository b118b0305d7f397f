"""Tools that report on this server from its own metrics: latencies, slow operations, errors, crashes and open work.

Operators see all of it; other users see only what concerns their own runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, DRILL_DOWN, NextStep, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import ToolContext, tool

MAX_MINUTES: Final = 60
Minutes = Annotated[int, Param("Minutes back from now, 1 to 60.")]
Aspect = Literal["all", "database", "runs", "tools"]
Look = Annotated[Aspect, Param("What to look at: all, the database, whole runs, or tool calls.")]

OPERATIONS: Final[Mapping[str, tuple[str, Aspect, float]]] = {
    "commit": ("commit to the log", "database", 0.1),
    "read": ("database read", "database", 0.1),
    "read_wait": ("wait for a reading thread", "database", 0.25),
    "first_event": ("message to first event", "runs", 1.0),
    "run": ("whole run", "runs", 10.0),
    "model": ("model turn", "runs", 10.0),
    "tool": ("tool call", "tools", 5.0),
    "loop_held": ("event loop held", "runs", 0.05),
}
"""For each measured operation: its name for people, its aspect, and the seconds from which it counts as slow. Users
notice a delay of 0.1 s in the store, and lose their train of thought after 10 s (Nielsen, *Response Times*, 1993). A
wait for a reading thread is logged from 0.25 s on."""
SILENT_S: Final = 30.0
"""Seconds without a durable event from which an open run is listed as silent."""
_ASPECTS: Final[Mapping[Aspect, str]] = {"database": "the database", "runs": "runs", "tools": "tools"}
_WAITING: Final = {
    "approval_required": "waits for its user's approval",
    "question_asked": "waits for its user's answer",
}


@tool(retry_safe=True, timeout_s=5.0)
async def server_performance(context: ToolContext, minutes: Minutes = 15, aspect: Look = "all") -> ToolResult:
    """Tell how fast this server was lately: percentiles of commits, database reads, runs and tool calls."""
    activity = _activity(context, minutes)
    own_only, measured = activity["scope"] != "server", _about(aspect, activity, "operations")
    rows = [{**entry, "operation": _operation(entry)[0]} for entry in measured]
    slow = [row for row, entry in zip(rows, measured, strict=True) if entry["p95_ms"] >= 1000 * _operation(entry)[2]]
    period = f"Over {_span(minutes, activity)}"
    if not rows:
        status = f"The server is {context.server.health().get('status', 'up')}. " if own_only else ""
        nothing = "no run has ended, so there are no latencies yet" if own_only else "nothing was measured"
        summary = f"{status}{period} {nothing}."
    else:
        worst = "; ".join(_worst(row) for row in slow[:3])
        speed = f"Slow: {worst}." if slow else "None of these is slow: each stays below its limit."
        summary = f"{period}, {_headline(rows)}. {speed}"
    if own_only:
        summary += " Latencies of the database and of the whole server are shown to its operators."
    shown = {"operations": rows[:20], "slow": [row["operation"] for row in slow]}
    value = {"minutes": minutes, "scope": activity["scope"], **shown}
    steps = [NextStep("Slowest operations", "slow_operations", {"minutes": minutes})]
    if activity["scope"] == "server":
        steps.append(NextStep("Errors", "errors_by_code", {"minutes": minutes}))
        steps.append(NextStep("Restarts", "recent_crashes"))
    return ToolResult(value, summary, kind=ANALYSIS, next_steps=steps)


@tool(retry_safe=True, timeout_s=5.0)
async def slow_operations(
    context: ToolContext,
    minutes: Minutes = 60,
    aspect: Look = "all",
    threshold_ms: Annotated[
        float | None, Param("List what took at least so many milliseconds; left out, what exceeds its usual limit.")
    ] = None,
) -> ToolResult:
    """List the slowest single commits, database reads, runs and tool calls of this server in the last minutes."""
    activity = _activity(context, minutes)
    measured = _about(aspect, activity, "slowest")
    rows = [{**entry, "operation": _operation(entry)[0]} for entry in measured]
    limits = [1000 * _operation(entry)[2] if threshold_ms is None else threshold_ms for entry in measured]
    slow = [row for row, limit_ms in zip(rows, limits, strict=True) if row["ms"] >= limit_ms]
    since = f"in {_span(minutes, activity)}"
    if aspect != "all":
        since = f"of {_ASPECTS[aspect]} {since}"
    limit = "their usual limits" if threshold_ms is None else f"{threshold_ms:g} ms"
    if slow:
        count = f"{len(slow)}{' or more' if len(slow) == len(rows) else ''}"
        summary = f"{count} slow operation{'' if len(slow) == 1 else 's'} {since} (beyond {limit}): {_single(slow[0])}"
    elif rows:
        summary = f"No slow operations {since}: nothing exceeded {limit}. The slowest was {_single(rows[0])}"
    elif activity["slowest"]:
        summary = f"No operation {since} is among the slowest, so none of them stands out."
    else:
        summary = f"Nothing was measured {since}."
    shown = {"slow": len(slow), "operations": slow or rows[:5]}
    value = {"minutes": minutes, "scope": activity["scope"], **shown}
    steps = [NextStep("Latencies", "server_performance", {"minutes": minutes})]
    return ToolResult(value, summary, kind=DRILL_DOWN, next_steps=steps)


@tool(retry_safe=True, timeout_s=5.0)
async def errors_by_code(context: ToolContext, minutes: Minutes = 60) -> ToolResult:
    """Count the failed runs, refused requests and failed tool calls of the last minutes by their error code."""
    activity = _activity(context, minutes)
    outcomes: Mapping[str, int] = activity["outcomes"]
    ended = sum(outcomes.values())
    failed = {code: count for code, count in outcomes.items() if code not in ("success", "cancelled")}
    rows: list[dict[str, Any]] = [{"where": "runs", "code": code, "count": n} for code, n in failed.items()]
    rows += [{"where": "requests", "code": code, "count": n} for code, n in activity.get("refused", {}).items()]
    for name, count in activity.get("failed_tools", {}).items():
        called, _, status = name.rpartition(": ")
        rows.append({"where": f"tool {called}", "code": status, "count": count})
    share = f"{sum(failed.values()):,} of {_count(ended, 'run')} failed"
    codes = ", ".join(f"{row['code']} {_count(row['count'], 'time')} ({row['where']})" for row in rows[:4])
    summary = f"In {_span(minutes, activity)}, {share}; " + (
        f"most frequent: {codes}." if rows else "there was no error at all."
    )
    value = {"minutes": minutes, "scope": activity["scope"], "ended_runs": ended, "errors": rows}
    return ToolResult(value, summary, kind=ANALYSIS)


@tool(retry_safe=True, timeout_s=5.0)
async def recent_crashes(context: ToolContext, minutes: Minutes = 60) -> ToolResult:
    """List the actors that crashed or restarted in the last minutes, and the parts that are not well; for operators."""
    _check_minutes(minutes)
    crashes = context.server.crashes(minutes)
    restarts: Mapping[str, int] = crashes["restarts"]
    incidents: Sequence[Mapping[str, Any]] = crashes["incidents"]
    unwell = [{"part": name, **check} for name, check in crashes["unwell"].items()]
    most = ", ".join(f"{path} ({count:,})" for path, count in list(restarts.items())[:3])
    total = sum(restarts.values())
    parts = [_count(total, "restart") + (f": {most}" if most else "")]
    if incidents:
        latest = incidents[0]
        parts.append(f"the latest incident was {latest['error']} in {latest['path']}, {latest['ago_s']:,.0f} s ago")
    parts.append("all parts and breakers are well" if not unwell else f"not well: {', '.join(crashes['unwell'])}")
    value = {
        "minutes": minutes,
        "restarts": [{"path": path, "restarts": count} for path, count in restarts.items()],
        "incidents": list(incidents),
        "unwell": unwell,
    }
    summary = f"In the last {minutes} minutes {'; '.join(parts)}."
    return ToolResult(value, summary, kind=DRILL_DOWN, next_steps=[NextStep("Supervision tree", "supervision_tree")])


@tool(retry_safe=True, timeout_s=5.0)
async def open_work(
    context: ToolContext,
    silent_s: Annotated[float, Param("Seconds without an event from which a run counts as silent.")] = SILENT_S,
) -> ToolResult:
    """Show the work that is open now: runs, and which of them are silent, queues of actors, and connections."""
    activity = _activity(context, 1)
    runs = [dict(open_run) for open_run in activity["open_runs"] if open_run["run_id"] != context.run_id]
    for run in runs:
        run["note"] = _WAITING.get(run["last_event"], "")
    silent = [run for run in runs if run["silent_s"] >= silent_s]
    stuck = [stuck_run for stuck_run in silent if not stuck_run["note"]]
    queues: Sequence[Mapping[str, Any]] = activity.get("queues", ())
    parts = [f"{len(runs):,} other run{' is' if len(runs) == 1 else 's are'} open{_whose(activity)}"]
    parts.append(f"{len(silent):,} of them without an event for {silent_s:g} s or more" if silent else "none is silent")
    if len(stuck) < len(silent):
        parts.append(f"{len(silent) - len(stuck):,} of those wait for their user")
    parts.append(f"{activity.get('runs_waiting', 0):,} wait to begin")
    if activity["scope"] == "server":
        deepest = f", most in {queues[0]['path']}" if queues else ""
        parts.append(f"{sum(queue['waiting'] for queue in queues):,} messages wait in mailboxes{deepest}")
        parts.append(f"{activity['reads_waiting']:,} reads wait")
    connections = activity.get("connections", 0)
    parts.append(f"{_count(connections, 'connection')} {'is' if connections == 1 else 'are'} open")
    value = {
        "scope": activity["scope"],
        "connections": activity.get("connections", 0),
        "silent_runs": silent,
        "open_runs": runs,
        "queues": list(queues),
    }
    return ToolResult(value, f"{'; '.join(parts)}.", kind=DRILL_DOWN)


def _activity(context: ToolContext, minutes: int) -> dict[str, Any]:
    _check_minutes(minutes)
    return context.server.activity(minutes)


def _check_minutes(minutes: int) -> None:
    if not 1 <= minutes <= MAX_MINUTES:
        raise ToolError("invalid_arguments", f"minutes must be between 1 and {MAX_MINUTES}, not {minutes:,}.")


def _operation(row: Mapping[str, Any]) -> tuple[str, Aspect, float]:
    """Return the entry of `OPERATIONS` for a row, with defaults for an unknown operation."""
    name = row["operation"]
    return OPERATIONS.get(name, (str(name).replace("_", " "), "runs", 1.0))


def _about(aspect: Aspect, activity: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    """Return the rows of the list `which` that belong to an aspect; for a user, all rows, as these are few."""
    everything = activity["scope"] != "server" or aspect == "all"
    return [row for row in activity[which] if everything or _operation(row)[1] == aspect]


def _headline(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a text with the median and the 95th percentile of the first three operations."""
    return ", ".join(f"{_named(row)} p50 {_time(row['p50_ms'])}, p95 {_time(row['p95_ms'])}" for row in list(rows)[:3])


def _worst(row: Mapping[str, Any]) -> str:
    return f"{_named(row)} (p95 {_time(row['p95_ms'])}, p99 {_time(row['p99_ms'])}, {_count(row['count'], 'time')})"


def _single(row: Mapping[str, Any]) -> str:
    return f"{_named(row)} with {_time(row['ms'])}, {row['ago_s']:,} s ago."


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['operation']} {row['name']}".strip()


def _time(ms: float) -> str:
    return f"{ms / 1000:,.1f} s" if ms >= 1000 else f"{ms:,.3g} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _span(minutes: int, activity: Mapping[str, Any]) -> str:
    return f"the last {_count(minutes, 'minute')}{_whose(activity)}"


def _whose(activity: Mapping[str, Any]) -> str:
    return "" if activity["scope"] == "server" else " (your own runs)"
