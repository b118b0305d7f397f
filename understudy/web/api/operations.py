"""`/healthz`, `/readyz`, `/metrics`: for operation and monitoring.

Callers without a token, such as a load balancer, get only the overall status. Details are for operators of the server
and for the role `metrics`; if anonymous sessions are allowed, every caller gets them.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio
from msgspec import Struct, UnsetType
from prometheus_client import CONTENT_TYPE_LATEST
from quart import Response, current_app

from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.observe.health import HealthStatus
from understudy.storage.errors import StorageUnavailable
from understudy.web.context import WebContext, identity, rights, web_context
from understudy.web.routes import Count, JsonObject, Routes, as_json, shape

log = logging.getLogger(__name__)
blueprint = Routes("operations", __name__)

METRICS: Final = "metrics"
"""The role of a program that collects metrics; it grants nothing else."""
MAX_AGE_S: Final = 1.0
"""Seconds for which a result is reused. A load balancer that polls every second sees each change at its next poll."""


class PartHealth(Struct):
    """The health of a part of the server."""

    status: str


Health = shape(
    "Health", status=str, checks=dict[str, PartHealth] | UnsetType, version=str | UnsetType,
    uptime_s=float | UnsetType, memory_mb=float | UnsetType,
    **dict.fromkeys(("actors", "restarts", "dead_letters", "connections", "runs", "runs_waiting"), Count | UnsetType),
)  # fmt: skip
"""Callers without the rights for it get only the status."""
Ready = shape("Ready", status=str, storage=str | UnsetType)

_T = TypeVar("_T")


class CachedCheck(Generic[_T]):
    """Caches the result of `check` for MAX_AGE_S. Callers that need a new result wait for one common check."""

    def __init__(self, check: Callable[[], Awaitable[_T]]) -> None:
        self._check = check
        self._lock = trio.Lock()
        self._cached: tuple[_T, float] | None = None

    async def result(self) -> _T:
        """Return a result that is at most MAX_AGE_S old."""
        async with self._lock:
            if self._cached is None or trio.current_time() - self._cached[1] >= MAX_AGE_S:
                self._cached = await self._check(), trio.current_time()
            return self._cached[0]


class HealthProbes:
    """Health for callers without a token: checked at most once a second, except the existence of the database file."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._gone_logged = False  # once, not for each request
        self.ready = CachedCheck(self._ready)
        self.status = CachedCheck(self._status)

    async def is_ready(self) -> bool:
        """Return whether messages can be stored. A missing database file counts at once, other failures in a second."""
        return not self._file_gone() and await self.ready.result()

    async def current_status(self) -> str:
        """Return the overall status. A missing database file counts at once, other failures in a second."""
        return HealthStatus.FAILED.value if self._file_gone() else await self.status.result()

    def _file_gone(self) -> bool:
        """Return whether the database file was removed or replaced. Takes microseconds, so each request may check."""
        try:
            self._context.store.database.check()
        except StorageUnavailable as error:
            if not self._gone_logged:
                log.error("storage.file_gone", extra={"reason": error.reason})
            self._gone_logged = True
            return True
        self._gone_logged = False
        return False

    async def _ready(self) -> bool:
        try:
            await self._context.store.check()
        except StorageUnavailable:
            return False
        return True

    async def _status(self) -> str:
        return str(self._context.status.health()["status"])


def health_probes() -> HealthProbes:
    """Return the probes of the current request's server."""
    probes: HealthProbes = current_app.extensions["health_probes"]
    return probes


@blueprint.get("/healthz", token=False, answer=Health)
async def healthz() -> JsonObject:
    """Report that the process is alive; with the rights for it, the health of each part."""
    try:
        _check_may_read_metrics()
    except (Unauthenticated, CommandRejected):
        return {"status": await health_probes().current_status()}
    return web_context().status.health()


@blueprint.get("/readyz", token=False, answer=Ready, also={503: "Messages cannot be taken now."})
async def readyz() -> Response:
    """Report whether messages are accepted: 200, or else 503."""
    if web_context().chat.draining():
        return as_json({"status": "leaving"}, 503)
    if (node := web_context().node) is not None and node.may_be_dead(trio.current_time()):
        return as_json({"status": "rejoining", "storage": "unknown"}, 503)  # its threads may be on other nodes
    if not await health_probes().is_ready():
        return as_json({"status": "unavailable", "storage": "unavailable"}, 503)
    return as_json({"status": "ready", "storage": "ok"})


@blueprint.get("/metrics", media="text/plain", token=False, errors=("unauthenticated", "token_expired"))
async def metrics() -> Response:
    """Return the metrics in Prometheus' text format."""
    _check_may_read_metrics()
    return Response(web_context().metrics.render(), content_type=CONTENT_TYPE_LATEST)


def _check_may_read_metrics() -> None:
    """Refuse figures of the whole server to callers without the rights.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The token has neither the role `metrics` nor that of operators (`forbidden`).
    """
    if web_context().settings.anonymous:
        return
    if METRICS not in identity().roles and not rights().server:
        raise CommandRejected("forbidden", f"That needs the role {METRICS}.")
