"""Every view of the chat page and of the observer under axe: WCAG 2.2 AA and best practices, in light, in the dark on a
phone, and in forced colours. Run by `test_story.py`; with a folder it also takes the pictures of all of them:

    python tests/browser/views_story.py FOLDER [SCREENSHOTS]
"""

import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from playwright.sync_api import Page, ViewportSize, expect
from served import Server, chromium, firefox, picture, watched

from transport.auth.tokens import Tokens

SECRET: Final = "0123456789abcdef" * 3
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECK: Final = """async (tags) => {
  // In forced colours the system chooses all colours, and a script reads those of the page.
  const rules = { "color-contrast": { enabled: !matchMedia("(forced-colors: active)").matches } };
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags }, rules, resultTypes: ["violations"] });
  const where = ({ target, failureSummary }) => `${target.join(" ")} ${failureSummary}`;
  return found.violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.slice(0, 4).map(where).join(" | ")}`);
}"""
"""Returns the broken rules, each with where it is broken."""
SETTLE: Final = """async (width) => {
  const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
  while (innerWidth !== width) await frame();
  const faded = document.getAnimations().filter((each) => each instanceof CSSTransition);
  while (document.getAnimations().length > 0) await frame();
  return faded.map(({ effect, transitionProperty }) => `${effect.target.className} ${transitionProperty}`);
}"""
"""Waits for the width and the end of all animations. Returns the transitions that the change began."""
WIDE: Final[ViewportSize] = {"width": 1280, "height": 820}
PHONE: Final[ViewportSize] = {"width": 360, "height": 740}


@frozen
class Mode:
    """A way in which a view is looked at: `name` names its pictures."""

    name: str
    size: ViewportSize
    media: dict[str, Any]


MODES: Final = (
    Mode("light", WIDE, {"color_scheme": "light", "forced_colors": "none"}),
    Mode("phone-dark", PHONE, {"color_scheme": "dark", "forced_colors": "none"}),
    Mode("forced", WIDE, {"color_scheme": "dark", "forced_colors": "active"}),
)


def token(user: str, *roles: str) -> str:
    """Return a token that the server accepts."""
    return Tokens(SECRET, time.time).issue(user, f"s-{user}", roles=roles, ttl_s=900)


def say(page: Page, agent: str, text: str) -> None:
    """Begin a chat with an agent."""
    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile(agent)).click()
    page.get_by_role("textbox", name="Message", exact=True).fill(text)
    page.keyboard.press("Enter")


@contextmanager
def dialog(page: Page, name: str) -> Iterator[None]:
    """Have a dialog open that a button of this name opens."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    yield
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


class Look:
    """Looks at views of one page in some modes, as a user of its own. `broken` gets the rules that a view breaks."""

    def __init__(self, page: Page, shots: Path | None, modes: tuple[Mode, ...], prefix: str = "") -> None:
        self.page, self.shots, self.modes, self.prefix = page, shots, modes, prefix
        self.user = f"{prefix}ada"  # somebody new is shown more
        self.broken: list[str] = []

    def __call__(self, view: str) -> None:
        """Look at what the page shows now."""
        for mode in self.modes:
            self.page.set_viewport_size(mode.size)
            if mode.media:
                self.page.emulate_media(**mode.media)
            name = f"{self.prefix}{view}-{mode.name}"
            faded = self.page.evaluate(SETTLE, mode.size["width"])
            if faded:
                self.broken.append(f"{name}: with reduced motion {len(faded)} transitions run: {faded[:4]}")
            self.page.evaluate(AXE)
            self.broken += [f"{name}: {rule}" for rule in self.page.evaluate(CHECK, RULES)]
            sideways = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if sideways > 0:
                self.broken.append(f"{name}: the page scrolls {sideways} px sideways")
            picture(self.page, self.shots, name)
        self.page.set_viewport_size(WIDE)


def chat_views(page: Page, server: Server, look: Look) -> None:
    """Look at the views of the chat page."""
    page.goto(server.address)
    expect(page.get_by_role("dialog")).to_be_visible()
    look("token")
    page.get_by_label("Session token").fill(token(look.user))
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Online")).to_be_visible()
    look("empty")

    say(page, "Report", "Report the sales")
    expect(page.locator(".reply .prose").get_by_text("Without taxes.")).to_be_visible()
    expect(page.locator(".reply .prose table")).to_be_visible()
    look("answer")
    page.get_by_role("button", name=re.compile("^Used 1 tool")).click()
    look("steps")

    say(page, "Broken", "Break")
    expect(page.get_by_role("button", name=re.compile("Try again"))).to_be_visible()
    look("error")

    say(page, "Payer", "Pay Bob")
    expect(page.get_by_role("button", name=re.compile("^Allow")).first).to_be_visible()
    look("consent")
    page.get_by_role("group", name="Inbox").get_by_role("button", name=re.compile("^Needs you")).click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Allow", exact=True).first).to_be_visible()
    look("inbox")
    page.keyboard.press("Escape")
    for name in ("Memory", "Schedules", "Settings"):
        with dialog(page, name):
            look(name.lower())

    page.get_by_role("button", name="New chat").first.click()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("^Guide")).click()
    page.get_by_role("button", name=re.compile("^Profile sample sales")).click()
    send = page.get_by_role("button", name="Send")
    expect(send).to_be_enabled()
    send.click()
    expect(page.get_by_role("button", name="Show the chart large")).to_be_visible()
    look("chart")
    page.get_by_role("button", name="Show the chart large").click()
    look("panel")
    page.keyboard.press("Escape")
    page.goto(f"{server.address}/#a-chat-of-nobody")
    expect(page.get_by_text(re.compile("not yours"))).to_be_visible()
    look("missing")


def observer_views(page: Page, server: Server, look: Look) -> None:
    """Look at the views of the observer."""
    page.goto(f"{server.address}/observer")
    look("observer-sign-in")
    page.get_by_label("Operator's token").fill(token("op", "operator"))
    page.get_by_role("button", name="Show the tree").click()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    look("observer-tree")
    for name, shown in (("Runs", "Open runs"), ("Users", "Users"), ("Health", "Pools")):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        expect(page.get_by_role("region", name=shown).get_by_role("row").nth(1)).to_be_visible()
        look(f"observer-{name.lower()}")
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Runs").click()
    page.get_by_role("region", name="Ended runs").get_by_role("button", name=re.compile("^[0-9a-f]{12}$")).first.click()
    expect(page.get_by_role("list", name="Steps").get_by_role("listitem").first).to_be_visible()
    look("observer-run")


def main(folder: Path, shots: Path | None) -> None:
    """Look at every view in Chromium, and at those of the chat page in Firefox too, which emulates no modes."""
    server = Server(
        folder / "data",
        options=["tests.browser.views_agents:agents"],
        UNDERSTUDY_SECRET=SECRET,
        UNDERSTUDY_WORDS_PER_S="200",
    )
    problems: list[str] = []
    broken: list[str] = []
    try:
        for kind, views, modes in (
            (chromium, chat_views, MODES), (chromium, observer_views, MODES),
            (firefox, chat_views, (Mode("light", WIDE, {}), Mode("phone", PHONE, {}))),
        ):  # fmt: skip
            calm = firefox({"ui.prefersReducedMotion": 1}) if kind is firefox else chromium()
            with calm as browser:
                # In Firefox axe itself adds a style, which the page's policy refuses.
                noted = problems if kind is chromium else []
                page = watched(browser.new_page(viewport=WIDE, reduced_motion="reduce"), noted)
                look = Look(page, shots, modes, "firefox-" if kind is firefox else "")
                views(page, server, look)
                broken += look.broken
        assert not broken, "\n".join(broken)
        assert not problems, problems
    finally:
        server.stop(signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
