"""Approval, branches, ratings, two tabs and a restart, in a real Chromium against a real server.

python tests/browser/turns_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import signal
import sys
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, WebSocketRoute, expect
from served import NARROW, SEQ, WIDE, Server, current_browser, picture, plays_common_parts, watched

LONG_MS = 30_000


def ask(page: Page, text: str) -> None:
    """Write a message and send it."""
    expect(page.get_by_role("button", name=re.compile("^Agent: "))).to_be_visible()  # the scripts have come
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answer(page: Page, text: str) -> None:
    """Wait for an answer with these words."""
    expect(page.locator(".reply .prose").get_by_text(text).last).to_be_visible()


def turn(page: Page, said: str) -> Locator:
    """Return the turn with this user message."""
    return page.locator(".turn").filter(has=page.locator(".bubble", has_text=said))


def approval(page: Page, other: Page, shots: Path | None) -> None:
    """Both tabs show the request with all arguments, and one decision settles it in both."""
    ask(page, "Save a note: buy milk")
    for tab in (page, other):
        card = tab.get_by_role("group", name=re.compile("Allow save_note"))
        expect(card).to_be_visible()
        expect(card.locator("pre").get_by_text("buy milk").first).to_be_visible()
        expect(card.get_by_text(re.compile(r"\d:\d\d left"))).to_be_visible()
    picture(page, shots, "approval")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, "approval-phone")
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="dark")
    picture(page, shots, "approval-dark")
    page.emulate_media(color_scheme="light")
    other.get_by_label("Note for the agent").fill("fine with me")
    other.get_by_role("button", name="Allow").click()
    for tab in (page, other):
        expect(tab.get_by_text("Allowed: save_note")).to_be_visible()
        expect(tab.get_by_role("button", name="Deny")).to_have_count(0)
        expect(tab.locator(".approval-said", has_text="fine with me")).to_be_visible()

    page.bring_to_front()  # Firefox gives the focus to one tab only
    ask(page, "Save a note: paint the fence")
    card = page.get_by_role("group", name=re.compile("Allow save_note"))
    card.get_by_role("button", name="Change").click()
    expect(card.get_by_label("Text")).to_be_focused()
    picture(page, shots, "approval-change")
    card.get_by_label("Text").fill("paint the house")
    card.get_by_label("Always allow").check()
    card.get_by_role("button", name="Allow").click()
    for tab in (page, other):
        expect(tab.get_by_text(re.compile("with .*paint the house"))).to_be_visible()
        expect(tab.get_by_text("always in this chat")).to_be_visible()
    expect(turn(page, "paint the fence").locator(".turn-foot")).to_be_visible()
    ask(page, "Save a note: feed the cat")
    expect(turn(page, "feed the cat").get_by_text("always in this chat")).to_be_visible()
    turn(page, "feed the cat").get_by_role("button", name="Ask again next time").click()
    expect(turn(page, "feed the cat").get_by_text("It will ask again.")).to_be_visible()
    picture(page, shots, "approval-always")

    ask(page, "Save a note: sell the house")
    card = page.get_by_role("group", name=re.compile("Allow save_note"))
    expect(card.get_by_text("sell the house").first).to_be_visible()
    card.get_by_role("button", name="Deny").focus()
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.get_by_text("Denied: save_note")).to_be_visible()
    expect(turn(page, "sell the house").locator(".turn-foot")).to_be_visible()
    turn(page, "sell the house").locator(".work-head").click()
    expect(turn(page, "sell the house").get_by_text(re.compile("Not allowed")).first).to_be_visible()
    picture(page, shots, "denied")


def stopped(page: Page) -> None:
    """Escape ends the run that waits for consent, not the message behind it, which is answered then."""
    ask(page, "Save a note: stop me")
    first = turn(page, "stop me")
    expect(page.get_by_role("group", name=re.compile("Allow save_note"))).to_be_visible()
    page.get_by_role("textbox", name="Message", exact=True).fill("What is 30 + 4?")
    page.get_by_label("When the agent reads it").select_option("after")
    page.get_by_role("textbox", name="Message", exact=True).press("Enter")
    expect(turn(page, "30 + 4")).to_be_visible()
    page.keyboard.press("Escape")
    expect(first).to_have_attribute("data-status", "cancelled")
    expect(page.get_by_role("button", name="Allow", exact=True)).to_have_count(0)
    answer(page, "34")
    expect(turn(page, "30 + 4")).to_have_attribute("data-status", "done")


def typing(page: Page, other: Page) -> None:
    """A tab shows that the user is typing in another one, until the message is sent. It is told every three seconds."""
    page.get_by_role("textbox", name="Message", exact=True).press_sequentially("What is 2", delay=400)
    shown = other.get_by_text("You are typing in another window.")
    expect(shown).to_be_visible()
    expect(page.get_by_text("You are typing in another window.")).to_have_count(0)
    page.keyboard.type(" + 3?")
    page.keyboard.press("Enter")
    answer(other, "2 + 3 = 5")
    expect(shown).to_have_count(0)
    expect(turn(page, "2 + 3")).to_have_attribute("data-status", "done")  # what is said before is for this run


def branches(page: Page, other: Page, shots: Path | None) -> None:
    """An edit and a further answer stand beside the originals, in both tabs."""
    ask(page, "What is 6 * 7?")
    answer(page, "42")
    turn(page, "6 * 7").get_by_role("button", name="Copy message").click()
    expect(turn(page, "6 * 7").get_by_role("button", name="Copied")).to_be_visible()
    pencil = turn(page, "6 * 7").get_by_role("button", name="Edit this message")
    pencil.focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="Edit this message")
    expect(box).to_be_focused()
    box.fill("never mind")
    page.keyboard.press("Escape")
    expect(pencil).to_be_focused()
    pencil.click()
    picture(page, shots, "editing")
    box.fill("What is 6 * 8?")
    page.keyboard.press("Enter")
    for tab in (page, other):
        answer(tab, "48")
        expect(tab.locator(".bubble", has_text="6 * 7")).to_have_count(0)
        expect(turn(tab, "6 * 8").locator(".said").get_by_text("2/2")).to_be_visible()
    turn(page, "6 * 8").get_by_role("button", name="Previous version of this message").click()
    expect(turn(page, "6 * 7").locator(".said").get_by_text("1/2")).to_be_visible()
    expect(turn(page, "6 * 7").get_by_role("button", name="Next version of this message")).to_be_focused()
    expect(page.locator(".bubble", has_text="6 * 8")).to_have_count(0)
    ask(page, "What is 1 + 1?")
    expect(turn(page, "1 + 1").locator(".prose").get_by_text("2", exact=False).first).to_be_visible()
    expect(page.locator(".bubble", has_text="6 * 7")).to_be_visible()
    picture(page, shots, "branches")

    again = turn(page, "1 + 1").get_by_role("button", name="Answer again")
    again.focus()
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(turn(tab, "1 + 1").locator(".turn-foot").get_by_text("2/2")).to_be_visible()
    assert page.locator(".bubble", has_text="1 + 1").count() == 1
    turn(page, "1 + 1").get_by_role("button", name="Previous answer").click()
    expect(turn(page, "1 + 1").locator(".turn-foot").get_by_text("1/2")).to_be_visible()


def thumbs(page: Page, other: Page, shots: Path | None, problems: list[str]) -> None:
    """Ratings show in both tabs, can be withdrawn, and are stored for the user's other browsers."""
    turn(page, "sell the house").get_by_role("button", name="Bad answer").click()
    good = turn(page, "buy milk").get_by_role("button", name="Good answer")
    good.click()
    for tab in (page, other):
        expect(turn(tab, "buy milk").get_by_role("button", name="Good answer")).to_have_attribute(
            "aria-pressed", "true"
        )
    turn(other, "sell the house").get_by_role("button", name="Bad answer").click()
    expect(turn(page, "sell the house").get_by_role("button", name="Bad answer")).to_have_attribute(
        "aria-pressed", "false"
    )
    picture(page, shots, "thumbs")
    browser = page.context.browser
    assert browser is not None
    session = page.evaluate("localStorage['understudy.session']")
    elsewhere = browser.new_context()
    elsewhere.add_init_script(f"if (location.hash) localStorage['understudy.session'] = {json.dumps(session)}")
    third = watched(elsewhere.new_page(), problems)
    third.goto(page.url)
    expect(turn(third, "buy milk").get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    elsewhere.close()


def offline(page: Page, context: BrowserContext) -> None:
    """Without a network a reloaded page shows its stored history, stores new messages and sends them later."""
    context.set_offline(True)
    expect(page.get_by_text("Offline").first).to_be_visible()
    ask(page, "What is 9 * 9?")
    expect(page.get_by_text("Waiting to be sent")).to_be_visible()
    context.set_offline(False)
    answer(page, "81")


def answered(browser: Browser, server: Server, problems: list[str]) -> Page:
    """Return the page of a new user whose first chat has one answer."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    ask(page, "What is 15% of 80?")
    answer(page, "12")
    return page


def pick(page: Page, agent: str) -> None:
    """Choose another agent in the menu of the composer."""
    page.get_by_role("button", name=re.compile("^Agent: ")).click()
    page.get_by_role("option", name=re.compile(f"^{agent}")).click()


def switched(browser: Browser, server: Server, problems: list[str]) -> None:
    """Another agent shows its own chats, with a way back; the draft stays with its chat; a new chat keeps the agent."""
    page = answered(browser, server, problems)
    thread, title = page.url, "What is 15% of 80?"
    pick(page, "Content")
    expect(page.get_by_role("heading", name="Content")).to_be_visible()
    assert page.url != thread
    ask(page, "What is 7 + 8?")
    answer(page, "15")
    page.get_by_role("button", name=f"Back to {title}").click()
    expect(page.locator(".thread-title", has_text=title)).to_be_visible()
    assert page.url == thread
    expect(page.get_by_role("button", name=re.compile("^Back to "))).to_be_hidden()
    pick(page, "Content")
    answer(page, "15")
    page.go_back()
    expect(page.locator(".thread-title", has_text=title)).to_be_visible()
    page.get_by_role("textbox", name="Message", exact=True).fill("What is 8 + 8?")
    pick(page, "Content")
    page.keyboard.press("Enter")
    answer(page, "16")
    assert page.url == thread
    page.get_by_role("button", name="New chat").first.click()
    expect(page.get_by_role("button", name="Agent: Content")).to_be_visible()
    page.close()


def sent_while_switching(browser: Browser, server: Server, problems: list[str]) -> None:
    """A message that is sent before the chat of the picked agent is found goes to that agent in this chat."""
    page = answered(browser, server, problems)
    thread = page.url
    held: list[Route] = []
    page.route(re.compile(r"/api/threads\?"), lambda route: held.append(route))
    with page.expect_request(re.compile(r"/api/threads\?")):
        pick(page, "Content")
    ask(page, "What is 9 + 8?")
    answer(page, "17")
    for route in held:
        route.continue_()
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")  # the page has its answers before this one
    answer(page, "17")
    assert page.url == thread
    expect(page.get_by_role("button", name=re.compile("^Back to "))).to_be_hidden()
    expect(page.get_by_role("button", name="Agent: Content")).to_be_visible()


def picked_twice(browser: Browser, server: Server, problems: list[str]) -> None:
    """Of two agents picked one after the other the last one's chat is shown, and a menu opened meanwhile stays open."""
    page = answered(browser, server, problems)
    thread = page.url
    held: list[Route] = []
    page.route(re.compile(r"/api/threads\?limit=50$"), lambda route: held.append(route))
    for agent in ("Content", "Story"):
        with page.expect_request(re.compile(r"/api/threads\?limit=50$")):
            pick(page, agent)
    page.get_by_role("button", name=re.compile("^Agent: ")).click()
    first, last = held
    first.continue_()
    page.evaluate("fetch('/healthz').then((answer) => answer.text())")  # the page has the first answer before this one
    assert page.url == thread
    last.continue_()
    expect(page.get_by_role("heading", name="Story")).to_be_visible()
    assert page.url != thread
    expect(page.get_by_role("option", name=re.compile("^Story"))).to_be_visible()
    page.close()


def turned(browser: Browser, server: Server, problems: list[str]) -> None:
    """A view scrolled to the end stays at the end when the window's width changes."""
    page = watched(browser.new_page(viewport={"width": 1200, "height": 800}), problems)
    page.goto(server.address)
    ask(page, "Tell about 40 things")
    answer(page, "Thing 39 matters")
    ask(page, "Save a note: buy milk")
    page.get_by_role("button", name="Allow").click()
    answer(page, "Saved as")
    ask(
        page, "<img src=x onerror=alert(1)> \u202e nonsense \x00 ```"
    )  # the note about redactions wraps on the narrow page
    answer(page, "No language model is connected")
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator(".reply").last).to_be_in_viewport()
    page.set_viewport_size({"width": 390, "height": 800})
    expect(page.locator(".reply").last).to_be_in_viewport()
    expect(page.locator(".jump")).to_be_hidden()
    page.close()


def restart(page: Page, other: Page, server: Server, shots: Path | None) -> None:
    """The page shows the drain; a message written meanwhile is sent after the restart; no message is shown twice."""
    other.locator(".transcript").evaluate("one => one.scrollTop = one.scrollHeight")  # a click may have scrolled it up
    expect(other.get_by_role("button", name="Jump to latest")).to_be_hidden()
    ask(page, "Tell about 40 things")
    expect(page.locator(".reply .prose").last.get_by_text(re.compile(r"Thing \d+"))).to_be_visible()
    server.process.send_signal(signal.SIGTERM)
    expect(page.get_by_text("The server restarts; you can go on writing.")).to_be_visible()
    ask(page, "What is 8 * 8?")
    picture(page, shots, "drain")
    server.process.wait()
    expect(page.locator(".status")).to_contain_text("Restarting", timeout=LONG_MS)
    expect(page.get_by_text("The server restarts; you can go on writing.")).to_be_visible()
    server.start(UNDERSTUDY_MODELS_WORDS_PER_S="400")  # no need to read the rest at the pace of a reader
    for tab in (page, other):
        expect(tab.locator(".reply .prose").get_by_text("64").last).to_be_visible(timeout=LONG_MS)
        expect(tab.get_by_text("The server restarts")).to_be_hidden()
        assert tab.locator(".bubble", has_text="8 * 8").count() == 1


def told(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """An alert is shown above everything, as text, until dismissed; an agent's error is shown once."""
    page = watched(browser.new_page(viewport=NARROW), problems)
    sockets: list[WebSocketRoute] = []
    page.route_web_socket(re.compile("/api/ws/agent"), lambda socket: sockets.append(joined(socket)))
    page.goto(server.address)
    expect(page.get_by_text("Online")).to_be_visible()
    thread = page.url.rpartition("#")[2]
    ask(page, "What is 6 * 7?")
    answer(page, "42")
    sockets[-1].send(json.dumps({"type": "alert", "message": "", "data": {"message": "<b>Down</b> at noon"}}))
    alert = page.get_by_role("alert").get_by_text("<b>Down</b> at noon")
    expect(alert).to_be_visible()
    picture(page, shots, "alert-phone")
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_have_count(0)
    fault = {"code": "agent_failed", "message": "The agent failed.", "retryable": True, "error_id": "e1"}
    head = {"thread_id": thread, "run_id": "r9", "agent_type": "guide", "message": ""}
    accepted = {"message_id": "m9", "run_id": "r9", "content": "Fail", "parent_id": None}
    seq = page.evaluate(SEQ, thread)
    events = [("message_accepted", accepted), ("agent_started", {"agent_id": "a", "message": "", "timestamp": 1.0})]
    events += [("agent_error", {"agent_id": "a"} | fault), ("error", fault)]
    for at, (kind, data) in enumerate(events, seq + 1):
        sockets[-1].send(json.dumps(head | {"type": kind, "seq": at, "data": data}))
    expect(page.locator(".fault", has_text="The agent failed.")).to_be_visible()
    assert page.locator(".reply").get_by_text("The agent failed.").count() == 1
    page.close()


def joined(socket: WebSocketRoute) -> WebSocketRoute:
    """Return the page's side of a socket that is forwarded to the server."""
    socket.connect_to_server()
    return socket


def kept(page: Page, server: Server) -> None:
    """After a reload the stored history is shown before any server answers."""
    page.route("**/api/**", lambda route: route.abort())
    page.route_web_socket(re.compile("/api/ws/agent"), lambda socket: None)  # it opens and stays silent
    page.reload(wait_until="commit")
    expect(page.locator(".bubble", has_text="8 * 8")).to_be_visible()
    answer(page, "64")
    page.unroute("**/api/**")
    server.stop(signal.SIGTERM)


def main(folder: Path, shots: Path | None) -> None:
    """Play all parts in two tabs of one browser."""
    server = Server(
        folder / "data", options=["tests.end_to_end.noting_agent:guide"], UNDERSTUDY_MODELS_WORDS_PER_S="20"
    )
    problems: list[str] = []
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport=WIDE)
            page = watched(context.new_page(), problems)
            page.goto(server.address)
            expect(page.get_by_text("Online")).to_be_visible()
            ask(page, "What is 15% of 80?")
            answer(page, "12")
            other = watched(context.new_page(), problems)
            other.goto(page.url)
            answer(other, "12")
            typing(page, other)
            approval(page, other, shots)
            branches(page, other, shots)
            if plays_common_parts():
                thumbs(page, other, shots, problems)
            stopped(page)
            offline(page, context)
            restart(page, other, server, shots)
            switched(browser, server, problems)
            if plays_common_parts():
                told(browser, server, shots, problems)
                sent_while_switching(browser, server, problems)
                picked_twice(browser, server, problems)
            turned(browser, server, problems)
            kept(page, server)
            assert not problems, problems
    finally:
        if server.process.poll() is None:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
