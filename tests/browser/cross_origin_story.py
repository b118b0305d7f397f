"""Pages of an allowed and of a foreign origin in a real Chromium. Run by `test_story.py`.

python tests/browser/cross_origin_story.py FOLDER
"""

import re
import signal
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect
from served import Server, current_browser, site, watched

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial" / "chat-in-your-page.md"


class Elsewhere(BaseHTTPRequestHandler):
    """A server of another origin with an empty page; `/isolated` is cross-origin isolated, `/chat` the tutorial's."""

    chat = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.path == "/isolated":
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        page = self.chat if self.path == "/chat" else "<!doctype html><title>elsewhere</title>"
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


CLIENT = """async (address) => {
  const { Client } = await import(`${address}/page/client.js`);
  const { visible } = await import(`${address}/page/branches.js`);
  const client = new Client({ url: `${address.replace("http", "ws")}/api/ws/agent` });
  const answered = new Promise((resolve) => {
    client.on("change", ({ state }) => {
      const last = visible(state).at(-1);
      if (last?.final) resolve(last.final.message);
    });
  });
  client.start();
  await client.switchAgent("guide");
  client.say("What is 15% of 80?");
  const answer = await answered;
  client.stop();
  return answer;
}"""

FETCH = """async (address) => {
  const session = await (await fetch(`${address}/api/sessions`, { method: "POST" })).json();
  const headers = { Authorization: `Bearer ${session.session_token}` };
  const agents = await (await fetch(`${address}/api/agents`, { headers })).json();
  const refused = await fetch(`${address}/api/threads/none`, { headers });
  const form = new FormData();
  form.append("file", new Blob(["a,b\\n1,2\\n"], { type: "text/csv" }), "small.csv");
  const file = await (await fetch(`${address}/api/files`, { method: "POST", headers, body: form })).json();
  const download = await fetch(`${address}/api/files/${file.id}`, { headers });
  const input = {
    threadId: "t", runId: "r", messages: [{ id: "m", role: "user", content: "What is 6 * 7?" }], tools: [], context: [],
  };
  const run = await fetch(`${address}/api/agui`, {
    method: "POST", headers: { ...headers, "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(input),
  });
  const events = (await run.text()).split("\\n\\n").filter((each) => each.startsWith("data: "));
  const first = await new Promise((resolve, reject) => {
    const stream = new EventSource(`${address}/api/threads/t/stream?session_token=${session.session_token}`);
    stream.onerror = () => reject(new Error("the stream was refused"));
    stream.addEventListener("message_accepted", ({ data }) => { stream.close(); resolve(JSON.parse(data)); });
  });
  const renamed = await fetch(`${address}/api/threads/t`, {
    method: "PATCH", headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Sums" }),
  });
  return {
    agents: agents.agents.length, refused: (await refused.json()).error.code,
    download: download.headers.get("Content-Disposition"), last: JSON.parse(events.at(-1).slice(6)).type,
    first: first.data.content, renamed: renamed.status,
  };
}"""

ATTEMPTS = {
    "fetch": "(address) => fetch(`${address}/healthz`).then(() => 'read', () => 'refused')",
    "preflight": "(address) => fetch(`${address}/api/agents`, { headers: { Authorization: 'x' } })"
    ".then(() => 'read', () => 'refused')",
    "import": "(address) => import(`${address}/page/client.js`).then(() => 'read', () => 'refused')",
    "with credentials": "(address) => fetch(`${address}/healthz`, { credentials: 'include' })"
    ".then(() => 'read', () => 'refused')",
}


def play(browser: Browser, server: Server, allowed: str, other: str) -> None:
    """Check the requests of the allowed page and of the foreign one."""
    problems: list[str] = []
    page = watched(browser.new_page(), problems)
    page.goto(allowed)
    assert page.evaluate(CLIENT, server.address) == "15% of 80 = 12"
    answer = page.evaluate(FETCH, server.address)
    assert answer["agents"] > 1
    assert answer["refused"] == "not_found", "a refusal can be read"
    assert "small.csv" in answer["download"], "and so can a header that is of use"
    assert (answer["last"], answer["first"], answer["renamed"]) == ("RUN_FINISHED", "What is 6 * 7?", 200)
    page.goto(f"{allowed}/isolated")
    assert page.evaluate(CLIENT, server.address) == "15% of 80 = 12"
    _chat(page, server, allowed)
    assert not problems, problems
    page = browser.new_page()  # not watched: Firefox reports refused requests as errors of the page
    page.goto(allowed)
    assert attempts(page, server) == dict.fromkeys(ATTEMPTS, "read") | {"with credentials": "refused"}
    page.goto(other)
    assert attempts(page, server) == dict.fromkeys(ATTEMPTS, "refused")


def _chat(page: Page, server: Server, allowed: str) -> None:
    """The page of the tutorial shows a step and an answer, and has its thread again after a reload."""
    host = server.address.removeprefix("http://")
    text = TUTORIAL.read_text().replace("127.0.0.1:8002", host)
    block = re.search(r"```html[^\n]*\n(.*?)```", text, re.DOTALL)
    assert block is not None
    Elsewhere.chat = block[1]
    page.goto(f"{allowed}/chat")
    box = page.get_by_role("textbox", name="Message")
    box.fill("What is 15% of 80? Use your calculator.")
    page.keyboard.press("Enter")
    last = page.locator("article").last
    expect(last.locator(".step")).to_have_text(re.compile("calculate: ok", re.IGNORECASE))
    expect(last.locator(".answer")).to_contain_text("12")
    page.reload()
    expect(last.locator(".answer")).to_contain_text("12")
    expect(page.get_by_role("status")).to_have_text("")


def attempts(page: Page, server: Server) -> dict[str, str]:
    """Return the outcome of each request."""
    return {name: page.evaluate(attempt, server.address) for name, attempt in ATTEMPTS.items()}


def main(folder: str) -> None:
    """Play the story in a temporary folder."""
    with site(Elsewhere) as allowed, site(Elsewhere) as other:
        server = Server(Path(folder) / "data", UNDERSTUDY_MODELS_WORDS_PER_S="500", UNDERSTUDY_ALLOWED_ORIGINS=allowed)
        try:
            with current_browser() as browser:
                play(browser, server, allowed, other)
        finally:
            server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
