"""`/`, `/observer` and `/page/…`: the pages, plain files that a browser may keep but asks about each time."""

import functools
import hashlib
from importlib import resources
from typing import Final

from quart import Blueprint, Response, request

from transport.wire.errors import CommandRejected

blueprint = Blueprint("page", __name__)

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@blueprint.get("/")
async def index() -> Response:
    """Give the chat page."""
    return await _serve("index.html")


@blueprint.get("/favicon.ico")
async def favicon() -> Response:
    """Give the page's icon to browsers that ask without being told to."""
    return await _serve("icon.svg")


@blueprint.get("/observer")
async def observer() -> Response:
    """Give the page that shows operators the live supervision tree."""
    return await _serve("observer/index.html")


@blueprint.get("/page/observer/<name>")
async def observer_asset(name: str) -> Response:
    """Give one file of the operators' page."""
    return await _serve(f"observer/{name}")


@blueprint.get("/page/<name>")
async def asset(name: str) -> Response:
    """Give one file of the page."""
    return await _serve(name)


async def _serve(name: str) -> Response:
    if name not in _files():
        raise CommandRejected("not_found", "There is no such file.")
    body, tag, content_type = _files()[name]
    answer = Response(body, content_type=content_type)
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = "no-cache"
    await answer.make_conditional(request)
    return answer


@functools.cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Read all files of the page once; a name that is not among them cannot be asked for."""
    found = {}
    page = resources.files("understudy").joinpath("page")
    for folder, prefix in ((page, ""), (page.joinpath("observer"), "observer/")):
        for file in folder.iterdir():
            ending = file.name.rpartition(".")[2]
            if file.is_file() and ending in TYPES:
                body = file.read_bytes()
                found[prefix + file.name] = (body, hashlib.sha256(body).hexdigest()[:16], TYPES[ending])
    return found
