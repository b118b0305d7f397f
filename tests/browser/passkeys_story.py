"""Users with passkeys: invited, signed out, signed in, a second authenticator, the last one. Run by `test_story.py`.

python tests/browser/passkeys_story.py FOLDER [SCREENSHOTS]
"""

import sys
from pathlib import Path

from accounts_story import WIDE, _command
from playwright.sync_api import CDPSession, Page, expect
from served import Server, current_browser, picture, watched


def main(folder: Path, shots: Path | None) -> None:
    """Start the server, and play the story."""
    server = Server(folder / "data", UNDERSTUDY_ACCOUNTS_ENABLED="true", UNDERSTUDY_BUILTIN_AGENTS="guide")
    try:
        _story(server, shots)
    finally:
        server.stop()


def _authenticator(session: CDPSession, *, verified: bool = True) -> str:
    """Give the browser an authenticator whose user is there, and verifies themselves or not. Return its id."""
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verified,
        "automaticPresenceSimulation": True,
    }
    created = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return str(created["authenticatorId"])


def _story(server: Server, shots: Path | None) -> None:
    problems = list[str]()
    address = f"http://localhost:{server.port}"
    link = _command(server, "invite", "Ada", "--url", address)
    with current_browser() as browser:
        page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
        page.goto(server.address)  # an address has no passkeys
        expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
        expect(page.get_by_role("button", name="Use a passkey")).to_have_count(0)
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        phone = _authenticator(session)

        page.goto(link)
        page.get_by_role("button", name="Use a passkey instead").click()
        expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
        expect(page.get_by_text("Online")).to_be_visible()
        _sign_out(page)
        dialog = page.get_by_role("dialog", name="Sign in")
        picture(page, shots, "sign-in-passkey")
        session.send("WebAuthn.setUserVerified", {"authenticatorId": phone, "isUserVerified": False})
        dialog.get_by_role("button", name="Use a passkey").click()
        expect(dialog.get_by_role("alert")).to_have_text("No passkey was used. Try again.")
        session.send("WebAuthn.setUserVerified", {"authenticatorId": phone, "isUserVerified": True})
        dialog.get_by_role("button", name="Use a passkey").click()
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("button", name="Account: ada")).to_be_visible()

        _second(page, session, phone, shots)
        page.get_by_role("button", name="Account: ada").click()
        page.get_by_role("menuitem", name="Change the password").click()
        expect(page.get_by_text("You have no password here")).to_be_visible()
        page.keyboard.press("Escape")
        _command(server, "accounts", "reset", "ada")
        expect(dialog).to_be_visible()
        dialog.get_by_role("button", name="Use a passkey").click()
        expect(dialog.get_by_role("alert")).to_have_text("This passkey does not fit any account here.")
        refused = [problem for problem in problems if "401" not in problem and "403" not in problem]
        assert not refused, refused


def _sign_out(page: Page) -> None:
    page.get_by_role("button", name="Account: ada").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("dialog", name="Sign out?").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()


def _second(page: Page, session: CDPSession, phone: str, shots: Path | None) -> None:
    """One device has one passkey; another is added on a second device; the last one cannot be removed."""
    page.get_by_role("button", name="Account: ada").click()
    page.get_by_role("menuitem", name="Passkeys").click()
    dialog = page.get_by_role("dialog", name="Passkeys")
    rows = dialog.get_by_role("button", name="Remove ")
    expect(rows).to_have_count(1)
    dialog.get_by_role("button", name="Add a passkey").click()
    expect(dialog.get_by_role("status")).to_have_text("This device has a passkey of yours already.")
    rows.click()
    page.get_by_role("dialog").last.get_by_role("button", name="Remove", exact=True).click()
    expect(dialog.get_by_role("status")).to_contain_text("That is your only way to sign in")
    session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": phone})
    _authenticator(session)
    dialog.get_by_label("Name of the new passkey").fill("Key on my ring")
    dialog.get_by_role("button", name="Add a passkey").click()
    expect(rows).to_have_count(2)
    picture(page, shots, "passkeys")
    rows.first.click()
    page.get_by_role("dialog").last.get_by_role("button", name="Remove", exact=True).click()
    expect(rows).to_have_count(1)
    expect(dialog.get_by_text("Key on my ring")).to_be_visible()
    page.keyboard.press("Escape")
    _sign_out(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("button", name="Account: ada")).to_be_visible()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
