"""`/healthz`, `/readyz`, `/metrics`: for whoever keeps the server running."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from quart import Blueprint, Response

from understudy.rest.parts import parts
from understudy.storage.errors import StorageUnavailable

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
async def healthz() -> tuple[dict[str, Any], int]:
    """Say that the process lives and which of its parts are restarting; 200 as long as it can answer at all."""
    return parts().health(), 200


@blueprint.get("/readyz")
async def readyz() -> tuple[dict[str, Any], int]:
    """Say whether messages can be taken: 200, or 503 while the server takes its leave or storage cannot be written."""
    if parts().streams.closing():
        return {"status": "leaving"}, 503
    try:
        await parts().store.check()
    except StorageUnavailable:
        return {"status": "unavailable", "storage": "unavailable"}, 503
    return {"status": "ready", "storage": "ok"}, 200


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Give the metrics in Prometheus' text format."""
    return Response(parts().metrics.render(), content_type=CONTENT_TYPE_LATEST)
