"""The views around a chat under axe: attachments, widgets, forms, files, sharing, voice, palette, account. Run by
`test_story.py`; with a folder it also takes the pictures of all of them:

    python tests/browser/views_furniture_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from artefacts_story import DROP, PASTE
from furniture_story import SPEECH
from look import SECRET, WIDE, Look, dialog, say, sign_in
from making_agents import png
from playwright.sync_api import Browser, Page, Route, expect
from served import Server, current_browser, watched

WIDGET_TRIES = "https://example.org/"
"""The address that the widget tries to reach, which its policy refuses, and the browser notes."""
AGENTS = ("asking_agent:agent", "making_agents:agents", "making_agents:dice", "signing_agent:agent")


def composer_views(page: Page, folder: Path, look: Look) -> None:
    """Look at what can stand in and above the box of the message."""
    box = page.get_by_role("textbox", name="Message", exact=True)
    page.get_by_role("button", name="Voice input", exact=True).click()
    expect(page.get_by_role("button", name="Use voice")).to_be_visible()
    look("voice-question")
    page.get_by_role("button", name="Use voice").click()
    expect(page.get_by_text("Listening.")).to_be_visible()
    look("voice")
    box.press("Escape")

    photo, large = folder / "photo.png", folder / "large.txt"
    photo.write_bytes(png(640, 400))
    large.write_bytes(b"x" * 1_100_000)
    attached = page.get_by_role("list", name="Attached files")
    page.locator("input[type=file]").set_input_files(photo)
    expect(attached.get_by_role("button", name="Open photo.png")).to_be_visible()
    page.locator("input[type=file]").set_input_files(large)
    expect(attached.get_by_text(re.compile("is more than the"))).to_be_visible()
    held: list[Route] = []
    page.route("**/api/files", lambda route: held.append(route))
    page.evaluate(DROP, "notes.txt")
    expect(attached.get_by_role("progressbar", name="Uploading notes.txt")).to_be_visible()
    box.fill("Look: ")
    box.evaluate(PASTE, "name\tsales\nnorth\t5\nsouth\t7\n")
    expect(page.get_by_role("group", name="Pasted text or table")).to_be_visible()
    look("attachments")
    for name in ("notes.txt", "large.txt", "pasted table.csv"):
        attached.get_by_role("button", name=f"Remove {name}").click()
    page.unroute("**/api/files")
    page.keyboard.press("Control+a")
    box.fill("")


def answer_views(page: Page, server: Server, look: Look) -> None:
    """Look at what agents ask, make and show."""
    say(page, "Parcels", "Send them")
    form = page.get_by_role("group", name="Parcel delivery")
    form.get_by_label("City").fill("Ulm")
    form.get_by_role("button", name="Send").click()
    expect(form.locator("[aria-invalid=true]").first).to_be_visible()
    look("form")
    with dialog(page, "Servers of this chat"):
        look("servers")
    say(page, "Notes", "Whose are they?")
    expect(page.get_by_role("group", name="Sign in to notes")).to_be_visible()
    look("server-sign-in")
    say(page, "Maker", "Make them")
    expect(page.get_by_role("button", name="Open sales.csv")).to_be_visible()
    page.get_by_role("button", name="Open plot.png").scroll_into_view_if_needed()
    look("files")
    page.get_by_role("button", name="Open sales.csv").click()
    expect(page.get_by_role("dialog", name="sales.csv").get_by_role("row").nth(9)).to_be_visible()
    look("file")
    page.keyboard.press("Escape")
    say(page, "Dice", "Roll")
    expect(page.locator("iframe.widget-frame")).to_have_js_property("offsetHeight", 321)
    look("widget")


def shared_views(page: Page, browser: Browser, look: Look) -> None:
    """Look at the way to share a chat, and at what a stranger sees of it."""
    menu = page.get_by_role("button", name="Menu: Make them")
    menu.click()
    expect(page.get_by_role("menuitem", name="Share…")).to_be_visible()
    look("chat-menu")
    page.get_by_role("menuitem", name="Share…").click()
    shares = page.get_by_role("dialog", name="Share this chat")
    shares.get_by_role("button", name="Make a link").click()
    expect(shares.get_by_text(re.compile("^The link is"))).to_be_visible()
    look("share")
    link = shares.get_by_label("Address of the link").input_value()
    stranger = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="Make them", level=1)).to_be_visible()
    look.at(stranger)("shared")
    shares.get_by_role("button", name=re.compile("^Revoke")).click()
    expect(shares.get_by_text("The link does not work any more.")).to_be_visible()
    stranger.reload()
    expect(stranger.get_by_role("heading", name="This link does not exist any more")).to_be_visible()
    look.at(stranger)("shared-gone")
    stranger.close()
    shares.get_by_role("button", name="Close").click()


def page_views(page: Page, look: Look) -> None:
    """Look at what belongs to no chat."""
    page.get_by_role("button", name=re.compile("^Agent")).click()
    expect(page.get_by_role("option").first).to_be_visible()
    look("agents")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Search chats, agents and actions")).to_be_focused()
    look("palette")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    look("keys")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox", name="Search chats").fill("make")
    expect(page.locator(".row-snippet mark").first).to_be_visible()
    look("found")
    page.get_by_role("searchbox", name="Search chats").fill("")
    page.get_by_role("button", name=re.compile("^Account")).click()
    expect(page.get_by_role("menuitem", name="Sign out")).to_be_visible()
    look("account")
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("dialog", name="Sign out?")).to_be_visible()
    look("sign-out")


@contextmanager
def notes() -> Iterator[str]:
    """Run the MCP server at which users sign in. Yield its address."""
    command = [sys.executable, "-m", "tests.servers.mcp_oauth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main(folder: Path, shots: Path | None) -> None:
    """Look at every view, of a server on which all is switched on."""
    with notes() as url:
        server = Server(
            folder / "data",
            options=[f"tests.browser.{agent}" for agent in AGENTS],
            UNDERSTUDY_SECRET=SECRET, UNDERSTUDY_SHARES_LINKS="true", UNDERSTUDY_PAGE_VOICE_INPUT="true",
            UNDERSTUDY_FILES_MAX_BYTES="1000000", NOTES_URL=url,
        )  # fmt: skip
        server.stop()  # its port is known now
        server.environment["UNDERSTUDY_WIDGETS_ORIGIN"] = f"http://localhost:{server.port}"
        server.start()
        problems: list[str] = []
        try:
            with current_browser() as browser:
                page = watched(browser.new_page(viewport=WIDE, reduced_motion="reduce"), problems)
                page.add_init_script(SPEECH)
                look = Look(page, shots)
                sign_in(page, server, look.user)
                composer_views(page, folder, look)
                answer_views(page, server, look)
                shared_views(page, browser, look)
                page_views(page, look)
                look.end([agent for agent in problems if WIDGET_TRIES not in agent])
        finally:
            server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
