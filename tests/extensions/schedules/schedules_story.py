"""Schedules in the page: made by their form, paused, fired, seen in the inbox and by the operator; and nothing of them
on a server without the extension. Run by `tests/browser/test_story.py`.

PYTHONPATH=tests/browser python tests/extensions/schedules/schedules_story.py FOLDER [SCREENSHOTS]
"""

import re
import sys
from pathlib import Path

from look import Look
from playwright.sync_api import Locator, Page, ViewportSize, expect
from served import Server, current_browser, picture, plays_common_parts, watched

WIDE: ViewportSize = {"width": 1280, "height": 800}
ASK = """async ([method, path, members]) => {
  const token = JSON.parse(localStorage["understudy.session"]).session_token;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const answer = await fetch(`/api/schedules${path}`, { method, headers, body: JSON.stringify(members) });
  return answer.json();
}"""
"""Makes or changes a schedule as another client does."""
OFTEN = {"agent": "guide", "message": "What is 6 * 7?", "every_s": 2}
"""A schedule that is due every two seconds, which the form does not offer."""


def main(folder: Path, shots: Path | None) -> None:
    """Make schedules and look at them wherever they are shown; then do without."""
    server, problems = Server(folder / "data", UNDERSTUDY_SCHEDULES_EVERY_S="1"), list[str]()
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
            page = noted(context.new_page(), problems)
            page.goto(server.address)
            dialog = _form(page, shots)
            _firing(page, dialog)
            _inbox(page, shots)
            admin = noted(context.new_page(), problems)
            admin.goto(f"{server.address}/admin#schedules")
            expect(admin.get_by_role("link", name="Schedules")).to_have_attribute("aria-current", "page")
            expect(admin.get_by_role("row", name=re.compile("guide every 2.0 s paused"))).to_be_visible()
            picture(admin, shots, "schedules-admin")
            admin.close()
            assert [problem for problem in problems if "400" not in problem] == []  # the form that is refused

            page.route("**/api/extensions", lambda route: route.abort())
            page.reload()
            expect(page.get_by_role("button", name="Schedules")).to_be_visible()  # in its place, as last time
            page.unroute("**/api/extensions")

            # The page was open when it was switched off, and another one comes later.
            server.stop()
            del server.environment["UNDERSTUDY_SCHEDULES_EVERY_S"]  # refused without the extension
            server.start(UNDERSTUDY_EXTENSIONS="-schedules")
            expect(page.get_by_role("button", name="Schedules")).to_be_hidden()
            problems.clear()  # the browser's own words about a server that was gone
            with page.expect_response("**/api/extensions") as answer:
                page.reload()
            assert "schedules" not in answer.value.json()["extensions"]
            _without(page, shots)
            admin = noted(context.new_page(), problems)
            with admin.expect_response("**/api/extensions"):
                admin.goto(f"{server.address}/admin#schedules")
            expect(admin.get_by_role("link", name="Overview")).to_have_attribute("aria-current", "page")
            expect(admin.get_by_role("link", name="Schedules")).to_have_count(0)
            picture(admin, shots, "schedules-off-admin")
            assert not problems, problems
    finally:
        server.stop()


def noted(page: Page, problems: list[str]) -> Page:
    """Return a page of which also errors on its console are recorded."""
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    return watched(page, problems)


def _form(page: Page, shots: Path | None) -> Locator:
    """Make a schedule by its form, after one that is refused; pause and delete it. Return the dialog."""
    page.get_by_role("button", name="Schedules").click()
    dialog = page.get_by_role("dialog", name="Schedules")
    dialog.get_by_label("Message").fill("Send them again")
    dialog.get_by_label("When").select_option("cron")
    dialog.get_by_label("Cron expression").last.fill("0 0 31 2 *")
    dialog.get_by_role("button", name="Make schedule").click()
    expect(dialog.get_by_role("alert")).to_contain_text("never due")
    dialog.get_by_label("When").select_option("weekdays")
    dialog.get_by_role("button", name="Make schedule").click()
    expect(dialog.get_by_text("Monday to Friday at 09:00")).to_be_visible()
    assert dialog.evaluate("each => getComputedStyle(each.querySelector('.schedule')).display") == "flex"
    if plays_common_parts():
        look = Look(page, shots)
        look("schedules")
        look.end([])
    dialog.get_by_role("button", name="Pause: Send them again").click()
    expect(dialog.get_by_text("Paused")).to_be_visible()
    dialog.get_by_role("button", name="Delete: Send them again").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(dialog.get_by_text("with nobody present")).to_be_visible()
    return dialog


def _firing(page: Page, dialog: Locator) -> None:
    """It fires while the list is shown, which leads to the chat: that says that nobody sent it."""
    row = page.evaluate(ASK, ["POST", "", OFTEN])
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Schedules").click()
    last = dialog.get_by_role("button", name=re.compile("^Last run"))
    expect(last).to_be_visible()
    page.evaluate(ASK, ["PATCH", f"/{row['id']}", {"enabled": False}])  # each firing draws the list anew under a click
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Schedules").click()
    expect(dialog.get_by_text("Paused")).to_be_visible()
    last.click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".said", has_text="What is 6 * 7?").get_by_text("Sent automatically")).to_be_visible()
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()
    expect(page.locator(".row.is-current").get_by_label("Sent automatically")).to_be_visible()


def _inbox(page: Page, shots: Path | None) -> None:
    """The inbox has the next times: of one that is paused there is none."""
    page.evaluate(ASK, ["POST", "", {"agent": "guide", "message": "Happy new year", "cron": "0 0 1 1 *"}])
    page.get_by_role("button", name=re.compile("^Inbox")).click()
    times = page.get_by_role("dialog").get_by_role("region", name=re.compile("^Scheduled"))
    expect(times.get_by_role("listitem")).to_have_count(1)
    expect(times.get_by_role("listitem")).to_contain_text(re.compile("Happy new year.*Next Jan 1"))
    picture(page, shots, "schedules-inbox")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("schedules")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Schedules")).to_be_visible()
    page.keyboard.press("Escape")


def _without(page: Page, shots: Path | None) -> None:
    """There is no button, no command and no section of the inbox."""
    expect(page.get_by_role("button", name="Memory")).to_be_visible()
    expect(page.get_by_role("button", name="Schedules")).to_have_count(0)
    picture(page, shots, "schedules-off")
    page.get_by_role("button", name=re.compile("^Inbox")).click()
    expect(page.get_by_role("dialog").get_by_role("region", name=re.compile("^Unread"))).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("region", name=re.compile("^Scheduled"))).to_have_count(0)
    picture(page, shots, "schedules-off-inbox")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("schedules")
    expect(page.get_by_role("option")).to_have_count(0)
    page.keyboard.press("Escape")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
