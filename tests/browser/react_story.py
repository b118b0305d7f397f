"""The React example in a real Chromium, served from another origin than its agents'. Run by `test_story.py`.

It is built from its lock file. A page is reloaded in the middle of an answer, and while a call waits for consent.

python tests/browser/react_story.py FOLDER [SCREENSHOTS]
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Page, ViewportSize, expect
from served import Server, chromium, picture, watched

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a story is a program of its own

from tests.servers.npm import install  # noqa: E402

BUILD_S = 60
CANCELLED_S = 20
NARROW: ViewportSize = {"width": 360, "height": 740}
NEWEST = """async (address) => {
  const headers = { Authorization: `Bearer ${localStorage.token}` };
  const { runs } = await (await fetch(`${address}/api/runs`, { headers })).json();
  return runs[0].status;
}"""
"""The status of the user's newest run."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def built(folder: Path) -> Iterator[tuple[str, Path]]:
    """Build the example and serve it. Yield its origin and the folder."""
    install(ROOT / "examples" / "react", folder)
    subprocess.run(["npm", "run", "build"], cwd=folder, check=True, capture_output=True, timeout=BUILD_S)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", folder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def play(page: Page, server: Server, origin: str, shots: Path | None) -> None:
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

    say(page, "Deliver A-17 to another town")
    page.get_by_label("town").fill("Ulm")
    picture(page, shots, "react-form")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, "react-phone")
    page.locator(".question").get_by_role("button", name="Send").click()
    expect(text).to_contain_text("goes to Ulm")

    page.get_by_role("link", name="New chat").click()
    say(page, "Look up order A-18")
    expect(text.locator("p, td, li").first).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    deadline = time.monotonic() + CANCELLED_S
    while page.evaluate(NEWEST, server.address) != "cancelled":
        assert time.monotonic() < deadline, "the run goes on"
        page.wait_for_timeout(200)


def say(page: Page, text: str) -> None:
    """Send a message."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def main(folder: Path, shots: Path | None) -> None:
    """Play the story in a temporary folder."""
    problems: list[str] = []
    with built(folder / "page") as (origin, page_folder):
        often = {"UNDERSTUDY_WORDS_PER_S": "2.5", "UNDERSTUDY_ALLOWED_ORIGINS": origin}
        server = Server(folder / "data", options=["examples.support:AGENTS"], **often)
        try:
            index = page_folder / "index.html"
            index.write_text(index.read_text().replace("http://127.0.0.1:8002", server.address))
            with chromium() as browser:
                play(watched(browser.new_page(), problems), server, origin, shots)
            assert not problems, problems
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
