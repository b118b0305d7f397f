"""The health and activity of a server, for `/healthz`, operators' pages and the server's own tools."""

import enum
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from actors import ActorSystem, State, TreeNode
from actors.behaviours import CircuitChange, CircuitState
from transport.wire.errors import CommandRejected
from understudy.auth.rights import Rights, Whose, everybody, rights_of
from understudy.observe.actor_events import Incident
from understudy.observe.actor_metrics import ActorMetrics
from understudy.observe.recent import Recent, durations, rows
from understudy.observe.run_watchdog import OpenRun
from understudy.tools.errors import ToolError

log = logging.getLogger(__name__)

SHOWN: Final = 20
"""Rows of each list in a report of the server's activity."""
HEALTHY: Final = (State.RUNNING, State.STOPPED)
"""States of a healthy actor: it is running, or has ended normally."""
_NOTES: Final = {
    CircuitState.OPEN: "it failed time and again: calls are refused for a while",
    CircuitState.HALF_OPEN: "it failed time and again: one call finds out whether it is back",
}


class HealthStatus(enum.StrEnum):
    """The health of a part or of the whole server, from best to worst. The whole has the worst status of its parts."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_ORDER: Final = tuple(HealthStatus)


@frozen
class HealthCheck:
    """The health of one part. `note` is a sentence for operators; `since_s` is for how long it has had this status.

    A failed part that is not `essential` makes the whole only degraded.
    """

    status: HealthStatus = HealthStatus.OK
    note: str = ""
    since_s: float | None = None
    essential: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return the status, with note and age if it has any."""
        shown: dict[str, Any] = {"status": self.status.value}
        if self.note:
            shown["note"] = self.note
        if self.since_s is not None:
            shown["since_s"] = round(self.since_s, 3)
        return shown


def combine(checks: Mapping[str, HealthCheck]) -> dict[str, Any]:
    """Return `{"status": …, "checks": {name: {"status", "note"?, "since_s"?}}}`; without checks the status is ok."""
    degraded = _ORDER.index(HealthStatus.DEGRADED)
    weights = (_ORDER.index(check.status) if check.essential else min(_ORDER.index(check.status), degraded)
               for check in checks.values())  # fmt: skip
    worst = _ORDER[max(weights, default=0)]
    return {"status": worst.value, "checks": {name: check.as_json() for name, check in checks.items()}}


@define
class Breakers:
    """The last known state of each breaker. `clock` returns seconds. May be read from any thread."""

    metrics: ActorMetrics
    clock: Callable[[], float] = time.monotonic
    _states: dict[str, tuple[CircuitState, float]] = field(factory=dict, init=False)

    def add(self, name: str) -> None:
        """Register a closed breaker."""
        self._states[name] = CircuitState.CLOSED, self.clock()
        self.metrics.breaker_changed(name, CircuitState.CLOSED.value)

    def record_change(self, change: CircuitChange) -> None:
        """Record and log a state change, as the breakers' `on_change`."""
        self._states[change.name] = change.new, self.clock()
        self.metrics.breaker_changed(change.name, change.new.value)
        if change.new is CircuitState.OPEN:
            extra = {"breaker": change.name, "retry_after_s": round(change.retry_after_s, 3)}
            log.warning("breaker.opened", extra=extra)
        elif change.new is CircuitState.CLOSED:
            log.info("breaker.closed", extra={"breaker": change.name})

    def checks(self) -> Mapping[str, HealthCheck]:
        """Return a health check for each breaker by name. None is essential, because the server itself works without
        the service behind a breaker."""
        now = self.clock()
        return {
            name: HealthCheck()
            if state is CircuitState.CLOSED
            else HealthCheck(HealthStatus.DEGRADED, _NOTES[state], now - since, essential=False)
            for name, (state, since) in self._states.items()
        }


@define
class ServerStatus:
    """The status of one running server: its health, and its supervision tree as plain data.

    `counts` returns the numbers of connections and runs of selected users; `extra_checks` return health checks of parts
    outside the tree; `open_runs` are the open runs by their ids; `incidents` returns the latest ones; `reads_waiting`
    the number of queued reads of the database. `tenants`: the server has tenants.
    """

    system: ActorSystem
    counts: Callable[[Whose], Mapping[str, int]]
    version: str
    extra_checks: list[Callable[[], Mapping[str, HealthCheck]]] = field(factory=list)
    recent: Recent = field(factory=lambda: Recent(time.time))
    open_runs: Mapping[str, OpenRun] = field(factory=dict)
    incidents: Callable[[], Sequence[Incident]] = tuple
    reads_waiting: Callable[[], int] = int
    tenants: bool = False
    _since: float = field(factory=time.monotonic, init=False)

    def health(self) -> dict[str, Any]:
        """Return `status`, a check for each subsystem, uptime, counts and memory."""
        root = self.system.tree()
        checks = {part.path.rpartition("/")[2]: _check(part) for part in root.children}
        for extra in self.extra_checks:
            checks |= extra()
        with open("/proc/self/statm") as statm:  # proc(5): the second field is the resident memory, in pages
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {
            **combine(checks),
            "version": self.version,
            "uptime_s": round(time.monotonic() - self._since, 1),
            "actors": sum(1 for _ in root.walk()),
            "restarts": sum(node.restarts for node in root.walk()),
            "dead_letters": self.system.dead_letters.count,
            "memory_mb": round(resident / 1e6, 1),
            **self.counts(everybody),
        }

    def tree(self) -> dict[str, Any]:
        """Return the tree from its root: path, type, state, depth, restarts, age_s, last_error, children."""
        return _node(self.system.tree())

    def activity(self, minutes: int) -> dict[str, Any]:
        """Return the server's activity of the last minutes, see `ServerView.activity`."""
        now, recent = self.recent.clock(), self.recent
        ended, refused = recent.counted("run_ended", minutes), recent.counted("refused", minutes)
        slowest = [
            {"operation": operation.kind, "name": operation.name, "ms": round(operation.seconds * 1000, 1),
             "ago_s": round(now - operation.at)}
            for operation in recent.slowest(minutes, SHOWN)
        ]  # fmt: skip
        waiting = ((sum(node.depth.values()), node.path) for node in self.system.tree().walk())
        queues = sorted(queue for queue in waiting if queue[0])
        return {
            "scope": "server",
            "operations": rows(recent.timed(minutes)),
            "slowest": slowest,
            "outcomes": dict(ended.most_common()),
            "refused": dict(refused.most_common()),
            "failed_tools": dict(recent.counted("tool_ended", minutes).most_common(SHOWN)),
            "open_runs": self._open_runs(everybody, now),
            "queues": [{"path": path, "waiting": depth} for depth, path in queues[: -SHOWN - 1 : -1]],
            "reads_waiting": self.reads_waiting(),
            **self.counts(everybody),
        }

    def activity_of(self, whose: Whose, minutes: int) -> dict[str, Any]:
        """Return the activity of the selected users' runs in the last minutes, in the form of `activity`."""
        now, ended = self.recent.clock(), self.recent.ended(whose, minutes)
        timed = {
            ("first_event", ""): durations(run.first_s for run in ended),
            ("run", ""): durations(run.seconds for run in ended),
        }
        slowest = sorted(ended, key=lambda run: -(run.seconds or 0.0))[:SHOWN]
        return {
            "scope": "own",
            "operations": rows({key: timing for key, timing in timed.items() if timing.count}),
            "slowest": [
                {"operation": "run", "name": "", "ms": round((run.seconds or 0.0) * 1000, 1),
                 "ago_s": round(now - run.at)}
                for run in slowest
            ],
            "outcomes": dict(Counter(run.outcome for run in ended).most_common()),
            "open_runs": self._open_runs(whose, now),
            **self.counts(whose),
        }  # fmt: skip

    def crashes(self, minutes: int) -> dict[str, Any]:
        """Return the restarts and abnormal ends of actors, and the parts that are not well."""
        now = self.recent.clock()
        recent = [incident for incident in self.incidents() if incident.at >= now - 60 * minutes]
        checks: dict[str, dict[str, Any]] = self.health()["checks"]
        return {
            "restarts": dict(self.recent.counted("restart", minutes).most_common(SHOWN)),
            "incidents": [
                {"ago_s": round(now - incident.at), "path": incident.path, "error": incident.error,
                 "decision": incident.decision, "error_id": incident.error_id}
                for incident in reversed(recent[-SHOWN:])
            ],
            "unwell": {name: check for name, check in checks.items() if check["status"] != HealthStatus.OK.value},
        }  # fmt: skip

    def _open_runs(self, whose: Whose, now: float) -> list[dict[str, Any]]:
        """List the open runs of the selected users, those without an event for longest first."""
        runs = sorted((run.last_at, run_id, run) for run_id, run in self.open_runs.items() if whose(run.owner))
        return [
            {"run_id": run_id, "silent_s": round(now - last_at, 1), "age_s": round(now - run.accepted, 1),
             "last_event": run.last_event}
            for last_at, run_id, run in runs[:SHOWN]
        ]  # fmt: skip


@frozen
class RestrictedStatus:
    """The `ServerView` of tools that run for `owner`, with the rights of these roles."""

    server: ServerStatus
    owner: str
    roles: Collection[str]

    def health(self) -> dict[str, Any]:
        """Return the whole health for an operator of the server, status and counts of the tenant for an operator of a
        tenant, and the status for other users."""
        rights, health = self._rights(), self.server.health()
        if rights.server:
            return health
        counts = self.server.counts(rights.whose()) if rights.users else {}
        return {"status": health["status"], **counts}

    def tree(self) -> dict[str, Any]:
        """Return the tree. Raises ToolError (`forbidden`) for all but operators of the server."""
        self._check_server()
        return self.server.tree()

    def activity(self, minutes: int) -> dict[str, Any]:
        """Return the server's activity for an operator of the server, that of the tenant's runs for an operator of a
        tenant, and that of their own runs for other users."""
        rights = self._rights()
        if rights.server:
            return self.server.activity(minutes)
        return self.server.activity_of(rights.whose() if rights.users else self.owner.__eq__, minutes)

    def crashes(self, minutes: int) -> dict[str, Any]:
        """Return restarts and incidents. Raises ToolError (`forbidden`) for all but operators of the server."""
        self._check_server()
        return self.server.crashes(minutes)

    def _rights(self) -> Rights:
        return rights_of(self.owner, self.roles, tenants=self.server.tenants)

    def _check_server(self) -> None:
        try:
            self._rights().check_server()
        except CommandRejected as refused:
            raise ToolError(refused.code, refused.message) from refused


def _check(part: TreeNode) -> HealthCheck:
    """Check a subsystem: its actor and that actor's children. Actors further below come and go."""
    for node in (part, *part.children):
        if node.state not in HEALTHY:
            note = f"{node.path} is {node.state.value} after {node.restarts} restarts"
            return HealthCheck(HealthStatus.DEGRADED, note, node.age_s)
    return HealthCheck()


def _node(node: TreeNode) -> dict[str, Any]:
    return {
        "path": node.path,
        "type": node.type,
        "state": node.state.value,
        "depth": node.depth,
        "restarts": node.restarts,
        "age_s": round(node.age_s, 3),
        "last_error": node.last_error,
        "children": [_node(child) for child in node.children],
    }
