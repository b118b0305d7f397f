"""A computer that sleeps for minutes while much happens in its open chat. Run by `test_story.py`.

python tests/browser/sleep_story.py FOLDER
"""

import json
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from served import NOTE_SENT, Server, current_browser, watched

from transport.auth.tokens import Tokens

SECRET = "a secret of more than thirty-two bytes"
OWNER = "somebody"
KNOWN = 15
MISSED = 30
"""Turns of a gap: more than the last page holds."""
QUEUED = 8
"""Messages that the server lets wait in a thread."""
LAST_PAGE = 20
MANY = {"UNDERSTUDY_LIMITS_MESSAGES_PER_MINUTE": "100000"}
ASLEEP_MS = 10 * 60_000
WATCH = """() => {
  window.seen = new Set();
  const said = () => document.querySelectorAll(".turn .bubble");
  const look = () => { for (const one of said()) window.seen.add(one.textContent); };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
}"""
"""Notes every message that is ever in the document."""
PLACE = """(text) => {
  const turn = [...document.querySelectorAll(".turn")].find((one) => one.querySelector(".bubble").textContent === text);
  return turn ? Math.round(turn.getBoundingClientRect().top) : null;
}"""
"""Returns where a message stands, in px."""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


class OtherClient:
    """The user's other device, which speaks over REST."""

    def __init__(self, server: Server) -> None:
        self.address = server.address
        self.token = Tokens(SECRET, time.time).issue(OWNER, "other", ttl_s=600)

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        """Return the answer of a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            read: dict[str, Any] = json.loads(answer.read())
            return read

    def say(self, first: int, last: int) -> None:
        """Say messages, one behind the other, and wait until the last one is answered."""
        for number in range(first, last + 1):
            payload = {"thread_id": "long", "message_id": f"m{number}", "agent_type": "guide", "content": said(number)}
            self.ask("/api/commands", {"type": "user_message", "payload": payload})
            if number % QUEUED == 0 or number == last:
                self.wait(f"m{number}")

    def wait(self, message_id: str) -> None:
        """Wait until the last message is answered."""
        deadline = time.monotonic() + 60
        while (turn := self.ask("/api/threads/long/turns?limit=1")["turns"][0])["run"]["status"] != "success":
            assert time.monotonic() < deadline, turn
        assert turn["message"]["id"] == message_id


def said(number: int) -> str:
    """Return the message of a turn."""
    return f"What is {number} + 1?"


def signed_in(page: Page, server: Server) -> None:
    """Hand the page a token of the user."""
    page.goto(f"{server.address}/page/icon.svg")
    token = Tokens(SECRET, time.time).issue(OWNER, "s", ttl_s=3600)
    page.evaluate("(kept) => localStorage.setItem('understudy.session', kept)", json.dumps({"session_token": token}))


def asleep(page: Page, other: OtherClient, first: int, last: int) -> int:
    """The computer sleeps for ten minutes; meanwhile these turns are made. Return the number of the last event."""
    page.context.set_offline(True)
    expect(page.locator(".status:not([data-phase=online])")).to_be_visible()
    other.say(first, last)
    page.clock.fast_forward(ASLEEP_MS)
    page.evaluate("window.seen.clear()")
    seq: int = other.ask("/api/threads/long/turns?limit=1")["seq"]
    return seq


def awake(page: Page) -> None:
    """The computer wakes up, and is connected again."""
    page.context.set_offline(False)
    expect(page.get_by_text("Online")).to_be_visible()


def resumed(page: Page) -> list[int]:
    """Return from which events on the thread was followed."""
    sent = page.evaluate("window.sent")
    return [int(match[1]) for frame in sent if (match := re.search(r'"long":(\d+)', frame)) and '"resume"' in frame]


def sleep_at_the_end(page: Page, server: Server, other: OtherClient) -> None:
    """The end is there, none of the gap is played, and neither a draft nor a message that waits is lost."""
    page.goto(f"{server.address}/#long")
    expect(page.locator(".turn .bubble").last).to_have_text(said(KNOWN))
    expect(page.get_by_text("Online")).to_be_visible()
    field = page.get_by_role("textbox", name=re.compile("message", re.IGNORECASE))
    end = asleep(page, other, KNOWN + 1, KNOWN + MISSED)
    field.fill("What is 6 * 7?")
    field.press("Enter")
    field.fill("not sent yet")
    page.evaluate("window.sent.length = 0")
    awake(page)
    expect(page.locator(".reply .prose").last.get_by_text("42")).to_be_visible()
    expect(field).to_have_value("not sent yet")
    assert min(resumed(page)) >= end, "the gap was asked for event by event"
    played = {said(number) for number in range(KNOWN + 1, KNOWN + MISSED - LAST_PAGE)}
    assert played & set(page.evaluate("[...window.seen]")) == set()
    expect(page.locator(".turn .bubble").get_by_text("What is 6 * 7?")).to_have_count(1)
    expect(page.locator(".turn .bubble").last).to_have_text("What is 6 * 7?")


def read_up_to(page: Page, text: str) -> None:
    """Scroll up until a message is in the document."""
    page.locator(".transcript").hover()
    for _ in range(400):
        if page.locator(".turn .bubble").get_by_text(text, exact=True).count() > 0:
            return
        page.mouse.wheel(0, -400)
        page.evaluate(FRAME)
    raise AssertionError(f"{text} is not there")


def sleep_in_the_past(page: Page, other: OtherClient) -> None:
    """What is read stays where it is, with the steps that were unfolded; all of the gap is behind it."""
    place = said(KNOWN + MISSED - 15)
    read_up_to(page, place)
    turn = page.locator(".turn").filter(has=page.locator(".bubble").get_by_text(place, exact=True))
    turn.scroll_into_view_if_needed()
    turn.get_by_role("button", name="Used 1 tool").click()
    expect(turn.get_by_text("That is arithmetic").first).to_be_visible()
    page.evaluate(FRAME)
    position = page.evaluate(PLACE, place)
    end = asleep(page, other, KNOWN + MISSED + 1, KNOWN + 2 * MISSED)
    page.evaluate("window.sent.length = 0")
    with page.expect_response(lambda answer: "/turns?before=" in answer.url):
        awake(page)
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    page.wait_for_function(FRAME)
    expect(turn.get_by_text("That is arithmetic").first).to_be_visible()
    assert abs(page.evaluate(PLACE, place) - position) <= 2
    page.get_by_role("button", name="Jump to latest").click()
    expect(page.locator(".turn .bubble").last).to_have_text(said(KNOWN + 2 * MISSED))
    assert min(resumed(page)) >= end
    page.evaluate("window.seen.clear()")
    read_up_to(page, said(KNOWN + MISSED))
    missed = {said(number) for number in range(KNOWN + MISSED + 1, KNOWN + 2 * MISSED)}
    assert missed - set(page.evaluate("[...window.seen]")) == set()


def main(folder: Path) -> None:
    """Sleep at the end of a chat, and once more while something before it is read."""
    server = Server(folder / "data", UNDERSTUDY_SECRET=SECRET, UNDERSTUDY_MODELS_WORDS_PER_S="10000", **MANY)
    problems: list[str] = []
    try:
        other = OtherClient(server)
        other.say(1, KNOWN)
        with current_browser() as browser:
            page = watched(browser.new_context(viewport={"width": 1280, "height": 800}).new_page(), problems)
            page.clock.install()
            for script in (NOTE_SENT, WATCH):
                page.add_init_script(f"({script})()")
            signed_in(page, server)
            sleep_at_the_end(page, server, other)
            sleep_in_the_past(page, other)
            assert problems == []
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
