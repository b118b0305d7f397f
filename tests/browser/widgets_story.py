"""The user interface of an MCP server's tool, in a frame of another origin. Run by `test_story.py`.

python tests/browser/widgets_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import sys
from pathlib import Path

from playwright.sync_api import Frame, Locator, Page, expect
from served import Server, mouse_in_frames, picture, watched

ABORTED = "NS_BINDING_ABORTED"
POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)
NOTE_REFUSED = """() => addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
  window.refused = `${effectiveDirective} ${blockedURI}`;
})"""
"""Notes what the policy of the page refused last."""


def roll(page: Page, address: str) -> None:
    """Have the tool called in a new chat."""
    page.goto(address)
    expect(page.get_by_text("Online")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("dice", re.IGNORECASE)).click()
    page.get_by_role("textbox", name="Message", exact=True).fill("Roll")
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose").get_by_text("Rolled.")).to_be_visible()


def widget_of(page: Page) -> Frame:
    """Return the document of the first widget, once it was told of its call."""
    expect(page.frame_locator("iframe.widget-frame").first.locator("#said")).to_contain_text("structured")
    return next(frame for frame in page.frames if frame.url.endswith("/widgets/frame"))


def acts(page: Page, server: Server, shots: Path | None) -> None:
    """The widget calls tools, with consent where they need it, has a message sent, and hears of the theme."""
    page.reload()
    widget = widget_of(page)
    assert widget.evaluate("tries.offers") == ["openLinks", "serverTools", "message", "logging"]
    context = widget.evaluate("context")
    assert (context["theme"], context["locale"], context["displayMode"]) == ("light", "en-US", "inline"), context
    assert context["containerDimensions"]["maxHeight"] == 800
    assert context["toolInfo"]["tool"]["name"] == "roll"
    assert widget.evaluate("call('tally', { more: 2 })")["structuredContent"] == {"count": 2}
    assert widget.evaluate("call('tally', { more: 3 })")["structuredContent"] == {"count": 5}
    expect(page.locator(".turn.is-widget-call")).to_have_count(2)
    expect(page.locator("iframe.widget-frame")).to_have_count(1)

    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    widget.wait_for_function("() => changes.some(({ theme }) => theme === 'dark')")
    page.evaluate("delete document.documentElement.dataset.theme")
    widget.wait_for_function("() => changes.some(({ theme }) => theme === 'light')")
    page.set_viewport_size({"width": 700, "height": 800})
    widget.wait_for_function("() => changes.some(({ containerDimensions }) => containerDimensions?.width < 700)")
    page.set_viewport_size({"width": 1280, "height": 800})

    inside = page.frame_locator("iframe.widget-frame")
    inside.get_by_role("button", name="Bet").click()
    asked = page.locator(".turn.is-widget-call .approval")
    expect(asked).to_contain_text("ada")
    picture(page, shots, "widget-consent")
    asked.get_by_role("button", name="Deny").press("Enter")  # its place moves while the question unfolds
    expect(inside.locator("#heard")).to_contain_text("Not allowed")
    use(inside.get_by_role("button", name="Bet"))
    page.locator(".turn.is-widget-call .approval").last.get_by_role("button", name="Allow", exact=True).press("Enter")
    expect(inside.locator("#heard")).to_contain_text('"staked":5')

    use(inside.get_by_role("button", name="Tell"))
    dialog = page.get_by_role("dialog", name="Send this message?")
    expect(dialog).to_contain_text("Roll once more")
    dialog.get_by_role("button", name="Send").click()
    expect(page.locator(".bubble").get_by_text("Roll once more")).to_be_visible()
    expect(page.locator(".reply .prose").get_by_text("Rolled.")).to_have_count(2)
    expect(inside.first.locator("#heard")).to_have_text("{}")


def harms_nothing(page: Page, server: Server) -> None:
    """A hostile widget is refused, and ended when it floods; neither the page nor the other widget suffers."""
    page.reload()
    widget = widget_of(page)
    refused = {
        "call('peek')": "has no tool of that name",
        "call('dice_tally')": "has no tool of that name",
        "call('')": "arguments",
        "call('tally', [1])": "arguments",
        "ask('tools/call', { name: 'tally', arguments: { more: 'x'.repeat(40000) } })": "at most 32,768 bytes",
        "ask('resources/read', { uri: 'ui://dice/board' })": "resources/read",
        "ask('ui/open-link', { url: 'javascript:alert(1)' })": "url",
        "ask('ui/message', { role: 'assistant', content: { type: 'text', text: 'x' } })": "content",
        "ask('ui/message', { role: 'user', content: { type: 'image', data: '' } })": "content",
    }
    for attempt, sentence in refused.items():
        assert sentence in widget.evaluate(attempt)["error"]["message"], attempt
    expect(page.get_by_role("dialog")).to_have_count(0)
    turns = page.locator(".turn").count()
    many = widget.evaluate("Promise.all(Array.from({ length: 9 }, () => call('roll')))")
    assert [each.get("error", {}).get("message") for each in many].count("busy") == 5, many
    expect(page.locator(".turn")).to_have_count(turns + 4)
    # Not from the widget's window: nobody hears it. A giant is not heard either, and has no answer.
    forged = "{ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'tally', arguments: {} } }"
    page.evaluate(f"window.postMessage({forged}, '*')")
    page.evaluate(
        "(src) => document.body.append(Object.assign(document.createElement('iframe'), { src, id: 'other' }))",
        f"http://localhost:{server.port}/widgets/frame",
    )
    other = page.locator("#other").element_handle()
    frame = None if other is None else other.content_frame()
    assert frame is not None
    frame.wait_for_load_state()
    frame.evaluate(f"parent.postMessage({forged}, '*')")
    page.evaluate("document.getElementById('other').remove()")
    widget.evaluate("say({ id: 'giant', method: 'ping', params: { text: 'x'.repeat(70000) } })")
    assert widget.evaluate("ask('ping', {}, 'after')") == {}
    assert widget.evaluate("waiting.has('giant')") is False
    assert page.locator(".turn").count() == turns + 4
    for _ in range(3):  # of its questions that are declined, and then it asks no more
        answer = widget.evaluate_handle("({ asked: ask('ui/open-link', { url }) })")
        page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        assert answer.evaluate("async ({ asked }) => (await asked).error.message") == "declined"
    assert widget.evaluate("ask('ui/message', { role: 'user', content: { type: 'text', text: 'x' } })")["error"]
    expect(page.get_by_role("dialog")).to_have_count(0)
    # Later than the answer to this call: the frame goes while it still says more.
    widget.evaluate("void setTimeout(() => { for (let at = 0; at < 2000; at += 1) say({ id: at, method: 'ping' }) })")
    expect(page.get_by_text("The widget said too much, and was stopped.")).to_be_visible()
    page.get_by_role("textbox", name="Message", exact=True).fill("Roll")
    page.keyboard.press("Enter")
    expect(page.locator(".turn").last.locator("iframe.widget-frame")).to_be_visible()


def use(button: Locator) -> None:
    """Press a button of a widget while an answered question folds above it, where Chromium's clicks sometimes miss it.

    In Firefox no key reaches a frame of another origin here.
    """
    browser = button.page.context.browser
    if browser is not None and browser.browser_type.name == "chromium":
        button.press("Enter")
    else:
        button.click()


def take_new_settings(page: Page, address: str) -> None:
    """Have the page loaded under the server's new policy: a bundle is opened under the one that was kept with it."""
    page.goto(address)
    expect(page.get_by_text("Online")).to_be_visible()
    current = page.locator(f'meta[name=page-version][content="{tag_of(page.request.get(address).text())}"]')
    if current.count() == 0:
        page.get_by_role("button", name="Reload").click()
    expect(current).to_be_attached()
    expect(page.get_by_text("Online")).to_be_visible()


def tag_of(html: str) -> str:
    """Return the tag that a page names in its head."""
    found = re.search(r'name="page-version" content="([^"]+)"', html)
    assert found is not None
    return found[1]


def main(folder: Path, shots: Path | None) -> None:
    """Off, there is no frame; on, the widget has the result, and reaches neither the page nor the network."""
    server, problems = Server(folder / "data", options=["tests.browser.making_agents:dice"]), list[str]()
    try:
        with mouse_in_frames() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = watched(context.new_page(), problems)
            roll(page, server.address)
            expect(page.locator("iframe, .widget")).to_have_count(0)
            off = context.request.get(server.address)
            assert off.headers["content-security-policy"].endswith("; frame-src 'self'")
            assert context.request.get(f"{server.address}/widgets/frame").status == 404

            server.stop()
            origin = f"http://localhost:{server.port}"
            server.environment["UNDERSTUDY_WIDGETS_ORIGIN"] = origin
            server.start()
            on = context.request.get(server.address).headers["content-security-policy"]
            assert on == f"{off.headers['content-security-policy']} {origin}"
            assert context.request.get(f"{origin}/widgets/frame").headers["content-security-policy"] == POLICY
            for apart in (f"{server.address}/widgets/frame", origin, f"{origin}/api/agents", f"{origin}/page/main.js"):
                assert context.request.get(apart).status == 404, apart

            context.clear_cookies()
            take_new_settings(page, server.address)
            roll(page, server.address)
            frame = page.locator("iframe.widget-frame")
            expect(frame).to_have_attribute("sandbox", "allow-scripts")
            said = page.frame_locator("iframe.widget-frame").locator("#said")
            expect(said).to_contain_text('"net":"refused"')
            expect(said).to_contain_text('"result":')
            tries = json.loads(said.text_content() or "")
            refused = {tries[name] for name in ("page", "storage", "cookie")}
            assert refused == {"SecurityError"}, tries
            assert (tries["origin"], tries["structured"], tries["input"]) == ("null", {"result": "four"}, {}), tries
            expect(frame).to_have_js_property("offsetHeight", 321)
            picture(page, shots, "widget")

            page.frame_locator("iframe.widget-frame").get_by_role("button", name="Rules").click()
            dialog = page.get_by_role("dialog", name="Open this link?")
            expect(dialog.get_by_text("https://example.org/rules")).to_be_visible()
            dialog.get_by_role("button", name="Keep it").click()
            assert len(context.pages) == 1
            left: set[str] = set()
            context.on("request", lambda request: left.add(request.url))
            # Firefox shows a request that the policy refuses, too, and then that it is aborted.
            context.on(
                "requestfailed", lambda request: left.discard(request.url) if request.failure == ABORTED else None
            )
            page.evaluate(NOTE_REFUSED)
            page.frame_locator("iframe.widget-frame").get_by_role("button", name="Leave").click()
            page.wait_for_function("() => window.refused?.startsWith('frame-src https://example.org')")
            acts(page, server, shots)
            assert "https://example.org/?stolen" not in left
            harms_nothing(page, server)
            assert not [problem for problem in problems if "example.org" not in problem], problems
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
