"""Runs that are steered, undone, killed in the middle of a call, of 60 calls, and with a subagent, in a real Chromium.

python tests/browser/long_runs_story.py FOLDER [SCREENSHOTS]
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Route, ViewportSize, expect
from served import WIDE, Server, current_browser, picture, plays_common_parts, watched

NARROW: ViewportSize = {"width": 390, "height": 844}


def pictures(page: Page, shots: Path | None, name: str) -> None:
    """Save pictures of the page light, dark and narrow, if a folder was given. The narrow page fits its width."""
    picture(page, shots, name)
    if shots is not None:
        page.emulate_media(color_scheme="dark")
        picture(page, shots, f"{name}-dark")
        page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, shots, f"{name}-phone")
    page.set_viewport_size(WIDE)


class Story:
    """Two tabs of one user, a server, and the gates of its agents."""

    def __init__(self, context: BrowserContext, server: Server, gates: Path, shots: Path | None) -> None:
        self.context, self.server, self.gates, self.shots = context, server, gates, shots
        self.problems: list[str] = []
        self.page = watched(context.new_page(), self.problems)
        self.page.goto(server.address)
        expect(self.page.get_by_text("Online")).to_be_visible()
        self.other = watched(context.new_page(), self.problems)

    @property
    def tabs(self) -> tuple[Page, Page]:
        """Both tabs."""
        return self.page, self.other

    def ask(self, agent: str, text: str) -> None:
        """Send a message to an agent in a new chat, which both tabs show."""
        self.page.get_by_role("button", name="New chat").click()
        self.page.get_by_role("button", name=re.compile("^Agent: ")).click()
        self.page.get_by_role("option", name=re.compile(f"^{agent}", re.IGNORECASE)).click()
        self.say(text)
        self.other.goto(self.page.url)
        expect(self.other.locator(".bubble", has_text=text)).to_be_visible()
        chosen = re.compile(f"^Agent: {agent}", re.IGNORECASE)
        expect(self.other.get_by_role("button", name=chosen)).to_be_visible()

    def say(self, text: str, when: str | None = None, *, tab: Page | None = None) -> None:
        """Write a message, and send it; `when` a run at work reads it."""
        page = tab or self.page
        page.get_by_role("textbox", name="Message", exact=True).fill(text)
        if when is not None:
            page.get_by_label("When the agent reads it").select_option(when)
        page.keyboard.press("Enter")

    def open(self, gate: str) -> None:
        """Open a gate of the agents."""
        (self.gates / gate).touch()

    def pictures(self, name: str) -> None:
        """Save pictures of the first tab."""
        pictures(self.page, self.shots, name)


def steering(story: Story) -> None:
    """A steer waits in both tabs and over a reload, one is taken back, one interrupts; all are shown."""
    page, other = story.tabs
    story.ask("gardener", "Count my pots")
    for tab in story.tabs:
        expect(tab.locator(".work-now", has_text="Count the red pots")).to_be_visible()
    story.say("And the clay ones")
    story.say("Forget the saucers", tab=other)
    for tab in story.tabs:
        for text in ("And the clay ones", "Forget the saucers"):
            expect(tab.locator(".steer", has_text=text).get_by_text("Waiting for the next step")).to_be_visible()
    page.reload()
    expect(page.locator(".steer", has_text="Forget the saucers").get_by_text("Waiting")).to_be_visible()
    story.pictures("steer-waiting")
    page.locator(".steer", has_text="Forget the saucers").get_by_role("button", name="Take back").click()
    for tab in story.tabs:
        expect(tab.locator(".steer", has_text="Forget the saucers")).to_have_count(0)
    story.open("counted")
    for tab in story.tabs:
        expect(tab.locator(".steer", has_text="And the clay ones").get_by_text("The agent has read it")).to_be_visible()
        expect(tab.locator(".prose", has_text="There are 17 red pots")).to_be_visible()
    story.pictures("steer-taken")
    story.say("Stop counting, and tell me", "now", tab=other)
    for tab in story.tabs:
        answer = tab.locator(".reply .prose")
        expect(answer).to_contain_text("You also wrote: And the clay ones; Stop counting, and tell me.")
        expect(answer).to_contain_text("There are 17 red pots")
        expect(tab.locator(".turn-foot")).to_be_visible()
    page.reload()
    expect(page.locator(".steer")).to_have_count(2)
    page.locator(".work-head").click()
    expect(page.locator(".step-steer", has_text="Stop counting")).to_be_visible()
    story.pictures("steer-done")


def again_from_a_step(story: Story) -> None:
    """A run is done again from a call on, whose effect is named before; the card says what was spent."""
    page = story.page
    expect(page.locator(".run-figures")).to_contain_text("of 200")
    page.locator(".step-tool summary").first.click()
    page.get_by_role("button", name="Retry from here").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("may happen a second time: Count the red pots")
    story.pictures("retry")
    dialog.get_by_role("button", name="Retry from here").click()
    for tab in story.tabs:
        expect(tab.locator(".turn-foot").get_by_text("2/2")).to_be_visible()
        expect(tab.locator(".reply .prose")).to_contain_text("There are 17 red pots")
    page.locator(".work-head").click()
    story.say("And the blue ones")
    story.say("Now the answer", "now")
    for tab in story.tabs:
        expect(tab.locator(".reply .prose")).to_contain_text("You also wrote: And the blue ones; Now the answer.")


def cut(story: Story) -> None:
    """An answer whose model was lost goes on in its place, from its text, in both tabs; a reload shows it once."""
    page = story.page
    story.ask("halting", "Write on")
    for tab in story.tabs:
        expect(tab.locator(".fault")).to_contain_text("The connection to the language model was lost.")
        expect(tab.locator(".prose")).to_contain_text("The first half ends in the middle of")
        expect(tab.locator(".prose em")).to_have_text("first half")
    page.reload()
    expect(page.locator(".fault").get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator(".prose em")).to_have_text("first half")
    story.pictures("cut")
    page.get_by_role("button", name="Continue").click()
    words = "The first half ends in the middle of The second half follows without a gap."
    whole = re.compile(rf"^\s*{words.replace(' ', chr(92) + 's+')}\s*$")
    for tab in story.tabs:
        expect(tab.locator(".turn-foot").last).to_be_visible()
        expect(tab.locator(".prose")).to_have_text(whole)
        expect(tab.locator(".fault")).to_have_count(0)
        expect(tab.locator(".turn")).to_have_count(1)
        expect(tab.get_by_text("2/2")).to_have_count(0)
    page.reload()
    expect(page.locator(".prose")).to_have_text(whole)
    page.locator(".work-head").click()
    expect(page.locator(".step-continued")).to_contain_text("Went on with the answer")
    story.pictures("continued")


def abroad(story: Story) -> None:
    """The answer of an agent of another server cannot be gone on with, and the page says why."""
    page = story.page
    story.ask("abroad", "Hello")
    expect(page.locator(".fault").get_by_role("button", name="Try again")).to_be_visible()
    expect(page.get_by_text("This agent works on another server, and cannot continue")).to_be_visible()
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)


def stopping(story: Story) -> None:
    """Stop ends the run that is at work, not the message that waits behind it; the latter is answered then."""
    page = story.page
    story.ask("courier", "Send it")
    expect(page.locator(".work-now", has_text="Send a parcel")).to_be_visible()
    story.say("And another one", "after")
    expect(page.locator(".turn", has_text="And another one")).to_be_visible()
    page.locator("button.stop").click()
    expect(page.locator(".turn").first).to_have_attribute("data-status", "cancelled")
    second = page.locator(".turn").nth(1)
    expect(second.locator(".work-now", has_text="Send a parcel")).to_be_visible()
    story.say("And a third", "after")
    expect(page.locator(".turn", has_text="And a third")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(second).to_have_attribute("data-status", "cancelled")
    third = page.locator(".turn").nth(2)
    expect(third.locator(".work-now", has_text="Send a parcel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(third).to_have_attribute("data-status", "cancelled")
    expect(third.get_by_role("button", name="Continue")).to_be_visible()
    expect(second.get_by_role("button", name="Continue")).to_have_count(0)


def elsewhere(story: Story) -> None:
    """In a browser that knows nothing, the agent of a chat answers, however late the catalogue or the list comes."""
    page = story.page
    story.ask("writer", "unicorn")
    expect(page.locator(".prose", has_text="That failed")).to_be_visible()
    session = page.evaluate("localStorage['understudy.session']")
    for number, late in enumerate(("**/api/agents", "**/api/threads?*", "**/nothing"), start=2):
        assert story.context.browser is not None
        context = story.context.browser.new_context(viewport=WIDE)
        context.add_init_script(f"if (location.hash) localStorage['understudy.session'] = {session!r}")
        tab = watched(context.new_page(), story.problems)
        held = holding(tab, late)
        tab.goto(page.url)
        expect(tab.locator(".bubble").first).to_be_visible()
        box = tab.get_by_role("textbox", name="Message", exact=True)
        box.fill("unicorn")
        box.press("Enter")
        for route in held:
            route.continue_()
        tab.unroute_all()
        expect(tab.locator(".turn")).to_have_count(number)
        expect(tab.locator(".turn").last.locator(".who", has_text="Writer")).to_be_attached()
        expect(tab.locator(".turn").last.locator(".prose", has_text="That failed")).to_be_visible()
        context.close()


def holding(page: Page, addresses: str) -> list[Route]:
    """Hold the requests of a page to these addresses back, and return them."""
    held: list[Route] = []
    page.route(addresses, lambda route: held.append(route))
    return held


def undoing(story: Story) -> None:
    """A call is undone in another tab, the run backwards to a failure, and further; what is over in time vanishes."""
    page, other = story.tabs
    story.ask("bank", "pay 12 13 14 15")
    for tab in story.tabs:
        expect(tab.locator(".undo li").get_by_role("button", name="Undo")).to_have_count(4)
    expect(page.locator(".undo li").get_by_text(re.compile("1[45]:\\d\\d left"))).to_have_count(4)
    story.pictures("undo-offered")
    other.locator(".undo li", has_text="15 €").get_by_role("button", name="Undo").click()
    for tab in story.tabs:
        expect(tab.locator(".undo li", has_text="15 €").get_by_text("was undone")).to_be_visible()
    page.get_by_role("button", name="Undo all").click()
    for tab in story.tabs:
        expect(tab.locator(".undo li", has_text="14 €").get_by_text("was undone")).to_be_visible()
        expect(tab.locator(".undo li", has_text="13 €").get_by_text("The bank is closed until Monday.")).to_be_visible()
        expect(tab.locator(".undo li", has_text="12 €").get_by_role("button", name="Undo")).to_be_visible()
    page.reload()
    expect(page.locator(".undo li", has_text="13 €").get_by_text("The bank is closed until Monday.")).to_be_visible()
    story.pictures("undo-failed")
    story.open("bank")
    page.get_by_role("button", name="Undo all").click()
    for tab in story.tabs:
        expect(tab.locator(".undo").get_by_text("was undone")).to_have_count(4)
    story.pictures("undone")
    story.say("lend 5")
    for tab in story.tabs:
        expect(tab.locator(".turn").last.get_by_role("button", name="Undo")).to_be_visible()
    for tab in story.tabs:
        expect(tab.locator(".turn").last.get_by_role("button", name="Undo")).to_have_count(0)


def doubt(story: Story) -> None:
    """After a kill in the middle of a call the user says in another tab that it happened."""
    page, other = story.tabs
    story.ask("courier", "Send it")
    expect(page.locator(".work-now", has_text="Send a parcel")).to_be_visible()
    story.server.stop()
    story.server.start()
    for tab in story.tabs:
        expect(tab.get_by_role("button", name="It happened")).to_be_visible()
    story.pictures("doubt")
    other.get_by_role("button", name="It happened").click()
    for tab in story.tabs:
        expect(tab.locator(".prose", has_text="The parcel is on its way.")).to_be_visible()
        expect(tab.get_by_role("button", name="It happened")).to_have_count(0)
        expect(tab.locator(".work-now")).to_have_text("Used 1 tool")  # not "suspicious result"
        expect(tab.get_by_text("Continued after a restart")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Continued after a restart")).to_be_visible()
    story.pictures("doubt-answered")


def many_calls(story: Story) -> None:
    """60 calls fold around one that fails, the page moves little and works little, and a reload shows the same."""
    page = story.page
    story.ask("stock", "Take stock")
    page.evaluate(WATCH)
    worked = processor_time(page)
    story.open("shelf-1")
    expect(page.locator(".work-now", has_text="42 calls")).to_be_visible()
    pictures(story.other, story.shots, "calls-running")  # which changes the width of the page
    story.open("shelf-41")
    expect(page.locator(".turn-foot")).to_be_visible()
    assert worked() <= CALLS_WORK_S
    assert page.evaluate("watch.shift") <= 0.1, page.evaluate("watch.moved")
    expect(page.locator(".work-now")).to_have_text("Used 1 tool · 60 calls, 1 failed")
    page.locator(".work-head").click()
    titles = page.locator(".steps > li:not(.step-agent) .step-title")
    expect(titles).to_have_text(FOLDED)
    page.locator(".step-group summary").last.click()
    expect(page.locator(".step-group .step-tool")).to_have_count(36)
    story.pictures("calls-done")
    page.reload()
    expect(page.locator(".work-now")).to_have_text("Used 1 tool · 60 calls, 1 failed")
    page.locator(".work-head").click()
    expect(titles).to_have_text(FOLDED)


WATCH = """() => {
  const watch = window.watch = { shift: 0, moved: [] };
  const name = (node) => node ? (node.className || node.nodeName) : "gone";
  new PerformanceObserver((list) => list.getEntries().forEach((one) => {
    if (one.hadRecentInput) return;
    watch.shift += one.value;
    watch.moved.push([one.value, ...one.sources.map(({ node, previousRect: from, currentRect: to }) =>
      `${name(node)} ${from.x},${from.y} ${from.width}x${from.height} to ${to.x},${to.y} ${to.width}x${to.height}`)]);
  })).observe({ type: "layout-shift" });
}"""
"""Sums up how far the page moves by itself."""
CALLS_WORK_S = 3.0
"""Seconds of processor time for 60 calls: 0.9 on a small machine, however busy it is."""


def processor_time(page: Page) -> Callable[[], float]:
    """Return how to read the processor time of the page's main thread since now, in seconds; always 0 in Firefox."""
    if page.context.browser is None or page.context.browser.browser_type.name != "chromium":
        return lambda: 0.0
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def read() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime"))

    began = read()
    return lambda: read() - began


def child(story: Story) -> None:
    """A subagent's steps stand below the call that asks it, also after a reload; one that fails says so."""
    page = story.page
    story.ask("writer", "oak")
    for tab in story.tabs:
        expect(tab.locator(".step .step", has_text="I need the encyclopedia")).to_be_visible()
    story.pictures("child-running")
    story.open("looked-up")
    for tab in story.tabs:
        expect(tab.locator(".prose", has_text="I was told: oak")).to_be_visible()
    page.reload()
    page.locator(".work-head").click()
    inner = page.locator(".step .step", has_text="That will do")
    expect(inner).to_be_hidden()
    page.get_by_text("Asks Research").click()
    expect(inner).to_be_visible()
    story.pictures("child-done")
    story.say("unicorn")
    expect(page.locator(".prose", has_text="That failed")).to_be_visible()
    turn = page.locator(".turn").last
    expect(turn.locator(".work-now")).to_have_text("Used 2 tools, 2 failed")
    turn.locator(".work-head").click()
    expect(turn.locator(".step .step-subagent").get_by_text("failed")).to_be_visible()
    story.pictures("child-failed")


FOLDED = ["23 calls", re.compile("^Check a shelf"), "36 calls"]
PARTS = (steering, again_from_a_step, stopping, undoing, doubt, cut, abroad, many_calls, elsewhere, child)
IN_EVERY_BROWSER = (steering, stopping, many_calls)
"""Parts about reloads, keys and layout. The others are common parts: see `served.plays_common_parts`."""


def main(folder: Path, shots: Path | None, names: list[str]) -> None:
    """Play all parts of this browser, or those named, in two tabs of it."""
    gates = folder / "gates"
    gates.mkdir()
    agents = [
        f"tests.browser.working_agents:{name}"
        for name in ("gardener", "banker", "carrier", "taker", "author", "halting", "abroad")
    ]
    server = Server(folder / "data", options=agents, STORY_GATES=str(gates))
    try:
        with current_browser() as browser:
            context = browser.new_context(viewport=WIDE)
            story = Story(context, server, gates, shots)
            for part in PARTS if plays_common_parts() else IN_EVERY_BROWSER:
                if not names or part.__name__ in names:
                    part(story)
            assert not story.problems, story.problems
    finally:
        if server.process.poll() is None:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, sys.argv[3:])
