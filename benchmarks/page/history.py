"""How soon a long thread is readable, and what it takes to hold it.

open_1000_ms            from choosing a thread of 1,000 messages in the page until its last answer is painted
open_10000_ms           the same of one of 10,000 messages; every answer used a tool seven times
heap_10000_mb           JavaScript heap then, after a collection
nodes_10000             elements in the document then
heap_10000_read_mb      heap after the thread was read up to its first message
nodes_10000_read        elements in the document then

Nothing of a thread is in the browser before, and the server has rendered none of its answers: they are cold.
Peers are not measured: Chainlit keeps threads only in a database that the app brings, with a sign-in of its own.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from playwright.sync_api import Browser, Page

from benchmarks.agents.progress import Extent
from benchmarks.figure import RUNS, Figure
from benchmarks.page.browser import ONLINE, WAIT_MS, chromium, served
from benchmarks.page.chats import Chat
from tests.rigs.million_events import EVENTS_OF_RUN, OWNER, build_threads
from transport.auth.tokens import Tokens

SECRET: Final = "a secret of more than thirty-two bytes"
_OPEN: Final = """(name) => new Promise((done) => {
  const began = performance.now();
  const look = () => {
    const answer = [...document.querySelectorAll(".turn .prose")].at(-1);
    const painted = answer !== undefined && answer.getBoundingClientRect().bottom > 0 && answer.offsetHeight > 0;
    if (painted) requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
    else requestAnimationFrame(look);
  };
  location.hash = name;
  look();
})"""
_READ: Final = """() => new Promise((done) => {
  const scroller = document.querySelector(".transcript");
  const look = () => {
    const button = document.querySelector(".older button");
    if (button.hidden) done();
    else {
      scroller.scrollTop = 0;
      setTimeout(look, 20);
    }
  };
  look();
})"""


def figures(extent: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
    """Yield the medians of several openings of as many threads. Of `peers` none: see this module's text."""
    runs = 1 if extent.small else RUNS
    short, long = (20, 60) if extent.small else (500, 5_000)
    threads = {f"short{number}": short * EVENTS_OF_RUN for number in range(runs)}
    threads |= {f"long{number}": long * EVENTS_OF_RUN for number in range(runs)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        folder.mkdir()
        build_threads(folder, threads)
        with served(folder, environment={"UNDERSTUDY_SECRET": SECRET}) as server, chromium() as browser:
            page = _signed_in(browser, server.address)
            opened = median(_opened_ms(page, server.address, f"short{n}") for n in range(runs))
            yield Figure("open_1000_ms", "ms", opened, aim=500)
            opened = median(_opened_ms(page, server.address, f"long{n}") for n in range(runs))
            yield Figure("open_10000_ms", "ms", opened, aim=700)
            yield Figure("heap_10000_mb", "MB", _heap_mb(page), aim=12)
            yield Figure("nodes_10000", "elements", page.locator("*").count())
            page.evaluate(_READ)
            yield Figure("heap_10000_read_mb", "MB", _heap_mb(page), aim=12)
            yield Figure("nodes_10000_read", "elements", page.locator("*").count())


def _signed_in(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/page/icon.svg")
    token = Tokens(SECRET, time.time).issue(OWNER, "s", ttl_s=3600)
    page.evaluate("(kept) => localStorage.setItem('understudy.session', kept)", json.dumps({"session_token": token}))
    return page


def _opened_ms(page: Page, address: str, thread_id: str) -> float:
    """Open a thread in a page that is there, and return the time until its last answer is painted."""
    page.goto("about:blank")  # so that the next one is a page of its own, with no other thread in it
    page.goto(address)
    page.wait_for_selector(ONLINE)
    page.wait_for_load_state("networkidle")
    return float(page.evaluate(_OPEN, thread_id))


def _heap_mb(page: Page) -> float:
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.enable")
    devtools.send("HeapProfiler.collectGarbage")
    used = float(devtools.send("Runtime.getHeapUsage")["usedSize"])
    devtools.detach()
    return used / 1e6
