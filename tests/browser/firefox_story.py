"""The first things that anybody does, in Firefox. Run by `test_story.py` in its own process.

python tests/browser/firefox_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from served import Server, firefox, picture, watched


def play(page: Page, server: Server, shots: Path | None) -> None:
    """Ask, reload, find the answer again; without the network the page says so, and comes back."""
    problems: list[str] = []
    watched(page, problems)
    page.goto(server.address)
    expect(page.get_by_text("Online")).to_be_visible()
    page.get_by_role("textbox", name=re.compile("message", re.IGNORECASE)).fill("What is 6 * 7?")
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    page.reload()
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("Offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Online")).to_be_visible()
    assert not problems, problems
    picture(page, shots, "firefox")  # last: Playwright's own style for it is refused by the policy


def main(folder: Path, shots: Path | None) -> None:
    """Play the story on a wide page."""
    server = Server(folder / "data")
    try:
        with firefox() as browser:
            play(browser.new_page(viewport={"width": 1280, "height": 800}), server, shots)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
