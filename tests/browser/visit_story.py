"""A first visit, a phone, and who is signed in, in a real Chromium.

python tests/browser/visit_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
import time
from pathlib import Path

from furniture_story import NARROW, WIDE, ask
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect
from served import Server, current_browser, phone, picture, watched

from transport.auth.tokens import Tokens

SHORT: ViewportSize = {"width": 1280, "height": 600}
SECRET = "0123456789abcdef" * 3
WELCOME_IS_WHOLE = """() => {
  const [frame, first, last, guide] = [".transcript", ".empty > :first-child", ".empty > p", ".guide"]
    .map((selector) => document.querySelector(selector).getBoundingClientRect());
  return first.top >= frame.top && last.bottom <= frame.bottom && last.bottom + 8 <= guide.top;
}"""
"""Whether the welcome is seen as a whole above the steps of a demonstration, and apart from them."""
COVERS_NOTHING = """() => document.querySelector(".jump").getBoundingClientRect().top
  >= document.querySelector(".transcript").getBoundingClientRect().bottom"""
IN_THE_MIDDLE = """() => {
  const [send, arrow] = [".composer .round", ".composer .round .icon"]
    .map((selector) => document.querySelector(selector).getBoundingClientRect());
  return Math.abs(send.top + send.bottom - arrow.top - arrow.bottom) < 1.5;
}"""
"""Whether the arrow stands in the middle of the button that sends."""


def first_visit(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """Somebody new is shown the main job on sample data, and an answer that outlives its server."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    expect(page.get_by_text("even if the server is killed")).to_be_visible()
    picture(page, shots, "first-visit")
    page.get_by_role("button", name=re.compile("^Profile sample sales")).click()
    expect(page.locator(".attachments").get_by_text("sales.csv")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("figure").get_by_text("Sum of sales by month").first).to_be_visible()
    expect(page.locator(".turn-foot:visible")).to_have_count(1)
    expect(page.locator("figure.chart")).to_be_in_viewport(ratio=0.97)
    page.mouse.move(WIDE["width"] / 2, WIDE["height"] / 2)
    page.mouse.wheel(0, -2000)
    latest = page.get_by_role("button", name="Jump to latest")
    expect(latest).to_be_visible()
    assert page.evaluate(COVERS_NOTHING)
    assert page.evaluate(IN_THE_MIDDLE)
    picture(page, shots, "first-sales")
    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name=re.compile("^Kill the server")).click()
    guide = page.get_by_role("complementary", name="Kill the server in mid-answer")
    current = guide.locator("[aria-current=step]")
    expect(current).to_contain_text("Send the message")
    for size in (NARROW, SHORT, WIDE):
        page.set_viewport_size(size)
        page.wait_for_function(WELCOME_IS_WHOLE)
        picture(page, shots, f"first-kill-{size['width']}x{size['height']}")
    page.get_by_role("textbox", name="Message", exact=True).press("Enter")
    expect(current).to_contain_text("stop the server")
    expect(page.locator(".reply").last.get_by_text("Harbour Street").last).to_be_visible()
    server.stop()
    expect(current).to_contain_text("Start it again")
    picture(page, shots, "first-killed")
    server.start(UNDERSTUDY_MODELS_WORDS_PER_S="400")  # no need to read the rest at the pace of a reader
    expect(guide.get_by_text("It went on")).to_be_visible()
    expect(page.locator(".reply").last.get_by_text("when you do not know, ask").last).to_be_visible()
    picture(page, shots, "first-done")
    page.context.close()


def local_operator(browser: Browser, server: Server, problems: list[str]) -> None:
    """Who runs the server opens the operators' pages without a token; one whom a proxy forwards is asked for it."""
    for path, shown in (("admin", "Users"), ("observer", "Runs")):
        context = browser.new_context(viewport=WIDE)
        page = watched(context.new_page(), problems)
        page.goto(f"{server.address}/{path}")
        expect(page.get_by_role("navigation").get_by_role("link", name=shown, exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)  # there is no signing in again
        context.close()
        context = browser.new_context(viewport=WIDE, extra_http_headers={"X-Forwarded-For": "203.0.113.5"})
        page = watched(context.new_page(), problems)
        page.goto(f"{server.address}/{path}")
        expect(page.get_by_label(re.compile("token", re.IGNORECASE))).to_be_focused()
        expect(page.get_by_role("alert")).to_have_count(0)
        context.close()


def on_a_phone(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """On a phone menus end inside the screen, targets are a finger wide, and fields do not zoom the page."""
    with phone(browser, NARROW) as page:
        _held_in_a_hand(watched(page, problems), server, shots)


def _held_in_a_hand(page: Page, server: Server, shots: Path | None) -> None:
    page.route("**/api/agents", lambda route: route.abort())
    page.goto(server.address)
    expect(page.get_by_text("Online")).to_be_visible()
    ask(page, "What is 6 * 7?")
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    expect(page.get_by_role("option")).to_have_count(1)
    page.unroute("**/api/agents")  # they are read again, and an open menu gets them
    expect(page.get_by_role("option", name=re.compile("^Insights"))).to_be_visible()
    expect(page.get_by_role("option", selected=True)).to_be_focused()
    box = page.get_by_role("listbox").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROW["width"], box
    picture(page, shots, "phone-agents")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open the list of chats").click()
    expect(page.locator(".row-link").first).to_be_visible()
    expect(page.locator(".sidebar")).to_be_in_viewport(ratio=1)
    picture(page, shots, "phone-chats")
    small = """() => [...document.querySelectorAll('button, a[href], [role=option], summary')].filter((one) => {
      const box = one.getBoundingClientRect();
      return one.checkVisibility({ checkVisibilityCSS: true }) && box.width > 1 && (box.width < 44 || box.height < 44)
        && box.right > 0 && box.left < innerWidth && !one.matches('.skip');
    }).map((one) => `${one.className} ${one.getAttribute('aria-label') ?? one.textContent}`)"""
    assert page.evaluate(small) == []
    fields = """() => [...document.querySelectorAll('input:not([type=file]), textarea, select')]
      .filter((one) => parseFloat(getComputedStyle(one).fontSize) < 16).map((one) => one.className)"""
    assert page.evaluate(fields) == []


def account(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """A wrong token is refused in the dialog; a user sees who they are, and signs out of a slow browser."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.clock.install()
    page.add_init_script("if (window.CacheStorage) CacheStorage.prototype.keys = () => new Promise(() => {})")
    held: list[Route] = []
    page.route("**/api/agents", lambda route: route.continue_() if held else held.append(route))
    page.goto(server.address)
    dialog = page.get_by_role("dialog", name="Sign in")
    field = dialog.get_by_label("Session token")
    field.fill("nonsense")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("does not accept")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    picture(page, shots, "refused")
    field.fill(Tokens(SECRET, time.time).issue("ada lovelace", "s", ttl_s=600))
    expect(field).not_to_have_attribute("aria-invalid", "true")
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Online")).to_be_visible()
    ask(page, "Repeat the word zebra")
    expect(page.locator(".reply .prose").first).to_contain_text("No language model is connected")
    page.get_by_role("textbox", name="Message", exact=True).fill("a draft about a zebra")
    who = page.get_by_role("button", name=re.compile("ada lovelace"))
    expect(who).to_be_visible()
    token = page.evaluate('JSON.parse(localStorage["understudy.session"]).session_token')
    who.click()
    picture(page, shots, "account")
    page.get_by_role("menuitem", name="Sign out").click()
    page.clock.pause_at(time.time() + 1)
    page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    held.pop().abort()  # the chats are gone, and the page is there until the browser has cleared its caches
    page.clock.resume()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    assert "zebra" not in page.content() + page.evaluate("JSON.stringify({ ...localStorage })")
    answer = page.request.get(f"{server.address}/api/agents", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 401
    page.context.close()


def main(folder: Path, shots: Path | None) -> None:
    """Play all parts."""
    server = Server(folder / "data", UNDERSTUDY_MODELS_WORDS_PER_S="40")
    guarded = Server(folder / "guarded", UNDERSTUDY_SECRET=SECRET, UNDERSTUDY_MODELS_WORDS_PER_S="200")
    problems: list[str] = []
    try:
        with current_browser() as browser:
            first_visit(browser, server, shots, problems)
            local_operator(browser, server, problems)
            on_a_phone(browser, server, shots, problems)
            account(browser, guarded, shots, problems)
            assert not problems, problems
    finally:
        server.stop(signal.SIGTERM)
        guarded.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
