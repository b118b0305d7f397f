"""A long thread in a real Chromium: its end is there at once, its past is read on the way up. Run by `test_story.py`.

python tests/browser/past_story.py FOLDER
"""

import json
import signal
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, Route, expect
from served import NOTE_SENT, Server, current_browser, watched

from tests.rigs.million_events import EVENTS_OF_RUN, OWNER, build_threads
from transport.auth.tokens import Tokens

SECRET = "a secret of more than thirty-two bytes"
TURNS = 150
WATCH = """() => {
  window.live = [];
  const look = () => {
    for (const one of document.querySelectorAll('.work[data-state=live] .work-now')) window.live.push(one.textContent);
    if (document.querySelector('.composer button.stop:not([hidden])')) window.live.push('stop');
  };
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document, all);
}"""
"""Notes every sign of a turn at work."""
PATIENT = """() => {
  const set = window.setTimeout;
  window.setTimeout = (act, ms, ...given) => set(act, ms >= 5_000 ? 60 * ms : ms, ...given);
}"""
"""Has the page wait for its reading as long as a busy machine takes: after 5 s it would play the log."""
SEEN = """() => {
  const top = document.querySelector('.transcript').getBoundingClientRect().top;
  for (const turn of document.querySelectorAll('.turn')) {
    const rect = turn.getBoundingClientRect();
    if (rect.top >= top) return [turn.querySelector('.bubble').textContent, Math.round(rect.top)];
  }
  return null;
}"""
"""Returns the first turn that begins where the reader sees it, and where that is."""


FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def signed_in(page: Page, address: str) -> None:
    """Hand the page a token of the user whose threads were built."""
    page.goto(f"{address}/page/icon.svg")
    token = Tokens(SECRET, time.time).issue(OWNER, "s", ttl_s=600)
    page.evaluate("(kept) => localStorage.setItem('understudy.session', kept)", json.dumps({"session_token": token}))


def said(number: int) -> str:
    """Return the beginning of a message: the name of its thread's turn."""
    return f"w00000x{number:06}"


def open_the_end(page: Page, address: str) -> None:
    """The last message is there without the log being played, and nothing of the past is ever at work."""
    for script in (PATIENT, NOTE_SENT, WATCH):
        page.add_init_script(f"({script})()")
    page.goto(f"{address}/#long")
    expect(page.locator(".turn .bubble").last).to_contain_text(said(TURNS - 1))
    expect(page.get_by_text("Online")).to_be_visible()
    expect(page.locator(".turn").last.get_by_role("button", name="Used 1 tool")).to_be_visible()
    resumed = [frame for frame in page.evaluate("window.sent") if '"resume"' in frame]
    assert [f'"long":{TURNS * EVENTS_OF_RUN}' in frame for frame in resumed] == [True], resumed
    assert page.evaluate("window.live") == []
    assert page.locator("*").count() < 2_000


def read_upwards(page: Page) -> None:
    """Older turns come on the way up, and what is seen stays where it is; the first is the beginning."""
    page.locator(".transcript").hover()
    for _ in range(400):
        if page.get_by_text("The beginning of the chat").is_visible():
            break
        page.mouse.wheel(0, -2_000)
        page.wait_for_timeout(30)
        assert page.locator(".turn").count() < 40, "turns that nobody sees stay in the document"
    page.evaluate("document.querySelector('.transcript').scrollTop = 0")
    expect(page.locator(".turn .bubble").first).to_contain_text(said(0))
    assert page.evaluate("window.live") == []
    page.get_by_role("button", name="Jump to latest").click()
    expect(page.locator(".turn .bubble").last).to_contain_text(said(TURNS - 1))


def keep_the_place(page: Page, address: str) -> None:
    """An older page that comes late moves nothing that the reader sees; by the button it comes for a keyboard, too."""
    held: list[Route] = []
    page.route("**/turns?before=*", lambda route: held.append(route))
    page.reload()
    expect(page.locator(".turn .bubble").last).to_contain_text(said(TURNS - 1))
    page.locator(".transcript").hover()
    while not held:
        page.mouse.wheel(0, -500)
        page.wait_for_timeout(30)
    page.evaluate("document.querySelector('.transcript').scrollTop = 40")
    page.wait_for_timeout(100)
    place = page.evaluate(SEEN)
    held.pop().continue_()
    expect(page.get_by_text("Loading older messages…")).to_be_hidden()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    after = page.evaluate(SEEN)
    assert after[0] == place[0], (place, after)
    assert abs(after[1] - place[1]) <= 2, (place, after)
    page.unroute("**/turns?before=*")
    page.route("**/turns?before=*", lambda route: route.abort())
    page.evaluate("document.querySelector('.transcript').scrollTop = 0")
    expect(page.get_by_text("Older messages could not be loaded.")).to_be_visible()
    page.unroute("**/turns?before=*")
    page.get_by_role("button", name="Load older messages").press("Enter")
    expect(page.get_by_text("Older messages could not be loaded.")).to_be_hidden()


def change_the_language(page: Page) -> None:
    """In another language the reader, their draft and the place in it, and the settings are where they were."""
    page.locator(".transcript").evaluate("one => one.scrollTop = one.scrollHeight / 2")
    field = page.locator("textarea.composer-text")
    field.fill("not sent yet")
    field.evaluate("one => one.setSelectionRange(4, 8)")
    for name, title in (("Deutsch", "Einstellungen"), ("English", "Settings")):
        page.evaluate(FRAME)
        place = page.evaluate(SEEN)
        if name == "Deutsch":
            page.get_by_role("button", name="Settings").click()
        page.locator("dialog select").select_option(label=name)
        expect(page.get_by_role("dialog", name=title)).to_be_visible()
        expect(page.locator("dialog select")).to_be_focused()
        expect(field).to_have_value("not sent yet")
        assert field.evaluate("one => [one.selectionStart, one.selectionEnd]") == [4, 8]
        page.wait_for_function(f"(wanted) => ({SEEN})()?.[0] === wanted", arg=place[0])
        assert abs(page.evaluate(SEEN)[1] - place[1]) <= 2
        expect(page.locator(".status[data-phase=online]")).to_be_attached()
        assert page.evaluate(SEEN)[0] == place[0]
    page.keyboard.press("Escape")


def open_steps(page: Page) -> None:
    """The steps of an old turn are read when they are unfolded."""
    page.get_by_role("button", name="Jump to latest").click()
    turn = page.locator(".turn").last
    turn.get_by_role("button", name="Used 1 tool").click()
    turn.get_by_text("7 calls").last.click()
    turn.locator("details.tool details.tool summary").last.click()
    expect(turn.get_by_text("SELECT region").last).to_be_visible()


def open_without_rest(page: Page, address: str) -> None:
    """If the page cannot be read, the thread is shown from its log."""
    page.route("**/turns?*", lambda route: route.abort())
    page.goto(f"{address}/#short")
    expect(page.locator(".turn .bubble").last).to_contain_text("w00001x000003")


def main(folder: Path) -> None:
    """Read a thread of 300 messages from its end to its beginning."""
    (folder / "data").mkdir(parents=True)
    build_threads(folder / "data", {"long": TURNS * EVENTS_OF_RUN, "short": 4 * EVENTS_OF_RUN})
    server = Server(folder / "data", UNDERSTUDY_SECRET=SECRET)
    problems: list[str] = []
    try:
        with current_browser() as browser:
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            watched(page, problems)
            signed_in(page, server.address)
            open_the_end(page, server.address)
            read_upwards(page)
            keep_the_place(page, server.address)
            change_the_language(page)
            open_steps(page)
            open_without_rest(page, server.address)
            assert problems == []
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
