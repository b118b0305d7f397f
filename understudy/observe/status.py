"""The server's status for its own tools and `/healthz`: health, and the supervision tree as plain data.

A tool has the rights of the user it runs for, so it gets the view of `ServerStatus.visible_to`.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from actors import ActorSystem, State, TreeNode
from transport.wire.errors import CommandRejected
from understudy.auth.rights import Rights, Whose, everybody
from understudy.observe.health import HealthCheck, HealthStatus, combine
from understudy.tools.errors import ToolError

HEALTHY = (State.RUNNING, State.STOPPED)
"""States of a healthy actor: it answers, or has ended normally."""


@define
class ServerStatus:
    """The status of one running server. `counts` returns numbers of connections and runs of the selected users;
    `extra_checks` health checks of parts outside the tree."""

    system: ActorSystem
    counts: Callable[[Whose], Mapping[str, int]]
    version: str
    extra_checks: Callable[[], Mapping[str, HealthCheck]] = dict
    _since: float = field(factory=time.monotonic, init=False)

    def health(self) -> dict[str, Any]:
        """Return `status`, a check for each subsystem, uptime, counts and memory. A restarting subsystem is
        reported."""
        root = self.system.tree()
        checks = {child.path.rpartition("/")[2]: _check(child) for child in root.children} | dict(self.extra_checks())
        return {
            **combine(checks),
            "version": self.version,
            "uptime_s": round(time.monotonic() - self._since, 1),
            "actors": sum(1 for _ in root.walk()),
            "restarts": sum(node.restarts for node in root.walk()),
            "dead_letters": self.system.dead_letters.count,
            "memory_mb": round(_resident_bytes() / 1e6, 1),
            **self.counts(everybody),
        }

    def tree(self) -> dict[str, Any]:
        """Return the tree from its root: path, type, state, depth, restarts, age_s, last_error, children."""
        return _node(self.system.tree())

    def visible_to(self, rights: Rights) -> "RestrictedStatus":
        """Return the view for a user with these rights."""
        return RestrictedStatus(self, rights)


@frozen
class RestrictedStatus:
    """The `ServerView` of tools that run for a user with these rights."""

    server: ServerStatus
    rights: Rights

    def health(self) -> dict[str, Any]:
        """Return all for an operator of the server, otherwise the status; for an operator of a tenant also its
        counts."""
        health = self.server.health()
        if self.rights.server:
            return health
        counts = self.server.counts(self.rights.whose()) if self.rights.users else {}
        return {"status": health["status"], **counts}

    def tree(self) -> dict[str, Any]:
        """Return the tree. Raises ToolError (`forbidden`) for all but operators of the server."""
        try:
            self.rights.check_server()
        except CommandRejected as refused:
            raise ToolError(refused.code, refused.message) from refused
        return self.server.tree()


def _check(part: TreeNode) -> HealthCheck:
    """A part is as well as it and its children are; what is deeper comes and goes."""
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


def _resident_bytes() -> int:
    """Read the process's memory from the kernel (proc(5), statm: the second field, in pages)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
