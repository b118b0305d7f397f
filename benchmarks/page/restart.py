"""How soon an open page is connected again after its server was killed.

online_after_restart_ms   from the first answer of the new server to the moment at which the page says "Online"; the
                          server is away for a few seconds, in which the page's attempts to connect grow rarer
"""

from __future__ import annotations

import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.agents.progress import Extent
from benchmarks.figure import Figure
from benchmarks.page.browser import ONLINE, WAIT_MS, chromium, online_ms, served

AWAY_S: Final = (0.0, 3.0, 8.0, 15.0)
"""Seconds that the server is away, one restart each, besides what its start takes."""
_POLL_S: Final = 0.005
_WATCH: Final = """() => {
  const status = document.querySelector(".status");
  globalThis.onlineAt = null;
  new MutationObserver(() => {
    if (status.dataset.phase === "online") globalThis.onlineAt ??= Date.now();
    else globalThis.onlineAt = null;
  }).observe(status, { attributes: true, attributeFilter: ["data-phase"] });
}"""


def figures(extent: Extent) -> Iterator[Figure]:
    """Yield the median over the times away; the longest of them beside it."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "data") as server, chromium() as browser:
        page = browser.new_page()
        page.goto(server.address)
        online_ms(page)
        page.evaluate(_WATCH)
        for away_s in AWAY_S[:1] if extent.small else AWAY_S:
            server.stop()
            page.wait_for_selector(f".status:not({ONLINE.removeprefix('.status')})", timeout=WAIT_MS)
            time.sleep(away_s)
            server.launch()
            answered = _answered(server.address)
            page.wait_for_selector(ONLINE, timeout=WAIT_MS)
            took.append(max(0.0, float(page.evaluate("globalThis.onlineAt")) - answered * 1000))
    yield Figure("online_after_restart_ms", "ms", median(took))
    yield Figure("online_after_restart_worst_ms", "ms", max(took))


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
