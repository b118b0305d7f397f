"""An MCP server of the stock SDK, over stdio, with a tool that has a user interface of its own (MCP Apps)."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations

URI = "ui://dice/board"
COUNT: list[int] = []
HTML = """<!doctype html><p id="said">waiting</p><p id="heard"></p>
<button id="link">Rules</button><button id="leave">Leave</button>
<button id="bet">Bet</button><button id="tell">Tell</button>
<script>
const say = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const waiting = new Map();
const ask = (method, params, id = `q${waiting.size}`) => new Promise((resolve) => {
  waiting.set(id, resolve);
  say({ id, method, params });
});
const call = (name, parameters = {}) => ask("tools/call", { name, arguments: parameters });
const tries = {}, changes = [], notes = [];
let context = {};
for (const [name, act] of Object.entries({
  page: () => parent.document.title, storage: () => localStorage.length, cookie: () => document.cookie,
})) try { tries[name] = String(act()); } catch (fault) { tries[name] = fault.name; }
addEventListener("message", ({ data }) => {
  waiting.get(data.id)?.(data.result ?? { error: data.error });
  if (data.method) notes.push(data.method);
  if (data.method === "ui/notifications/host-context-changed") changes.push(data.params);
  if (data.method === "ui/notifications/tool-input") tries.input = data.params.arguments;
  if (data.method !== "ui/notifications/tool-result") return;
  tries.result = data.params.content[0].text;
  tries.structured = data.params.structuredContent;
  fetch("https://example.org/").catch(() => { tries.net = "refused"; }).finally(() => {
    document.getElementById("said").textContent = JSON.stringify({ ...tries, origin: self.origin });
  });
});
const url = "https://example.org/rules";
const on = (id, act) => { document.getElementById(id).onclick = async () => {
  document.getElementById("heard").textContent = JSON.stringify(await act());
}; };
on("link", () => ask("ui/open-link", { url }));
on("bet", () => call("bet", { stake: 5, name: "ada" }));
on("tell", () => ask("ui/message", { role: "user", content: { type: "text", text: "Roll once more" } }));
document.getElementById("leave").onclick = () => { location.href = "https://example.org/?stolen"; };
const appInfo = { name: "dice", version: "1" };
ask("ui/initialize", { appInfo, appCapabilities: {}, protocolVersion: "2026-01-26" }).then((greeting) => {
  context = greeting.hostContext;
  tries.offers = Object.keys(greeting.hostCapabilities);
  say({ method: "ui/notifications/initialized", params: {} });
  say({ method: "ui/notifications/size-changed", params: { width: 300, height: 321 } });
});
</script>"""

server = MCPServer("dice", version="1.0")


@server.tool(annotations=ToolAnnotations(read_only_hint=True), meta={"ui": {"resourceUri": URI}})
def roll() -> str:
    """Roll a die."""
    return "four"


@server.tool()
def bet(stake: int, name: str = "") -> dict[str, object]:
    """Bet on a die, which is not undone."""
    return {"staked": stake, "for": name}


@server.tool(annotations=ToolAnnotations(read_only_hint=True), meta={"ui": {"visibility": ["app"]}})
def tally(more: int = 1) -> dict[str, int]:
    """Count up, for the board alone."""
    COUNT.append(more)
    return {"count": sum(COUNT)}


@server.tool(annotations=ToolAnnotations(read_only_hint=True), meta={"ui": {"visibility": ["app"]}})
def host(ctx: Context) -> dict[str, Any]:
    """Return what the host says of user interfaces."""
    params = ctx.session.client_params
    return (params.capabilities.extensions if params else None) or {}


@server.tool(annotations=ToolAnnotations(read_only_hint=True), meta={"ui": {"visibility": ["model"]}})
def peek() -> str:
    """Look at the die, which the board may not."""
    return "six"


@server.resource(URI, mime_type="text/html;profile=mcp-app")
def board() -> Any:
    """The board."""
    return HTML


if __name__ == "__main__":
    server.run()
