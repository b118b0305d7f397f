"""The end of a session in a real Chromium: the browser keeps no data of it. Run by `test_story.py`.

python tests/browser/session_story.py FOLDER
"""

import json
import signal
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import jwt
from playwright.sync_api import Page, expect
from served import Server, current_browser, watched

SECRET = "a secret of more than thirty-two bytes"
MARKER = "8675309"


def token_of(session: str) -> str:
    """Return a token as an operator's own sign-in would issue it."""
    now = int(time.time())
    claims = {"sub": "ada", "sid": session, "iat": now, "exp": now + 3600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def stored(page: Page) -> dict[str, str]:
    """Return the contents of the browser's storage."""
    found: dict[str, str] = page.evaluate("({ ...localStorage })")
    return found


def signed_in(page: Page, address: str, session: str) -> None:
    """Hand the token to the page as a sign-in page of the same origin does."""
    page.goto(f"{address}/page/icon.svg")
    handed = json.dumps({"session_token": token_of(session)})
    page.evaluate("(handed) => localStorage.setItem('understudy.session', handed)", handed)
    page.goto(address)
    page.get_by_role("textbox", name="Message").wait_for()


def sign_out_everywhere(address: str) -> None:
    """End all sessions of the user from another client, as after the loss of a device."""
    request = Request(
        f"{address}/api/me/sessions", method="DELETE", headers={"Authorization": f"Bearer {token_of('phone')}"}
    )
    with urlopen(request) as answer:
        assert answer.status == 204


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
            assert [each for each in problems if "TrustedHTML" not in each] == []
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
