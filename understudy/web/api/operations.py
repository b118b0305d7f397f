"""`/healthz`, `/readyz`, `/metrics`: for those who keep the server running.

Strangers, such as a balancer, hear whether the server is well, and no more. Figures are for operators of the server and
for the role `metrics`; where everybody on this machine is given a session, there are no strangers.
"""

import logging
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST
from quart import Blueprint, Response, current_app

from transport.wire.errors import CommandRejected, Unauthenticated
from understudy.observe.glance import CachedCheck
from understudy.observe.health import HealthStatus
from understudy.storage.errors import StorageUnavailable
from understudy.web.context import WebContext, identity, rights, web_context

log = logging.getLogger(__name__)
blueprint = Blueprint("operations", __name__)

METRICS: Final = "metrics"
"""The role for a program that collects figures, and for nothing else."""


class HealthProbes:
    """What strangers may ask of the server, looked at once a second at most but for the database file's name."""

    def __init__(self, rest: WebContext) -> None:
        self._rest = rest
        self._told = False  # that the database file is gone: each request would be a line of the log
        self.ready = CachedCheck(self._ready)
        self.status = CachedCheck(self._status)

    async def is_ready(self) -> bool:
        """Return whether messages can be stored. A file that is gone counts at once, the rest once a second."""
        return not self._file_gone() and await self.ready.result()

    async def current_status(self) -> str:
        """Return the status of the whole. A file that is gone counts at once, the rest once a second."""
        return HealthStatus.FAILED.value if self._file_gone() else await self.status.result()

    def _file_gone(self) -> bool:
        """Look whether the database is the file that was opened; takes microseconds, so each request may ask."""
        try:
            self._rest.store.database.check()
        except StorageUnavailable as error:
            if not self._told:
                log.error("storage.file_gone", extra={"reason": error.reason})
            self._told = True
            return True
        self._told = False
        return False

    async def _ready(self) -> bool:
        try:
            await self._rest.store.check()
        except StorageUnavailable:
            return False
        return True

    async def _status(self) -> str:
        return str(self._rest.health()["status"])


def health_probes() -> HealthProbes:
    """Give those of the current request's server."""
    found: HealthProbes = current_app.extensions["glances"]
    return found


@blueprint.get("/healthz")
async def healthz() -> tuple[dict[str, Any], int]:
    """Say that the process lives, and which of its parts are ill to who may know; 200 if it can answer at all."""
    try:
        _check_may_read_metrics()
    except (Unauthenticated, CommandRejected):
        return {"status": await health_probes().current_status()}, 200
    return web_context().health(), 200


@blueprint.get("/readyz")
async def readyz() -> tuple[dict[str, Any], int]:
    """Say whether messages can be taken: 200, or 503 while the server takes its leave or storage cannot be written."""
    if web_context().streams.draining():
        return {"status": "leaving"}, 503
    if not await health_probes().is_ready():
        return {"status": "unavailable", "storage": "unavailable"}, 503
    return {"status": "ready", "storage": "ok"}, 200


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Give the metrics in Prometheus' text format, to who has the role `metrics` or operates the server."""
    _check_may_read_metrics()
    return Response(web_context().metrics.render(), content_type=CONTENT_TYPE_LATEST)


def _check_may_read_metrics() -> None:
    """Refuse a request for figures of the whole server to those whom they do not concern.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The token has neither role (`forbidden`).
    """
    if web_context().settings.anonymous:
        return
    if METRICS not in identity().roles and not rights().server:
        raise CommandRejected("forbidden", f"That needs the role {METRICS}.")
