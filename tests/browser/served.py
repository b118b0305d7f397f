"""A real server and a real browser for the stories, each in its own process."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
READY = "understudy is ready on "
WAIT_MS = 15_000
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def watched(page: Page, problems: list[str]) -> Page:
    """Return a page. Its errors and violations of its content security policy are recorded."""
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    return page


def picture(page: Page, shots: Path | None, name: str) -> None:
    """Save a screenshot if a folder for them was given."""
    if shots is not None:
        page.screenshot(path=shots / f"{name}.png", animations="disabled")
