"""Every view of the chat page and of the operators' pages under axe: WCAG 2.2 AA and best practices, in light, in the
dark on a phone, and in forced colours. Run by `test_story.py`; with a folder it also takes the pictures of all of them:

    python tests/browser/views_story.py FOLDER [SCREENSHOTS]

`views_furniture_story.py` looks at what stands around a chat, `views_firefox_story.py` at the chat page in Firefox.
"""

import re
import signal
import sys
from pathlib import Path

from look import SECRET, WIDE, Look, dialog, say, sign_in, token
from playwright.sync_api import Page, expect
from served import Server, current_browser, watched


def serve(folder: Path) -> Server:
    """Start a server whose agents have answers of every kind."""
    return Server(
        folder / "data",
        options=["tests.browser.views_agents:agents"],
        UNDERSTUDY_SECRET=SECRET,
        UNDERSTUDY_MODELS_WORDS_PER_S="200",
    )


def chat_views(page: Page, server: Server, look: Look) -> None:
    """Look at the views of the chat page."""
    page.goto(server.address)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Session token").fill("no token")
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Session token")).to_have_attribute("aria-invalid", "true")
    look("token")
    sign_in(page, server, look.user)
    look("empty")

    say(page, "Report", "Report the sales")
    expect(page.locator(".reply .prose").get_by_text("Without taxes.")).to_be_visible()
    expect(page.locator(".reply .prose table")).to_be_visible()
    look("answer")
    page.locator(".row").hover()
    page.locator(".row-more").click()
    page.get_by_role("menuitem", name="Tags…").click()
    for tag in ("sales", "second-quarter"):
        page.get_by_role("textbox", name="Add a tag").fill(tag)
        page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Add a tag").fill("no!")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    look("tags")
    page.get_by_role("textbox", name="Add a tag").fill("")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("group", name="Filter by tag").get_by_role("button", name="#sales").click()
    expect(page.locator(".row .tag")).to_have_text(["#sales", "#second-quarter"])
    look("tagged")
    page.get_by_role("group", name="Filter by tag").get_by_role("button", name="#sales").click()
    page.get_by_role("button", name=re.compile("^Used 1 tool")).click()
    look("steps")
    page.get_by_role("textbox", name="Message", exact=True).fill("Report it in brief")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("^Used 1 tool"))).to_have_count(2)
    expect(page.locator(".reply .prose").get_by_text("More came back.")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Used 1 tool")).last.click()
    look("two-runs")

    say(page, "Broken", "Break")
    expect(page.get_by_role("button", name=re.compile("Try again"))).to_be_visible()
    look("error")

    say(page, "Payer", "Pay Bob")
    expect(page.get_by_role("button", name=re.compile("^Allow")).first).to_be_visible()
    look("consent")
    page.get_by_role("group", name="Inbox").get_by_role("button", name=re.compile("^Needs you")).click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Allow", exact=True).first).to_be_visible()
    look("inbox")
    page.keyboard.press("Escape")
    for name in ("Memory", "Settings"):
        with dialog(page, name):
            look(name.lower())

    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("^Guide")).click()
    page.get_by_role("button", name=re.compile("^Profile sample sales")).click()
    send = page.get_by_role("button", name="Send")
    expect(send).to_be_enabled()
    send.click()
    expect(page.get_by_role("button", name="Show the chart large")).to_be_visible()
    look("chart")
    page.get_by_role("button", name="Show the chart large").click()
    look("panel")
    page.keyboard.press("Escape")
    page.goto(f"{server.address}/#a-chat-of-nobody")
    expect(page.get_by_text(re.compile("not yours"))).to_be_visible()
    look("missing")


def observer_views(page: Page, server: Server, look: Look) -> None:
    """Look at the views of the observer."""
    page.goto(f"{server.address}/observer")
    expect(page.get_by_label("Operator's token")).to_be_focused()
    look("observer-sign-in")
    page.get_by_label("Operator's token").fill(token("op", "operator"))
    page.get_by_role("button", name="Show the tree").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    look("observer-tree")
    for name, shown in (("Runs", "Open runs"), ("Users", "Users"), ("Health", "Pools")):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        expect(page.get_by_role("region", name=shown).get_by_role("row").nth(1)).to_be_visible()
        look(f"observer-{name.lower()}")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Runs").click()
    page.get_by_role("region", name="Ended runs").get_by_role("button", name=re.compile("^[0-9a-f]{12}$")).first.click()
    expect(page.get_by_role("list", name="Steps").get_by_role("listitem").first).to_be_visible()
    look("observer-run")


def admin_views(page: Page, server: Server, look: Look) -> None:
    """Look at the views of the administration page, as somebody who operates and audits."""
    page.goto(f"{server.address}/admin")
    expect(page.get_by_label("Token")).to_be_focused()
    look("admin-sign-in")
    page.get_by_label("Token").fill(token("op", "operator", "server_auditor"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("row", name="Users")).to_be_visible()
    look("admin-overview")
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("row", name=look.user).get_by_role("button", name="Show the runs").click()
    expect(page.get_by_role("button", name="Show the run").first).to_be_visible()
    look("admin-user")
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("row", name=look.user).get_by_role("button", name="End the sessions").click()
    agree = page.get_by_role("form").get_by_role("button", name="End the sessions")
    expect(agree).to_be_focused()
    look("admin-users")
    agree.click()
    expect(page.get_by_role("status")).to_have_text(f"The sessions of {look.user} have ended.")
    page.get_by_role("link", name="Stopped", exact=True).click()
    expect(page.get_by_text("Nothing is stopped.")).to_be_visible()
    look("admin-stops")
    page.get_by_role("link", name="Accounts", exact=True).click()
    expect(page.get_by_text("Users of this server have no passwords")).to_be_visible()
    look("admin-accounts")
    page.get_by_role("link", name="Audit log", exact=True).click()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("row", name=re.compile("sessions.ended"))).to_be_visible()
    look("admin-audit")


def main(folder: Path, shots: Path | None) -> None:
    """Look at every view of the chat page, and then, when there are runs to see, of the operators' pages."""
    server, problems = serve(folder), list[str]()
    try:
        with current_browser() as browser:
            for views in (chat_views, observer_views, admin_views):
                page = watched(browser.new_page(viewport=WIDE, reduced_motion="reduce"), problems)
                look = Look(page, shots)
                views(page, server, look)
                look.end(problems)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
