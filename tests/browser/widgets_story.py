"""The user interface of an MCP server's tool, in a frame of another origin. Run by `test_story.py`.

python tests/browser/widgets_story.py FOLDER [SCREENSHOTS]
"""

import json
import re
import sys
from pathlib import Path

from playwright.sync_api import Page, expect
from served import Server, current_browser, picture, watched

POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)


def roll(page: Page, address: str) -> None:
    """Have the tool called in a new chat."""
    page.goto(address)
    expect(page.get_by_text("Online")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("dice", re.IGNORECASE)).click()
    page.get_by_role("textbox", name="Message", exact=True).fill("Roll")
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose").get_by_text("Rolled.")).to_be_visible()


def main(folder: Path, shots: Path | None) -> None:
    """Off, there is no frame; on, the widget has the result, and reaches neither the page nor the network."""
    server, problems = Server(folder / "data", options=["tests.browser.making_agents:dice"]), list[str]()
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = watched(context.new_page(), problems)
            roll(page, server.address)
            expect(page.locator("iframe, .widget")).to_have_count(0)
            off = context.request.get(server.address)
            assert "frame-src" not in off.headers["content-security-policy"]
            assert context.request.get(f"{server.address}/widgets/frame").status == 404

            server.stop()
            origin = f"http://localhost:{server.port}"
            server.environment["UNDERSTUDY_WIDGETS_ORIGIN"] = origin
            server.start()
            on = context.request.get(server.address).headers["content-security-policy"]
            assert on == f"{off.headers['content-security-policy']}; frame-src {origin}"
            assert context.request.get(f"{origin}/widgets/frame").headers["content-security-policy"] == POLICY
            for apart in (f"{server.address}/widgets/frame", origin, f"{origin}/api/agents", f"{origin}/page/main.js"):
                assert context.request.get(apart).status == 404, apart

            context.clear_cookies()
            roll(page, server.address)
            frame = page.locator("iframe.widget-frame")
            expect(frame).to_have_attribute("sandbox", "allow-scripts")
            said = page.frame_locator("iframe.widget-frame").locator("#said")
            expect(said).to_contain_text('"net":"refused"')
            expect(said).to_contain_text('"result":')
            tries = json.loads(said.text_content() or "")
            refused = {tries[name] for name in ("page", "storage", "cookie")}
            assert refused == {"SecurityError"}, tries
            assert (tries["origin"], tries["call"], "four" in tries["result"]) == ("null", -32601, True), tries
            expect(frame).to_have_js_property("offsetHeight", 321)
            picture(page, shots, "widget")

            page.frame_locator("iframe.widget-frame").get_by_role("button", name="Rules").click()
            dialog = page.get_by_role("dialog", name="Open this link?")
            expect(dialog.get_by_text("https://example.org/rules")).to_be_visible()
            dialog.get_by_role("button", name="Keep it").click()
            assert len(context.pages) == 1
            left: list[str] = []
            context.on("request", lambda request: left.append(request.url))
            with page.expect_event("console", lambda line: "frame-src" in line.text):
                page.frame_locator("iframe.widget-frame").get_by_role("button", name="Leave").click()
            assert not [url for url in left if "example.org" in url], left
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
