"""What browsers, computers and proxies in the field do, in a real browser. Run by `test_story.py`.

python tests/browser/field_story.py FOLDER
"""

import json
import re
import sys
import time
from pathlib import Path

import jwt
from playwright.sync_api import Browser, Page, expect
from served import Server, current_browser, plays_common_parts, watched

from tests.servers.nginx import UPGRADE, Nginx

SECRET = "a secret of more than thirty-two bytes"
FAST = """() => {
  const real = Date.now.bind(Date);
  const Own = Date;
  globalThis.Date = class extends Own {
    constructor(...given) { given.length > 0 ? super(...given) : super(real() + 3600e3); }
    static now() { return real() + 3600e3; }
  };
}"""
"""Puts the clock an hour forward."""
FILL = """() => {
  for (let size = 1 << 20; size >= 1; size = Math.floor(size / 2)) {
    try { for (let n = 0; ; n += 1) localStorage.setItem(`other.${size}.${n}`, "x".repeat(size)); } catch { /* full */ }
  }
}"""
"""Fills the storage, as another application of the same origin may."""
CONFIRM = """() => {
  const box = document.activeElement;
  box.dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true }));
  box.value = "日本語";
  box.dispatchEvent(new InputEvent("input", { bubbles: true, isComposing: true }));
  box.dispatchEvent(new CompositionEvent("compositionend", { bubbles: true, data: "日本語" }));
  const key = new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true });
  box.dispatchEvent(key);
  return [box.value, key.defaultPrevented, box.isConnected];
}"""
"""Composes a text as Safari tells of it: the Enter that confirms comes after the end of the composition."""


def ready(page: Page, address: str) -> None:
    """Open the page, and wait until its scripts have come and it is connected."""
    page.goto(address)
    expect(page.get_by_role("button", name=re.compile("^Agent: "))).to_be_visible()
    expect(page.get_by_text("Online")).to_be_visible()


def ask(page: Page, text: str, answer: str) -> None:
    """Send a message, and wait for the answer."""
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose").get_by_text(answer).last).to_be_visible()


def back_leaves(browser: Browser, server: Server, problems: list[str]) -> None:
    """The first chat takes the place of the address without one: Back leaves, Forward comes back to the chat."""
    page = watched(browser.new_page(), problems)
    previous = f"{server.address}/healthz"  # a page that loads: Firefox does not say that about:blank has
    page.goto(previous)
    ready(page, server.address)
    ask(page, "What is 1 + 1?", "2")
    chat = page.url
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("heading", name="New chat")).to_be_visible()
    page.go_back()
    assert page.url == chat
    expect(page.locator(".reply .prose").get_by_text("2").last).to_be_visible()
    page.go_back()
    assert page.url == previous
    page.go_forward()
    assert page.url == chat
    page.context.close()


def fast_clock(browser: Browser, server: Server, problems: list[str]) -> None:
    """Tokens live for 45 minutes, and the clock is an hour fast: the session is made once, and not renewed."""
    context = browser.new_context()
    context.add_init_script(f"({FAST})()")
    page, requests = watched(context.new_page(), problems), list[str]()
    page.on("request", lambda request: requests.append(request.url) if "/api/sessions" in request.url else None)
    ready(page, server.address)
    ask(page, "What is 2 + 2?", "4")
    page.reload()
    expect(page.locator(".reply .prose").get_by_text("4").last).to_be_visible()
    assert len(requests) == 1, requests
    context.close()


def full_storage(browser: Browser, server: Server, problems: list[str]) -> None:
    """The guest stays who they are, and their chat is there after a reload."""
    page = watched(browser.new_page(), problems)
    ready(page, server.address)
    ask(page, "What is 3 + 3?", "6")
    page.evaluate(f"({FILL})()")
    page.reload()
    expect(page.locator(".reply .prose").get_by_text("6").last).to_be_visible()
    page.context.close()


def input_methods(browser: Browser, server: Server, problems: list[str]) -> None:
    """The key that confirms a choice sends nothing, in the box and in the fields that Enter ends."""
    page = watched(browser.new_page(), problems)
    ready(page, server.address)
    ask(page, "What is 4 + 4?", "8")
    page.get_by_role("textbox", name="Message", exact=True).focus()
    assert page.evaluate(f"({CONFIRM})()") == ["日本語", False, True]
    page.get_by_role("textbox", name="Message", exact=True).fill("")
    page.get_by_role("searchbox", name="Search chats").focus()
    assert page.evaluate(f"({CONFIRM})()") == ["日本語", False, True]
    page.get_by_role("searchbox", name="Search chats").fill("")
    page.locator(".bubble").last.hover()
    page.get_by_role("button", name=re.compile("^Edit")).last.click()
    assert page.evaluate(f"({CONFIRM})()") == ["日本語", False, True]
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    assert page.evaluate(f"({CONFIRM})()") == ["日本語", False, True]
    page.keyboard.press("Escape")
    expect(page.locator(".turn")).to_have_count(1)
    page.context.close()


def half_a_character(browser: Browser, server: Server, problems: list[str]) -> None:
    """A text that another program has cut in the middle of an emoji is sent, with U+FFFD in its place."""
    page = watched(browser.new_page(), problems)
    ready(page, server.address)
    ask(page, "zebra\ud83d", "No language model is connected")
    expect(page.locator(".bubble").last).to_contain_text("zebra\ufffd")
    page.context.close()


def token_of(user: str) -> str:
    """Return a token as an operator's own sign-in would issue it."""
    now = int(time.time())
    return jwt.encode({"sub": user, "sid": "s", "iat": now, "exp": now + 3600}, SECRET, algorithm="HS256")


def below_a_path(browser: Browser, folder: Path, problems: list[str]) -> None:
    """A proxy gives the server the path /chat/, and has something else at all others. The chat, a picture, a shared
    conversation and the operators' pages work, and the service worker keeps to its path."""
    server = Server(folder / "below", UNDERSTUDY_SECRET=SECRET, UNDERSTUDY_SHARES_LINKS="true")
    locations = f"""
        location /chat/ {{
            proxy_pass {server.address}/;{UPGRADE}
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
        location = / {{ return 200 "another application"; }}
    """
    proxy, failed = Nginx(folder / "nginx", locations), list[str]()
    try:
        context = browser.new_context()
        page = watched(context.new_page(), problems)
        context.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{proxy.address}/chat/page/icon.svg")
        handed = json.dumps({"session_token": token_of("ada")})
        page.evaluate("(handed) => localStorage.setItem('understudy.session', handed)", handed)
        ready(page, f"{proxy.address}/chat/")
        ask(page, "What is 5 + 5?", "10")
        assert page.url.startswith(f"{proxy.address}/chat/#")
        page.reload()
        expect(page.locator(".reply .prose").get_by_text("10").last).to_be_visible()
        scope = "navigator.serviceWorker.ready.then((found) => found.scope)"
        assert page.evaluate(scope) == f"{proxy.address}/chat/"
        page.get_by_role("button", name=re.compile("^Menu")).first.click()
        page.get_by_role("menuitem", name="Share…").click()
        dialog = page.get_by_role("dialog", name="Share this chat")
        dialog.get_by_role("button", name="Make a link").click()
        address = dialog.get_by_label("Address of the link")
        expect(address).to_have_value(re.compile(re.escape(f"{proxy.address}/chat/share/")))
        reader = watched(context.new_page(), problems)
        reader.goto(address.input_value())
        expect(reader.get_by_text("What is 5 + 5?").last).to_be_visible()
        for name in ("observer", "admin"):
            other = watched(context.new_page(), problems)
            other.goto(f"{proxy.address}/chat/{name}")
            expect(other.get_by_role("link", name=re.compile("chat", re.IGNORECASE)).first).to_have_attribute(
                "href", "/chat/"
            )
        assert not [url for url in failed if not url.endswith(("/api/me", "favicon.ico"))], failed
        context.close()
    finally:
        proxy.stop()
        server.stop()


def main(folder: Path) -> None:
    """Play all parts; Firefox plays those that differ between browsers."""
    server = Server(folder / "data", UNDERSTUDY_SESSION_TOKEN_TTL_S="2700")
    problems: list[str] = []
    try:
        with current_browser() as browser:
            back_leaves(browser, server, problems)
            full_storage(browser, server, problems)
            below_a_path(browser, folder, problems)
            if plays_common_parts():
                fast_clock(browser, server, problems)
                input_methods(browser, server, problems)
                half_a_character(browser, server, problems)
    finally:
        server.stop()
    assert not problems, problems


if __name__ == "__main__":
    main(Path(sys.argv[1]))
