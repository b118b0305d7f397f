"""How soon an open page is connected again after its server was killed.

online_after_restart_ms   from the first answer of the new server to the moment at which the page says "Online"; the
                          server is away for a few seconds, in which the page's attempts to connect grow rarer
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from benchmarks.page.browser import WAIT_MS, chromium, online_ms
from benchmarks.page.chats import Chat, Understudy

AWAY_S: Final = (0.0, 3.0, 8.0, 15.0)
"""Seconds that the server is away, one restart each, besides what its start takes."""
AIM_MS: Final = 1_500.0
_POLL_S: Final = 0.005
_WATCH: Final = """(online) => {
  globalThis.onlineAt = null;
  new MutationObserver(() => {
    if (document.querySelector(online)) globalThis.onlineAt ??= Date.now();
    else globalThis.onlineAt = null;
  }).observe(document.body, { attributes: true, childList: true, subtree: true });
}"""


def figures(extent: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
    """Yield the median over the times away; the longest of them beside it."""
    took = {chat.name: _took_ms(chat, AWAY_S[:1] if extent.small else AWAY_S) for chat in (Understudy(), *peers)}
    ours = took.pop(Understudy().name)
    for name, whole in {"online_after_restart_ms": median, "online_after_restart_worst_ms": max}.items():
        yield Figure(name, "ms", whole(ours), {peer: whole(each) for peer, each in took.items()}, AIM_MS)


def _took_ms(chat: Chat, away_s: Sequence[float]) -> list[float]:
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder, chat.served(Path(folder)) as server, chromium() as browser:
        page = browser.new_page()
        page.goto(server.address)
        online_ms(page, chat.online)
        page.evaluate(_WATCH, chat.online)
        for away in away_s:
            server.stop()
            page.wait_for_selector(chat.online, state="hidden", timeout=WAIT_MS)
            time.sleep(away)
            server.launch()
            answered = _answered(server.address)
            page.wait_for_selector(chat.online, timeout=WAIT_MS)
            took.append(max(0.0, float(page.evaluate("globalThis.onlineAt")) - answered * 1000))
    return took


def _answered(address: str) -> float:
    """Wait until the server answers. Return the time of its first answer, in seconds of the clock on the wall."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/", timeout=5):
                return time.time()
        except OSError:
            time.sleep(_POLL_S)
    raise RuntimeError("the server did not come back")
