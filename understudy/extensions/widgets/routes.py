"""User interfaces of MCP servers' tools (MCP Apps): the frame that shows one, its HTML, and the calls that it asks for.

`/widgets/frame` is an empty document at an origin of its own, in which the page shows an app of an MCP server.

1. The frame is served at the host of the setting `origin` only, and no other path is served there: the page and its API
   are at another origin, which a widget cannot read.
2. The frame's policy gives it an opaque origin and no network: it has only the data that the page sends it, and can
   only send messages back. The page's own policy keeps it from navigating to another address.
3. The frame contains no user's data. The page reads an app for its user (`/api/threads/{id}/widget`), and sends it.
4. An app can call only tools of its own server, and only those that the server lets apps call. A call is a message of
   its thread, with a run: consent, events, limits and recovery are those of an agent's call.
"""

from typing import Any, Final, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from msgspec import Struct
from quart import Response, request
from quart.blueprints import BlueprintSetupState

from transport.wire.errors import CommandRejected
from understudy.chat.messages import WidgetCall
from understudy.chat.routing import check_id
from understudy.chat.run_settings import WIDGET_SETTING
from understudy.extensions.mcp.definitions import WIDGET_TYPE, Definition
from understudy.extensions.mcp.errors import SignedOut
from understudy.extensions.mcp.link import McpLink
from understudy.extensions.mcp.routes import links_of_caller, off_in
from understudy.extensions.widgets.settings import WidgetSettings
from understudy.storage import queries
from understudy.storage.records import WIDGET, StepRecord
from understudy.tools.errors import ToolError
from understudy.web.api.commands import COMMAND_ERRORS
from understudy.web.application import NO_DEVICES
from understudy.web.context import agents_of_caller, identity, read_json, web_context
from understudy.web.routes import OF_ONE, JsonObject, Routes

blueprint = Routes("widgets", __name__)

PATH: Final = "/widgets/frame"
HTML_CHARACTERS: Final = 1024 * 1024
"""Limit of characters of the HTML of an app; a larger one is not shown."""
CALL_BYTES: Final = 64 * 1024
"""Limit of bytes of a body with a call. The arguments become the `context` of a message, which has the same limit."""
CALL_FORM: Final = '{"call_id": "…", "name": "…", "arguments": {}, "request_id": "…"}'
HEADERS: Final = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
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


@frozen
class CallRequest:
    """The body of a call by an app: `call_id` is the call that the app belongs to, `name` the server's name of the tool
    to call, `request_id` the client's id for the request."""

    call_id: str
    name: str
    request_id: str
    arguments: dict[str, Any] = field(factory=dict)


class Widget(Struct):
    """The app of a tool call: its HTML, the address of its frame, and the call as it is stored."""

    html: str
    frame: str
    tool: JsonObject
    arguments: JsonObject
    result: Any


@frozen
class ShownApp:
    """The app of a tool call: its server's link, its tool, its step, and the caller's agents that have the server."""

    link: McpLink
    definition: Definition
    step: StepRecord
    agents: list[str]


@blueprint.get("/api/threads/<thread_id>/widget", query={"call_id": str}, errors=(*OF_ONE, "forbidden", "busy"))
async def widget(thread_id: str) -> Widget:
    """Return the app of a tool call (`call_id`) as HTML, the address of its frame, and the stored call."""
    app = await _shown(thread_id, request.args.get("call_id", ""))
    link, uri = app.link, app.definition.widget
    try:
        blocks = await link.ask(lambda connection: connection.read(uri))
    except ToolError as error:
        raise CommandRejected("busy", error.message) from error
    except SignedOut as error:
        raise CommandRejected("forbidden", f"You are not signed in at {link.name}.") from error
    resource = blocks[0]["resource"] if blocks else {}
    html, kind = resource.get("text"), str(resource.get("mimeType", "")).replace(" ", "")
    if not isinstance(html, str) or kind != WIDGET_TYPE or len(html) > HTML_CHARACTERS:
        raise CommandRejected("not_found", "The widget is none, or too large.")
    definition = app.definition
    tool = {"name": definition.remote, "description": definition.description, "inputSchema": definition.parameters}
    frame, arguments = f"{_origin()}{PATH}", app.step.arguments or {}
    return Widget(html, frame, tool, arguments, app.step.result["value"])


@blueprint.post(
    "/api/threads/<thread_id>/widget/calls", status=202, body=CallRequest, errors=(*COMMAND_ERRORS, "forbidden")
)
async def call(thread_id: str) -> dict[Literal["message_id", "run_id"], str]:
    """Call a tool for the app of a tool call; its outcome is in the events of the run."""
    caller = identity()
    body = await read_json(CallRequest, CALL_FORM, CALL_BYTES)
    check_id("request_id", body.request_id)
    app = await _shown(thread_id, body.call_id)
    thread = await web_context().store.thread(caller.user, thread_id)
    if thread is not None and thread.archived:
        raise CommandRejected("forbidden", "This chat is archived; take it back to use its widgets.")
    names = [tool.name for tool in app.link.offer.tools.values() if tool.remote == body.name and tool.for_widgets]
    if not names:
        raise CommandRejected("not_found", f"{app.link.name} has no tool of that name for its widgets.")
    usable, of_run = agents_of_caller(), app.step.result.get("agent")
    agent = usable[of_run if of_run in app.agents else app.agents[0]]
    accepted = await web_context().chat.accept(
        caller,
        WidgetCall(
            f"Call {names[0]}.",
            thread_id,
            f"{WIDGET}{body.request_id}",
            agent_type=agent.agent_type,
            pillar=agent.pillar,
            context=body.arguments,
            settings={"tool": names[0], WIDGET_SETTING: {"server": app.link.name, "call_id": body.call_id}},
        ),
    )
    return {"message_id": accepted.message_id, "run_id": accepted.run_id}


async def _shown(thread_id: str, call_id: str) -> ShownApp:
    """Return the app of a call of the caller.

    Raises:
        CommandRejected: There is no such call in this thread of the caller, its tool has no app, the MCP server is off
            in the thread, or this server shows no apps (`not_found`).
    """
    off = await off_in(thread_id)
    row = await web_context().store.read(queries.step_of_call, call_id) if call_id else None
    if _origin() and row is not None:
        step, run = row
        owned = (run.owner, run.thread_id) == (identity().user, thread_id) and step.status == "ok"
        links = [link for name, link in links_of_caller().items() if owned and name not in off]
        apps = [
            ShownApp(link, definition, step, agents)
            for link, agents in links
            if (definition := link.offer.tools.get(step.name)) is not None and definition.widget
        ]
        if len(apps) == 1:  # tools of two servers may have the same name; then the call's server is not known
            return apps[0]
    raise CommandRejected("not_found", "There is no such widget, or this server shows none.")


@blueprint.get(PATH, media="text/html", token=False, errors=("not_found",))
async def frame() -> Response:
    """Return the document, which shows the first app that its parent sends it."""
    if not _origin():
        raise CommandRejected("not_found", "This server shows no widgets.")
    answer = Response(FRAME, content_type="text/html; charset=utf-8")
    answer.headers.update(HEADERS)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def _origin() -> str:
    return web_context().settings.of(WidgetSettings).origin


@blueprint.before_app_request
async def keep_origins_apart() -> None:
    """Refuse every other path at the origin of widgets, and the frame at every other origin."""
    if (origin := _origin()) and (request.host == urlsplit(origin).netloc) != (request.path == PATH):
        raise CommandRejected("not_found", "There is nothing here.")


@blueprint.record
def let_page_frame(state: BlueprintSetupState) -> None:
    """Let the page embed frames from the origin of widgets, by its Content-Security-Policy."""
    headers, settings = state.app.extensions["page_headers"], state.app.extensions["context"].settings
    headers["Content-Security-Policy"] = (
        f"{headers['Content-Security-Policy']} {settings.of(WidgetSettings).origin}".rstrip()
    )
