"""A real server and a real browser for the stories, each in its own process.

`chromium()` and `firefox()` yield a browser of Playwright; `browser("firefox")` one of them by name, so that a story
can play the same steps in both: `for name in BROWSERS: with browser(name) as each: ...`.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from firefox import write_launcher
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
BROWSERS = ("chromium", "firefox")
READY = "understudy is ready on "
WAIT_MS = 60_000
"""Longest wait for what must come: three stories at a time share a small machine with a server and a browser each."""
expect.set_options(timeout=WAIT_MS)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Server:
    """`understudy serve` in its own process, on the same port each time."""

    def __init__(self, folder: Path, *, options: Sequence[str] = (), **environment: str) -> None:
        self.folder = folder
        self.options = options
        self.environment = {"PATH": "/usr/bin:/bin"} | environment
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start the server and wait for its ready line."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "understudy", "serve"),
                *("--port", str(self.port), "--data-dir", str(self.folder), *self.options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip().removeprefix(READY)
        self.port = int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop the server, by default with SIGKILL."""
        self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


shared: Browser | None = None
"""The browser of this process, if it plays several stories."""


driver: Playwright | None = None
"""Playwright in this process: it can be started once at a time."""


@contextmanager
def _playwright() -> Iterator[Playwright]:
    global driver
    if driver is not None:
        yield driver
        return
    with sync_playwright() as driver:
        try:
            yield driver
        finally:
            driver = None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless browser; nothing of a story stays in one that is shared."""
    if shared is not None:
        try:
            yield shared
        finally:
            for context in shared.contexts:
                context.close()
        return
    with _playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def firefox(preferences: Mapping[str, str | int | bool] | None = None) -> Iterator[Browser]:
    """Yield a headless Firefox with these preferences of `about:config`; it is started for the block.

    Playwright's `color_scheme`, `reduced_motion` and `forced_colors` have no effect in it, and it has no CDP.
    """
    with tempfile.TemporaryDirectory() as folder, _playwright() as playwright:
        browser = playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=write_launcher(Path(folder)),
            firefox_user_prefs=dict(preferences or {}),
        )
        try:
            yield browser
        finally:
            browser.close()


def browser(name: str) -> AbstractContextManager[Browser]:
    """Return the browser of this name, one of BROWSERS, as a context manager."""
    return chromium() if name == "chromium" else firefox()


def watched(page: Page, problems: list[str]) -> Page:
    """Return a page. Its errors and violations of its content security policy are recorded."""
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    return page


def picture(page: Page, shots: Path | None, name: str) -> None:
    """Save a screenshot if a folder for them was given."""
    if shots is not None:
        page.screenshot(path=shots / f"{name}.png", animations="disabled")
