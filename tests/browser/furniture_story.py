"""Chats as a whole in a real Chromium: their list, their menu, links to them, search, and the keys.

python tests/browser/furniture_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Locator, Page, Route, expect
from served import NARROW, WIDE, Server, current_browser, picture, plays_common_parts, watched

KEPT = "threadId => Object.keys(localStorage).some(key => key.endsWith(threadId))"
"""Whether a browser keeps something of a chat."""


def ask(page: Page, text: str) -> None:
    """Write a message and send it."""
    expect(page.get_by_role("button", name=re.compile("^Agent: "))).to_be_visible()  # the scripts have come
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def many(now: float, total: int = 90) -> list[dict[str, Any]]:
    """Return so many chats, newest first, a minute apart."""
    head = {"agent_type": "guide", "pillar": None, "last_seq": 9}
    return [
        head | {"id": f"t{n}", "title": f"Chat {n}", "created_at": 1.0, "updated_at": now - 60 * n}
        for n in range(total)
    ]


def older(browser: Browser, server: Server, problems: list[str]) -> None:
    """Chats that "Show older chats" brought stay when a message has the list read again."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    chats, read = many(time.time()), list[str]()

    def listed(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        if query.get("which") == ["pinned"]:
            route.fulfill(json={"threads": [], "next_cursor": None})
            return
        first, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        end = first + limit
        read.append(route.request.url)
        route.fulfill(json={"threads": chats[first:end], "next_cursor": str(end) if end < len(chats) else None})

    page.route(re.compile(r"/api/threads\?"), listed)
    page.goto(server.address)
    rows = page.locator(".row-link")
    expect(rows).to_have_count(40)
    page.get_by_role("button", name="Show older chats").click()
    expect(rows).to_have_count(80)
    chats.insert(0, chats.pop(20) | {"updated_at": time.time(), "title": "Chat 20, renamed"})
    count = len(read)
    ask(page, "What is 6 * 7?")
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()
    expect(page.locator(".row-link", has_text="Chat 20, renamed")).to_be_visible()
    assert len(read) > count
    expect(page.locator(".row-link", has_text=re.compile("^Chat"))).to_have_count(80)
    page.get_by_role("button", name="Show older chats").click()
    expect(page.locator(".row-link", has_text=re.compile("^Chat"))).to_have_count(90)
    expect(page.get_by_role("button", name="Show older chats")).to_be_hidden()
    page.context.close()


def another_device(browser: Browser, page: Page, problems: list[str]) -> Page:
    """Open the page signed in as the user of `page`, in a browser context that shares nothing else with it."""
    context = browser.new_context(viewport=WIDE, storage_state=page.context.storage_state())
    device = watched(context.new_page(), problems)
    device.goto(page.url.partition("#")[0])
    return device


def two_chats(browser: Browser, server: Server, problems: list[str]) -> tuple[Page, Page, Page]:
    """Ask two questions, each in a chat of its own. Return their tab, another tab, and another device of the user."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    for number in (6, 7):
        ask(page, f"What is {number} * 7?")
        expect(page.locator(".reply .prose").get_by_text(str(number * 7))).to_be_visible()
        expect(page.locator(".row-link", has_text=f"{number} * 7")).to_be_visible()
        page.get_by_role("button", name="New chat").first.click()
    other = watched(page.context.new_page(), problems)
    other.goto(server.address)
    device = another_device(browser, page, problems)
    for tab in (other, device):
        expect(tab.locator(".row-link", has_text="6 * 7")).to_be_visible()
    page.bring_to_front()  # Firefox gives the focus to one tab only
    return page, other, device


def menu(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """A chat is pinned, renamed, exported, archived and deleted by its menu; another tab and device follow."""
    page, other, device = two_chats(browser, server, problems)

    def choose(title: str, item: str) -> None:
        page.get_by_role("button", name=f"Menu: {title}").click()
        page.get_by_role("menuitem", name=item, exact=True).click()

    choose("What is 6 * 7?", "Pin")
    for tab in (page, other, device):
        pinned = tab.locator(".row-group", has=tab.get_by_role("heading", name="Pinned"))
        expect(pinned.locator(".row-link", has_text="6 * 7")).to_be_visible()
        expect(tab.locator(".row-link", has_text="6 * 7")).to_have_count(1)
    choose("What is 6 * 7?", "Rename")
    page.get_by_role("textbox", name="Title of the chat").fill("Sums")
    page.keyboard.press("Enter")
    for tab in (page, other, device):
        expect(tab.locator(".row-link", has_text="Sums")).to_be_visible()
    for item, ending, word in (("Export as Markdown", ".md", "42"), ("Export as JSON", ".json", '"messages"')):
        with page.expect_download() as download:
            choose("Sums", item)
        assert download.value.suggested_filename == f"Sums{ending}"
        assert word in download.value.path().read_text()
    page.get_by_role("button", name="Menu: Sums").click()
    picture(page, shots, "chat-menu")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Menu: Sums")).to_be_focused()
    choose("Sums", "Archive")
    for tab in (page, other, device):
        expect(tab.locator(".row-link", has_text="Sums")).to_have_count(0)
    page.get_by_role("button", name="Archived chats").click()
    expect(page.locator(".row-link")).to_have_text(["Sums"])
    picture(page, shots, "archived")
    choose("Sums", "Move back to chats")
    page.get_by_role("button", name="Back to chats").click()
    for tab in (page, other, device):
        expect(tab.locator(".row-link", has_text="Sums")).to_be_visible()
    away = another_device(browser, page, problems)
    for tab in (other, device, away):
        tab.locator(".row-link", has_text="Sums").click()
        expect(tab.locator(".reply .prose").get_by_text("42")).to_be_visible()
    device.get_by_role("textbox", name="Message", exact=True).fill("half a thought")
    deleted = device.url.rpartition("#")[2]
    away.locator(".row-link", has_text="7 * 7").click()
    expect(away.locator(".reply .prose").get_by_text("49")).to_be_visible()
    away.wait_for_function(KEPT, arg=deleted)
    away.context.set_offline(True)
    choose("Sums", "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for tab in (page, other, device):
        expect(tab.locator(".row-link", has_text="Sums")).to_have_count(0)
        expect(tab.get_by_role("heading", name="New chat", level=1)).to_be_visible()
    for tab in (other, device):
        expect(tab.get_by_text("This chat was deleted in another tab or on another device.")).to_be_visible()
        assert not tab.evaluate(KEPT, deleted)
    expect(page.get_by_text("This chat was deleted")).to_have_count(0)
    expect(device.get_by_role("textbox", name="Message", exact=True)).to_have_value("half a thought")
    picture(device, shots, "deleted-elsewhere")
    expect(away.locator(".row-link", has_text="Sums")).to_be_visible()
    away.context.set_offline(False)
    expect(away.locator(".row-link", has_text="Sums")).to_have_count(0)
    away.wait_for_function(f"gone => !({KEPT})(gone)", arg=deleted)
    expect(away.locator(".reply .prose").get_by_text("49")).to_be_visible()
    away.context.close()
    device.context.close()
    page.context.close()


def tags(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """Chats are tagged by the keyboard, and filtered by chip, search and palette; another tab and device follow."""
    page, other, device = two_chats(browser, server, problems)

    def opened(title: str) -> Locator:
        page.get_by_role("button", name=f"Menu: {title}").click()
        page.get_by_role("menuitem", name="Tags…", exact=True).click()
        tags = page.get_by_role("dialog", name="Tags of this chat")
        expect(tags.get_by_role("textbox", name="Add a tag")).to_be_focused()
        return tags

    dialog = opened("What is 6 * 7?")
    page.keyboard.type("Sums,Holiday plans")
    page.keyboard.press("Enter")
    page.keyboard.type("no!")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("letters, digits, hyphens and underscores")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Backspace")
    expect(dialog.get_by_role("alert")).to_have_count(0)
    page.keyboard.type("gone")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    chosen = dialog.get_by_role("list", name="Tags of this chat").get_by_role("listitem")
    expect(chosen).to_have_text(["#sums", "#holiday-plans"])
    page.keyboard.press("Enter")  # nothing is typed: it is saved
    expect(dialog).to_be_hidden()
    for tab in (page, other, device):
        expect(tab.locator(".row", has_text="6 * 7").locator(".tag")).to_have_text(["#sums", "#holiday-plans"])
    dialog = opened("What is 7 * 7?")
    dialog.get_by_role("list", name="Your other tags").get_by_role("button", name="#sums").click()
    picture(page, shots, "tags")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    for tab in (page, other, device):
        expect(tab.locator(".row .tag", has_text="#sums")).to_have_count(2)
    filters = page.get_by_role("group", name="Filter by tag")
    filters.get_by_role("button", name="#holiday-plans").click()
    expect(page.locator(".row-link")).to_have_count(1)
    search = page.get_by_role("searchbox", name="Search chats")
    expect(search).to_have_value("#holiday-plans")
    picture(page, shots, "tag-filter")
    search.fill("#Sums 7")
    expect(page.locator(".row-link")).to_have_count(2)
    expect(filters.get_by_role("button", name="#sums", pressed=True)).to_be_visible()
    expect(filters.get_by_role("button", name="#holiday-plans", pressed=False)).to_be_visible()
    search.fill("#sums nothing-of-that")
    expect(page.get_by_text("No chat matches.")).to_be_visible()
    search.fill("")
    expect(page.locator(".row-link")).to_have_count(2)
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("#holi")
    expect(page.get_by_role("option", selected=True)).to_contain_text("#holiday-plans")
    page.keyboard.press("Enter")
    expect(page.locator(".row-link")).to_have_count(1)
    page.locator(".row-link").click()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("tags")
    page.keyboard.press("Enter")
    expect(chosen).to_have_text(["#sums", "#holiday-plans"])
    page.get_by_role("button", name="Remove: #holiday-plans").click()
    page.get_by_role("button", name="Save").click()
    expect(device.get_by_role("button", name="#holiday-plans")).to_have_count(0)
    expect(page.get_by_text("No chat matches.")).to_be_visible()  # the filter still asks for it
    for tab in (page, other, device):
        expect(tab.locator(".tag", has_text="holiday")).to_have_count(0)
    other.set_viewport_size(NARROW)
    other.context.set_offline(True)  # the list is kept with its tags
    other.reload()
    other.get_by_role("button", name="Open the list of chats").click()
    expect(other.locator(".row .tag", has_text="#sums")).to_have_count(2)
    expect(other.get_by_role("button", name="#sums")).to_be_visible()
    assert other.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(other, shots, "tags-narrow")
    device.context.close()
    page.context.close()


def keys(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """The palette finds chats, agents and actions by the keyboard alone; ↑ edits the last message.

    The menu of the account lists the keys, too, and signs out.
    """
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    ask(page, "What is 6 * 7?")
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()
    expect(page.locator(".row-link", has_text="6 * 7")).to_be_visible()
    thread = page.url
    page.keyboard.press("Control+Shift+O")
    expect(page.locator(".bubble")).to_have_count(0)
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Search chats, agents and actions")
    expect(box).to_be_focused()
    picture(page, shots, "palette")
    box.fill("6 * 7")
    expect(page.get_by_role("option", selected=True)).to_contain_text("What is 6 * 7?")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble", has_text="6 * 7")).to_be_visible()
    assert page.url == thread
    page.keyboard.press("ArrowUp")
    editor = page.get_by_role("textbox", name="Edit this message")
    expect(editor).to_be_focused()
    expect(editor).to_have_value("What is 6 * 7?")
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_be_focused()
    for words, shown in (
        ("dark", page.locator("html[data-theme=dark]")),
        ("theme system", page.locator("html:not([data-theme])")),
    ):
        page.keyboard.press("Control+k")
        box.fill(words)
        page.keyboard.press("Enter")
        expect(shown).to_have_count(1)
    page.keyboard.press("Control+k")
    box.fill("pin")
    expect(page.get_by_role("option", selected=True)).to_contain_text("This chat")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    page.keyboard.press("Control+k")
    box.fill("insigh")
    expect(page.get_by_role("option", selected=True)).to_contain_text("Insights")
    for key in ("ArrowDown", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Agent: Insights answers. Change")).to_be_visible()
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    picture(page, shots, "keys")
    page.keyboard.press("Escape")
    account = page.get_by_role("button", name=re.compile("^Account: "))
    account.click()
    picture(page, shots, "account-menu")
    page.get_by_role("menuitem", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(account).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Sign out").click()
    stay = page.get_by_role("dialog", name="Sign out?").get_by_role("button", name="Stay signed in")
    stay.evaluate("button => { button.click(); document.querySelector('textarea').focus(); }")
    page.keyboard.type("why?")  # the box keeps the focus, and a key typed there is no command
    expect(page.get_by_role("textbox", name="Message", exact=True)).to_have_value("why?")
    page.context.close()


def found(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """A search shows where the words stand, and leads to that message above the end."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    expect(page.get_by_text("Online")).to_be_visible()
    ask(page, "Repeat the word albatross")
    expect(page.locator(".reply .prose").first).to_contain_text("No language model is connected")
    thread = page.url.rpartition("#")[2]
    for number in (3, 4, 5):
        ask(page, f"What is {number} * 9?")
        expect(page.locator(".reply .prose").get_by_text(str(number * 9)).last).to_be_visible()
    other = watched(page.context.new_page(), problems)
    other.set_viewport_size({"width": 1280, "height": 480})
    other.goto(server.address)
    other.get_by_role("searchbox", name="Search chats").fill("albatr")
    snippet = other.locator(".row-snippet")
    expect(snippet.locator("mark")).to_have_text("albatr")
    picture(other, shots, "found")
    other.emulate_media(reduced_motion="reduce")
    snippet.click()
    expect(other.locator(".turn", has_text="albatross").first).to_be_in_viewport()
    assert other.url.endswith(thread)
    shown = other.locator(".turn", has_text="albatross").first.locator("time")
    expect(shown).to_have_count(2)
    assert all(re.match(r"\d{4}-\d\d-\d\dT", str(element.get_attribute("datetime"))) for element in shown.all())
    other.locator(".turn", has_text="albatross").first.hover()
    expect(shown.first).to_have_css("opacity", "1")
    picture(other, shots, "revealed")
    page.context.close()


def elsewhere(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """A link to another user's chat, or to one that was deleted, says so; a new chat that is reloaded stays one."""
    first = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    first.goto(server.address)
    ask(first, "What is 6 * 7?")
    expect(first.locator(".reply .prose").get_by_text("42")).to_be_visible()
    other = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    other.goto(first.url)
    sentence = "This chat does not exist, or is not yours."
    expect(other.get_by_text(sentence)).to_be_visible()
    expect(other.get_by_role("textbox", name="Message", exact=True)).to_be_hidden()
    picture(other, shots, "missing")
    other.get_by_role("main").get_by_role("button", name="New chat").click()
    expect(other.get_by_text(sentence)).to_be_hidden()
    expect(other.get_by_role("textbox", name="Message", exact=True)).to_be_focused()
    other.reload()
    expect(other.get_by_text("Online")).to_be_visible()
    ask(other, "What is 6 * 8?")
    expect(other.locator(".reply .prose").get_by_text("48")).to_be_visible()
    link = first.url
    path = f"{server.address}/api/threads/{link.rpartition('#')[2]}"
    token = first.evaluate("JSON.parse(localStorage['understudy.session']).session_token")
    third = watched(first.context.new_page(), problems)
    first.close()  # which stores the chat
    assert first.context.request.delete(path, headers={"Authorization": f"Bearer {token}"}).status == 204
    third.goto(link)
    expect(third.get_by_text(sentence)).to_be_visible()
    expect(third.locator(".reply")).to_have_count(0)
    first.context.close()
    other.context.close()


def share(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """A chat is shared: a stranger reads it as it was, and nothing more once the link is revoked."""
    page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    page.goto(server.address)
    ask(page, "What is 6 * 7?")
    expect(page.locator(".reply .prose").get_by_text("42")).to_be_visible()
    page.get_by_role("button", name="Menu: What is 6 * 7?").click()
    held: list[Route] = []
    page.route("**/shares", lambda route: route.continue_() if held else held.append(route))
    page.get_by_role("menuitem", name="Share…").click()
    dialog = page.get_by_role("dialog", name="Share this chat")
    expect(dialog.get_by_role("button", name="Make a link")).to_be_focused()
    dialog.get_by_role("button", name="Make a link").click()  # while the list of links is read
    while not held:  # the browser tells of the request later than it shows the dialog
        page.wait_for_timeout(30)
    held[0].continue_()
    expect(dialog.get_by_text(re.compile("^The link is"))).to_be_visible()
    link = dialog.get_by_label("Address of the link").input_value()
    assert link.startswith(f"{server.address}/share/")
    picture(page, shots, "share")
    dialog.get_by_role("button", name="Close").click()
    ask(page, "What is 6 * 8?")
    expect(page.locator(".reply .prose").get_by_text("48")).to_be_visible()
    stranger = watched(browser.new_context(viewport=NARROW).new_page(), problems)
    stranger.goto(link)
    expect(stranger.get_by_role("heading", name="What is 6 * 7?", level=1)).to_be_visible()
    expect(stranger.locator(".prose").get_by_text("42")).to_be_visible()
    expect(stranger.get_by_text("6 * 8")).to_have_count(0)
    assert stranger.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    picture(stranger, shots, "shared")
    stranger.context.close()
    page.get_by_role("button", name="Menu: What is 6 * 7?").click()
    page.get_by_role("menuitem", name="Share…").click()
    dialog.get_by_role("button", name=re.compile("^Revoke")).click()
    expect(dialog.get_by_text("The link does not work any more.")).to_be_visible()
    expect(dialog.get_by_role("listitem")).to_have_count(0)
    late = browser.new_context(viewport=NARROW).new_page()  # not watched: the browser notes the 404 as a problem
    late.goto(link)
    expect(late.get_by_role("heading", name="This link does not exist any more")).to_be_visible()
    expect(late.get_by_text("42")).to_have_count(0)
    picture(late, shots, "shared-gone")
    late.context.close()
    page.context.close()


def titled(browser: Browser, folder: Path, problems: list[str]) -> None:
    """The title that a model makes after its first answer is shown in both tabs of its user, and stays."""
    server = Server(folder / "titled", options=["tests.browser.titling_agent:agents"], UNDERSTUDY_BUILTIN_AGENTS="")
    try:
        page = watched(browser.new_context(viewport=WIDE).new_page(), problems)
        page.goto(server.address)
        expect(page.get_by_text("Online")).to_be_visible()
        other = watched(page.context.new_page(), problems)
        other.goto(server.address)
        expect(other.get_by_text("Online")).to_be_visible()
        ask(page, "How did our sales go?")
        expect(page.locator(".reply .prose").get_by_text("They grew.")).to_be_visible()
        for tab in (page, other):
            expect(tab.locator(".row-link", has_text="Sales of last year")).to_be_visible()
            expect(tab.locator(".row-link", has_text="How did our sales go?")).to_have_count(0)
        expect(page).to_have_title(re.compile("Sales of last year"))
        page.context.close()
    finally:
        server.stop(signal.SIGTERM)


SPEECH = """
  window.spoken = [];
  window.SpeechRecognition = class extends EventTarget {
    start() { window.spoken.push(this); }
    stop() { this.dispatchEvent(new Event("end")); }
    abort() { this.stop(); }
    say(...parts) {
      const results = parts.map(([transcript, isFinal]) => Object.assign([{ transcript }], { isFinal }));
      this.dispatchEvent(Object.assign(new Event("result"), { results }));
    }
    fail(error) {
      this.dispatchEvent(Object.assign(new Event("error"), { error }));
      this.dispatchEvent(new Event("end"));
    }
  };
"""
"""A browser that turns speech into text, as Chromium has it on a desktop; its user speaks by `spoken.at(-1).say`."""


def voice(browser: Browser, server: Server, shots: Path | None, problems: list[str]) -> None:
    """The first use is agreed to; words stand at the caret as they are heard; Esc ends it; an error has a sentence."""
    page = watched(browser.new_context(viewport=NARROW).new_page(), problems)
    page.add_init_script(SPEECH)
    page.goto(server.address)
    box = page.get_by_role("textbox", name="Message", exact=True)
    button = page.get_by_role("button", name="Voice input", exact=True)
    box.fill("Sales of , please")
    box.evaluate("box => box.setSelectionRange(9, 9)")
    button.click()
    expect(page.get_by_text("may send the sound to its maker")).to_be_visible()
    picture(page, shots, "voice-question")
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_text("may send the sound to its maker")).to_be_hidden()
    assert page.evaluate("spoken.length") == 0
    box.evaluate("box => box.setSelectionRange(9, 9)")
    button.click()
    page.get_by_role("button", name="Use voice").click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(box).to_be_focused()
    expect(page.get_by_text("Listening.")).to_be_visible()
    assert page.evaluate("[spoken[0].lang, spoken[0].interimResults]") == ["en-US", True]
    page.evaluate('spoken[0].say(["last", false])')
    expect(box).to_have_value("Sales of last, please")
    page.evaluate('spoken[0].say(["last year", true], [" in March", false])')
    expect(box).to_have_value("Sales of last year in March, please")
    assert box.evaluate("box => box.selectionStart") == len("Sales of last year in March")
    picture(page, shots, "voice-listening")
    page.keyboard.press("Escape")
    expect(button).to_have_attribute("aria-pressed", "false")
    page.evaluate('spoken[0].say(["too late", true])')
    expect(box).to_have_value("Sales of last year in March, please")
    page.reload()
    button.click()  # it was agreed to
    expect(button).to_have_attribute("aria-pressed", "true")
    page.evaluate('spoken[0].fail("not-allowed")')
    expect(page.get_by_text("The browser may not use the microphone")).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    page.evaluate('spoken[1].say(["What is 6 * 7?", true])')
    expect(box).to_have_value(re.compile("What is 6"))
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(box).to_have_value("")
    page.context.close()
    plain = watched(browser.new_context(viewport=WIDE).new_page(), problems)
    plain.add_init_script("delete window.SpeechRecognition; delete window.webkitSpeechRecognition;")
    plain.goto(server.address)
    expect(plain.get_by_text("Online")).to_be_visible()
    expect(plain.get_by_role("button", name="Voice input", exact=True)).to_have_count(0)
    plain.context.close()


def main(folder: Path, shots: Path | None) -> None:
    """Play all parts."""
    switches = {"UNDERSTUDY_SHARES_LINKS": "true", "UNDERSTUDY_PAGE_VOICE_INPUT": "true"}
    server = Server(folder / "data", UNDERSTUDY_MODELS_WORDS_PER_S="200", **switches)
    problems: list[str] = []
    try:
        with current_browser() as browser:
            if plays_common_parts():
                older(browser, server, problems)
                elsewhere(browser, server, shots, problems)
                tags(browser, server, shots, problems)
                titled(browser, folder, problems)
            menu(browser, server, shots, problems)
            keys(browser, server, shots, problems)
            found(browser, server, shots, problems)
            share(browser, server, shots, problems)
            voice(browser, server, shots, problems)
            assert not problems, problems
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
