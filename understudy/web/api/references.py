"""`/openapi.json` and `/asyncapi.json`: machine-readable descriptions of this server's interfaces."""

import functools
import inspect
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
from quart import Blueprint, Quart, Response, current_app, request

from transport.connection.limits import Limits
from understudy.content.texts import run_off_loop
from understudy.web.context import web_context

if TYPE_CHECKING:
    from understudy.web.specs.openapi import AppRoute

blueprint = Blueprint("references", __name__)

BY_ITSELF: Final = frozenset({"HEAD", "OPTIONS"})
"""Methods that quart answers for every route."""


@blueprint.get("/openapi.json")
async def openapi_json() -> Response:
    """Return the OpenAPI document of these routes."""
    return await _served(await run_off_loop(_openapi, routes_of(current_app)))


@blueprint.get("/asyncapi.json")
async def asyncapi_json() -> Response:
    """Return the AsyncAPI document of the sockets and event streams."""
    document = await run_off_loop(_asyncapi, web_context().settings.limits)
    servers = {name: server | {"host": request.host} for name, server in document["servers"].items()}
    return await _served(document | {"servers": servers})


def routes_of(app: Quart) -> "list[AppRoute]":
    """List every route of an application with the first paragraph of its view's docstring."""
    from understudy.web.specs.openapi import AppRoute

    found = []
    for rule in app.url_map.iter_rules():
        summary = " ".join((inspect.getdoc(app.view_functions[rule.endpoint]) or "").partition("\n\n")[0].split())
        methods = sorted((rule.methods or set()) - BY_ITSELF)
        found += [AppRoute(method, rule.rule, rule.endpoint, summary) for method in methods]
    return found


@functools.lru_cache(maxsize=8)
def _asyncapi(limits: Limits) -> dict[str, Any]:
    from understudy.web.specs.asyncapi import asyncapi

    return asyncapi(version("understudy-server"), limits)


def _openapi(routes: "list[AppRoute]") -> dict[str, Any]:
    from understudy.web.specs.openapi import openapi

    return openapi(version("understudy-server"), routes, "/")


async def _served(document: dict[str, Any]) -> Response:
    body = await run_off_loop(msgspec.json.encode, document)
    return Response(body, content_type="application/json", headers={"Cache-Control": "no-cache"})
