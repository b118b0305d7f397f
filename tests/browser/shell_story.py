"""What is there before the scripts are. Run by `test_story.py` in its own process.

python tests/browser/shell_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
from pathlib import Path

from playwright.sync_api import Page, Route, expect
from served import Server, current_browser, picture, watched

SCRIPTS = re.compile(r"/page/.*\.js$")


def type_early(page: Page, server: Server, shots: Path | None) -> None:
    """Scripts are held up: the frame is painted and takes text, which stays where it is, with the focus."""
    problems: list[str] = []
    watched(page, problems)
    held: list[Route] | None = []

    def hold(route: Route) -> None:
        if held is None or "first_paint" in route.request.url:
            route.continue_()
        else:
            held.append(route)

    page.route(SCRIPTS, hold)
    page.goto(server.address, wait_until="commit")
    expect(page.get_by_text("understudy", exact=True)).to_be_visible()
    expect(page.locator("#composer-text")).to_be_focused()
    page.keyboard.type("early bird")
    page.evaluate("document.querySelector('#composer-text').same = true")
    picture(page, shots, "shell")
    waiting, held = held, None
    for route in waiting:
        route.continue_()
    expect(page.get_by_text("Online")).to_be_visible()
    expect(page.locator("#composer-text")).to_have_value("early bird")
    expect(page.locator("#composer-text")).to_be_focused()
    assert page.evaluate("document.querySelector('#composer-text').same"), "the field was built anew"
    assert page.locator("[data-shell]").count() == 0, "a part of the shell was not taken"
    page.keyboard.press("Enter")
    expect(page.locator(".said").get_by_text("early bird")).to_be_visible()
    assert shots or not problems, problems  # Playwright's own style for a picture is refused by the policy


def main(folder: Path, shots: Path | None) -> None:
    """Play the story on a wide page."""
    server = Server(folder / "data")
    try:
        with current_browser() as browser:
            type_early(browser.new_page(viewport={"width": 1280, "height": 800}), server, shots)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
