"""`/`, `/observer` and `/page/…`: the pages as plain files. Browsers may cache them, and revalidate on each use."""

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
    """Return the chat page."""
    return await _serve("index.html")


@blueprint.get("/favicon.ico")
async def favicon() -> Response:
    """Return the page's icon, which browsers request unasked."""
    return await _serve("icon.svg")


@blueprint.get("/observer")
async def observer() -> Response:
    """Return the page with the live supervision tree, for operators."""
    return await _serve("observer/index.html")


@blueprint.get("/page/<path:name>")
async def asset(name: str) -> Response:
    """Return one file of the pages."""
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
    """Read all files of the pages once. No other path is served."""
    found = {}
    folders = [(resources.files("understudy").joinpath("page"), "")]
    while folders:
        folder, prefix = folders.pop()
        for file in folder.iterdir():
            name, ending = prefix + file.name, file.name.rpartition(".")[2]
            if file.is_dir():
                folders.append((file, f"{name}/"))
            elif ending in TYPES:
                body = file.read_bytes()
                found[name] = (body, hashlib.sha256(body).hexdigest()[:16], TYPES[ending])
    return found
