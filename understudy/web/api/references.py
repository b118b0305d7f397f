"""`/openapi.json` and `/asyncapi.json`: machine-readable descriptions of this server's interfaces."""

import functools
import inspect
from importlib.metadata import version
from typing import Any, Final

import msgspec
from quart import Blueprint, Quart, Response, current_app, request

from transport.connection.limits import Limits
from understudy.content.texts import run_off_loop
from understudy.web.context import web_context
from understudy.web.specs.asyncapi import asyncapi
from understudy.web.specs.openapi import AppRoute, openapi

blueprint = Blueprint("references", __name__)

BY_ITSELF: Final = frozenset({"HEAD", "OPTIONS"})
"""Methods that quart answers for every route."""


@blueprint.get("/openapi.json")
async def openapi_json() -> Response:
    """Return the OpenAPI document of these routes."""
    return await _served(openapi(version("understudy"), routes_of(current_app), "/"))


@blueprint.get("/asyncapi.json")
async def asyncapi_json() -> Response:
    """Return the AsyncAPI document of the sockets and event streams."""
    document = await run_off_loop(_asyncapi, web_context().settings.limits)
    servers = {name: server | {"host": request.host} for name, server in document["servers"].items()}
    return await _served(document | {"servers": servers})


def routes_of(app: Quart) -> list[AppRoute]:
    """List every route of an application with the first line of its view's docstring."""
    found = []
    for rule in app.url_map.iter_rules():
        summary = (inspect.getdoc(app.view_functions[rule.endpoint]) or "").partition("\n")[0]
        methods = sorted((rule.methods or set()) - BY_ITSELF)
        found += [AppRoute(method, rule.rule, rule.endpoint, summary) for method in methods]
    return found


@functools.lru_cache(maxsize=8)
def _asyncapi(limits: Limits) -> dict[str, Any]:
    return asyncapi(version("understudy"), limits)


async def _served(document: dict[str, Any]) -> Response:
    body = await run_off_loop(msgspec.json.encode, document)
    return Response(body, content_type="application/json", headers={"Cache-Control": "no-cache"})
