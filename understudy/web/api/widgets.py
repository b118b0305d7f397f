"""`/widgets/frame`: the empty document in which the page shows an app of an MCP server, at an origin of its own.

1. It is answered at the host of `widgets_origin` only, and no other request is answered there: the page and its API
   are at another origin, which a widget cannot read.
2. Its policy gives it an opaque origin and no network: it has what the page sends it, and can only send messages back.
   The page's own policy keeps it from leaving for another address.
3. It holds nothing of anybody. The page reads an app for its user (`/api/threads/{id}/widget`) and sends it here.
"""

from typing import Final
from urllib.parse import urlsplit

from quart import Blueprint, Response, request

from transport.wire.errors import CommandRejected
from understudy.web.context import web_context

blueprint = Blueprint("widgets", __name__)

PATH: Final = "/widgets/frame"
NO_DEVICES: Final = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), microphone=(), midi=(), "
    "payment=(), usb=(), browsing-topics=()"
)
"""The `Permissions-Policy` of a document that may use no device, of a widget and of the page."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Permissions-Policy": NO_DEVICES,
}
FRAME: Final = """<!doctype html>
<meta charset="utf-8">
<title>Widget</title>
<script>
addEventListener("message", function take(event) {
  const said = event.data;
  if (event.source !== parent || said?.method !== "ui/notifications/sandbox-resource-ready") return;
  removeEventListener("message", take);
  document.open();
  document.write(said.params.html);
  document.close();
});
parent.postMessage({ jsonrpc: "2.0", method: "ui/notifications/sandbox-proxy-ready", params: {} }, "*");
</script>
"""


@blueprint.get(PATH)
async def frame() -> Response:
    """Return the document, which shows the first app that its parent sends it."""
    if not web_context().settings.widgets_origin:
        raise CommandRejected("not_found", "This server shows no widgets.")
    answer = Response(FRAME, content_type="text/html; charset=utf-8")
    answer.headers.update(HEADERS)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


async def keep_origins_apart() -> None:
    """Refuse every other path at the origin of widgets, and the frame at every other origin."""
    origin = web_context().settings.widgets_origin
    if origin and (request.host == urlsplit(origin).netloc) != (request.path == PATH):
        raise CommandRejected("not_found", "There is nothing here.")
