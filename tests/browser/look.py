"""Looks at a view of a page in some modes: axe, nothing that moves, nothing that scrolls sideways, and a picture."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from playwright.sync_api import Page, ViewportSize, expect
from served import Server, picture

from transport.auth.tokens import Tokens

SECRET: Final = "0123456789abcdef" * 3
AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CHECK: Final = """async (tags) => {
  // In forced colours the system chooses all colours, and a script reads those of the page.
  const rules = { "color-contrast": { enabled: !matchMedia("(forced-colors: active)").matches } };
  const only = { runOnly: { type: "tag", values: tags }, rules, resultTypes: ["violations"], iframes: false };
  const found = await axe.run(document, only);
  const where = ({ target, failureSummary }) => `${target.join(" ")} ${failureSummary}`;
  return found.violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.slice(0, 4).map(where).join(" | ")}`);
}"""
"""Returns the broken rules, each with where it is broken."""
SETTLE: Final = """async (width) => {
  const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
  while (innerWidth !== width) await frame();
  const faded = document.getAnimations().filter((each) => each instanceof CSSTransition);
  while (document.getAnimations().some(({ playState }) => playState === "running")) await frame();
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


def sign_in(page: Page, server: Server, user: str) -> None:
    """Open the chat page as a user."""
    page.goto(server.address)
    page.get_by_label("Session token").fill(token(user))
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Online")).to_be_visible()


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

    def __init__(self, page: Page, shots: Path | None, modes: tuple[Mode, ...] = MODES, prefix: str = "") -> None:
        self.page, self.shots, self.modes, self.prefix = page, shots, modes, prefix
        self.user = f"{prefix}ada"  # somebody new is shown more
        self.broken: list[str] = []

    def at(self, page: Page) -> "Look":
        """Return one that looks at another page, and notes what is broken in the same list."""
        other = Look(page, self.shots, self.modes, self.prefix)
        other.broken = self.broken
        return other

    def end(self, problems: list[str]) -> None:
        """Fail if any view was broken, or the pages had problems."""
        assert not self.broken, "\n".join(self.broken)
        assert not problems, problems

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
            if not self.page.evaluate("'axe' in window"):
                self.page.evaluate(AXE)
            self.broken += [f"{name}: {rule}" for rule in self.page.evaluate(CHECK, RULES)]
            sideways = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if sideways > 0:
                self.broken.append(f"{name}: the page scrolls {sideways} px sideways")
            picture(self.page, self.shots, name)
        self.page.set_viewport_size(WIDE)
        if self.modes[0].media:  # what is loaded in forced colours keeps their background
            self.page.emulate_media(**self.modes[0].media)
