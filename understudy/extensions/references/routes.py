"""`/openapi.json` and `/asyncapi.json`: machine-readable descriptions of this server's interfaces."""

import functools
from importlib.metadata import version
from typing import Any

import msgspec
from quart import Response, current_app, request

from understudy.content.texts import run_off_loop
from understudy.storage.limits import Limits
from understudy.web.context import web_context
from understudy.web.routes import HttpRoute, JsonObject, Routes, routes_of

blueprint = Routes("references", __name__)


@blueprint.get("/openapi.json", token=False, answer=JsonObject)
async def openapi_json() -> Response:
    """Return the OpenAPI document of these routes."""
    return await _served(await run_off_loop(_openapi, routes_of(current_app)))


@blueprint.get("/asyncapi.json", token=False, answer=JsonObject)
async def asyncapi_json() -> Response:
    """Return the AsyncAPI document of the sockets and event streams."""
    document = await run_off_loop(_asyncapi, web_context().settings.limits)
    servers = {name: server | {"host": request.host} for name, server in document["servers"].items()}
    return await _served(document | {"servers": servers})


@functools.lru_cache(maxsize=8)
def _asyncapi(limits: Limits) -> dict[str, Any]:
    from understudy.extensions.references.asyncapi import asyncapi

    return asyncapi(version("understudy-server"), limits)


def _openapi(routes: list[HttpRoute]) -> dict[str, Any]:
    from understudy.extensions.references.openapi import openapi

    return openapi(version("understudy-server"), routes, "/")


async def _served(document: dict[str, Any]) -> Response:
    body = await run_off_loop(msgspec.json.encode, document)
    return Response(body, content_type="application/json", headers={"Cache-Control": "no-cache"})
