"""A real server and a real browser for the stories, each in its own process.

`current_browser()` yields the browser in which this process plays its stories: Chromium, unless `stories.py` was told
to play in Firefox. `chromium()` and `firefox()` start one of their own.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from firefox import write_launcher
from playwright.sync_api import Browser, Page, Playwright, ViewportSize, expect, sync_playwright

from tests.servers.forked import Forked
from tests.servers.needed import program

BROWSERS = ("chromium", "firefox")
COARSE = 1
"""What Firefox takes for a finger: `PointerCapabilities::Coarse`, without `Hover` (4)."""
UNCONNECTED = (
    "establish a connection to the server",
    "was interrupted while the page was loading",
    "Error in input stream",
    "A ServiceWorker intercepted the request and encountered an unexpected error",
)
"""What Firefox reports of a WebSocket without a server, or of a page that is left while a part of it is still loaded,
as an error of the page."""
READY = "understudy is ready on "
WAIT_MS = 60_000
"""Longest wait for what must come: three stories at a time share a small machine with a server and a browser each."""
expect.set_options(timeout=WAIT_MS)
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 360, "height": 740}
SEQ = """async (thread) => {
  const token = JSON.parse(localStorage["understudy.session"]).session_token;
  const answer = await fetch(`/api/threads/${thread}`, { headers: { Authorization: `Bearer ${token}` } });
  return (await answer.json()).last_seq;
}"""
"""Evaluated in a page with a thread's id: the number of the thread's last event, as the server has it."""
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


page: Path | None = None
"""The folder from which servers of this process serve the pages, None for the modules of the checkout."""


class Server:
    """`understudy serve` in its own process, on the same port each time."""

    def __init__(self, folder: Path, *, options: Sequence[str] = (), **environment: str) -> None:
        self.folder = folder
        self.options = options
        self.environment = {"PATH": "/usr/bin:/bin"} | environment
        self.port = 0
        self.start()

    def start(self, **environment: str) -> None:
        """Start the server, with these further variables, and wait for its ready line."""
        self.environment |= environment
        options = ["--port", str(self.port), "--data-dir", str(self.folder), *self.options]
        with open(os.devnull, "wb") as nothing:
            self.process = Forked(options, self.environment, nothing, data_dir=self.folder, page=page)
        self.address = self.process.stdout.readline().strip().removeprefix(READY)
        self.port = int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop the server, by default with SIGKILL."""
        self.process.send_signal(number)
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def site(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a site of another origin, whose requests `handler` answers. Yield its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


shared: Browser | None = None
"""The browser of this process, if `stories.py` plays several stories in it."""


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
    """Yield a headless Chromium; it is started for the block."""
    with _playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def firefox(preferences: Mapping[str, str | int | bool] | None = None, **environment: str) -> Iterator[Browser]:
    """Yield a headless Firefox with these preferences of `about:config` and variables; it is started for the block.

    Playwright's `color_scheme`, `reduced_motion` and `forced_colors` have no effect in it, and it has no CDP.
    """
    with tempfile.TemporaryDirectory() as folder, _playwright() as playwright:
        browser = playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=write_launcher(Path(folder), program("firefox")),
            firefox_user_prefs={"browser.download.alwaysOpenPanel": False, **(preferences or {})},  # it takes the focus
            env={**os.environ, **environment},
        )
        try:
            yield browser
        finally:
            browser.close()


def started(name: str) -> AbstractContextManager[Browser]:
    """Return a context manager that starts the browser of this name, one of BROWSERS."""
    return chromium() if name == "chromium" else firefox()


@contextmanager
def current_browser() -> Iterator[Browser]:
    """Yield the browser of this process; nothing of a story stays in one that is shared."""
    if shared is None:
        with chromium() as browser:
            yield browser
        return
    try:
        yield shared
    finally:
        for context in shared.contexts:
            context.close()


def plays_common_parts() -> bool:
    """Return whether this process plays the parts of a story that test the server and the document: Chromium does.

    Firefox plays what differs between browsers: rendering, scrolling, focus, storage, sockets, downloads.
    """
    return shared is None or shared.browser_type.name == "chromium"


@contextmanager
def mouse_in_frames() -> Iterator[Browser]:
    """Yield a browser whose mouse reaches into a frame of another origin, which is a process of its own.

    In Firefox that is another one than `current_browser()`: its mouse acts on the window and not on one document. So it
    reaches only the tab in front, and only what is inside the window, which is larger than any viewport here.
    """
    if shared is None or shared.browser_type.name != "firefox":
        with current_browser() as browser:
            yield browser
        return
    window = {"MOZ_HEADLESS_WIDTH": "1600", "MOZ_HEADLESS_HEIGHT": "1200"}
    with firefox({"remote.events.async.mouse.enabled": True}, **window) as browser:
        yield browser


@contextmanager
def phone(browser: Browser, size: ViewportSize) -> Iterator[Page]:
    """Yield a page whose pointer is a finger.

    Playwright emulates none in Firefox: another one, whose preferences say so, is started for the block.
    """
    if browser.browser_type.name == "firefox":
        with firefox({"ui.primaryPointerCapabilities": COARSE, "ui.allPointerCapabilities": COARSE}) as held:
            yield held.new_page(viewport=size)
        return
    context = browser.new_context(viewport=size, has_touch=True, is_mobile=True)
    try:
        yield context.new_page()
    finally:
        context.close()


NOTE_SENT = """() => {
  window.sent = [];
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (frame) {
    window.sent.push(frame);
    send.call(this, frame);
  };
}"""
"""Notes every frame that the page sends, in order: in Firefox Playwright sees none."""


def watched(page: Page, problems: list[str]) -> Page:
    """Return a page. Its errors and violations of its content security policy are recorded."""
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", lambda error: any(text in str(error) for text in UNCONNECTED) or problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    return page


def picture(page: Page, shots: Path | None, name: str) -> None:
    """Save a screenshot if a folder for them was given."""
    if shots is not None:
        page.screenshot(path=shots / f"{name}.png", animations="disabled")
