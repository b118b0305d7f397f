"""Users of the page sign in at a stock OpenID provider, and leave again. Run by `test_story.py`.

python tests/browser/openid_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from served import Server, current_browser, picture, watched

from tests.servers.needed import free_port
from tests.servers.openid import CLIENT_ID, CLIENT_SECRET

ANN = {"name": "Ann Other", "groups": ["support"]}
AGREE = """form => {
  form.append(Object.assign(document.createElement("input"), { name: "logout", value: "yes" }));
  form.submit();
}"""
"""Presses the button that this provider's page has not."""
BOB = {"name": "Bob Other", "groups": ["sales"]}


def main(folder: Path, shots: Path | None) -> None:
    """Start the provider and the server, and play the story."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.openid", f"http://127.0.0.1:{port}", str(folder / "provider")]
    # No input: node would make that of the player of stories non-blocking, which then ends at its next read.
    no = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=no, stdout=subprocess.PIPE, stderr=no, text=True) as provider:
        try:
            assert provider.stdout is not None
            issuer = provider.stdout.readline().strip()
            server = Server(
                folder / "data",
                options=["--port", str(port), *(f"tests.browser.openid_agents:{each}" for each in ("front", "desk"))],
                UNDERSTUDY_SECRET="a secret of more than thirty-two bytes",
                UNDERSTUDY_OIDC_ISSUER=issuer,
                UNDERSTUDY_OIDC_CLIENT_ID=CLIENT_ID,
                UNDERSTUDY_OIDC_CLIENT_SECRET=CLIENT_SECRET,
                UNDERSTUDY_OIDC_TITLE="Example",
                UNDERSTUDY_OIDC_RECHECK_S="10",
                UNDERSTUDY_BUILTIN_AGENTS="",
            )
            try:
                _story(server, issuer, shots)
            finally:
                server.stop()
        finally:
            provider.terminate()


def _story(server: Server, issuer: str, shots: Path | None) -> None:
    """Ann of the support sees both agents, Bob one; who is removed at the provider is asked to sign in again."""
    problems = list[str]()
    with current_browser() as browser:
        page = watched(browser.new_context(viewport={"width": 1280, "height": 800}).new_page(), problems)
        _control(page, issuer, user="ann", accounts={"ann": ANN, "bob": BOB})
        page.goto(server.address)
        expect(page.get_by_text("This server wants you to sign in at Example.")).to_be_visible()
        expect(page.get_by_label("Session token")).to_have_count(0)
        picture(page, shots, "openid")
        _sign_in(page, "Ann Other")
        assert _agents(page) == ["desk", "front"]
        page.get_by_role("option", name=re.compile("desk", re.IGNORECASE)).click()
        page.get_by_role("textbox", name="Message", exact=True).fill("Who is there?")
        page.keyboard.press("Enter")
        expect(page.get_by_role("paragraph").get_by_text("This is the desk.")).to_be_visible()
        where = page.url
        page.reload()
        expect(page.get_by_role("button", name="Account: Ann Other")).to_be_visible()
        expect(page.get_by_role("paragraph").get_by_text("This is the desk.")).to_be_visible()
        assert page.url == where

        _sign_out(page, server.address, "Ann Other")
        _control(page, issuer, user="bob")
        _sign_in(page, "Bob Other")
        assert _agents(page) == ["front"]
        page.keyboard.press("Escape")
        expect(page.get_by_text("This is the desk.")).to_have_count(0)
        other = watched(page.context.new_page(), problems)  # a second tab needs no sign-in of its own
        other.goto(server.address)
        expect(other.get_by_role("button", name="Account: Bob Other")).to_be_visible()

        _control(page, issuer, accounts={"ann": ANN})  # within ten seconds both tabs learn that Bob is gone
        for tab in (page, other):
            expect(tab.get_by_role("button", name="Sign in with Example")).to_be_visible()
        assert page.evaluate("!('understudy.session' in localStorage)")
        ours = [each for each in problems if "Cookie “_session" not in each]  # the provider has no TLS here
        assert not ours, ours


def _control(page: Page, issuer: str, **state: Any) -> None:
    """Say at the provider who sits at the browser, and who exists."""
    page.request.post(f"{issuer}/control", data=json.dumps(state))


def _sign_in(page: Page, name: str) -> None:
    """Sign in; the provider asks nothing, and leads back."""
    page.get_by_role("button", name="Sign in with Example").click()
    expect(page.get_by_role("button", name=f"Account: {name}")).to_be_visible()
    expect(page.get_by_text("Online")).to_be_visible()


def _agents(page: Page) -> list[str]:
    """Open the list of agents. Return the names in it."""
    page.get_by_role("button", name=re.compile("^Agent")).click()
    expect(page.get_by_role("option", name=re.compile("front", re.IGNORECASE))).to_be_visible()
    named = [each.inner_text().lower() for each in page.get_by_role("option").all()]
    return sorted(next(name for name in ("front", "desk") if name in each) for each in named)


def _sign_out(page: Page, address: str, name: str) -> None:
    """Sign out here and at the provider, whose page asks, and leads back."""
    page.get_by_role("button", name=f"Account: {name}").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("dialog", name="Sign out?").get_by_role("button", name="Sign out").click()
    form = page.locator("form[action$='/session/end/confirm']")
    form.wait_for(state="attached")
    form.evaluate(AGREE)
    expect(page.get_by_role("button", name="Sign in with Example")).to_be_visible()
    assert page.url.startswith(address)
    left = [key for key in page.evaluate("Object.keys(localStorage)") if "history" in key or "session" in key]
    assert not left, left


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
