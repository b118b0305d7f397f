"""The health of a server: named checks and circuit breakers, combined for `/healthz` and the server's own tools."""

import enum
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

from attrs import define, field, frozen

from actors import ActorSystem, State, TreeNode
from actors.behaviours import CircuitChange, CircuitState
from transport.wire.errors import CommandRejected
from understudy.auth.rights import Whose, everybody, rights_of
from understudy.tools.errors import ToolError

log = logging.getLogger(__name__)

HEALTHY: Final = (State.RUNNING, State.STOPPED)
"""States of a healthy actor: it answers, or has ended normally."""
_NOTES: Final = {
    CircuitState.OPEN: "it failed time and again: calls are refused for a while",
    CircuitState.HALF_OPEN: "it failed time and again: one call finds out whether it is back",
}


class HealthStatus(enum.StrEnum):
    """From healthy to failed. A whole has the worst status of its parts."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


_ORDER: Final = tuple(HealthStatus)


@frozen
class HealthCheck:
    """The health of one part. `note` is a sentence for an operator, `since_s` how long it has had this status.

    A part that is not `essential` makes the whole degraded at worst.
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
    weights = (_ORDER.index(each.status) if each.essential else min(_ORDER.index(each.status), degraded)
               for each in checks.values())  # fmt: skip
    worst = _ORDER[max(weights, default=0)]
    return {"status": worst.value, "checks": {name: each.as_json() for name, each in checks.items()}}


class BreakerMetrics(Protocol):
    """Receives state changes of breakers."""

    def breaker_changed(self, name: str, state: str) -> None:
        """Record that a breaker is now `closed`, `open` or `half_open`."""


@define
class Breakers:
    """The last known state of each breaker. `clock` returns seconds. May be read from any thread."""

    metrics: BreakerMetrics
    clock: Callable[[], float] = time.monotonic
    _states: dict[str, tuple[CircuitState, float]] = field(factory=dict, init=False)

    def add(self, name: str) -> None:
        """Register a closed breaker."""
        self._states[name] = CircuitState.CLOSED, self.clock()
        self.metrics.breaker_changed(name, CircuitState.CLOSED.value)

    def record_change(self, change: CircuitChange) -> None:
        """Record and log a state change. It is the breakers' `on_change`."""
        self._states[change.name] = change.new, self.clock()
        self.metrics.breaker_changed(change.name, change.new.value)
        if change.new is CircuitState.OPEN:
            extra = {"breaker": change.name, "retry_after_s": round(change.retry_after_s, 3)}
            log.warning("breaker.opened", extra=extra)
        elif change.new is CircuitState.CLOSED:
            log.info("breaker.closed", extra={"breaker": change.name})

    def checks(self) -> Mapping[str, HealthCheck]:
        """Return a health check for each breaker by name. None is essential: the service behind a breaker is not the
        server."""
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

    `counts` returns numbers of connections and runs of the selected users; `extra_checks` health checks of parts
    outside the tree.
    """

    system: ActorSystem
    counts: Callable[[Whose], Mapping[str, int]]
    version: str
    extra_checks: Callable[[], Mapping[str, HealthCheck]] = dict
    _since: float = field(factory=time.monotonic, init=False)

    def health(self) -> dict[str, Any]:
        """Return `status`, a check for each subsystem, uptime, counts and memory. A restarting subsystem is
        reported."""
        root = self.system.tree()
        checks = {part.path.rpartition("/")[2]: _check(part) for part in root.children} | dict(self.extra_checks())
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


@frozen
class RestrictedStatus:
    """The `ServerView` of tools that run for `owner`, with the rights of these roles. `tenants`: the server has any."""

    server: ServerStatus
    owner: str
    roles: Collection[str]
    tenants: bool

    def health(self) -> dict[str, Any]:
        """Return all for an operator of the server, otherwise the status; for an operator of a tenant also its
        counts."""
        rights, health = rights_of(self.owner, self.roles, tenants=self.tenants), self.server.health()
        if rights.server:
            return health
        counts = self.server.counts(rights.whose()) if rights.users else {}
        return {"status": health["status"], **counts}

    def tree(self) -> dict[str, Any]:
        """Return the tree. Raises ToolError (`forbidden`) for all but operators of the server."""
        try:
            rights_of(self.owner, self.roles, tenants=self.tenants).check_server()
        except CommandRejected as refused:
            raise ToolError(refused.code, refused.message) from refused
        return self.server.tree()


def _check(part: TreeNode) -> HealthCheck:
    """Check a subsystem: the actor and its children, not those below, which come and go."""
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
