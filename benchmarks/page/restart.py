"""How soon an open page is of use again after its server was killed.

online_after_restart_ms   from the moment at which the new server says at `/readyz` that it takes messages, to the one
                          at which the page says "Online"; the server is away for a few seconds, in which the page's
                          attempts to connect grow rarer
said_after_restart_ms     from the same moment until the first words of an answer stand in the page, to a message that
                          is sent as soon as the page says "Online"; ours only: a peer's page may lose what was typed

A page whose attempt the starting server has taken is welcomed in the same moment in which the server is ready: then the
first figure is near 0. The longest wait of a page that came too early is the pause of its backoff.
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
from benchmarks.page.browser import WAIT_MS, chromium
from benchmarks.page.chats import Chat, Understudy

AWAY_S: Final = (0.0, 3.0, 8.0, 15.0)
"""Seconds that the server is away, one restart each, besides what its start takes."""
AIM_MS: Final = 1_500.0
_POLL_S: Final = 0.005
_MESSAGE: Final = "mixed 4000 400"
_WATCH: Final = """([online, prose, send]) => {
  const answers = () => [...document.querySelectorAll(prose)].filter((each) => each.offsetHeight > 0).length;
  Object.assign(globalThis, { onlineAt: null, saidAt: null });
  const before = answers();
  let away = false;
  const watcher = new MutationObserver(() => {
    const here = document.querySelector(online) !== null;
    away ||= !here;
    if (!away || !here) return;
    if (globalThis.onlineAt === null) {
      globalThis.onlineAt = Date.now();
      if (send) setTimeout(() => document.querySelector(send).click());
    }
    if (answers() <= before) return;
    globalThis.saidAt = Date.now();
    watcher.disconnect();
  });
  watcher.observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
}"""
_SEND: Final = "#composer button[type=submit]"
_BACK: Final = "(send) => globalThis.onlineAt !== null && (!send || globalThis.saidAt !== null)"


def figures(extent: Extent, peers: Sequence[Chat]) -> Iterator[Figure]:
    """Yield the medians over the times away; the longest of them beside each."""
    away_s = AWAY_S[:1] if extent.small else AWAY_S
    online, said = _took_ms(Understudy(), away_s, _SEND)
    others = {peer.name: _took_ms(peer, away_s, None)[0] for peer in peers}
    for name, whole in {"online_after_restart_ms": median, "online_after_restart_worst_ms": max}.items():
        yield Figure(name, "ms", whole(online), {peer: whole(figure) for peer, figure in others.items()}, AIM_MS)
    for name, whole in {"said_after_restart_ms": median, "said_after_restart_worst_ms": max}.items():
        yield Figure(name, "ms", whole(said), {}, AIM_MS)


def _took_ms(chat: Chat, away_s: Sequence[float], send: str | None) -> tuple[list[float], list[float]]:
    """Return how long it took to be online, and with a button to `send` to have the first words of an answer."""
    online, said = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder, chat.served(Path(folder)) as server, chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(server.address)
        for away in away_s:
            chat.write(page, _MESSAGE)
            page.evaluate(_WATCH, [chat.online, chat.prose, send])
            server.stop()
            page.wait_for_selector(chat.online, state="hidden")
            time.sleep(away)
            server.launch()
            ready_ms = _ready_s(server.address, chat.ready) * 1000
            page.wait_for_function(_BACK, arg=send)
            online.append(max(0.0, float(page.evaluate("globalThis.onlineAt")) - ready_ms))
            if send:
                said.append(max(0.0, float(page.evaluate("globalThis.saidAt")) - ready_ms))
                page.wait_for_selector(chat.done)
    return online, said


def _ready_s(address: str, path: str) -> float:
    """Wait until the server answers this path with success. Return the time, in seconds of the clock on the wall."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}{path}", timeout=5):
                return time.time()
        except OSError:
            time.sleep(_POLL_S)
    raise RuntimeError("the server did not come back")
