"""The end of a session in a real browser: one that is ended leaves no data in it, one that runs out a draft for its
user alone. Run by `test_story.py`.

python tests/browser/session_story.py FOLDER
"""

import json
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

import jwt
from playwright.sync_api import BrowserContext, Error, Page, expect
from served import Server, current_browser, watched

SECRET = "a secret of more than thirty-two bytes"
MARKER = "8675309"
AT_TOP = "() => document.querySelector('.transcript').scrollTop < 50"


def token_of(session: str, user: str = "ada", ttl_s: int = 3600) -> str:
    """Return a token as an operator's own sign-in would issue it."""
    now = int(time.time())
    claims = {"sub": user, "sid": session, "iat": now, "exp": now + ttl_s}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def stored(page: Page) -> dict[str, str]:
    """Return the contents of the browser's storage."""
    items: dict[str, str] = page.evaluate("({ ...localStorage })")
    return items


def handed(session: str, **made: int) -> str:
    """Return what a sign-in page of the same origin hands to the page."""
    return json.dumps({"session_token": token_of(session, **made)})


def sign_in(page: Page, token: str) -> None:
    """Sign in with a token in the dialog."""
    page.get_by_label("Session token").fill(token)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Online")).to_be_visible()


def signed_in(page: Page, address: str, session: str) -> None:
    """Hand the token to the page as a sign-in page of the same origin does."""
    page.goto(f"{address}/page/icon.svg")
    page.evaluate("(handed) => localStorage.setItem('understudy.session', handed)", handed(session))
    page.goto(address)
    page.get_by_role("textbox", name="Message").wait_for()


def sign_out_everywhere(address: str) -> None:
    """End all sessions of the user from another client, as after the loss of a device."""
    request = Request(
        f"{address}/api/me/sessions", method="DELETE", headers={"Authorization": f"Bearer {token_of('phone')}"}
    )
    with urlopen(request) as answer:
        assert answer.status == 204


def runs_out(context: BrowserContext, address: str, problems: list[str]) -> None:
    """A session runs out while its user writes. The draft is not to be seen then; who signs in again finds it, and the
    chat where it was read. Somebody else finds nothing."""
    page = watched(context.new_page(), problems)
    page.set_viewport_size({"width": 900, "height": 500})
    page.goto(address)
    sign_in(page, token_of("s2"))
    box = page.get_by_role("textbox", name="Message", exact=True)
    for number in range(1, 5):
        box.fill(f"{MARKER} + {number}")
        box.press("Enter")
        expect(page.locator(".turn-foot:visible")).to_have_count(number)
    chat = page.url
    for user, kept in (("ada", True), ("bob", False)):
        page.evaluate("(handed) => localStorage.setItem('understudy.session', handed)", handed("s2", ttl_s=4))
        page.goto("about:blank")
        page.route("**/api/sessions/refresh", lambda route: route.abort())  # until the token is too old
        page.goto(chat)
        expect(page.locator(".turn-foot:visible")).to_have_count(4)
        page.locator(".transcript").hover()
        page.mouse.wheel(0, -3000)
        page.wait_for_function(AT_TOP)
        box.fill(f"a draft about a {MARKER}")
        time.sleep(4)
        page.unroute("**/api/sessions/refresh")
        with suppress(Error):  # the page may have noticed by itself, and load anew at this moment
            page.evaluate("dispatchEvent(new Event('offline')); dispatchEvent(new Event('online'))")
        page.get_by_role("dialog").wait_for()
        assert MARKER not in page.content()
        if not kept:
            page.route("**/api/threads?*", lambda route: None)  # what was left goes without the list of chats
        sign_in(page, token_of("s3", user))
        if not kept:
            expect(page.get_by_role("button", name=re.compile(user))).to_be_visible()
            expect(box).to_have_value("")
            assert MARKER not in json.dumps({key: at for key, at in stored(page).items() if "history" not in key})
            break
        expect(box).to_have_value(f"a draft about a {MARKER}")
        expect(page).to_have_url(chat)
        expect(page.locator(".turn-foot")).to_have_count(4)
        page.wait_for_function(AT_TOP)
    page.close()


def main(folder: Path) -> None:
    """Two tabs have a conversation, a draft and a theme; then the user is signed out from another client."""
    server = Server(folder / "data", UNDERSTUDY_SECRET=SECRET)
    try:
        with current_browser() as browser:
            context = browser.new_context()
            page, other = context.new_page(), context.new_page()
            problems: list[str] = []
            watched(page, problems)
            watched(other, problems)
            signed_in(page, server.address, "s1")
            page.evaluate("localStorage.setItem('understudy.theme', 'dark')")
            box = page.get_by_role("textbox", name="Message")
            box.fill(f"{MARKER} + 0")
            box.press("Enter")
            expect(page.locator(".turn .prose").first).to_contain_text(MARKER)
            other.goto(page.url)
            expect(other.locator(".turn .prose").first).to_contain_text(MARKER)
            box.fill(f"a draft about a {MARKER}")
            page.wait_for_function("(word) => JSON.stringify(localStorage).includes('draft about')", arg=MARKER)
            time.sleep(1.1)  # sign-out has whole seconds, and revokes tokens issued in the same second
            sign_out_everywhere(server.address)
            for tab in (page, other):
                tab.wait_for_function("word => !document.documentElement.outerHTML.includes(word)", arg=MARKER)
                tab.get_by_role("dialog").wait_for()
                assert MARKER not in tab.content()
                assert MARKER not in tab.url
            left = stored(page)
            left.pop("understudy.fresh", "")  # ids of the empty chats that both tabs have begun since
            assert left == {"understudy.theme": "dark"}, left
            page.goto(f"{server.address}/#%")  # an invalid escape must not throw; it names a thread
            page.reload()
            page.get_by_role("dialog").wait_for()
            refused = "() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true } }"
            assert page.evaluate(refused), "markup gets in past the one policy"
            assert [problem for problem in problems if "TrustedHTML" not in problem] == []
            runs_out(browser.new_context(), server.address, problems)
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
