"""A form: filled in wrong, kept over a kill, answered in another tab; a server. Run by `test_story.py`.

python tests/browser/forms_story.py FOLDER [SCREENSHOTS]
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched

SIZE = """(card) => {
  const fields = [...card.querySelectorAll("input, select, textarea")];
  return Math.min(...fields.map((each) => parseFloat(getComputedStyle(each).fontSize)));
}"""
"""Returns the smallest size of the text of fields, in px. (`evaluate_all` crashes Firefox's content process here.)"""
GROW = """async (turn) => {
  turn.style.paddingBottom = "100px";
  for (let frame = 0; frame < 3; frame += 1) await new Promise((drawn) => requestAnimationFrame(drawn));
}"""
"""Makes a turn higher, as an answer does that is written, and waits until the page has followed."""


def form(page: Page) -> Locator:
    """Return the card of the question."""
    return page.get_by_role("group", name="Parcel delivery")


def main(folder: Path, shots: Path | None) -> None:
    """Ask for a delivery, and fill in its form."""
    server, problems = Server(folder / "data", options=["tests.browser.asking_agent:agent"]), list[str]()
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport=WIDE)
            page = watched(context.new_page(), problems)
            page.goto(server.address)
            expect(page.get_by_text("Online")).to_be_visible()
            page.get_by_role("button", name=re.compile("^Agent")).click()
            page.get_by_role("option", name=re.compile("parcels", re.IGNORECASE)).click()
            page.get_by_role("textbox", name="Message", exact=True).fill("Send them")
            page.keyboard.press("Enter")
            card = form(page)
            expect(card.get_by_text("Where shall the parcel go?")).to_be_visible()
            expect(card.get_by_label("Day")).to_have_value("2026-12-24")
            picture(page, shots, "form")
            page.set_viewport_size(NARROW)
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
            picture(page, shots, "form-phone")
            page.set_viewport_size(WIDE)

            # By keyboard alone: what is wrong stands at its field, and the first such field has the focus.
            card.get_by_label("City").focus()
            page.keyboard.type("Ulm")
            page.keyboard.press("Tab")
            page.keyboard.type("9")
            page.keyboard.press("Enter")
            expect(card.get_by_label("Parcels")).to_be_focused()
            expect(card.get_by_label("Parcels")).to_have_attribute("aria-invalid", "true")
            expect(card.get_by_text("At most 6.")).to_be_visible()
            expect(card.get_by_text("Choose one.")).to_be_visible()
            page.emulate_media(color_scheme="dark")
            picture(page, shots, "form-wrong-dark")
            page.emulate_media(color_scheme="light")

            server.stop()
            server.start()
            other = watched(context.new_page(), problems)
            other.goto(page.url)
            card = form(other)
            card.get_by_label("City").fill("Bonn")
            card.get_by_label("Parcels").fill("2")
            card.get_by_label("Size").select_option("large")
            card.get_by_label("Express").check()
            card.get_by_role("group", name="Extras").get_by_role("checkbox", name="insurance").check()
            sender = card.get_by_role("group", name="Sender")
            sender.get_by_label("Name").fill("Ada")
            sender.get_by_label("Floor").fill("99")
            other.bring_to_front()  # Firefox gives the focus to one tab only
            _press_while_it_grows(other, card.get_by_role("button", name="Send"))
            expect(sender.get_by_label("Floor")).to_be_focused()
            expect(sender.get_by_text("At most 40.")).to_be_visible()
            picture(other, shots, "form-groups")
            other.set_viewport_size(NARROW)
            assert other.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
            assert card.evaluate(SIZE) >= 16
            picture(other, shots, "form-groups-phone")
            other.set_viewport_size(WIDE)
            sender.get_by_label("Floor").press("ControlOrMeta+a")  # in Firefox `fill` adds to what a number field has
            other.keyboard.type("3")
            card.get_by_role("button", name="Send").click()
            for tab in (page, other):
                expect(tab.get_by_text("Answered: Parcel delivery")).to_be_visible()
                expect(tab.get_by_role("paragraph").get_by_text("On its way.")).to_be_visible()
                expect(form(tab)).to_have_count(0)
            other.locator(".work-head").click()
            expect(other.get_by_text("2 large to Bonn on 24 December, insurance, from Ada").first).to_be_visible()
            picture(other, shots, "form-answered")
            _servers(other, shots)
            assert not problems, problems
    finally:
        if server.process.poll() is None:
            server.stop()


def _press_while_it_grows(page: Page, button: Locator) -> None:
    """Press a button at the end of a chat that grows before the release: the button is still below the pointer."""
    page.locator(".transcript").evaluate("(transcript) => { transcript.scrollTop = transcript.scrollHeight }")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_hidden()
    button.hover()
    page.mouse.down()
    page.locator(".turn").last.evaluate(GROW)
    page.mouse.up()


def _servers(page: Page, shots: Path | None) -> None:
    """Switch a server off in this chat: it is still off when the page is loaded again."""
    page.get_by_role("button", name="Servers of this chat").click()
    dialog = page.get_by_role("dialog", name="Servers")
    expect(dialog.get_by_text("cannot be reached, 0 tools")).to_be_visible()
    dialog.get_by_role("checkbox", name="maps").uncheck()
    expect(dialog.get_by_text("maps is off in this chat.")).to_be_visible()
    picture(page, shots, "servers")
    page.reload()
    page.get_by_role("button", name="Servers of this chat").click()
    expect(dialog.get_by_role("checkbox", name="maps")).not_to_be_checked()
    dialog.get_by_role("checkbox", name="maps").check()
    expect(dialog.get_by_text("maps is on in this chat.")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
