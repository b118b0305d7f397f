"""What waits in other chats: the badge and the title say so, it is answered from the inbox, unread answers are marked.

python tests/browser/inbox_story.py FOLDER [SCREENSHOTS]
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched

HIDEABLE = """
  window.notices = [];
  Object.defineProperty(document, "visibilityState", { get: () => (window.away ? "hidden" : "visible") });
  const { serviceWorker } = navigator; // the empty page before ours has none
  if (serviceWorker) Object.defineProperty(serviceWorker, "getRegistration", { value: async () => undefined });
  window.Notification = class {
    static permission = "granted";
    constructor(title, { body }) { window.notices.push(`${title}: ${body}`); }
  };
"""
"""A tab that a test hides by `away`, without a service worker, and whose notices it reads: headless tabs show none."""


def tab(page: Page, name: str) -> Locator:
    """Return the count of a list in the side bar."""
    return page.locator(f".inbox-tab[data-list={name}] .inbox-count")


def say(page: Page, text: str) -> None:
    """Send a message in a new chat."""
    page.get_by_role("button", name="New chat").click()
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def row(page: Page, title: str) -> Locator:
    """Return a chat in the list."""
    return page.locator(".row", has_text=title)


def main(folder: Path, shots: Path | None) -> None:
    """Ask for three things in three chats, and look at a fourth."""
    gate, problems = folder / "gate", list[str]()
    server = Server(
        folder / "data", options=["tests.browser.inbox_agent:agent"], UNDERSTUDY_TEST_GATE=str(gate),
        UNDERSTUDY_DEFAULT_AGENT="secretary",
    )  # fmt: skip
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport=WIDE)
            page = watched(context.new_page(), problems)
            page.add_init_script(HIDEABLE)
            page.goto(server.address)
            expect(page.get_by_text("Online")).to_be_visible()
            expect(page.get_by_role("button", name="Agent: Secretary")).to_be_visible()
            say(page, "Mail Anna the figures")
            expect(page.get_by_role("button", name="Allow", exact=True)).to_be_visible()
            say(page, "Meet Ben next week")
            expect(page.get_by_role("group", name="Meeting")).to_be_visible()
            say(page, "Wait for the gate")
            expect(page.get_by_role("button", name=re.compile("^Stop")).first).to_be_visible()
            say(page, "Hello")
            expect(page.locator(".reply .prose")).to_contain_text("All done.")
            _seen_from_another_chat(page, shots)
            server.stop()
            server.start()
            expect(page.get_by_text("Online")).to_be_visible()
            _answered_from_the_inbox(page, shots)
            page.evaluate("window.away = true")
            gate.touch()
            expect(tab(page, "running")).to_have_text("0")
            expect(tab(page, "unread")).to_have_text("3")
            assert page.evaluate("window.notices") == ["Wait for the gate: The answer is there"]
            page.evaluate("window.away = false")
            device = watched(browser.new_context(storage_state=context.storage_state()).new_page(), problems)
            device.goto(server.address)
            _unread_until_opened(page, device, shots)
            assert not problems, problems
    finally:
        if server.process.poll() is None:
            server.stop()


def _seen_from_another_chat(page: Page, shots: Path | None) -> None:
    expect(tab(page, "needs_you")).to_have_text("2")
    expect(tab(page, "running")).to_have_text("1")
    expect(tab(page, "unread")).to_have_text("0")
    expect(page).to_have_title(re.compile(r"^\(2\) Hello"))
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("waiting"))
    expect(row(page, "Mail Anna").get_by_role("img", name="Needs you")).to_be_visible()
    expect(row(page, "Wait for").get_by_role("img", name="Working")).to_be_visible()
    picture(page, shots, "inbox-side")
    page.set_viewport_size(NARROW)
    expect(page.locator(".drawer-open-button .badge")).to_have_text("2")
    expect(page.get_by_role("button", name="Inbox: 2 wait for you")).to_be_visible()
    picture(page, shots, "inbox-badge-phone")
    page.get_by_role("button", name="Inbox: 2 wait for you").click()
    expect(page.get_by_role("dialog", name="Inbox").get_by_role("button", name="Allow", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, "inbox-phone")
    page.keyboard.press("Escape")
    page.set_viewport_size(WIDE)


def _answered_from_the_inbox(page: Page, shots: Path | None) -> None:
    expect(tab(page, "running")).to_have_text("0")  # it is unknown what became of its call
    page.get_by_role("button", name="Needs you 3").click()
    inbox = page.get_by_role("dialog", name="Inbox")
    card = inbox.get_by_role("group", name="Allow send_mail?")
    expect(card.get_by_text("anna@example.org")).to_be_visible()
    expect(card.get_by_text(re.compile(r"\d+:\d\d left"))).to_be_visible()
    picture(page, shots, "inbox")
    page.emulate_media(color_scheme="dark")
    picture(page, shots, "inbox-dark")
    page.emulate_media(color_scheme="light")
    card.get_by_role("button", name="Allow", exact=True).click()
    expect(inbox.get_by_text("Allowed: send_mail")).to_be_visible()
    form = inbox.get_by_role("group", name="Meeting")
    form.get_by_label("Day").fill("Monday")
    form.get_by_role("button", name="Send").click()
    expect(inbox.get_by_text("Answered: Meeting")).to_be_visible()
    inbox.get_by_role("group", name="Did wait take effect?").get_by_role("button", name="Try again").click()
    expect(inbox.get_by_role("button", name="Stop: Wait for the gate")).to_be_visible()
    expect(inbox.get_by_role("region", name="Unread").locator("li")).to_have_count(2)
    inbox.get_by_label("Tell me in this browser when something needs me").check()
    inbox.get_by_label("Also when an answer is there").check()
    picture(page, shots, "inbox-answered")
    page.keyboard.press("Escape")
    expect(tab(page, "needs_you")).to_have_text("0")
    expect(page).to_have_title(re.compile(r"^\(2\) Hello"))


def _unread_until_opened(page: Page, device: Page, shots: Path | None) -> None:
    """Opening a chat has its answer read, on another device too; also on one that was away when all were read."""
    expect(tab(page, "running")).to_have_text("0")
    expect(tab(page, "unread")).to_have_text("3")
    expect(page).to_have_title(re.compile(r"^\(3\) "))
    waited = row(page, "Wait for")
    expect(waited.get_by_role("img", name="Unread")).to_be_visible()
    expect(tab(device, "unread")).to_have_text("3")
    device.route("**/api/inbox", lambda route: route.abort())  # what it shows now, an event has said
    picture(page, shots, "inbox-unread")
    waited.get_by_role("link").click()
    expect(page.locator(".reply .prose")).to_contain_text("All done.")
    expect(waited.get_by_role("img")).to_have_count(0)
    expect(tab(page, "unread")).to_have_text("2")
    expect(tab(device, "unread")).to_have_text("2")
    expect(row(device, "Wait for").get_by_role("img")).to_have_count(0)
    device.unroute("**/api/inbox")
    device.context.set_offline(True)
    page.reload()
    expect(tab(page, "unread")).to_have_text("2")
    page.get_by_role("button", name="Unread 2").click()
    page.get_by_role("dialog", name="Inbox").get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_role("dialog", name="Inbox").get_by_text("You have seen every answer.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_title(re.compile(r"^Wait for"))
    expect(tab(device, "unread")).to_have_text("2")
    device.context.set_offline(False)
    expect(tab(device, "unread")).to_have_text("0")
    device.context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
