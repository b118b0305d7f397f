"""Metrics, incidents and circuit states of a server, and the health status built on them."""

import time
from typing import TYPE_CHECKING

from attrs import field, frozen

from actors import ActorRef, ActorSystem
from actors import Event as ActorEvent
from understudy import __version__
from understudy.auth.rights import Whose, everybody
from understudy.chat.run_limiter import RunLimiter
from understudy.observe.breakers import Breakers
from understudy.observe.health import HealthCheck, HealthStatus
from understudy.observe.incidents import Incidents
from understudy.observe.metrics import Metrics
from understudy.observe.status import ServerStatus
from understudy.observe.tree_log import log_event
from understudy.storage.database import Database
from understudy.storage.errors import StorageUnavailable
from understudy.web.presence import Presence

if TYPE_CHECKING:
    from understudy.storage.redis import RedisLink


@frozen
class Observability:
    """What counts and remembers the events of a server."""

    metrics: Metrics = field(factory=Metrics)
    incidents: Incidents = field(factory=lambda: Incidents(time.time))
    breakers: Breakers = field()

    @breakers.default
    def _breakers(self) -> Breakers:
        return Breakers(self.metrics)

    def record_event(self, event: ActorEvent) -> None:
        """Count an event of the actor tree, and log it."""
        self.metrics.record(event)
        log_event(event, self.incidents.record(event))


@frozen
class Counts:
    """Numbers of connections and runs of some users; call it with a predicate for their names."""

    presence: Presence
    run_limiter: "RunLimiter[ActorRef]"

    def __call__(self, whose: Whose = everybody) -> dict[str, int]:
        """Count the connections and runs of the users for whom `whose` is true."""
        return {"connections": self.presence.count(whose), **self.run_limiter.counts(whose)}


def build_status(
    system: ActorSystem, breakers: Breakers, database: Database, redis: "RedisLink | None", counts: Counts
) -> ServerStatus:
    """Build the server's status: health of the tree, of the database, and of the services behind breakers."""

    def extra_checks() -> dict[str, HealthCheck]:
        checks = dict(breakers.checks())
        try:
            database.check()  # compares the file's name, so that a missing file is reported before the next write
        except StorageUnavailable as gone:
            checks["database"] = HealthCheck(HealthStatus.FAILED, gone.reason)
        if redis is not None:
            down_s = time.time() - redis.since
            down = HealthCheck(HealthStatus.DEGRADED, "Redis does not answer", down_s, essential=False)
            checks["redis"] = HealthCheck() if redis.up else down
        return checks

    return ServerStatus(system, counts, __version__, extra_checks)
