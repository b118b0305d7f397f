"""The server and the browser of these figures, each in its own process, and a slow network between them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.inert import ARGUMENTS
from tests.servers.needed import program

READY: Final = "understudy is ready on "
WAIT_MS: Final = 60_000.0
_LOCAL: Final = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
"""Other hosts are not found: no page waits for a network that is not the same in every run."""
ONLINE: Final = ".status[data-phase=online]"
"""What the page shows once its server has welcomed it."""
_PAINT: Final = """() => new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""


@frozen
class Network:
    """A network as the browser's developer tools emulate it: each request waits `rtt_ms`; rates in bits a second."""

    rtt_ms: float
    down_bps: float
    up_bps: float


SLOW_4G: Final = Network(rtt_ms=150, down_bps=1.6e6, up_bps=750e3)
"""Lighthouse's slow 4G, as its simulation has it."""


class Served:
    """`understudy serve` in its own process; started again, it has the port of before."""

    def __init__(
        self, folder: Path, *, options: Sequence[str] = (), environment: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        self._folder = folder
        self._options = options
        self._environment = {**os.environ, "UNDERSTUDY_LOG_LEVEL": "error", **(environment or {})}
        self.port = port
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it says that it is ready. Raises RuntimeError if it does not."""
        self.launch()
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith(READY):
            raise RuntimeError(f"the server did not start: {line!r}")
        self.address = line.removeprefix(READY)
        self.port = int(self.address.rpartition(":")[2])

    def launch(self) -> None:
        """Start the server without waiting for it."""
        command = [sys.executable, "-m", "understudy", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--data-dir", str(self._folder), *self._options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            cwd=self._folder.parent,
        )

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End the server, by default as a crash does, and wait for its end."""
        self._process.send_signal(number)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def served(folder: Path, **given: object) -> Iterator[Served]:
    """Yield a server that ends with the block; `given` are the keywords of `Served`."""
    server = Served(folder, **given)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium. A context of it has nothing cached."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=[*ARGUMENTS, _LOCAL])
        try:
            yield browser
        finally:
            browser.close()


def throttle(page: Page, network: Network) -> None:
    """Let the page's requests go over this network from now on, by the DevTools protocol.

    A service worker's own requests go past it.
    """
    page.context.new_cdp_session(page).send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": network.rtt_ms,
            "downloadThroughput": network.down_bps / 8,
            "uploadThroughput": network.up_bps / 8,
        },
    )


def first_paint_ms(page: Page) -> float:
    """Return the time from the start of the navigation to the First Contentful Paint; waits for it."""
    return float(page.evaluate(_PAINT))


def online_ms(page: Page, online: str = ONLINE) -> float:
    """Return the time from the start of the navigation until the page is connected; waits for it."""
    page.wait_for_selector(online, timeout=WAIT_MS)
    return float(page.evaluate("performance.now()"))
