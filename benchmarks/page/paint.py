"""How soon the page is there.

first_paint_ms          from the start of a navigation to the First Contentful Paint, nothing cached, over loopback
slow4g_paint_ms         the same over Lighthouse's slow 4G (150 ms round trip, 1.6 Mbit/s down, 750 kbit/s up)
slow4g_reload_ms        the same when the page is loaded again
slow4g_online_ms        from the start of the first navigation until the page is connected over that network
bytes_first             bytes that the first visit receives until then, with the heads of the answers, as sent
requests_first          requests of that visit, without its WebSocket
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen
from playwright.sync_api import Browser

from benchmarks.agents.progress import Extent
from benchmarks.figure import RUNS, Figure
from benchmarks.page.browser import SLOW_4G, chromium, first_paint_ms, online_ms, throttle
from benchmarks.page.chats import Chat, Understudy
from benchmarks.page.wheel import installed_wheel

_WORKER: Final = "navigator.serviceWorker.ready.then(() => true)"
"""Waits until what the page keeps is complete."""


@frozen
class Visit:
    """What one visit of a browser that has nothing cached has taken."""

    first_paint_ms: float
    slow4g_paint_ms: float
    slow4g_reload_ms: float
    slow4g_online_ms: float
    bytes_first: float
    requests_first: int


UNITS: Final = {
    "first_paint_ms": "ms",
    "slow4g_paint_ms": "ms",
    "slow4g_reload_ms": "ms",
    "slow4g_online_ms": "ms",
    "bytes_first": "B",
    "requests_first": "requests",
}
AIMS: Final = {
    "first_paint_ms": 150,
    "slow4g_paint_ms": 1_000,
    "slow4g_reload_ms": 300,
    "bytes_first": 110_000,
    "requests_first": 12,
}


def figures(extent: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
    """Yield the medians of several visits to an installed wheel, beside a checkout, which serves modules, and peers."""
    visits = 1 if extent.small else RUNS
    with installed_wheel() as environment, chromium() as browser:
        ours = _medians(browser, Understudy(environment), visits)
        others = {} if extent.small else {"checkout": _medians(browser, Understudy(), visits)}
        others |= {peer.name: _medians(browser, peer, visits) for peer in peers}
    for name, unit in UNITS.items():
        yield Figure(name, unit, ours[name], {other: found[name] for other, found in others.items()}, AIMS.get(name))


def _medians(browser: Browser, chat: Chat, visits: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, chat.served(Path(folder)) as server:
        _local(browser, chat, server.address)  # the first visit warms server and browser
        taken = [_visit(browser, chat, server.address) for _ in range(visits)]
    return {name: median(getattr(visit, name) for visit in taken) for name in UNITS}


def _visit(browser: Browser, chat: Chat, address: str) -> Visit:
    paint, received, requests = _local(browser, chat, address)
    with browser.new_context() as context:
        page = context.new_page()
        throttle(page, SLOW_4G)
        page.goto(address, wait_until="commit")
        slow_paint, slow_online = first_paint_ms(page), online_ms(page, chat.online)
        page.wait_for_load_state("networkidle")
        if chat.keeps_itself:
            page.evaluate(_WORKER)
        page.reload(wait_until="commit")
        return Visit(paint, slow_paint, first_paint_ms(page), slow_online, received, requests)


def _local(browser: Browser, chat: Chat, address: str) -> tuple[float, float, int]:
    """Visit over loopback. Return the paint in ms, the bytes received and the number of requests."""
    sizes: dict[str, float] = {}
    with browser.new_context() as context:
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.on("Network.requestWillBeSent", lambda sent: sizes.setdefault(sent["requestId"], 0.0))
        devtools.on("Network.loadingFinished", lambda end: sizes.update({end["requestId"]: end["encodedDataLength"]}))
        devtools.send("Network.enable")
        page.goto(address, wait_until="commit")
        paint = first_paint_ms(page)
        online_ms(page, chat.online)
        page.wait_for_load_state("networkidle")
        return paint, sum(sizes.values()), len(sizes)
