"""The story of the README in a real Chromium against a real server. Run by `test_story.py` in its own process:
Playwright's loop and trio-asyncio's loop policy conflict.

    python tests/browser/story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import signal
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, expect
from served import Server, current_browser, picture, watched

from transport.auth.tokens import Tokens

SECRET = "0123456789abcdef" * 3
REMEMBER = """async (values) => {
  const token = JSON.parse(localStorage["understudy.session"]).session_token;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  for (const [name, value] of Object.entries(values)) {
    await fetch(`/api/memory/household/${name}`, { method: "PUT", headers, body: JSON.stringify({ value }) });
  }
}"""
"""Has values remembered, of which there are too few for a search otherwise."""

TABLE_FROM_THE_START = """() => {
  document.documentElement.dir = "rtl";
  const frame = document.querySelector(".prose .table-frame");
  const [outer, head] = [frame, frame.querySelector("th")].map((one) => one.getBoundingClientRect());
  const seen = frame.scrollWidth > frame.clientWidth && head.left >= outer.left && head.right <= outer.right;
  document.documentElement.dir = "ltr";
  return seen;
}"""


PROFILE = "Profile the attached table and chart it by month"


def play(page: Page, server: Server, csv: Path, shots: Path | None) -> None:
    """Attach a table, ask, watch, kill the server during the answer and restart it: the conversation is complete."""
    problems: list[str] = []
    watched(page, problems)
    page.goto(server.address)
    expect(page.get_by_text("No language model is connected")).to_be_visible()
    expect(page.get_by_text("Online")).to_be_visible()
    picture(page, shots, "empty")

    page.locator("input[type=file]").set_input_files(csv)
    expect(page.get_by_text("sales.csv")).to_be_visible()
    ask(page, PROFILE)
    expect(page.get_by_text(re.compile("Insights"), exact=False).first).to_be_visible()
    expect(page.get_by_text(re.compile("profile.table", re.IGNORECASE)).first).to_be_visible()
    chart = page.get_by_role("application", name=re.compile("^Sum of sales by month"))
    expect(chart.first).to_be_visible()
    expect(page.locator("table").first).to_be_visible()
    assert page.evaluate(TABLE_FROM_THE_START), (
        "an English table begins at its first column on a right-to-left page, too"
    )
    picture(page, shots, "chat")

    ask(page, f"What is {' + '.join(map(str, range(1, 150)))}?")  # an answer of some three seconds
    expect(page.locator(".reply .prose").last.get_by_text("1 + 2")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).first).to_be_visible()
    server.stop()
    expect(page.get_by_text(re.compile("Offline|Connecting|Reconnecting")).first).to_be_visible()
    ask(page, "What is 6 * 7?")
    picture(page, shots, "offline")

    server.start(UNDERSTUDY_MODELS_WORDS_PER_S="400")  # no need to read the rest at the pace of a reader
    expect(page.get_by_text("Online")).to_be_visible()
    # The interrupted answer is resumed, and the message sent meanwhile is answered after it.
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    expect(page.get_by_text(re.compile("interrupted"))).to_have_count(0)
    picture(page, shots, "back")

    page.reload()
    expect(page.get_by_text(PROFILE).last).to_be_visible()
    expect(chart.first).to_be_visible()
    expect(page.get_by_text(re.compile("interrupted"))).to_have_count(0)
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    for words in (PROFILE, "What is 6 * 7?"):
        assert page.locator(".said").get_by_text(words, exact=True).count() == 1, f"{words!r} is there more than once"

    ask(page, "<img src=x onerror=\"document.title='broken'\"> **bold**")
    expect(page.get_by_text("onerror").first).to_be_visible()
    assert page.title() != "broken"
    assert not problems, problems


def sign_in(page: Page, server: Server, token: str) -> None:
    """A server with a secret asks for a token; a wrong one is refused, the right one accepted."""
    page.goto(server.address)
    for tried in ("nonsense", token):
        page.get_by_label("Session token").fill(tried)
        page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Online")).to_be_visible()
    ask(page, "What is 6 * 7?")
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()


def change_memory(page: Page) -> None:
    """A remembered value is changed in one tab; another one, which has not seen that, changes nothing."""
    ask(page, "Remember that I prefer euros.")  # which no model reads: there is a form
    button = page.get_by_role("button", name="Remember", exact=True)
    button.wait_for()
    page.locator(".transcript").evaluate("(transcript) => { transcript.scrollTop = transcript.scrollHeight }")
    expect(page.get_by_role("button", name="Jump to latest")).to_be_hidden()  # else it goes while the button is pressed
    button.click()
    form = page.get_by_role("dialog", name="Remember")
    form.get_by_label("Fact").fill("I prefer euros.")
    form.get_by_role("button", name="Send").click()
    expect(page.locator(".reply .prose").get_by_text("prefer_euros")).to_be_visible()
    page.evaluate(REMEMBER, {"seat": "a seat by the window", "dog": "Rex", "shoes": "43"})
    other = page.context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        tab.get_by_role("button", name="Memory", exact=True).click()
        search = tab.get_by_label("Search what is remembered")
        search.fill("seat BY")
        expect(tab.get_by_text("Prefer euros", exact=True)).to_be_hidden()
        expect(tab.get_by_text("a seat by the window")).to_be_visible()
        search.fill("")
        tab.get_by_role("button", name="Change: Prefer euros").click()
        tab.get_by_label("Prefer euros, changed").fill("I prefer <b>yen" if tab is page else "I prefer pounds")
    for tab, note in ((page, "Prefer euros is changed."), (other, "That was changed meanwhile; look at it again.")):
        tab.get_by_role("button", name="Save").click()
        expect(tab.get_by_text(note)).to_be_visible()
        expect(tab.get_by_text("I prefer <b>yen")).to_be_visible()
    other.get_by_role("button", name="Forget: Prefer euros").click()
    expect(other.get_by_text("Prefer euros is forgotten.")).to_be_visible()
    other.close()


def change_settings(page: Page) -> None:
    """The page speaks Arabic at once, from right to left, and keeps a draft; compact and dark stay after a reload."""
    html = page.locator("html")
    draft = page.locator("#composer-text")
    draft.fill("half a thought")
    page.get_by_role("button", name="Settings").click()
    settings = page.get_by_role("dialog")
    settings.get_by_label("Dark").check()
    settings.get_by_label("Compact").check()
    expect(settings.get_by_label("Tell me in this browser when something needs me")).to_be_visible()
    settings.get_by_role("combobox", name="Language").select_option("ar")
    expect(html).to_have_attribute("dir", "rtl")
    expect(html).to_have_attribute("lang", "ar")
    expect(page.get_by_role("dialog", name="الإعدادات")).to_be_visible()
    expect(page.get_by_role("combobox", name="اللغة")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="محادثة جديدة", exact=True)).to_be_visible()
    expect(draft).to_have_value("half a thought")
    sidebar, stage = page.locator("#sidebar").bounding_box(), page.locator("#stage").bounding_box()
    assert sidebar is not None
    assert stage is not None
    assert sidebar["x"] > stage["x"], "the side bar stands on the right"
    expect(html).to_have_attribute("data-theme", "dark")
    expect(html).to_have_attribute("data-density", "compact")

    page.get_by_role("button", name="الإعدادات").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="تصدير").click()
    assert json.loads(Path(saved.value.path()).read_text())["threads"], "what was said is in the export"
    page.get_by_role("combobox", name="اللغة").select_option("en")
    expect(html).to_have_attribute("dir", "ltr")
    expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    page.keyboard.press("Escape")
    expect(draft).to_have_value("half a thought")


def erase_everything(page: Page) -> None:
    """All data of the user goes, and the session with it."""
    page.keyboard.press("Escape")  # the dialog of the memory
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("dialog").get_by_text("Delete my data").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete everything").click()
    page.get_by_role("dialog", name="Delete all your data?").get_by_role("button", name="Delete everything").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('history')).length") == 0


def ask(page: Page, text: str) -> None:
    """Write a message and send it."""
    expect(page.get_by_role("button", name=re.compile("^Agent: "))).to_be_visible()  # the scripts have come
    page.get_by_role("textbox", name=re.compile("message", re.IGNORECASE)).fill(text)
    page.keyboard.press("Enter")


def main(folder: Path, shots: Path | None) -> None:
    """Play the story on a wide page; on a phone's the page only must not scroll sideways."""
    csv = folder / "sales.csv"
    rows = [
        f"2025-{month:02d}-{day:02d},{region},{month * 37 % 90 + day * 3}"
        for month in range(1, 13)
        for day in (3, 17)
        for region in ("north", "south")
    ]
    csv.write_text("\n".join(["date,region,sales", *rows]) + "\n")
    server = Server(folder / "data", UNDERSTUDY_MODELS_WORDS_PER_S="20")
    guarded = Server(folder / "guarded", UNDERSTUDY_SECRET=SECRET)
    try:
        with current_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            play(page, server, csv, shots)
            page.set_viewport_size({"width": 360, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            picture(page, shots, "phone")
            guest = browser.new_context().new_page()
            sign_in(guest, guarded, Tokens(SECRET, time.time).issue("ada", "s", ttl_s=600))
            change_settings(guest)
            change_memory(guest)
            erase_everything(guest)
    finally:
        server.stop(signal.SIGTERM)
        guarded.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
