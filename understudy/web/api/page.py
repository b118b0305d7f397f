"""`/`, `/admin`, `/embed`, `/join`, `/observer`, `/worker.js`, `/chart-worker.js`, `/page/…`: the pages as files,
compressed, with caching."""

from typing import Final

from quart import Response, current_app, request

from transport.auth.identity import ascii_origin
from transport.wire.errors import CommandRejected, OriginRefused
from understudy.web.context import web_context
from understudy.web.page_files import CODINGS, ICON, REFUSED_WIDGET, WIDGET, PageFile, PageFiles
from understudy.web.refusals import as_refusal
from understudy.web.routes import Routes

WORKER_POLICY: Final = "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
"""The policy of the service worker, which loads its own parts: the page's trusted types would not let it."""

DIAGRAM: Final = "lib/diagram.html"
DRAWING_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)
"""The policy of the document that draws diagrams: it has an opaque origin, and loads nothing from the network."""

CHART_WORKER: Final = "lib/chart_worker.js"
CHART_POLICY: Final = "default-src 'none'"
"""The policy of the worker that draws charts: it runs its own script, and loads nothing from the network."""

UNFRAMED: Final = "frame-ancestors 'none'"
"""The part of the pages' policy that `/embed` replaces."""

blueprint: Final = Routes("page", __name__)


@blueprint.get("/", media="text/html", token=False, errors=("not_found",))
async def index() -> Response:
    """Return the chat page."""
    return await page_of("index.html")


@blueprint.get("/favicon.ico", media="image/svg+xml", token=False, errors=("not_found",))
async def favicon() -> Response:
    """Return the page's icon."""
    return await _serve((await _files()).files[ICON])


@blueprint.get("/observer", media="text/html", token=False, errors=("not_found",))
async def observer() -> Response:
    """Return the page with the live supervision tree, for operators."""
    return await page_of("observer.html")


@blueprint.get("/admin", media="text/html", token=False, errors=("not_found",))
async def admin() -> Response:
    """Return the page with which operators administer the server."""
    return await page_of("admin.html")


@blueprint.get("/embed", media="text/html", token=False, errors=("not_found",))
async def embed() -> Response:
    """Return the chat for a frame in a page of an allowed origin.

    A page that is isolated from other origins (COEP `require-corp`) may frame it too.
    """
    answer = await page_of("embed.html")
    policy = current_app.extensions["page_headers"]["Content-Security-Policy"]
    answer.headers["Content-Security-Policy"] = policy.replace(UNFRAMED, f"frame-ancestors {_frame_origins()}")
    answer.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@blueprint.errorhandler(OriginRefused)
async def refuse_origin(error: OriginRefused) -> Response:
    """Refuse a page whose origin is not allowed. In place of the widget it gets a script that says why.

    Every page may run this script: without it the page's developer would see only a general message of the browser.
    """
    if request.path != f"/page/{WIDGET}":
        return await as_refusal(error)
    answer = await _serve((await _files()).files[REFUSED_WIDGET])
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@blueprint.get("/diagram", media="text/html", token=False, errors=("not_found",))
async def diagram() -> Response:
    """Return the document that draws the diagrams of answers."""
    answer = await _library(DIAGRAM, f"{DRAWING_POLICY}; frame-ancestors {_frame_origins()}")
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@blueprint.get("/chart-worker.js", media="text/javascript", token=False, errors=("not_found",))
async def chart_worker() -> Response:
    """Return the script of the worker that draws charts."""
    return await _library(CHART_WORKER, CHART_POLICY)


async def _library(name: str, policy: str) -> Response:
    """Answer with a library that runs outside the page; a page that is isolated from other origins may use it, too."""
    file = (await _files()).files.get(name)
    if file is None:
        raise CommandRejected("not_found", "This server has no libraries for its page.")
    answer = await _serve(file)
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    return answer


def _frame_origins() -> str:
    """Return the origins whose pages may frame pages of this server, as a list in a policy."""
    return " ".join(["'self'", *map(ascii_origin, web_context().settings.allowed_origins)])


@blueprint.get("/join", media="text/html", token=False, errors=("not_found",))
async def join() -> Response:
    """Return the page on which a user sets a first password."""
    return await page_of("join.html")


@blueprint.get("/worker.js", media="text/javascript", token=False, errors=("not_found",))
async def worker() -> Response:
    """Return the chat page's service worker."""
    _, file = await current_app.extensions["pages"].read()
    answer = await _serve(file)
    answer.headers["Content-Security-Policy"] = WORKER_POLICY
    return answer


@blueprint.get("/page/<path:name>", media="*/*", token=False, errors=("not_found",))
async def asset(name: str) -> Response:
    """Return one file of the pages."""
    file = (await _files()).files.get(name)
    if file is None:
        raise CommandRejected("not_found", "There is no such file.")
    return await _serve(file)


async def page_of(name: str) -> Response:
    """Answer with a page, by its name in `PageFiles.page`."""
    return await _serve((await _files()).page(name))


async def _serve(file: PageFile) -> Response:
    """Answer with the file in the best form that the client accepts; 304 if the client has that form already."""
    body, tag, coding = file.body, file.tag, None
    for candidate in CODINGS:
        form = file.forms.get(candidate) if request.accept_encodings.quality(candidate) > 0 else None
        if form is not None:
            body, tag, coding = form, f"{file.tag}-{candidate}", candidate
            break
    answer = Response(body, content_type=file.content_type)
    if coding is not None:
        answer.headers["Content-Encoding"] = coding
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = file.cache_control
    answer.set_etag(tag)  # each form has its own: RFC 9110 section 8.8.3
    await answer.make_conditional(request)
    return answer


async def _files() -> PageFiles:
    """Return all files of the pages. Only these are served below `/page/`."""
    files: PageFiles
    files, _ = await current_app.extensions["pages"].read()
    return files
