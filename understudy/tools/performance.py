"""What this server did lately: latencies, slow operations, errors, crashes and open work, from its own measures.

Operators of the server see all of it; other users see what concerns their own runs.
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
"""Each operation that is measured: its name for people, its aspect, and the seconds from which it is slow. A person
notices a tenth of a second in the store, and loses the thread of a conversation after ten (Nielsen, *Response Times*,
1993); a wait for a reading thread is logged from a quarter of a second on."""
SILENT_S: Final = 30.0
"""Seconds without a durable event from which an open run is listed as silent."""
_ASPECTS: Final[Mapping[Aspect, str]] = {"database": "the database", "runs": "runs", "tools": "tools"}
_WAITING: Final = {
    "approval_required": "waits for its user's approval",
    "question_asked": "waits for its user's answer",
}


@tool(retry_safe=True, timeout_s=5.0)
async def server_performance(
    context: ToolContext,
    minutes: Minutes = 15,
    aspect: Annotated[Aspect, Param("What to look at: all, the database, whole runs, or tool calls.")] = "all",
) -> ToolResult:
    """Analyse this server's performance over the last minutes: how fast or slow it is, latency percentiles (p50, p95,
    p99) and response times of commits (disk writes to the log), database reads, queries, runs, code and tools, and
    where the time goes."""
    activity = _activity(context, minutes)
    own = activity["scope"] != "server"
    rows = [_readable(each) for each in activity["operations"] if own or aspect in ("all", _aspect(each))]
    slow = [each for each in rows if each["slow"]]
    over = f"Over the last {minutes} minute{'' if minutes == 1 else 's'}{_whose(activity)}"
    if not rows:
        status = f"The server is {context.server.health().get('status', 'up')}. " if own else ""
        summary = (
            f"{status}{over} {'no run has ended, so there are no latencies yet' if own else 'nothing was measured'}."
        )
    else:
        worst = "; ".join(_worst(each) for each in slow[:3])
        summary = f"{over}, {_headline(rows)}. " + (
            f"Slow: {worst}." if slow else "None of these is slow: each stays below its limit."
        )
    if own:
        summary += " Latencies of the database and of the whole server are shown to its operators."
    value = {
        "minutes": minutes,
        "scope": activity["scope"],
        "operations": [{key: each for key, each in row.items() if key != "slow"} for row in rows[:20]],
        "slow": [each["operation"] for each in slow],
    }
    steps = [NextStep("Slowest operations", f"Which operations were slowest in the last {minutes} minutes?")]
    if activity["scope"] == "server":
        steps.append(NextStep("Errors", f"Show errors by code of the last {minutes} minutes"))
        steps.append(NextStep("Restarts", "Which actors restarted or crashed?"))
    return ToolResult(value, summary, kind=ANALYSIS, next_steps=steps)


@tool(retry_safe=True, timeout_s=5.0)
async def slow_operations(
    context: ToolContext,
    minutes: Minutes = 60,
    aspect: Annotated[Aspect, Param("What to look at: all, the database, whole runs, or tool calls.")] = "all",
    threshold_ms: Annotated[
        float | None, Param("List what took at least so many milliseconds; left out, what exceeds its usual limit.")
    ] = None,
) -> ToolResult:
    """List the slowest single operations of this server: slow queries, slow database reads, commits, requests, runs and
    tool calls that took longest."""
    activity = _activity(context, minutes)
    listed = [
        {"operation": _title(each), "name": each["name"], "ms": each["ms"], "ago_s": each["ago_s"]}
        | {"slow": each["ms"] >= (_limit_ms(each) if threshold_ms is None else threshold_ms)}
        for each in activity["slowest"]
        if activity["scope"] != "server" or aspect in ("all", _aspect(each))
    ]
    slow = [each for each in listed if each["slow"]]
    since = f"in the last {minutes} minute{'' if minutes == 1 else 's'}{_whose(activity)}"
    if aspect != "all":
        since = f"of {_ASPECTS[aspect]} {since}"
    limit = "their usual limits" if threshold_ms is None else f"{threshold_ms:g} ms"
    if slow:
        count = f"{len(slow)}{' or more' if len(slow) == len(listed) else ''}"
        summary = f"{count} slow operation{'' if len(slow) == 1 else 's'} {since} (beyond {limit}): {_single(slow[0])}"
    elif listed:
        summary = f"No slow operations {since}: nothing exceeded {limit}. The slowest was {_single(listed[0])}"
    else:
        summary = f"Nothing was measured {since}."
        if activity["slowest"]:
            summary = f"No operation {since} is among the slowest, so none of them stands out."
    shown = slow or listed[:5]
    value = {
        "minutes": minutes,
        "scope": activity["scope"],
        "slow": len(slow),
        "operations": [{key: each for key, each in row.items() if key != "slow"} for row in shown],
    }
    steps = [NextStep("Latencies", f"Analyse the server's performance over the last {minutes} minutes")]
    return ToolResult(value, summary, kind=DRILL_DOWN, next_steps=steps)


@tool(retry_safe=True, timeout_s=5.0)
async def errors_by_code(context: ToolContext, minutes: Minutes = 60) -> ToolResult:
    """Count the errors and failures of the last minutes by code: failed runs, refused commands and requests, failed
    tool calls."""
    activity = _activity(context, minutes)
    outcomes: Mapping[str, int] = activity["outcomes"]
    ended = sum(outcomes.values())
    failed = {code: count for code, count in outcomes.items() if code not in ("success", "cancelled")}
    rows: list[dict[str, Any]] = [{"where": "runs", "code": code, "count": n} for code, n in failed.items()]
    rows += [{"where": "requests", "code": code, "count": n} for code, n in activity.get("refused", {}).items()]
    for name, count in activity.get("failed_tools", {}).items():
        called, _, status = name.rpartition(": ")
        rows.append({"where": f"tool {called}", "code": status, "count": count})
    since = f"In the last {minutes} minute{'' if minutes == 1 else 's'}{_whose(activity)}"
    share = f"{sum(failed.values()):,} of {ended:,} run{'' if ended == 1 else 's'} failed"
    codes = ", ".join(f"{each['code']} {_count(each['count'], 'time')} ({each['where']})" for each in rows[:4])
    summary = f"{since}, {share}; " + (f"most frequent: {codes}." if rows else "there was no error at all.")
    value = {"minutes": minutes, "scope": activity["scope"], "ended_runs": ended, "errors": rows}
    return ToolResult(value, summary, kind=ANALYSIS)


@tool(retry_safe=True, timeout_s=5.0)
async def recent_crashes(context: ToolContext, minutes: Minutes = 60) -> ToolResult:
    """List crashes of the last minutes: which actors crashed, restarted or were killed, with their errors, and the
    parts that are not well, such as open circuit breakers. For operators."""
    _check_minutes(minutes)
    found = context.server.crashes(minutes)
    restarts: Mapping[str, int] = found["restarts"]
    incidents: Sequence[Mapping[str, Any]] = found["incidents"]
    unwell = [{"part": name, **check} for name, check in found["unwell"].items()]
    most = ", ".join(f"{path} ({count:,})" for path, count in list(restarts.items())[:3])
    total = sum(restarts.values())
    parts = [f"{total:,} restart{'' if total == 1 else 's'}" + (f": {most}" if most else "")]
    if incidents:
        latest = incidents[0]
        parts.append(f"the latest incident was {latest['error']} in {latest['path']}, {latest['ago_s']:,.0f} s ago")
    parts.append("all parts and breakers are well" if not unwell else f"not well: {', '.join(found['unwell'])}")
    value = {
        "minutes": minutes,
        "restarts": [{"path": path, "restarts": count} for path, count in restarts.items()],
        "incidents": list(incidents),
        "unwell": unwell,
    }
    summary = f"In the last {minutes} minutes {'; '.join(parts)}."
    return ToolResult(value, summary, kind=DRILL_DOWN, next_steps=["Show the supervision tree"])


@tool(retry_safe=True, timeout_s=5.0)
async def open_work(
    context: ToolContext,
    silent_s: Annotated[float, Param("Seconds without an event from which a run is silent or stuck.")] = SILENT_S,
) -> ToolResult:
    """Show work that is open now: silent or stuck runs without an event for long, waiting and queued runs, queue depths
    of mailboxes, waiting reads, open connections."""
    activity = _activity(context, 1)
    runs = [dict(each) for each in activity["open_runs"] if each["run_id"] != context.run_id]
    for each in runs:
        each["note"] = _WAITING.get(each["last_event"], "")
    silent = [each for each in runs if each["silent_s"] >= silent_s]
    stuck = [each for each in silent if not each["note"]]
    queues: Sequence[Mapping[str, Any]] = activity.get("queues", ())
    parts = [f"{len(runs):,} other run{' is' if len(runs) == 1 else 's are'} open{_whose(activity)}"]
    parts.append(f"{len(silent):,} of them without an event for {silent_s:g} s or more" if silent else "none is silent")
    if len(stuck) < len(silent):
        parts.append(f"{len(silent) - len(stuck):,} of those wait for their user")
    parts.append(f"{activity.get('runs_waiting', 0):,} wait to begin")
    if activity["scope"] == "server":
        deepest = f", most in {queues[0]['path']}" if queues else ""
        parts.append(f"{sum(each['waiting'] for each in queues):,} messages wait in mailboxes{deepest}")
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


def _title(row: Mapping[str, Any]) -> str:
    return OPERATIONS.get(row["operation"], (str(row["operation"]).replace("_", " "),))[0]


def _aspect(row: Mapping[str, Any]) -> str:
    return OPERATIONS[row["operation"]][1] if row["operation"] in OPERATIONS else "runs"


def _limit_ms(row: Mapping[str, Any]) -> float:
    return 1000 * (OPERATIONS[row["operation"]][2] if row["operation"] in OPERATIONS else 1.0)


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the operation's name for people; `slow`: its 95th percentile reaches its limit."""
    return {**row, "operation": _title(row), "slow": row["p95_ms"] >= _limit_ms(row)}


def _headline(rows: Iterable[Mapping[str, Any]]) -> str:
    """Name the median and the 95th percentile of the three operations that took most time."""
    return ", ".join(
        f"{_named(each)} p50 {_time(each['p50_ms'])}, p95 {_time(each['p95_ms'])}" for each in list(rows)[:3]
    )


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


def _whose(activity: Mapping[str, Any]) -> str:
    return "" if activity["scope"] == "server" else " (your own runs)"
