"""A page that is opened without a server. Run by `test_story.py`.

python tests/browser/offline_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect
from served import Server, current_browser, picture, watched

CONTROLLED = """() => new Promise((done) => {
  const { serviceWorker } = navigator;
  if (serviceWorker.controller) done();
  else serviceWorker.addEventListener("controllerchange", () => done());
})"""
KEPT = """async () => {
  const lists = (await caches.keys()).map(async (name) => (await caches.open(name)).keys());
  return (await Promise.all(lists)).flat().map(({ url }) => new URL(url).pathname);
}"""


def opened(context: BrowserContext, server: Server) -> Page:
    """Return a page that is connected, and has its worker."""
    page = watched(context.new_page(), [])
    page.goto(server.address)
    expect(page.get_by_text("Online")).to_be_visible()
    page.evaluate(CONTROLLED)
    return page


def read_without_a_server(context: BrowserContext, server: Server, shots: Path | None) -> None:
    """The server is killed, and the page loaded again: the chats, the open one and its draft are there."""
    page = opened(context, server)
    field = page.get_by_role("textbox", name=re.compile("message", re.IGNORECASE))
    field.fill("What is 6 * 7?")
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    expect(page.get_by_role("img", name="Working")).to_have_count(0)  # only the text of an ended turn is kept
    expect(page.locator(".row-title").get_by_text("What is 6 * 7?")).to_be_visible()
    field.fill("not sent yet")
    server.stop()
    page.reload()
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    expect(page.locator(".row-title").get_by_text("What is 6 * 7?")).to_be_visible()
    expect(field).to_have_value("not sent yet")
    expect(page.locator(".status:not([data-phase=online])")).to_be_visible()
    kept = page.evaluate(KEPT)
    assert "/" in kept
    assert all(path == "/" or path.startswith("/page/") for path in kept), kept
    picture(page, shots, f"no-server-{context.browser.browser_type.name if context.browser else ''}")
    server.start()
    expect(page.get_by_text("Online")).to_be_visible()


def without_stop(context: BrowserContext, server: Server, shots: Path | None) -> None:
    """A page that is loaded without a server has no Stop for a run at work. When the server is back it has, and shows
    the account and the archive, although the first question for the account fails."""
    page = opened(context, server)
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("gardener", re.IGNORECASE)).click()
    page.get_by_role("textbox", name=re.compile("message", re.IGNORECASE)).fill("Count my pots")
    page.keyboard.press("Enter")
    stops = page.get_by_role("button", name=re.compile("^Stop"))
    account = page.get_by_role("button", name=re.compile("^Account"))
    archive = page.get_by_role("button", name="Archived chats")
    expect(page.locator(".work-now")).to_be_visible()  # the server has the message, else it waits to be sent
    expect(stops).to_have_count(1)  # of the message box
    for tab in (account, archive):
        expect(tab).to_be_visible()
    server.stop()
    expect(stops).to_have_count(0)
    page.reload()
    expect(page.locator(".work-now")).to_be_visible()
    expect(page.locator(".status:not([data-phase=online])")).to_be_visible()
    expect(stops).to_have_count(0)
    picture(page, shots, f"no-stop-{context.browser.browser_type.name if context.browser else ''}")
    page.route("**/api/me", lambda route: route.abort(), times=1)
    with page.expect_event("requestfailed", lambda request: request.url == f"{server.address}/api/me"):
        server.start()
    for back in (account, archive):
        expect(back).to_be_visible()
    expect(stops).to_have_count(1)


def main(folder: Path, shots: Path | None) -> None:
    """Play the story in this process's browser."""
    gates = folder / "gates"  # of which none is opened: the gardener counts for ever
    server = Server(folder / "data", options=["tests.browser.working_agents:gardener"], STORY_GATES=str(gates))
    try:
        with current_browser() as browser:
            read_without_a_server(browser.new_context(), server, shots)
            without_stop(browser.new_context(), server, shots)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
