"""React pages in a real Chromium, of another origin than their server. Run by `test_story.py`.

`examples/react`, and the page of docs/extensions/ui.md, are built from lock files. They are reloaded in the
middle of an answer, and while a call waits for consent.

python tests/browser/react_story.py FOLDER [SCREENSHOTS]
"""

import re
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from served import NARROW, Server, current_browser, picture, site, watched

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a story is a program of its own

from tests.servers.npm import install  # noqa: E402

BUILD_S = 60
CANCELLED_S = 20
DOCUMENTED = "http://127.0.0.1:8002"
MAIN = f"""
import {{ createRoot }} from "react-dom/client";
import {{ Chat, history }} from "./chat.jsx";
const session = await fetch("{DOCUMENTED}/api/sessions", {{ method: "POST" }});
localStorage.token ??= (await session.json()).session_token;
const root = createRoot(document.body);
history("t").then((messages) => root.render(<Chat id="t" messages={{messages}} />));
"""
"""What the page of the documentation leaves to its reader."""
PAGE = '<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="main.js"></script>'
NEWEST = """async (address) => {
  const headers = { Authorization: `Bearer ${localStorage.token}` };
  const { runs } = await (await fetch(`${address}/api/runs`, { headers })).json();
  return runs[0].status;
}"""
"""The status of the user's newest run."""

AGAIN = """async (address) => {
  const headers = { Authorization: `Bearer ${localStorage.token}`, "Content-Type": "application/json" };
  const { turns } = await (await fetch(`${address}/api/threads/t/turns`, { headers })).json();
  const { id, content } = turns.at(-1).message;
  const messages = [{ id, role: "user", parts: [{ type: "text", text: content }] }];
  const body = JSON.stringify({ id: "t", trigger: "regenerate-message", messages });
  const answer = await fetch(`${address}/api/ui?agent=support`, { method: "POST", headers, body });
  await answer.text();
  return answer.status;
}"""
"""Has the last answer made anew, as `regenerate()` does, and waits for its end."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def build_example(folder: Path, address: str) -> None:
    """Build the example for this server."""
    install(ROOT / "examples" / "react", folder)
    subprocess.run(["npm", "run", "build"], cwd=folder, check=True, capture_output=True, timeout=BUILD_S)
    index = folder / "index.html"
    index.write_text(index.read_text().replace(DOCUMENTED, address))


def build_documented(folder: Path, address: str) -> None:
    """Build the page of the documentation for this server."""
    install(ROOT / "tests" / "stock_ui", folder)
    (block,) = re.findall(r"```jsx[^\n]*\n(.*?)```", (ROOT / "docs/extensions/ui.md").read_text(), re.DOTALL)
    (folder / "chat.jsx").write_text(block.replace(DOCUMENTED, address))
    (folder / "main.jsx").write_text(MAIN.replace(DOCUMENTED, address))
    command = ["npx", "esbuild", "main.jsx", "--bundle", "--jsx=automatic", "--format=esm", "--outfile=main.js"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=BUILD_S)
    (folder / "index.html").write_text(PAGE)


def play_example(page: Page, server: Server, origin: str, shots: Path | None) -> None:
    """Ask, leave and come back, decide, fill in a form, and stop a run."""
    calls, text = page.locator(".call"), page.locator(".message.assistant").last
    page.goto(origin)
    expect(page.get_by_text("How can I help you?")).to_be_visible()
    picture(page, shots, "react-welcome")
    page.get_by_role("button", name="Look up order A-17").click()
    expect(calls).to_have_attribute("data-state", "done")
    expect(text.locator("p, td, li").first).not_to_be_empty()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="northmail")).to_have_count(1)
    expect(calls).to_have_count(1)
    expect(page.locator(".message.user")).to_have_text("Look up order A-17")
    picture(page, shots, "react-answer")

    say(page, "Cancel order A-18")
    expect(page.get_by_role("button", name="Allow")).to_be_visible()
    picture(page, shots, "react-consent")
    page.reload()
    page.get_by_role("button", name="Allow").click()
    expect(calls).to_have_count(2)
    expect(calls.last).to_have_attribute("data-state", "done")
    expect(page.get_by_role("button", name="Send")).to_be_visible()

    say(page, "Deliver A-18 to another town")
    page.get_by_label("town").fill("Ulm")
    picture(page, shots, "react-form")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, "react-phone")
    page.locator(".question").get_by_role("button", name="Send").click()
    expect(text).to_contain_text("goes to Ulm")

    page.get_by_role("link", name="New chat").click()
    say(page, "Look up order A-17")
    expect(text.locator("p, td, li").first).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    deadline = time.monotonic() + CANCELLED_S
    while page.evaluate(NEWEST, server.address) != "cancelled":
        assert time.monotonic() < deadline, "the run goes on"
        page.wait_for_timeout(200)


def say(page: Page, text: str) -> None:
    """Send a message. It is typed: in Firefox Playwright's `fill` sets the value past React, which sees no change."""
    page.get_by_role("textbox", name="Message").press_sequentially(text)
    page.get_by_role("button", name="Send").click()


def play_documented(page: Page, origin: str, address: str) -> None:
    """Ask, leave and come back, have the answer made anew, and decide."""
    page.goto(origin)
    say(page, "Look up order A-17")
    expect(page.get_by_text("lookup: output-available")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.reload()
    expect(page.get_by_text("northmail")).to_have_count(1)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.get_by_text("lookup: output-available")).to_have_count(1)
    for _ in range(2):
        assert page.evaluate(AGAIN, address) == 200
    page.reload()
    expect(page.locator("article")).to_have_count(2)  # the answers before the last one are on other branches
    say(page, "Cancel order A-18")
    expect(page.get_by_role("button", name="Allow")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("tea pot: cancelled")).to_have_count(1)
    expect(page.locator("article")).to_have_count(4)


def main(folder: Path, shots: Path | None) -> None:
    """Play the story in a temporary folder."""
    problems: list[str] = []
    for name in ("example", "documented"):
        (folder / name).mkdir(parents=True)
    example_folder, documented_folder = (
        partial(Quiet, directory=str(folder / each)) for each in ("example", "documented")
    )
    with site(example_folder) as example, site(documented_folder) as documented:
        settings = {"UNDERSTUDY_MODELS_WORDS_PER_S": "2", "UNDERSTUDY_ALLOWED_ORIGINS": f"{example},{documented}"}
        server = Server(folder / "data", options=["examples.support:AGENTS"], **settings)
        try:
            build_example(folder / "example", server.address)
            build_documented(folder / "documented", server.address)
            with current_browser() as browser:
                play_example(watched(browser.new_page(), problems), server, example, shots)
                play_documented(watched(browser.new_page(), problems), documented, server.address)
            assert not problems, problems
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
