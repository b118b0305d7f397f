"""An operator administers: takes over runs, hands them back and ends them, stops a tool, reads settings.

Run by `test_story.py`.

python tests/browser/admin_story.py FOLDER [SCREENSHOTS]
"""

import json
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, expect
from served import NARROW, WIDE, Server, current_browser, picture, watched

from transport.auth.tokens import Tokens

SECRET = "0123456789abcdef" * 3


def main(folder: Path, shots: Path | None) -> None:
    """Start the server, and play the story."""
    agents = ["tests.browser.working_agents:gardener"]
    server = Server(folder / "data", options=agents, STORY_GATES=str(folder), UNDERSTUDY_SECRET=SECRET)
    try:
        _story(server, folder, shots)
    finally:
        server.stop()


def token(user: str, *roles: str) -> str:
    """Return a token that the server accepts."""
    return Tokens(SECRET, time.time).issue(user, "s", roles=roles, ttl_s=600)


def say(server: Server, user: str, agent: str, text: str = "Count the red pots") -> None:
    """Send a message of a user. The gardener works on it for longer than the story takes."""
    headers = {"Authorization": f"Bearer {token(user)}", "Content-Type": "application/json"}
    payload = {"content": text, "thread_id": user, "agent_type": agent}
    body = json.dumps({"type": "user_message", "payload": payload}).encode()
    request = urllib.request.Request(f"{server.address}/api/commands", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def _story(server: Server, folder: Path, shots: Path | None) -> None:
    problems = list[str]()
    say(server, "ada", "gardener")
    say(server, "op", "guide")
    with current_browser() as browser:
        page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
        page.goto(f"{server.address}/admin#users")
        _sign_in(page)
        _run(page, shots)
        user = watched(browser.new_context(viewport=WIDE).new_page(), problems)
        _hand_back(page, user, server, folder)
        user.context.close()  # in Firefox nothing has the focus in a tab behind another
        _stop(page, shots)
        _settings(page, shots)
        _outage(page, server, shots)
        page.set_viewport_size(NARROW)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
        page.get_by_role("link", name="Users", exact=True).click()
        _end_sessions(page, "op")
        refusal = page.get_by_role("alert")
        expect(refusal).to_contain_text("That is you: it ends your own sessions")
        for _ in range(2):  # the first reading may have begun before the refusal
            with page.expect_response(lambda answer: "/api/admin/users" in answer.url and answer.ok):
                pass
        expect(refusal).to_contain_text("That is you: it ends your own sessions")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_focused()
        page.reload()
        expect(page.get_by_label("Token")).to_be_visible()
        refused = [line for line in problems if "401" not in line and "403" not in line and "400" not in line]
        assert not refused, refused


def _end_sessions(page: Page, user: str) -> None:
    """End the sessions of a user, and agree to it."""
    page.get_by_role("row", name=user).get_by_role("button", name="End the sessions").click()
    page.get_by_role("form", name=f"End all sessions of {user}?").get_by_role("button", name="End the sessions").click()


def _sign_in(page: Page) -> None:
    """A wrong token is refused in a sentence, and one without the role too. The tab keeps a good one while the server
    cannot say whose it is."""
    for entered, refusal in (("nonsense", "not signed in"), (token("ada"), "needs the role operator or auditor")):
        page.get_by_label("Token").fill(entered)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text(refusal)
    page.get_by_label("Token").fill(token("op", "operator"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()
    expect(page.get_by_role("row", name="ada")).to_be_visible()
    page.route("**/api/me", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.unroute("**/api/me")
    page.reload()
    expect(page.get_by_role("row", name="ada")).to_be_visible()


def _run(page: Page, shots: Path | None) -> None:
    """A run is taken over with a reason, steered, and ended by the keyboard alone."""
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("link", name="Runs", exact=True)).to_have_attribute("aria-current", "page")
    row = page.get_by_role("row", name="ada")
    expect(row).to_contain_text("gardener")
    row.get_by_role("button", name="Take it over").click()
    page.get_by_label("Reason, for the user and for auditors").fill("The pots are blue.")
    page.locator(".asked").get_by_role("button", name="Take it over").click()
    expect(page.get_by_text("Taken over by op: The pots are blue.")).to_be_visible()
    events = page.get_by_role("list", name="Last events")
    expect(events).to_contain_text("Count the red pots")
    expect(events).to_contain_text("An operator has taken over this run: The pots are blue.")
    page.get_by_label("Message to the run").fill("Count the blue ones")
    page.get_by_role("button", name="Send").click()
    expect(events).to_contain_text("Count the blue ones")
    picture(page, shots, "admin-taken-run")
    page.get_by_role("button", name="Leave it").click()
    picture(page, shots, "admin-runs")
    row.get_by_role("button", name="End the run").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("of ada?")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("ends.")
    expect(row).to_have_count(0)


def _hand_back(page: Page, user: Page, server: Server, folder: Path) -> None:
    """A run at work and one behind it are taken over and handed back. Their user reads that, and both answers."""
    say(server, "bea", "gardener")
    say(server, "bea", "gardener", "Count the rest")
    user.goto(f"{server.address}/page/icon.svg")
    user.evaluate(
        "(kept) => localStorage.setItem('understudy.session', kept)", json.dumps({"session_token": token("bea")})
    )
    user.goto(f"{server.address}/#bea")
    taken, back = (
        user.get_by_text(notice) for notice in ("An operator has taken over", "An operator has handed this back")
    )
    for count, waits in enumerate(("count_pots", "its turn"), start=1):
        page.get_by_role("row", name="bea").filter(has_text=waits).get_by_role("button", name="Take it over").click()
        page.get_by_label("Reason, for the user and for auditors").fill("You called.")
        page.locator(".asked").get_by_role("button", name="Take it over").click()
        expect(taken).to_have_count(count)
        expect(page.get_by_role("list", name="Last events")).to_contain_text("Count the")
        if count == 2:
            page.get_by_label("Message to the run").fill("And the broken ones")
            page.get_by_role("button", name="Send").click()
            expect(page.get_by_role("list", name="Last events")).to_contain_text("And the broken ones")
        page.get_by_role("button", name="Hand it back").click()
        expect(back).to_have_count(count)
        expect(page.get_by_label("Reason, for the user and for auditors")).to_be_visible()
        page.get_by_role("button", name="Leave it").click()
    (folder / "counted").touch()
    expect(user.locator(".reply .prose").first).to_contain_text("There are 17 red pots")
    user.get_by_role("button", name="Stop", exact=True).click()
    expect(user.locator(".reply .prose").last).to_contain_text("And the broken ones")


def _stop(page: Page, shots: Path | None) -> None:
    """Something is stopped, and allowed again; a name that nothing has is said so."""
    page.get_by_role("link", name="Stopped", exact=True).click()
    page.get_by_label("What").select_option("agent")
    page.get_by_label("Name").fill("gardner")
    page.get_by_label("Reason, for users").fill("It counts wrong.")
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_role("status")).to_contain_text("check the spelling")
    row = page.get_by_role("row", name="Agent gardner")
    expect(row).to_contain_text("It counts wrong.")
    picture(page, shots, "admin-stops")
    row.get_by_role("button").click()
    page.get_by_role("button", name="Leave it").click()
    expect(row).to_be_visible()
    row.get_by_role("button").click()
    page.get_by_role("form", name="Allow the agent gardner again?").get_by_role("button", name="Allow it again").click()
    expect(page.get_by_role("status")).to_have_text("The agent gardner is allowed again.")
    expect(page.get_by_text("Nothing is stopped.")).to_be_visible()


def _settings(page: Page, shots: Path | None) -> None:
    """The secret is not shown."""
    page.get_by_role("link", name="Settings", exact=True).click()
    secret = page.get_by_role("row", name="secret (secret) UNDERSTUDY_SECRET", exact=True)
    expect(secret).to_be_visible()
    assert SECRET not in page.content()
    picture(page, shots, "admin-settings")
    for name in ("Queues", "Spending", "Accounts", "MCP sign-ins"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.get_by_text("Of the last 30 days, in UTC.")).to_have_count(1 if name == "Spending" else 0)


NOTE_SENTENCES = """() => {
  const fault = document.querySelector(".admin .fault");
  window.sentences = [];
  const note = () => { if (window.sentences.at(-1) !== fault.textContent) window.sentences.push(fault.textContent); };
  new MutationObserver(note).observe(fault, { childList: true, characterData: true, subtree: true });
}"""


def _outage(page: Page, server: Server, shots: Path | None) -> None:
    """The server is gone for some readings. A sentence says so all that time, also in another section, and then goes by
    itself; of one reading that fails alone nothing is said."""
    page.get_by_role("link", name="Queues", exact=True).click()
    expect(page.get_by_role("row", name="runs")).to_be_visible()
    page.evaluate(NOTE_SENTENCES)
    page.route("**/api/observer/health", lambda route: route.abort(), times=1)
    for _ in range(2):
        with page.expect_response("**/api/observer/health"):
            pass
    assert page.evaluate("sentences") == []
    server.stop()
    fault = page.get_by_role("alert")
    expect(fault).to_contain_text("cannot be reached")
    page.get_by_role("link", name="MCP sign-ins", exact=True).click()
    for _ in range(3):
        with page.expect_event("requestfailed", lambda request: "/api/admin/sign-ins" in request.url):
            pass
    expect(fault).to_contain_text("cannot be reached")
    expect(page.get_by_text("Nobody is signed in at an MCP server.")).to_be_hidden()
    picture(page, shots, "admin-outage")
    server.start()
    expect(page.get_by_text("Nobody is signed in at an MCP server.")).to_be_visible()
    expect(fault).to_be_hidden()
    assert page.evaluate("sentences") == ["The server cannot be reached right now.", ""]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
