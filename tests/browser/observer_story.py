"""An operator watches the supervision tree: signs in, sees an actor die and restart, finds one among many.
Run by `test_story.py`.

    python tests/browser/observer_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from served import Server, current_browser, picture, watched

from transport.auth.tokens import Tokens

SECRET = "0123456789abcdef" * 3
CROWD = 70
"""More sockets than the page initially shows below one actor."""


def token(user: str, *roles: str) -> str:
    """Return a token that the server accepts."""
    return Tokens(SECRET, time.time).issue(user, "s", roles=roles, ttl_s=600)


@contextmanager
def crowd(server: Server) -> Iterator[None]:
    """Connect this many users, each with a WebSocket."""
    with ExitStack() as opened:
        for number in range(CROWD):
            line = opened.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            line.sendall(
                f"GET /ws?session_token={token(f'user-{number}')} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            assert b" 101 " in line.recv(4096)
        yield


def kill(server: Server, path: str) -> None:
    """Kill an actor over the API."""
    headers = {"Authorization": f"Bearer {token('op', 'operator')}", "Content-Type": "application/json"}
    body = json.dumps({"path": path}).encode()
    request = urllib.request.Request(f"{server.address}/api/observer/kill", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def row(page: Page, path: str) -> Locator:
    """Return the row of the actor at this path."""
    return page.locator(f"[data-path='{path}']")


def sign_in(page: Page, server: Server) -> None:
    """Try an invalid token, one without the role, and the right one."""
    page.goto(f"{server.address}/observer")
    expect(page.get_by_text("understudy token --user me --role operator")).to_be_visible()
    tries = (
        ("nonsense", "not signed in"),
        (token("ada"), "needs the role operator"),
        (token("op", "operator"), None),
    )
    for entered, refusal in tries:
        page.get_by_label("Operator's token").fill(entered)
        page.get_by_role("button", name="Show the tree").click()
        if refusal is not None:
            expect(page.get_by_role("alert")).to_contain_text(re.compile(refusal))
    expect(page.get_by_text("Live", exact=True)).to_be_visible()


def watch(page: Page, server: Server, shots: Path | None) -> None:
    """Unfold and fold rows, see a restart in an open and in a folded row, and read the incident."""
    storage, writer = (row(page, f"/system/{name}") for name in ("storage", "storage/writer"))
    expect(storage).to_have_attribute("aria-expanded", "false")
    kill(server, "/system/storage/writer")
    expect(storage).to_have_class(re.compile("is-flashing"))
    incident = page.locator(".incident", has_text="writer")  # a busy machine adds holds of the loop
    expect(incident).to_have_count(1)
    expect(incident).to_contain_text("killed, started again after a rest")
    storage.locator(".twist").click()
    expect(writer).to_contain_text("1 restart")
    kill(server, "/system/storage/writer")
    expect(writer).to_have_class(re.compile("is-flashing"))
    expect(writer).to_contain_text("2 restarts")
    expect(incident).to_have_count(2)

    connections = row(page, "/system/connections")
    expect(connections).to_contain_text(f"{CROWD} children")
    expect(page.locator(".counters")).to_contain_text(f"Connections{CROWD}")
    connections.locator(".twist").click()
    expect(page.get_by_text("20 more")).to_be_visible()
    show_work(page, server, shots)
    page.get_by_role("button", name="Show more").click()
    sockets = page.locator(".row:has(.kind:text-is('WebSocketConnection'))")
    expect(sockets).to_have_count(CROWD)
    path = sockets.first.get_attribute("data-path")
    assert path is not None
    kill(server, path)
    expect(row(page, path)).to_have_count(0)
    expect(connections).to_contain_text(f"{CROWD - 1} children")
    expect(page.locator(".incident", has_text="not started again").first).to_be_visible()


def show_work(page: Page, server: Server, shots: Path | None) -> None:
    """A run is shown below its conversation; the backoff of a repeatedly failing writer is shown, also in folded
    ancestors.
    """
    say(server, "Count the red pots")
    conversations = row(page, "/system/conversations")
    expect(conversations).to_contain_text("1 child")
    conversations.locator(".twist").click()
    page.locator(".row:has(.kind:text-is('Conversation')) .twist").click()
    expect(page.locator(".row:has(.kind:text-is('Run'))")).to_be_visible()
    for restarts in range(3, 6):
        kill(server, "/system/storage/writer")
        expect(row(page, "/system/storage/writer")).to_contain_text(f"{restarts} restarts")
        expect(row(page, "/system/storage/writer")).to_have_attribute("data-state", "running")
    kill(server, "/system/storage/writer")
    expect(row(page, "/system/storage/writer").locator(".state")).to_have_text("restarting")
    expect(row(page, "/system")).to_contain_text("1 restarting below")
    expect(page.locator(".row:has(.kind:text-is('Run'))")).to_be_visible()
    picture(page, shots, "observer")
    expect(row(page, "/system")).not_to_contain_text("restarting")


def say(server: Server, content: str) -> None:
    """Send a message to the gardener, who speaks and then waits for longer than the story takes."""
    headers = {"Authorization": f"Bearer {token('ada')}", "Content-Type": "application/json"}
    body = json.dumps(
        {"type": "user_message", "payload": {"content": content, "thread_id": "t", "agent_type": "gardener"}}
    ).encode()
    request = urllib.request.Request(f"{server.address}/api/commands", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202


def find(page: Page) -> None:
    """The filter finds folded actors and reports an empty result; a hit leads to the actor's row."""
    page.get_by_label("Filter by path").fill("RECOVERY")
    expect(page.get_by_text("1 fits")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_count(3)
    page.get_by_label("Filter by path").fill("no such actor")
    expect(page.get_by_text("Nobody fits")).to_be_visible()
    page.get_by_label("Filter by path").fill("outbox")
    expect(page.get_by_text(f"{CROWD - 1} fit")).to_be_visible()
    page.locator(".incident", has_text="writer").last.locator(".incident-name").click()
    expect(row(page, "/system/storage/writer")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label("Picked actor")).to_contain_text("/system/storage/writer")


def look_into(page: Page) -> None:
    """The run at work is listed with what it waits for; its past can be played back, and it is found by its user."""
    nav = page.get_by_role("navigation", name="Views")
    nav.get_by_role("link", name="Runs").click()
    open_runs = page.get_by_role("region", name="Open runs")
    expect(open_runs.get_by_role("row")).to_have_count(2)
    expect(open_runs).to_contain_text("ada")
    expect(open_runs).to_contain_text("model gardener")
    expect(open_runs.locator("td.alarm")).to_have_count(0)
    open_runs.get_by_role("button", name=re.compile("^[0-9a-f]{12}$")).click()
    run = page.get_by_role("region", name="Run", exact=True)
    expect(run.get_by_role("heading", name=re.compile("^Run [0-9a-f]{32}$"))).to_be_focused()
    steps = run.get_by_role("list", name="Steps").get_by_role("listitem")
    expect(steps.nth(1)).to_have_text(re.compile("^Agent gardener"))
    expect(steps.nth(1)).to_have_attribute("data-phase", "during")
    run.get_by_label("Moment").fill("0")
    expect(steps.nth(2)).to_have_attribute("data-phase", "before")
    page.get_by_label("Find a user").fill("ada")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Runs").get_by_role("row")).to_have_count(2)
    nav.get_by_role("link", name="Users").click()
    expect(page.get_by_role("region", name="Connections").get_by_role("row")).to_have_count(CROWD)
    page.get_by_role("button", name="Open runs").click()
    expect(page.get_by_role("columnheader", name="Open runs")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("region", name="Users").get_by_role("row").nth(1)).to_contain_text("ada")
    nav.get_by_role("link", name="Health").click()
    pool = page.get_by_role("region", name="Pools").get_by_role("row", name=re.compile("^runs"))
    expect(pool).to_contain_text("1 of")
    nav.get_by_role("link", name="Tree").click()
    expect(row(page, "/system/storage/writer")).to_be_visible()


def by_keyboard(page: Page) -> None:
    """The tree has one tab stop; arrow keys move, open and close."""
    row(page, "/system/storage/writer").focus()
    page.keyboard.press("ArrowLeft")
    expect(row(page, "/system/storage")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(row(page, "/system/storage")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Home")
    expect(row(page, "/system")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(row(page, "/system/storage")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    expect(row(page, "/system/storage/writer")).to_be_focused()
    assert page.locator("[role=treeitem][tabindex='0']").count() == 1


def kill_by_hand(page: Page) -> None:
    """The page asks for confirmation and shows the restart at once."""
    page.get_by_role("button", name="Kill it").click()
    page.get_by_role("dialog").get_by_role("button", name="Kill it").click()
    expect(row(page, "/system/storage/writer")).to_contain_text("7 restarts")


def come_back(page: Page, server: Server, shots: Path | None) -> None:
    """The tab keeps the token and shows a restarted server's tree; the page fits a phone."""
    page.reload()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    server.stop()
    expect(page.get_by_text("Connecting again")).to_be_visible()
    server.start()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(row(page, "/system/connections")).not_to_contain_text("children")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    picture(page, shots, "observer-phone")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Operator's token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    picture(page, shots, "observer-sign-in")


def main(folder: Path, shots: Path | None) -> None:
    """Play the story on a wide page, its end on a phone's."""
    (folder / "counted").touch()  # the gardener's gate
    server = Server(
        folder / "data",
        options=["tests.browser.working_agents:gardener"],
        STORY_GATES=str(folder),
        UNDERSTUDY_SECRET=SECRET,
        UNDERSTUDY_OBSERVER_KILL="true",
    )
    problems: list[str] = []
    try:
        with current_browser() as browser:
            page = watched(browser.new_page(viewport={"width": 1080, "height": 600}), problems)
            with crowd(server):
                sign_in(page, server)
                watch(page, server, shots)
                find(page)
                look_into(page)
                by_keyboard(page)
                kill_by_hand(page)
            come_back(page, server, shots)
        assert not problems, problems
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
