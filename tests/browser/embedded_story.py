"""The chat button in a page of another site, whose policy is strict and whose styles and scripts are hostile. Run by
`test_story.py`; with a folder for them it also takes pictures:

    python tests/browser/embedded_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import jwt
from look import AXE, CHECK, RULES
from playwright.sync_api import BrowserContext, Frame, FrameLocator, Page, expect
from served import Server, current_browser, picture, site, watched

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "embed-the-chat.md"
TOKEN_S = 40
SECRET = "a secret of a test, which has 32 bytes"
HOSTILE_CSS = """
* { all: unset; display: none !important; transform: rotate(3deg) !important; font-size: 90px !important; }
* { color: red !important; background: yellow !important; visibility: hidden !important; opacity: 0 !important; }
html, head, body, main, h1, style { display: block !important; visibility: visible !important; opacity: 1 !important; }
html, body { transform: none !important; } head { display: none !important; }
button, iframe, section, .panel, .opener, .chat { width: 3px !important; pointer-events: none !important; }
"""
HOSTILE_JS = """
window.heard = [];
addEventListener("message", ({ data }) => window.heard.push(JSON.stringify(data)));
Object.prototype.polluted = "yes";
Object.freeze(document.body ?? {});
"""
TOKEN_JS = """
window.asked = 0;
window.ourToken = () => { asked += 1; return fetch("/token").then((answer) => answer.text()); };
"""
HEAR = 'window.heard = []; addEventListener("message", ({ data }) => heard.push(data));'
GREETING = f'<script>{HEAR} parent.postMessage({{ type: "understudy:hello" }}, "*");</script>'
INTRUDE = """async (address) => {
  const frame = document.querySelector("understudy-chat").shadowRoot.querySelector("iframe");
  const greeted = new Promise((resolve) => addEventListener("message", () => setTimeout(resolve), { once: true }));
  frame.src = address;
  await greeted; // the button has heard it before, and would have answered
  frame.contentWindow.postMessage("the end", "*");
}"""
SETTLED = """async () => {
  const ending = document.getAnimations().filter(({ effect }) => effect.getComputedTiming().endTime !== Infinity);
  await Promise.allSettled(ending.map(({ finished }) => finished));
}"""
PLAIN_CSS = "body { font: 1rem/1.6 Georgia, serif; margin: 3rem; }"
PLAIN_CSS += "@media (prefers-color-scheme: dark) { body { background: #222; color: #eee; } }"


class Site(BaseHTTPRequestHandler):
    """A site whose pages (path -> (headers, HTML)) the story sets; `/token` is a token of a user for TOKEN_S."""

    pages: ClassVar[dict[str, tuple[dict[str, str], str]]] = {}

    def do_GET(self) -> None:
        headers, body = self.pages.get(self.path, ({}, ""))
        if self.path == "/token":
            now = int(time.time())
            claims = {"sub": "ada", "sid": "of-the-site", "iat": now, "exp": now + TOKEN_S}
            body = jwt.encode(claims, SECRET, algorithm="HS256")
        kind = (
            "text/javascript"
            if self.path.endswith(".js")
            else "text/css"
            if self.path.endswith(".css")
            else "text/html"
        )
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def policy(server: str) -> dict[str, str]:
    """Return the headers of a site as strict as the how-to says that it may be."""
    header = re.search(r"Content-Security-Policy: (.*)", HOW_TO.read_text())
    assert header is not None
    strict = header[1].replace("https://chat.example.org", server)
    return {"Content-Security-Policy": strict + "; require-trusted-types-for 'script'; base-uri 'none'"}


def write_pages(server: str) -> None:
    """Write the pages of the site."""
    tag = f'<script type="module" src="{server}/page/widget.js" data-agent="AGENT"MORE></script>'

    def page(agent: str, more: str = "", *, head: str = "", style: str = "/plain.css") -> str:
        script = tag.replace("AGENT", agent).replace("MORE", more)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<title>Our shop</title><link rel="stylesheet" href="{style}"><main><h1>Our shop</h1></main>{head}{script}'
        )

    strict = policy(server)
    lacking = {"Content-Security-Policy": f"default-src 'none'; style-src 'self'; script-src {server}"}
    signed = page("report", ' data-token-function="ourToken"', head='<script src="/token.js"></script>')
    Site.pages = {
        "/plain.css": ({}, PLAIN_CSS),
        "/hostile.css": ({}, HOSTILE_CSS),
        "/hostile.js": ({}, HOSTILE_JS),
        "/token.js": ({}, TOKEN_JS),
        "/framing": ({}, f'<!doctype html><script>{HEAR}</script><iframe src="{server}/embed"></iframe>'),
        "/chat": (strict, page("report")),
        "/payer": (strict, page("payer", ' data-side="start" data-label="Pay"')),
        "/open": ({}, page("report", head=f"<script>{HEAR}</script>")),
        "/greeting": ({}, GREETING),
        "/slow": (strict, page("sheep")),
        "/broken": (strict, page("broken")),
        "/hostile": (strict, page("report", style="/hostile.css", head='<script src="/hostile.js"></script>')),
        "/lacking": (lacking, page("report")),
        "/isolated": ({"Cross-Origin-Embedder-Policy": "require-corp"}, page("drawer")),
        "/signed": (strict, signed),
    }


def opened(page: Page, label: str = "Chat") -> FrameLocator:
    """Open the chat by its button. Return its frame, once it can be written in."""
    page.get_by_role("button", name=label, exact=True).click()
    frame = page.frame_locator("understudy-chat iframe")
    expect(frame.get_by_role("textbox", name="Message", exact=True)).to_be_focused()
    expect(frame.get_by_text("Online", exact=True)).to_be_visible()
    return frame


def say(frame: FrameLocator, text: str) -> None:
    """Send a message."""
    box = frame.get_by_role("textbox", name="Message", exact=True)
    box.fill(text)
    box.press("Enter")


def until(page: Page | Frame, condition: str) -> None:
    """Wait for a condition of the page, whose policy forbids what Playwright's own wait does."""
    page.evaluate(
        f"() => new Promise((met) => {{ (function look() {{ {condition} ? met() : setTimeout(look, 20); }})(); }})"
    )


class Widget:
    """The story of the button; `origin` is of the allowed site."""

    def __init__(self, context: BrowserContext, server: Server, origin: str, shots: Path | None) -> None:
        self.context, self.server, self.origin, self.shots = context, server, origin, shots
        browser = context.browser
        assert browser is not None
        self.chromium = browser.browser_type.name == "chromium"
        self.problems: list[str] = []

    def page(self, path: str) -> Page:
        """Open a page of the site."""
        page = watched(self.context.new_page(), self.problems)
        page.goto(f"{self.origin}{path}")
        return page

    def look(self, page: Page, name: str) -> None:
        """Check the page and the frame, if it is shown, with axe, and take a picture."""
        picture(page, self.shots, name)
        for frame in page.frames if page.locator("understudy-chat iframe").is_visible() else [page.main_frame]:
            frame.evaluate(SETTLED)  # a message that fades in has less contrast for a moment
            frame.evaluate(f"{AXE}; null")
            broken = frame.evaluate(CHECK, RULES)
            assert not broken, (name, frame.url, broken)

    def chat(self) -> None:
        """A message, a streamed answer with a tool, a picture of each scheme, reconnecting, the API, the keyboard."""
        page = self.page("/chat")
        fetched: list[str] = []
        page.on("request", lambda request: fetched.append(request.url))
        assert not any("/embed" in url for url in fetched), "the chat is loaded when it is opened"
        self.look(page, "closed")
        page.evaluate(API, f"{self.server.address}/page/widget.js")
        frame = opened(page)
        self.look(page, "empty")
        say(frame, "Report the sales")
        expect(frame.locator(".reply .prose").get_by_text("Without taxes.")).to_be_visible()
        expect(frame.get_by_role("button", name=re.compile("^Used 1 tool"))).to_be_visible()
        until(page, "window.answers.length === 1")
        (answer,) = page.evaluate("window.answers")
        assert set(answer) == {"threadId", "runId", "status"}
        assert answer["status"] == "done"
        self.look(page, "answered")

        page.keyboard.press("Escape")
        button = page.get_by_role("button", name="Chat", exact=True)
        expect(button).to_be_focused()
        expect(button).to_have_attribute("aria-expanded", "false")
        page.keyboard.press("Enter")
        expect(frame.get_by_role("textbox", name="Message", exact=True)).to_be_focused()

        self.server.stop()
        expect(frame.get_by_text("Offline", exact=True)).to_be_visible()
        say(frame, "Report it in brief")
        self.look(page, "offline")
        page.keyboard.press("Escape")
        self.server.start()
        expect(page.get_by_role("button", name="Chat: a new answer")).to_be_visible()
        page.evaluate("window.chat.open()")
        expect(frame.locator(".reply .prose").get_by_text("More came back.")).to_be_visible()
        page.reload()
        frame = opened(page)
        expect(frame.locator(".reply .prose").get_by_text("More came back.")).to_be_visible()

        page.evaluate(API, f"{self.server.address}/page/widget.js")
        page.evaluate("window.chat.destroy()")
        expect(page.locator("understudy-chat")).to_have_count(0)
        page.evaluate("window.chat.open()")
        assert page.evaluate("document.querySelector('understudy-chat')") is None
        page.close()

    def schemes(self) -> None:
        """The button and the chat in the dark, on a phone, and at the other side, with consent and a failed run."""
        page = self.page("/payer")
        if self.chromium:
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        frame = opened(page, "Pay")
        say(frame, "Pay Bob")
        expect(frame.get_by_role("button", name=re.compile("^Allow")).first).to_be_visible()
        self.look(page, "consent-dark")
        page.set_viewport_size({"width": 390, "height": 780})
        expect(page.get_by_role("button", name="Close the chat").first).to_be_hidden()
        self.look(page, "consent-dark-phone")
        frame.get_by_role("button", name="Allow", exact=True).click()
        expect(frame.locator(".reply .prose").get_by_text("It is paid.")).to_be_visible()
        box = page.locator("understudy-chat iframe").bounding_box()
        assert box is not None
        assert (box["x"], box["y"], box["width"], box["height"]) == (0, 0, 390, 780)
        frame.get_by_role("button", name="Close", exact=True).click()
        expect(page.get_by_role("button", name="Pay", exact=True)).to_be_focused()
        self.look(page, "closed-dark-phone")
        page.close()

        page = self.page("/broken")
        page.set_viewport_size({"width": 390, "height": 780})
        frame = opened(page)
        say(frame, "Break")
        expect(frame.get_by_role("button", name=re.compile("Try again"))).to_be_visible()
        self.look(page, "failed-phone")
        if self.chromium:
            page.emulate_media(forced_colors="active")
            self.look(page, "failed-phone-forced")
        page.close()

    def stops(self) -> None:
        """A long answer is stopped."""
        page = self.page("/slow")
        page.evaluate(API, f"{self.server.address}/page/widget.js")
        frame = opened(page)
        say(frame, "Count")
        expect(frame.locator(".reply .prose").get_by_text("1 sheep", exact=True)).to_be_visible()
        frame.get_by_role("button", name="Stop", exact=True).last.click()
        until(page, "window.answers.length === 1")
        assert page.evaluate("window.answers[0].status") == "cancelled"
        page.close()

    def hostile(self) -> None:
        """Styles and scripts of the site neither break the chat nor hear a word of it."""
        page = self.page("/hostile")
        frame = opened(page)
        button = page.get_by_role("button", name="Close the chat").first
        box = button.bounding_box()
        assert box is not None
        assert (round(box["width"]), round(box["height"])) == (56, 56)
        frame.get_by_role("button", name="New chat").click()
        expect(frame.locator(".reply")).to_have_count(0)
        say(frame, "Report the sales")
        expect(frame.locator(".reply .prose").get_by_text("Without taxes.")).to_be_visible()
        picture(page, self.shots, "hostile")
        assert page.evaluate("window.heard") == ['{"type":"understudy:hello"}'], "only the window's public greeting"
        page.close()

    def intruded(self, other: str) -> None:
        """A document of another origin in the frame, which greets like the chat, gets no answer, and so no token."""
        page = self.page("/open")
        opened(page)
        page.evaluate(INTRUDE, f"{other}/greeting")
        intruder = page.frames[-1]
        assert intruder.url == f"{other}/greeting"
        until_in = (
            "() => new Promise((met) => { (function look() { heard.length ? met() : setTimeout(look, 20); })(); })"
        )
        intruder.evaluate(until_in)
        assert intruder.evaluate("heard") == ["the end"]
        page.close()

    def isolated(self) -> None:
        """A page that is isolated from other origins has it too, and its charts are drawn."""
        page = self.page("/isolated")
        frame = opened(page)
        say(frame, "Draw")
        expect(frame.get_by_role("application", name=re.compile("^Sales by month")).locator("img")).to_be_visible()
        page.close()

    def lacking(self) -> None:
        """A policy without `frame-src` is named in the console, and the user can leave."""
        page, lines = self.context.new_page(), list[str]()
        page.on("console", lambda line: lines.append(line.text))
        page.goto(f"{self.origin}/lacking")
        page.get_by_role("button", name="Chat", exact=True).click()
        expect(page.get_by_text("The chat could not be loaded.")).to_be_visible()
        assert any(f'lacks "frame-src {self.server.address}"' in each for each in lines), lines
        picture(page, self.shots, "lacking")
        page.get_by_role("button", name="Close the chat").last.click()
        expect(page.get_by_text("The chat could not be loaded.")).to_be_hidden()
        page.close()

    def refused(self, other: str) -> None:
        """A site that is not allowed has no button and a sentence in the console; nor can it frame the chat."""
        page, lines = self.context.new_page(), list[str]()
        page.on("console", lambda line: lines.append(line.text))
        page.goto(f"{other}/chat")
        sentence = f"{self.server.address} does not allow pages of {other}"
        page.evaluate(API, f"{self.server.address}/page/widget.js")
        page.evaluate("window.chat.open()")
        assert any(sentence in each for each in lines), lines
        expect(page.locator("understudy-chat")).to_have_count(0)
        page.goto(f"{other}/framing", wait_until="load")
        assert page.evaluate("window.heard") == []
        page.goto(f"{self.origin}/framing", wait_until="load")
        assert page.evaluate("window.heard") == [{"type": "understudy:hello"}], "as an allowed one can"
        page.close()

    def signed(self) -> None:
        """The site's function gives the token, also when it has to be renewed; without one nobody is let in."""
        page = self.page("/signed")
        frame = opened(page)
        until(page, "window.asked >= 2")
        say(frame, "Report the sales")
        expect(frame.locator(".reply .prose").get_by_text("Without taxes.")).to_be_visible()
        expect(frame.get_by_text("Online", exact=True)).to_be_visible()
        stored = page.frames[1].evaluate("Object.keys(localStorage)")
        assert stored
        assert all(key.startswith(f"embed/{self.origin}/") for key in stored), stored
        page.close()

        page, lines = self.context.new_page(), list[str]()
        page.on("console", lambda line: lines.append(line.text))
        page.goto(f"{self.origin}/chat")
        page.get_by_role("button", name="Chat", exact=True).click()
        frame = page.frame_locator("understudy-chat iframe")
        expect(frame.get_by_text("Not connected")).to_be_visible()
        expect(frame.get_by_text("Without taxes.")).to_have_count(0)
        assert any("the server refused the chat" in each for each in lines), lines
        self.look(page, "signed-out")
        page.close()


API = """async (address) => {
  ({ chat: window.chat } = await import(address));
  window.answers = [];
  window.chat.addEventListener("answer", ({ detail }) => window.answers.push(detail));
}"""


def serve(folder: Path, allowed: str, **environment: str) -> Server:
    """Start a server that allows a site, and write the pages of the sites for it."""
    server = Server(
        folder,
        options=["tests.browser.embedded_agents:agents"],
        UNDERSTUDY_MODELS_WORDS_PER_S="200",
        UNDERSTUDY_ALLOWED_ORIGINS=allowed,
        **environment,
    )
    write_pages(server.address)
    return server


def main(folder: Path, shots: Path | None) -> None:
    """Play the story in a temporary folder: at a server that takes anybody, and at one whose users have tokens."""
    with site(Site) as allowed, site(Site) as other, current_browser() as browser:
        server = serve(folder / "open", allowed)
        try:
            widget = Widget(browser.new_context(), server, allowed, shots)
            widget.chat()
            widget.schemes()
            widget.stops()
            widget.hostile()
            widget.intruded(other)
            widget.isolated()
            widget.lacking()
            widget.refused(other)
            assert not widget.problems, widget.problems
        finally:
            server.stop(signal.SIGTERM)
        server = serve(folder / "closed", allowed, UNDERSTUDY_SECRET=SECRET)
        try:
            widget = Widget(browser.new_context(), server, allowed, shots)
            widget.signed()
            assert not widget.problems, widget.problems
        finally:
            server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
