"""A page whose server has extensions left out, in a real browser: the chat works, nothing is offered or asked for that
is off, also once the server has left it out while the page was open. Run by `test_story.py`.

python tests/browser/left_out_story.py FOLDER
"""

import sys
import time
from pathlib import Path

from playwright.sync_api import Page, Response, expect
from served import Server, current_browser, watched

from transport.auth.tokens import Tokens

SECRET = "0123456789abcdef" * 3
OFFERED = {"Schedules": "schedules", "Inbox": "notices", "Attach a file": "files"}
"""Buttons that are always to be seen, with the extensions that bring them."""


def ask(page: Page, number: int) -> None:
    """Ask something, and wait for the end of its answer."""
    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill(f"What is {number} + 1?")
    box.press("Enter")
    expect(page.locator(".reply .prose").get_by_text(f"{number} + 1 = {number + 1}")).to_be_visible()


def offers(page: Page, *off: str) -> None:
    """The page offers what is on, and nothing that is `off`."""
    for name, extension in OFFERED.items():
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible(visible=extension not in off)


def allow(page: Page, text: str, *, remembers: bool) -> None:
    """Allow a call, always where that is offered: the page says so, and how to take it back, while it is offered."""
    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill(f"Save a note: {text}")
    box.press("Enter")
    card = page.get_by_role("group", name="Allow save_note")
    expect(card.get_by_role("button", name="Allow")).to_be_visible()
    expect(card.get_by_label("Always allow")).to_be_visible(visible=remembers)
    if remembers:
        card.get_by_label("Always allow").check()
    card.get_by_role("button", name="Allow").click()
    expect(page.locator(".reply .prose").get_by_text(f"Saved as {text}")).to_be_visible()
    expect(page.get_by_role("button", name="Ask again next time")).to_have_count(int(remembers))


def main(folder: Path) -> None:
    """Play all parts."""
    problems: list[str] = []
    refused: list[str] = []

    def note(response: Response) -> None:
        if response.status >= 400:
            refused.append(f"{response.status} {response.url}")

    server = Server(folder / "data", options=["tests.end_to_end.noting_agent:guide"], UNDERSTUDY_SECRET=SECRET)
    try:
        with current_browser() as browser:
            page = watched(browser.new_context().new_page(), problems)
            page.goto(server.address)
            page.get_by_label("Session token").fill(Tokens(SECRET, time.time).issue("ada", "s", ttl_s=600))
            page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("Online")).to_be_visible()
            ask(page, 1)
            offers(page)
            allow(page, "buy milk", remembers=True)
            for number, off in enumerate(("schedules", "permissions", "none"), 2):
                server.stop()
                expect(page.get_by_text("Online")).to_be_hidden()
                server.start(UNDERSTUDY_EXTENSIONS="none" if off == "none" else f"-{off}")
                expect(page.get_by_text("Online")).to_be_visible()
                without = [*OFFERED.values()] if off == "none" else [off]
                offers(page, *without)
                page.on("response", note)
                ask(page, number * 10)
                assert len(refused) <= 1, refused  # the page that is open asks once more for what it had
                page.reload()
                refused.clear()
                expect(page.get_by_text("Online")).to_be_visible()
                ask(page, number * 10 + 5)
                offers(page, *without)
                assert not refused, refused
                page.remove_listener("response", note)
                if off == "permissions":  # the chat is that in which the tool was allowed
                    expect(page.get_by_text("Allowed: save_note")).to_be_visible()
                    allow(page, "feed the cat", remembers=False)
                    page.get_by_role("button", name="New chat").first.click()  # one without files
    finally:
        server.stop()
    assert not problems, problems


if __name__ == "__main__":
    main(Path(sys.argv[1]))
