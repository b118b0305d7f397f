"""Users of the page and operators sign in at a stock OpenID provider, and leave again. Run by `test_story.py`.

python tests/extensions/openid/openid_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect
from served import Server, current_browser, picture, watched

from tests.servers.needed import free_port
from tests.servers.openid import CLIENT_ID, CLIENT_SECRET

ANN = {"name": "Ann Other", "groups": ["support"]}
AGREE = """form => {
  form.append(Object.assign(document.createElement("input"), { name: "logout", value: "yes" }));
  form.submit();
}"""
"""Presses the button that this provider's page has not."""
AS_SIGNED_IN = """async ([method, path]) => {
  const { session_token: token } = JSON.parse(localStorage["understudy.session"]);
  const answer = await fetch(path, { method, headers: { Authorization: `Bearer ${token}` } });
  return [answer.status, await answer.json()];
}"""
"""Sends a request with the session of this browser. Returns the status and the JSON of the answer."""
BOB = {"name": "Bob Other", "groups": ["sales"]}
EVE = {"name": "Eve Auditor", "roles": ["auditor"]}
OLGA = {"name": "Olga Operator", "roles": ["operator"]}


def main(folder: Path, shots: Path | None) -> None:
    """Start the provider and the server, and play the story."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.openid", f"http://127.0.0.1:{port}", str(folder / "provider")]
    # No input: node would make that of the player of stories non-blocking, which then ends at its next read.
    no = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=no, stdout=subprocess.PIPE, stderr=no, text=True) as provider:
        try:
            issuer = provider.stdout.readline().strip()
            server = Server(
                folder / "data",
                options=["--port", str(port), *(f"tests.browser.openid_agents:{agent}" for agent in ("front", "desk"))],
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
            provider.send_signal(signal.SIGINT)  # it ends its own child, the provider on node, too


def _story(server: Server, issuer: str, shots: Path | None) -> None:
    """Ann of the support sees both agents, Bob one; who is removed at the provider is asked to sign in again.

    Olga administers, Eve audits, and Ann does neither.
    """
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

        _control(page, issuer, accounts={"ann": ANN, "eve": EVE, "olga": OLGA})
        for user, play in (("ann", _refused), ("olga", _operate), ("eve", _audit)):
            _control(page, issuer, user=user)
            visitor = watched(browser.new_context(viewport={"width": 1280, "height": 800}).new_page(), problems)
            _operators_page(visitor, f"{server.address}/admin#spending")
            play(visitor, server.address, shots)
            visitor.context.close()
        # Within ten seconds of his removal both tabs have learnt that Bob is gone.
        for tab in (page, other):
            expect(tab.get_by_role("button", name="Sign in with Example")).to_be_visible()
        assert page.evaluate("!('understudy.session' in localStorage)")
        ours = [problem for problem in problems if "Cookie “_session" not in problem]  # the provider has no TLS here
        assert not ours, ours


def _control(page: Page, issuer: str, **state: Any) -> None:
    """Say at the provider who sits at the browser, and who exists."""
    # A connection of its own: Node ends one that was idle for 5 s, maybe while the next request is on its way.
    page.request.post(f"{issuer}/control", data=json.dumps(state), headers={"Connection": "close"})


def _sign_in(page: Page, name: str) -> None:
    """Sign in; the provider asks nothing, and leads back."""
    page.get_by_role("button", name="Sign in with Example").click()
    expect(page.get_by_role("button", name=f"Account: {name}")).to_be_visible()
    expect(page.get_by_text("Online")).to_be_visible()


def _operators_page(page: Page, address: str) -> None:
    """Open an operators' page, and sign in from it; the provider leads back to the same view of it."""
    page.goto(address)
    expect(page.get_by_text("Sign in as one, as in the chat.")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_hidden()
    page.get_by_role("button", name="Sign in").click()
    with page.expect_navigation(url=address):
        page.get_by_role("dialog").get_by_role("button", name="Sign in with Example").click()


def _refused(page: Page, address: str, _: Path | None) -> None:
    """A plain user is told which roles open the pages, and can go on to the chat."""
    expect(page.get_by_role("alert")).to_be_visible()  # leaving earlier would cut off the sign-in
    for path, roles in (("/admin", "operator or auditor"), ("/observer", "operator")):
        page.goto(f"{address}{path}")
        sentence = f"Ann Other is signed in. This page needs the role {roles}."
        expect(page.get_by_role("alert")).to_have_text(sentence)
        expect(page.get_by_role("table")).to_have_count(0)
    page.get_by_role("link", name="To the chat").click()
    expect(page.get_by_role("button", name="Account: Ann Other")).to_be_visible()


def _operate(page: Page, address: str, shots: Path | None) -> None:
    """An operator sees who spent what, ends a user's sessions, watches the tree, and signs out of all of it."""
    expect(page.get_by_role("heading", name="Spending")).to_be_visible()
    expect(page.get_by_role("row", name="ann")).to_contain_text("42")
    picture(page, shots, "openid-operator")
    expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("row", name="ann").get_by_role("button", name="End the sessions").click()
    page.get_by_role("form").get_by_role("button", name="End the sessions").click()
    expect(page.get_by_role("status")).to_have_text("The sessions of ann have ended.")
    status, refusal = page.evaluate(AS_SIGNED_IN, ["GET", "/api/audit"])
    assert (status, "needs the role auditor" in refusal["error"]["message"]) == (403, True), refusal
    page.get_by_role("link", name="Observer").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.get_by_role("link", name="Users", exact=True).click()
    expect(page.get_by_role("table", name="Users").get_by_role("row", name="ann")).to_contain_text("42")
    page.get_by_role("button", name="Sign out").click()
    _agree_to_leave(page, address)


def _audit(page: Page, address: str, shots: Path | None) -> None:
    """An auditor reads what the operator did, when she says so, and has no other section; nothing that the page asks is
    refused. She does nothing to anybody, and does not get into the observer."""
    lines = list[str]()
    page.on("response", lambda answer: "/api/" in answer.url and lines.append(f"{answer.status} {answer.url}"))
    sections = page.get_by_role("navigation", name="Sections").get_by_role("link")
    expect(sections).to_have_count(1)  # leaving earlier would cut off the sign-in
    page.clock.install()
    page.reload()
    expect(sections).to_have_text(["Audit log"])
    expect(page.get_by_role("link", name="Observer")).to_have_count(0)
    page.get_by_label("Action").select_option("sessions.ended")
    page.get_by_label("Done by or to user").fill("ann")
    page.get_by_label("From").fill("2020-01-01T00:00")
    page.keyboard.press("Enter")
    entry = page.get_by_role("row").filter(has_text="sessions.ended")
    expect(entry.first.get_by_role("cell")).to_have_text(
        ["olga", "operator", "sessions.ended", "ann", "", "page", "all: yes"]
    )
    expect(entry.nth(1)).to_contain_text("all: no")  # Ann's own
    expect(page.get_by_text("2 entries, and none older.")).to_be_visible()
    picture(page, shots, "openid-auditor")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.locator(".observer").evaluate("page => page.scrollWidth") <= 360, "only the table scrolls sideways"
    picture(page, shots, "openid-auditor-phone")
    page.clock.run_for(20_000)
    page.get_by_label("Action").select_option("audit.read")
    page.get_by_label("Done by or to user").fill("")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="audit.read")).to_have_count(2)
    assert not [line for line in lines if not re.match("20[01] .*/api/(audit|extensions|me|sessions)", line)], lines
    assert sum("/api/audit?" in line for line in lines) == 2, lines
    _save(page, shots)

    page.goto(f"{address}/observer")
    expect(page.get_by_role("alert")).to_have_text("Eve Auditor is signed in. This page needs the role operator.")
    for method, path in (("DELETE", "/api/users/ann/sessions"), ("GET", "/api/admin/users")):
        status, refusal = page.evaluate(AS_SIGNED_IN, [method, path])
        assert (status, "needs the role operator" in refusal["error"]["message"]) == (403, True), refusal


PICK = """() => {
  window.writes = 0;
  window.showSaveFilePicker = async ({ suggestedName }) => {
    const file = await (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
    return { createWritable: async () => {
      const stream = await file.createWritable();
      const write = stream.write.bind(stream);
      stream.write = (text) => { window.writes += 1; return write(text); };
      return stream;
    } };
  };
}"""
"""Stands in for the dialog in which a user picks a file: takes one of the page's own, and counts its writes."""
PICKED = """async () => {
  const file = await (await navigator.storage.getDirectory()).getFileHandle("audit.jsonl", { create: true });
  return (await file.getFile()).text();
}"""


def _save(page: Page, shots: Path | None) -> None:
    """The log is saved page by page: to a file that is picked, and as a download. A page that fails is asked for again.
    Stopped, it saves nothing."""
    routes = list[Route]()
    holding = failing = False

    def one_each(route: Route) -> None:
        if failing and "cursor=" in route.request.url:
            route.abort()
        elif holding and "cursor=" in route.request.url:
            routes.append(route)
        else:
            route.fulfill(response=route.fetch(url=re.sub(r"limit=\d+", "limit=1", route.request.url)))

    page.route("**/api/audit?*", one_each)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("The newest 1 entry.")).to_be_visible()
    save = page.get_by_role("button", name="Save all as JSON Lines")
    everything = page.get_by_text("3 entries saved.")
    page.evaluate(PICK)
    save.click()
    expect(everything).to_be_visible()
    assert page.evaluate("window.writes") >= 3
    lines = page.evaluate(PICKED)
    page.evaluate("window.showSaveFilePicker = undefined")
    with page.expect_download() as saving:
        save.click()
    assert saving.value.path().read_text() == lines
    entries = [json.loads(line) for line in lines.splitlines()]
    assert [(entry["user"], entry["action"]) for entry in entries] == [("eve", "audit.read")] * 3

    failing = True
    page.evaluate(PICK)
    save.click()
    again = page.get_by_text("1 entry read. The server cannot be reached right now. Trying again.")
    expect(again).to_be_visible()
    page.clock.run_for(10_000)
    expect(again).to_be_visible()
    picture(page, shots, "openid-auditor-waits")
    failing = False
    page.clock.run_for(10_000)
    expect(everything).to_be_visible()
    assert page.evaluate(PICKED) == lines

    holding = True
    for picks in (True, False):
        page.evaluate(PICK if picks else "window.showSaveFilePicker = undefined")
        with page.expect_request(lambda sent: "cursor=" in sent.url):
            save.click()
        expect(page.get_by_text("1 entry read.", exact=True)).to_be_visible()
        picture(page, shots, "openid-auditor-saves")
        page.get_by_role("button", name="Stop saving").click()
        routes.pop().continue_()
        expect(page.get_by_text("1 entry read, none saved.")).to_be_visible()
        assert page.evaluate(PICKED) == lines, "the file that was picked keeps its text"


def _agents(page: Page) -> list[str]:
    """Open the list of agents. Return the names in it."""
    page.get_by_role("button", name=re.compile("^Agent")).click()
    expect(page.get_by_role("option", name=re.compile("front", re.IGNORECASE))).to_be_visible()
    named = [option.inner_text().lower() for option in page.get_by_role("option").all()]
    return sorted(next(name for name in ("front", "desk") if name in text) for text in named)


def _sign_out(page: Page, address: str, name: str) -> None:
    """Sign out here and at the provider, whose page asks, and leads back."""
    page.get_by_role("button", name=f"Account: {name}").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.get_by_role("dialog", name="Sign out?").get_by_role("button", name="Sign out").click()
    _agree_to_leave(page, address)


def _agree_to_leave(page: Page, address: str) -> None:
    """Agree at the provider, which leads back to the chat; the browser has nothing left of the session."""
    form = page.locator("form[action$='/session/end/confirm']")
    form.wait_for(state="attached")
    form.evaluate(AGREE)
    expect(page.get_by_role("button", name="Sign in with Example")).to_be_visible()
    assert page.url.startswith(address)
    left = [key for key in page.evaluate("Object.keys(localStorage)") if "history" in key or "session" in key]
    assert not left, left


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
