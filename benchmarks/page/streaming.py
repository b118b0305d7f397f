"""How an answer looks and moves while it is written.

layout_shift          Cumulative Layout Shift (the largest session window) of 20 KB at 400 characters a second
raw_markdown_seen     looks at that answer, of `raw_markdown_looks`, in which a mark of Markdown was visible
frames_p95_ms         time between two frames, 95th percentile, of 100 KB at 4,000 characters a second, half prose and
                      half one piece of code
longest_task_ms       the longest task of the page's main thread in it, by the clock
longest_task_cpu_ms   the longest one by the processor time that it took
main_thread_share     part of that time in which the main thread worked
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from benchmarks.page.browser import WAIT_MS, chromium
from benchmarks.page.chats import Chat, Understudy

LOOKS: Final = 200
LOOKS_WITHIN_MS: Final = 45_000.0
"""Looks are spread over so long, of the 50 s that the answer is written; on a busy machine they catch up."""
END_MS: Final = 300_000.0
_OBSERVE: Final = """() => {
  Object.assign(globalThis, { shifts: [], tasks: [], frames: [], looks: 0, raw: [] });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts.push([entry.startTime, entry.value]);
  }).observe({ type: "layout-shift" });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) tasks.push(entry.duration);
  }).observe({ type: "longtask" });
  let last = performance.now();
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
_LOOK: Final = """([prose, pattern]) => {
  const shown = [...document.querySelectorAll(prose)].at(-1)?.cloneNode(true);
  if (!shown) return null;
  shown.querySelectorAll("code, math, .katex").forEach((element) => element.remove());
  const found = new RegExp(pattern, "m").exec(shown.textContent);
  return found === null ? "" : shown.textContent.slice(Math.max(0, found.index - 20), found.index + 20);
}"""
"""The words around a visible mark of Markdown outside of code and math; empty without one, null without an answer."""
MARKS: Final = r"\*|~~|`|\]\(|^#{1,6} |\||\[|^---|===|\\|\$"


UNITS: Final = {
    "layout_shift": "score",
    "raw_markdown_seen": "looks",
    "raw_markdown_looks": "looks",
    "frames_p95_ms": "ms",
    "longest_task_ms": "ms",
    "longest_task_cpu_ms": "ms",
    "main_thread_share": "of 1",
}
AIMS: Final = {
    "layout_shift": 0.05,
    "raw_markdown_seen": 0,
    "frames_p95_ms": 20,
    "longest_task_ms": 50,
    "longest_task_cpu_ms": 50,
}


def figures(extent: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
    """Yield the figures of a readable stream and of a quick one, beside those of peers."""
    ours = measured(Understudy(), extent)
    others = {peer.name: measured(peer, extent) for peer in peers}
    for name, unit in UNITS.items():
        yield Figure(name, unit, ours[name], {other: found[name] for other, found in others.items()}, AIMS.get(name))


def measured(chat: Chat, extent: Extent) -> dict[str, float]:
    """Return the figures of one chat page by name."""
    with tempfile.TemporaryDirectory() as folder, chat.served(Path(folder)) as server, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        ask(page, chat, server.address, f"mixed 400 {2_000 if extent.small else 20_000}")
        raw = looked(page, chat, 5, 1_000) if extent.small else looked(page, chat, LOOKS, LOOKS_WITHIN_MS)
        ended(page, chat)
        found = {
            "layout_shift": largest_window(page.evaluate("shifts")),
            "raw_markdown_seen": float(len([each for each in raw if each])),
            "raw_markdown_looks": float(len(raw)),
        }
        page.close()
        frames: list[float] = []
        tasks, of_processor, busy_s, whole_s = [0.0], [0.0], 0.0, 0.0
        for name in ("mixed", "code"):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            write(page, chat, server.address, f"{name} 4000 {5_000 if extent.small else 50_000}")
            browser.start_tracing(page=page, categories=["devtools.timeline", "disabled-by-default-devtools.timeline"])
            clock = send(page, chat)
            before = clock()
            ended(page, chat)
            after = clock()
            frames += page.evaluate("frames")
            tasks += page.evaluate("tasks")
            of_processor += task_cpu_ms(browser.stop_tracing())
            busy_s += after["TaskDuration"] - before["TaskDuration"]
            whole_s += after["Timestamp"] - before["Timestamp"]
            page.close()
    return found | {
        "frames_p95_ms": sorted(frames)[int(len(frames) * 0.95)],
        "longest_task_ms": max(tasks),
        "longest_task_cpu_ms": max(of_processor),
        "main_thread_share": busy_s / whole_s,
    }


def ask(page: Page, chat: Chat, address: str, message: str) -> None:
    """Open the page, send the typist a message and wait for its first word."""
    write(page, chat, address, message)
    send(page, chat)


def write(page: Page, chat: Chat, address: str, message: str) -> None:
    """Open the page, write the message, and observe from then on."""
    page.goto(address)
    chat.write(page, message)
    page.evaluate(_OBSERVE)


def send(page: Page, chat: Chat) -> Callable[[], dict[str, float]]:
    """Send the message and wait for the first word of its answer. Return a function that reads the clocks."""
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{chat.prose}:not([hidden])", timeout=WAIT_MS)
    return clocks(page)


def task_cpu_ms(trace: bytes) -> list[float]:
    """Return the milliseconds of processor time of each task of the main thread of a page, from Chromium's trace."""
    events = json.loads(trace)["traceEvents"]
    named = [event for event in events if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"]
    threads = {(entry["pid"], entry["tid"]) for entry in named}
    tasks = [event for event in events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in threads]
    return [task["tdur"] / 1_000 for task in tasks if "tdur" in task]


def looked(page: Page, chat: Chat, looks: int, within_ms: float) -> list[str]:
    """Look at the answer so many times while it is written. Return what each look saw of raw Markdown."""
    seen: list[str] = []
    began = time.monotonic()
    while len(seen) < looks and page.locator(chat.done).count() == 0:
        if (raw := page.evaluate(_LOOK, [chat.prose, MARKS])) is not None:
            seen.append(raw)
        early_ms = within_ms * len(seen) / looks - (time.monotonic() - began) * 1_000
        page.wait_for_timeout(max(1.0, early_ms))
    return seen


def ended(page: Page, chat: Chat) -> None:
    """Wait for the end of the answer."""
    page.wait_for_selector(chat.done, timeout=END_MS)


def clocks(page: Page) -> Callable[[], dict[str, float]]:
    """Return a function that reads the browser's counters, `TaskDuration` and `Timestamp` in seconds among them.

    `TaskDuration` is processor time: what others do on the machine does not count.
    """
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def read() -> dict[str, float]:
        metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: float(metric["value"]) for metric in metrics}

    return read


def largest_window(shifts: list[tuple[float, float]]) -> float:
    """Return the Cumulative Layout Shift: the sum of the worst window of at most 5 s with gaps below 1 s."""
    worst = window = 0.0
    began = last = -1e9
    for at, value in shifts:
        if at - last > 1_000 or at - began > 5_000:
            window, began = 0.0, at
        window, last = window + value, at
        worst = max(worst, window)
    return worst
