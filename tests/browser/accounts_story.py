"""Users with a password: invited, signed out, mistaken, signed in, signed out by the operator. Run by `test_story.py`.

python tests/browser/accounts_story.py FOLDER [SCREENSHOTS]
"""

import sys
from pathlib import Path

from click.testing import CliRunner
from playwright.sync_api import Page, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched

from understudy.cli.main import main as understudy

GOOD = "tree sky blue lamp"
NEWER = "river under old stones"


def main(folder: Path, shots: Path | None) -> None:
    """Start the server, and play the story."""
    server = Server(folder / "data", UNDERSTUDY_ACCOUNTS_ENABLED="true", UNDERSTUDY_BUILTIN_AGENTS="guide")
    try:
        _story(server, shots)
    finally:
        server.stop()


def _command(server: Server, *arguments: str) -> str:
    """Run `understudy` beside the server. Return what it prints."""
    done = CliRunner(env={"UNDERSTUDY_ACCOUNTS_ENABLED": "true"}).invoke(
        understudy, [*arguments, "--data-dir", str(server.folder)]
    )
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def _story(server: Server, shots: Path | None) -> None:
    problems = list[str]()
    link = _command(server, "invite", "Ada", "--url", server.address)
    with current_browser() as browser:
        page = watched(browser.new_context(viewport=NARROW).new_page(), problems)
        _join(page, link, shots)
        page.set_viewport_size(WIDE)
        page.get_by_role("textbox", name="Message", exact=True).fill("Hello")
        page.keyboard.press("Enter")
        expect(page.locator(".prose").first).to_be_visible()
        where = page.url
        page.reload()
        expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
        assert page.url == where

        page.get_by_role("button", name="Account: ada").click()
        page.get_by_role("menuitem", name="Sign out").click()
        page.get_by_role("dialog", name="Sign out?").get_by_role("button", name="Sign out").click()
        _sign_in(page, server, shots)
        page.goto(where)
        expect(page.locator(".prose").first).to_be_visible()
        second = watched(page.context.new_page(), problems)
        second.set_viewport_size(WIDE)
        second.goto(server.address)
        expect(second.get_by_role("button", name="Account: ada")).to_be_visible()

        _change(page, second, shots)
        _command(server, "accounts", "disable", "ada")  # within seconds both tabs are signed out
        for tab in (page, second):
            expect(tab.get_by_role("dialog", name="Sign in")).to_be_visible()
            expect(tab.get_by_text("Hello", exact=True)).to_have_count(0)
        assert page.evaluate("!('understudy.session' in localStorage)")
        _fill(page, "ada", GOOD)
        expect(page.get_by_role("dialog", name="Sign in").get_by_role("alert")).to_have_text(
            "That name and password do not fit."
        )

        page.goto(link)  # it was used
        expect(page.get_by_role("heading", name="This invite is not valid any more")).to_be_visible()
        picture(page, shots, "invite-gone")
        page.goto(_command(server, "accounts", "reset", "ada", "--url", server.address))
        _choose(page, "another " + GOOD)
        expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
        _operate(page, server, shots)
        refused = [line for line in problems if "401" not in line and "404" not in line and "400" not in line]
        assert not refused, refused


def _operate(page: Page, server: Server, shots: Path | None) -> None:
    """Come into the operators' pages: refused without the role, by the sign-in of the chat, by its session, and out."""
    live = page.get_by_text("Live", exact=True)
    page.goto(f"{server.address}/observer")
    expect(page.get_by_role("alert")).to_have_text("ada is signed in. This page needs the role operator.")
    expect(page.get_by_label("Operator's token")).to_be_hidden()
    expect(live).to_have_count(0)

    _command(server, "accounts", "set", "ada", "--role", "server_operator", "--role", "auditor")
    page.goto(f"{server.address}/observer")
    page.get_by_role("button", name="Sign in").click()
    picture(page, shots, "operator-sign-in")
    _fill(page, "ada", "another " + GOOD)
    expect(live).to_be_visible()
    page.reload()
    expect(live).to_be_visible()
    page.goto(f"{server.address}/admin")
    expect(page.get_by_role("navigation", name="Sections")).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()
    _administer(page, shots)
    page.get_by_role("link", name="Audit log").click()
    page.get_by_label("Action").select_option("account.signed_in")
    page.get_by_role("button", name="Show", exact=True).click()
    signed_in = page.get_by_role("row").filter(has_text="account.signed_in")
    expect(signed_in.first.get_by_role("cell")).to_have_text(["ada", "", "account.signed_in", "ada", "", "page", ""])
    page.goto(server.address)
    expect(page.get_by_role("button", name="Account: ada")).to_be_visible()

    page.goto(f"{server.address}/observer")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    assert page.evaluate("!('understudy.session' in localStorage)")
    picture(page, shots, "operator-card")
    page.get_by_text("With a token").click()
    expect(page.get_by_label("Operator's token")).to_be_visible()


def _administer(page: Page, shots: Path | None) -> None:
    """Invite a user, who gets other rights then; what is typed for an account that cannot be changed is not lost."""
    page.get_by_role("link", name="Accounts").click()
    page.get_by_label("Name").fill("Bob")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_role("button", name="Copy the link")).to_be_visible()
    rights = "Change the rights"
    for name, roles in (("ada", "Cooks"), ("bob", "cooks, bakers")):
        page.get_by_role("row", name=name).get_by_role("button", name=rights).click()
        form = page.get_by_role("form", name=f"{rights} of {name}")
        form.get_by_label("Roles").fill(roles)
        form.get_by_role("button", name=rights).click()
        if name == "ada":
            expect(page.get_by_role("alert")).to_contain_text("That is you")
            expect(form.get_by_label("Roles")).to_have_value(roles)
            picture(page, shots, "rights-refused")
    expect(page.get_by_role("status")).to_have_text("bob has other rights now.")
    expect(form).to_have_count(0)
    expect(page.get_by_role("row", name="bob")).to_contain_text("cooks, bakers")


def _join(page: Page, link: str, shots: Path | None) -> None:
    """Set a password: one that differs from its repetition and one that is easily guessed are refused."""
    page.goto(link)
    expect(page.get_by_role("heading", name="Choose a password")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("ada")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, "join")
    _choose(page, GOOD, "another " + GOOD)
    expect(page.get_by_role("alert")).to_have_text("The two passwords differ.")
    _choose(page, "password1234")
    expect(page.get_by_role("alert")).to_contain_text("none that is easily guessed")
    _choose(page, GOOD)
    expect(page.get_by_text("Online")).to_be_visible()
    page.set_viewport_size(WIDE)
    expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
    assert "join" not in page.url
    page.go_back()
    assert "join" not in page.url, "the link is no page of the history any more"
    page.goto(link.partition("/join")[0])


def _change(page: Page, second: Page, shots: Path | None) -> None:
    """Change the password: this tab goes on; a wrong present password and one that is easily guessed are refused."""
    page.bring_to_front()  # in Firefox nothing has the focus in a tab behind another
    page.get_by_role("button", name="Account: ada").click()
    page.get_by_role("menuitem", name="Change the password").click()
    dialog = page.get_by_role("dialog", name="Change the password")
    expect(dialog.get_by_label("Present password")).to_be_focused()
    picture(page, shots, "change-password")
    for present, new, sentence in (
        ("wrong " + GOOD, NEWER, "That is not your present password."),
        (GOOD, "password1234", "none that is easily guessed"),
        (GOOD, NEWER, ""),
    ):
        dialog.get_by_label("Present password").fill(present)
        dialog.get_by_label("New password", exact=True).fill(new)
        dialog.get_by_label("The new password again").fill(new)
        dialog.get_by_role("button", name="Change the password").click()
        if sentence:
            expect(dialog.get_by_role("alert")).to_contain_text(sentence)
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("Online")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
    second.reload()  # the browser has one session, which goes on in all of its tabs
    expect(second.get_by_role("button", name="Account: ada")).to_be_visible()


def _choose(page: Page, password: str, again: str | None = None) -> None:
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("The password again").fill(password if again is None else again)
    page.get_by_role("button", name="Set the password").click()


def _sign_in(page: Page, server: Server, shots: Path | None) -> None:
    """The dialog is there in place of the box for a token; a wrong password is told, and the right one lets in."""
    dialog = page.get_by_role("dialog", name="Sign in")
    expect(dialog).to_be_visible()
    expect(page.get_by_label("Session token")).to_have_count(0)
    expect(page.get_by_label("Name")).to_be_focused()
    picture(page, shots, "password")
    _fill(page, "ada", "wrong " + GOOD)
    expect(dialog.get_by_role("alert")).to_have_text("That name and password do not fit.")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    _fill(page, "ADA", GOOD)
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Account: ada")).to_be_visible()
    expect(page.get_by_text("Online")).to_be_visible()


def _fill(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
