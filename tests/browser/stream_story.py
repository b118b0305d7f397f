"""An answer is read while it is written; then a browser's EventSource follows a thread across a crash of the server.
Run by `test_story.py`.

python tests/browser/stream_story.py FOLDER
"""

import contextlib
import re
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Route, expect
from playwright.sync_api import TimeoutError as TooSlow
from served import Server, current_browser, plays_common_parts, watched

SAY = """async ([token, content, message]) => {
  const payload = { content, thread_id: "t", message_id: message };
  const said = await fetch("/api/commands", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ type: "user_message", payload }),
  });
  return said.status;
}"""

LISTEN = """(token) => {
  window.seen = [];
  window.pieces = [];
  const stream = new EventSource(`/api/threads/t/stream?session_token=${token}`);
  const note = ({ type, data, lastEventId }) => data && window.seen.push([type, JSON.parse(data), lastEventId]);
  const kinds = ["welcome", "message_accepted", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
    "agent_completed", "final_response", "error", "drain"];
  for (const kind of kinds) stream.addEventListener(kind, note);
  stream.addEventListener("partial_result", ({ data }) => {
    const { run_id, data: { offset, text } } = JSON.parse(data);
    window.pieces.push([run_id, offset, text]);
  });
  window.stream = stream;
}"""


def ended(page: Page, count: int) -> list[Any]:
    """Wait for the end of this many runs. Return all events."""
    page.wait_for_function(
        "count => seen.filter(([type, { seq }]) => seq && /^(final_response|error)$/.test(type)).length >= count",
        arg=count,
    )
    events = page.evaluate("window.seen")
    assert isinstance(events, list)
    return events


def shows_so_far(page: Page, end: Any) -> None:
    """Check that the streamed text is a gapless prefix of the answer, or all of it unless it began before the
    stream.
    """
    text, shown = end["data"]["message"], 0
    for run_id, offset, piece in page.evaluate("window.pieces"):
        if run_id == end["run_id"]:
            assert offset <= shown, f"{offset - shown} characters lack after {shown}"
            assert text[offset : offset + len(piece)] == piece
            shown = offset + len(piece)
    assert shown > 20


def play(page: Page, server: Server) -> None:
    """Send a message, subscribe, kill the server during the answer, and resume."""
    problems: list[str] = []
    watched(page, problems)
    page.goto(f"{server.address}/healthz")
    token = page.evaluate("async () => (await (await fetch('/api/sessions', { method: 'POST' })).json()).session_token")
    assert page.evaluate(SAY, [token, "What is 15% of 80?", "m1"]) == 202
    page.evaluate(LISTEN, token)
    answer = ended(page, 1)[-1]
    assert (answer[0], answer[1]["data"]["message"]) == ("final_response", "15% of 80 = 12")

    long = f"What is {' + '.join(map(str, range(1, 150)))}?"
    assert page.evaluate(SAY, [token, long, "m2"]) == 202
    page.wait_for_function("() => pieces.filter(([, offset]) => offset > 20).length")
    server.stop()
    server.start(UNDERSTUDY_MODELS_WORDS_PER_S="400")  # no need to read the rest at the pace of a reader
    continued = ended(page, 2)[-1]
    assert continued[0] == "final_response", "it went on when the server was back"
    shows_so_far(page, continued[1])

    assert page.evaluate(SAY, [token, "What is 6 * 7?", "m3"]) == 202
    events = ended(page, 3)
    assert "42" in events[-1][1]["data"]["message"]
    numbers = [event["seq"] for _, event, _ in events if "seq" in event]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    assert all(last_id == str(event["seq"]) for _, event, last_id in events if "seq" in event)

    assert [kind for kind, _, _ in events].count("welcome") == 2, "it came back once, when the server had died"

    server.stop(signal.SIGTERM)
    page.wait_for_function("() => seen.at(-1)[0] === 'drain'")
    assert not problems, problems


LOOK = """() => {
  const shown = [...document.querySelectorAll(".reply .prose")].at(-1);
  if (!shown || shown.hidden) return null;
  const words = shown.cloneNode(true);
  words.querySelectorAll("code, math").forEach((element) => element.remove());
  const found = /\\*|~~|`|\\]\\(|^#{1,6} |\\||\\[|^---|\\\\|\\$/m.exec(words.textContent);
  const leaf = (one) => one.childElementCount === 0 && one.textContent.includes("def total");
  const code = [...shown.querySelectorAll("*")].filter((one) => one.matches("code") || leaf(one));
  return {
    raw: found === null ? "" : words.textContent.slice(Math.max(0, found.index - 30), found.index + 30),
    fonts: code.map((one) => getComputedStyle(one).fontFamily),
    formulas: shown.querySelectorAll("math").length,
    tasks: [...shown.querySelectorAll("span.task")].map((one) => one.getAttribute("aria-label")),
  };
}"""
"""What is seen of the last answer: raw Markdown outside of code, and the fonts of its code."""


BESIDE = """() => {
  globalThis.beside = 0;
  const observer = new MutationObserver(() => {
    if (document.querySelector(".turn[data-status=done]") === null) beside += 1;
  });
  for (const id of ["sidebar", "composer"]) {
    observer.observe(document.getElementById(id), { childList: true, characterData: true, subtree: true });
  }
}"""
"""Counts how often the page writes beside the transcript while an answer is written."""


def ask_the_typist(page: Page, server: Server, message: str) -> None:
    """Open the page, and send a message to the typist."""
    page.goto(server.address)
    expect(page.locator(".status[data-phase=online]")).to_be_visible()
    option = page.get_by_role("option", name=re.compile("^Typist"))
    while not option.is_visible():
        page.get_by_role("button", name=re.compile("^Agent")).click()
        with contextlib.suppress(TooSlow):
            option.wait_for(timeout=3_000)
            break
        page.keyboard.press("Escape")
    option.click()
    page.get_by_role("textbox", name="Message", exact=True).fill(message)


def check_look(look: Any) -> None:
    """Check that no mark of Markdown is seen, and no code in a proportional font."""
    assert look["raw"] == "", look["raw"]
    assert all("mono" in font.lower() for font in look["fonts"]), look["fonts"]


def have_no_libraries(page: Page, server: Server) -> None:
    """Where what renders answers cannot be had they are shown as they were written, and formatted at the next visit."""
    problems: list[str] = []
    watched(page, problems)
    routes: list[Route] = []
    page.route(re.compile(r"/(bundle|lib)/formulas[\w-]*\.js$"), lambda route: routes.append(route) or route.abort())
    ask_the_typist(page, server, "short 500")
    page.keyboard.press("Enter")
    expect(page.locator(".turn[data-status=done]")).to_be_visible()
    expect(page.locator(".reply .prose .plain")).to_contain_text("## Section 1\n\n")
    expect(page.get_by_text("what formats answers could not be loaded")).to_be_visible()
    assert routes
    page.unroute_all()
    page.reload()
    expect(page.locator(".reply .prose h2").first).to_have_text("Section 1")
    assert page.evaluate(LOOK)["formulas"] == 3
    problems = [problem for problem in problems if "ERR_FAILED" not in problem]
    assert not problems, problems


def watch_an_answer(page: Page, server: Server) -> None:
    """An answer is read while it is written: no raw Markdown, code in its font, and nothing that was read moves."""
    problems: list[str] = []
    watched(page, problems)
    ask_the_typist(page, server, "short 75")
    page.evaluate(
        """() => {
      globalThis.shift = 0;
      new PerformanceObserver((list) => {
        for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) shift += value;
      }).observe({ type: "layout-shift" });
    }"""
    )
    page.keyboard.press("Enter")
    looks = []
    while page.locator(".turn[data-status=done]").count() == 0:
        if (look := page.evaluate(LOOK)) is not None:
            looks.append(look)
            if len(looks) == 5:
                page.evaluate(BESIDE)
            check_look(look)
        page.wait_for_timeout(60)
    assert len(looks) > 10
    assert page.evaluate("shift") < 0.1, page.evaluate("shift")
    beside = page.evaluate("beside")
    assert beside < 10, f"pieces of an answer changed other parts of the page {beside} times"
    look = page.evaluate(LOOK)
    assert (look["raw"], look["formulas"], look["tasks"]) == ("", 3, ["Done:", "To do:"])
    reply = page.locator(".reply .prose").last
    expect(reply.get_by_text("Python", exact=True)).to_be_visible()
    reply.locator("[role=doc-noteref]").click()
    expect(reply.locator("[role=doc-backlink]")).to_be_focused()
    table = reply.get_by_role("group", name="Table: Month, Revenue, Change")
    table.get_by_role("button", name="Revenue").click()
    table.get_by_role("button", name="Revenue").click()
    expect(table.get_by_role("row").nth(1)).to_contain_text("2025-03")
    expect(page.get_by_role("heading", name="Typist said", level=2)).to_be_attached()
    expect(reply.locator("h2[aria-level='3']")).to_have_text("Section 1")
    assert not problems, problems


PARSED = """
  const parse = DOMParser.prototype.parseFromString;
  window.parsed = 0;
  DOMParser.prototype.parseFromString = function (html, ...given) {
    window.parsed = Math.max(window.parsed, String(html).length);
    return parse.call(this, html, ...given);
  };
"""
"""Notes the longest HTML that the page parses at once."""
LONG = """() => {
  const prose = document.querySelector(".reply .prose");
  const texts = (selector) => [...prose.querySelectorAll(selector)].map((one) => one.textContent.trim());
  return {
    tables: prose.querySelectorAll("table").length, heads: texts("th"), cells: texts("tbody tr td:nth-child(1)"),
    starts: [...prose.querySelectorAll("ol")].map((one) => one.start), items: texts("ol > li"),
    tops: [...prose.querySelectorAll("ol > li")].map((one) => one.getBoundingClientRect().top),
  };
}"""
"""What is seen of a long table or list."""


def grow_long_blocks(page: Page, server: Server) -> None:
    """A long table is one table whose rows are parsed once, a long list goes on counting; both are the same later."""
    problems: list[str] = []
    watched(page, problems).add_init_script(PARSED)
    ask_the_typist(page, server, "table 8000 30000")
    page.keyboard.press("Enter")
    page.locator(".reply .prose tbody tr").nth(150).wait_for(state="attached")
    page.evaluate("() => { document.querySelectorAll('.reply .prose tbody tr')[100].kept = true; }")
    expect(page.locator(".turn[data-status=done]")).to_be_visible()
    assert page.evaluate("parsed") < 50_000, "it was parsed as a whole"
    assert page.evaluate("document.querySelectorAll('.reply .prose tbody tr')[100].kept")
    live = page.evaluate(LONG)
    rows = len(live["cells"])
    assert rows > 500
    assert live["cells"] == [str(n) for n in range(1, rows + 1)]
    assert (live["tables"], live["heads"]) == (1, ["#", "Month", "Revenue", "Note"]), live
    table = page.locator(".reply .prose table")
    table.get_by_role("button", name="#").click()
    table.get_by_role("button", name="#").click()
    expect(table.locator("td").first).to_have_text(str(rows))
    page.reload()
    expect(table.locator("tbody tr")).to_have_count(rows)
    assert page.evaluate(LONG) == live

    ask_the_typist(page, server, "list 8000 30000")
    page.keyboard.press("Enter")
    expect(page.locator(".turn[data-status=done]")).to_be_visible()
    assert page.evaluate("parsed") < 50_000, "it was parsed as a whole"
    live = page.evaluate(LONG)
    assert len(live["starts"]) > 3
    assert live["starts"][0] == 1
    assert all(f"Point {start} " in live["items"][start - 1] for start in live["starts"]), live
    steps = {round(below - above) for above, below in pairwise(live["tops"])}
    assert len(steps) <= 2, f"an item, and one with a point below it; no more space between the pieces: {steps}"
    page.reload()
    expect(page.locator(".reply .prose ol")).to_have_count(len(live["starts"]))
    again = page.evaluate(LONG)
    assert (again["starts"], again["items"]) == (live["starts"], live["items"])
    assert not problems, problems


HOLD = """
  const frame = window.requestAnimationFrame.bind(window);
  const held = [];
  window.requestAnimationFrame = (work) => (window.holds ? held.push(work) : frame(work));
  window.release = () => { for (const work of held.splice(0)) work(performance.now()); };
  window.blocks = () => document.querySelectorAll(".reply .prose > .block").length;
"""
"""A page that draws nothing while `holds` is set, as a hidden tab does; `release()` draws one frame."""


def catch_up(page: Page, server: Server) -> None:
    """Most of an answer comes between two frames, with its end: its blocks are made in several, in order, and all."""
    problems: list[str] = []
    watched(page, problems).add_init_script(HOLD)
    page.goto(server.address)
    expect(page.locator(".status[data-phase=online]")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Agent")).click()
    page.get_by_role("option", name=re.compile("^Typist")).click()
    page.get_by_role("textbox", name="Message", exact=True).fill("mixed 8000 40000")
    page.keyboard.press("Enter")
    expect(page.locator(".reply .prose > .block").first).to_be_visible()
    page.evaluate("window.holds = true")
    expect(page.locator("#composer .stop")).to_be_hidden()
    blocks = page.evaluate("blocks()")
    first = page.evaluate("() => { release(); return blocks(); }")
    page.evaluate("() => { window.holds = false; release(); }")
    expect(page.locator(".reply .prose")).to_contain_text("what section 45 lists")
    expect(page.locator(".reply .block.is-open")).to_have_count(0)
    total = page.evaluate("blocks()")
    assert blocks < first < total, f"{blocks} blocks, and {first} of {total} after one frame"
    shown = [int(number) for number in re.findall(r"Section (\d+)", page.locator(".reply .prose").text_content() or "")]
    assert shown == list(range(1, 47)), shown
    assert not problems, problems


def main(folder: str) -> None:
    server = Server(
        Path(folder) / "data", options=["benchmarks.page.typist:typist"], UNDERSTUDY_MODELS_WORDS_PER_S="40"
    )
    try:
        with current_browser() as browser:
            watch_an_answer(browser.new_page(), server)
            if plays_common_parts():
                catch_up(browser.new_page(), server)
                have_no_libraries(browser.new_context(service_workers="block").new_page(), server)
                grow_long_blocks(browser.new_page(), server)
            play(browser.new_page(), server)
    finally:
        if server.process.poll() is None:
            server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
