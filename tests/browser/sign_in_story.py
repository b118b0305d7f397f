"""A run waits for its user to sign in at an MCP server: there and back in one tab. Run by `test_story.py`.

python tests/browser/sign_in_story.py FOLDER [SCREENSHOTS]
"""

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched


def main(folder: Path, shots: Path | None) -> None:
    """Ask, sign in from the question, sign out and in by the list of servers."""
    command = [sys.executable, "-m", "tests.servers.mcp_oauth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as notes:
        try:
            assert notes.stdout is not None
            url = notes.stdout.readline().strip()
            server = Server(folder / "data", options=["tests.browser.signing_agent:agent"], NOTES_URL=url)
            try:
                _story(server, shots)
            finally:
                server.stop()
        finally:
            notes.terminate()


def _story(server: Server, shots: Path | None) -> None:
    problems = list[str]()
    with current_browser() as browser:
        page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
        page.goto(server.address)
        expect(page.get_by_text("Online")).to_be_visible()
        page.get_by_role("button", name=re.compile("^Agent")).click()
        page.get_by_role("option", name=re.compile("notes", re.IGNORECASE)).click()
        page.get_by_role("textbox", name="Message", exact=True).fill("Whose are they?")
        page.keyboard.press("Enter")
        card = page.get_by_role("group", name="Sign in to notes")
        expect(card.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        page.set_viewport_size(NARROW)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
        picture(page, shots, "sign-in")
        page.set_viewport_size(WIDE)
        where = page.url
        card.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_text("Answered: Sign in to notes")).to_be_visible()
        expect(page.get_by_role("paragraph").get_by_text("These are yours.")).to_be_visible()
        assert page.url == where
        _servers(page, where, shots)
        assert not problems, problems


def _servers(page: Page, where: str, shots: Path | None) -> None:
    """Sign out and in by the list of servers."""
    page.get_by_role("button", name="Servers of this chat").click()
    dialog = page.get_by_role("dialog", name="Servers")
    expect(dialog.get_by_text("ready, 1 tool")).to_be_visible()
    dialog.get_by_role("button", name="Sign out").click()
    expect(dialog.get_by_text("You are signed out of notes.")).to_be_visible()
    expect(dialog.get_by_text("you are not signed in")).to_be_visible()
    picture(page, shots, "signed-out")
    dialog.get_by_role("button", name="Sign in").click()
    page.wait_for_url(where)
    page.get_by_role("button", name="Servers of this chat").click()
    expect(dialog.get_by_role("button", name="Sign out")).to_be_visible()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
