"""Does markup do anything? Ask a browser: each page is opened, looked at and played with in a real Chromium.

A page is a fault's page when something in it runs, fetches from a host that is not allowed, leads a form or a link to a
script, moves the page, lies over it, or takes names of the document for itself. Several watches look at once, because
each alone is blind to something: a content security policy that only reports (Chromium names every script, handler and
request it would refuse), the elements of the parsed page, stand-ins for `alert` and its like, and a proxy through which
all the browser's connections go. Nothing leaves the machine: the proxy answers everything itself.
"""

import json
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from html import unescape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Dialog, Error, Frame, Page, Request, sync_playwright

from tests.servers.needed import program

HOME: Final = "inert.test"
"""The host of the pages themselves."""
TOGETHER: Final = 24
"""Pages that are open side by side; those that disturb each other are opened again, fewer at a time."""
SETTLE_MS: Final = 300
"""Time for what a page begins by itself, and again after it was played with. Loads on this machine take a tenth."""
LOAD_MS: Final = 5_000
PLAY_MS: Final = 2_000

ARGUMENTS: Final = (
    "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip
_POLICY: Final = (
    "default-src 'none'; script-src 'none'; base-uri 'none'; form-action 'none'; frame-src 'none'; object-src 'none'"
)
_WATCH: Final = """(() => {
  const seen = [];
  Object.defineProperty(window, "__inert", { value: seen });
  for (const name of ["alert", "confirm", "prompt", "print", "open"])
    window[name] = () => { if (seen.length < 50) seen.push(["ran", name]); };
  addEventListener("error", (event) => {
    if (seen.length < 50 && !event.target.tagName) seen.push(["ran", String(event.message)]);
  }, true);
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    if (seen.length < 50) seen.push([effectiveDirective, blockedURI]);
  }, true);
})()"""
# Puts the markup in a second and a third time, as a page does with `innerHTML` (what a browser writes of it, it may
# read another way), then does to each element what a hand would do, and tells what the elements are.
_PLAY: Final = """(source) => {
  const seen = [...window.__inert];
  const tell = (what, of) => { if (seen.length < 200) seen.push([what, String(of).slice(0, 200)]); };
  const holder = document.createElement("div");
  document.body.append(holder);
  holder.innerHTML = source;
  const again = document.createElement("div");
  document.body.append(again);
  again.innerHTML = holder.innerHTML;
  const acting = new Set(("script iframe frame frameset object embed applet portal fencedframe form input button"
    + " select textarea keygen base meta link style animate set animatetransform animatemotion foreignobject"
    + " template noscript marquee dialog").split(" "));
  for (const root of [document.getElementById("given"), holder, again]) {
    if (!root) { tell("broke out", "given"); continue; }
    for (const element of root.querySelectorAll("*")) {
      const tag = element.localName;
      if (acting.has(tag)) tell("element", tag);
      for (const { name, value } of element.attributes) {
        if (/^on/i.test(name)) tell("handler", name);
        if (["id", "name", "is", "slot", "form"].includes(name)) tell("clobbers", `${name}=${value}`);
        if (name === "style" && /url|expression|position|z-index|behavior|binding|image/i.test(value))
          tell("style", value);
        if (/^(?:xlink:)?href$|src$|^srcset$|^action$|^formaction$|^poster$|^background$|^data$|^ping$/.test(name))
          for (const part of name === "srcset" ? value.split(",") : [value]) {
            let url;
            try { url = new URL(part.trim().split(/\\s+(?=[\\d.]+[wx]$)/)[0], document.baseURI); } catch { continue; }
            if (!/^(?:https?|mailto|data):$/.test(url.protocol)) tell("address", url.protocol);
            else if (tag === "a" && name !== "ping") {
              if (url.protocol === "data:") tell("address", "data:");
              else if (url.origin !== location.origin && !/noopener/.test(element.rel)) tell("opener", value);
            } else if (url.protocol === "data:") {
              if (!/^data:image\\/(?!svg)/i.test(url.href)) tell("address", url.href);
            } else tell("fetch", url.href);
          }
      }
    }
  }
  for (const element of document.querySelectorAll("body *")) {
    for (const kind of ["mouseover", "mouseenter", "mousemove", "focus", "dblclick", "dragstart", "wheel", "input"])
      element.dispatchEvent(new Event(kind, { bubbles: true, cancelable: true }));
    if (typeof element.focus === "function") element.focus();
    const link = element.closest("a[href]");
    const web = link && /^(?:https?|mailto):$/.test(link.protocol);
    if (!web && typeof element.click === "function") element.click();
  }
  return seen;
}"""

_WORD: Final = re.compile(r"[^\w.-]+")


class _Proxy(socketserver.ThreadingTCPServer):
    """Answers every request itself: a page to its number, nothing to all others, whose hosts it notes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.pages: Sequence[str] = ()
        self.hosts: set[str] = set()
        """Foreign hosts that were asked for something since this was last emptied."""


class _Answer(BaseHTTPRequestHandler):
    server: _Proxy

    def do_CONNECT(self) -> None:
        """An encrypted connection: who it was for is all there is to know."""
        self.server.hosts.add(self.path.rpartition(":")[0].lower())
        self.send_error(502)

    def do_GET(self) -> None:
        """A page of ours, or anything else."""
        address = urlsplit(self.path)
        number = address.path.removeprefix("/page/")
        body, status = b"", 404
        if address.hostname != HOME:
            self.server.hosts.add((address.hostname or "").lower())
        elif number.isdigit() and int(number) < len(self.server.pages):
            page = self.server.pages[int(number)].encode("utf-8", "replace")
            body, status = b"<!doctype html><meta charset=utf-8><body><div id=given>" + page + b"</div>", 200
        elif address.path.startswith("/hold/"):
            held = address.path.removeprefix("/hold/").split(",")
            body, status = "".join(f"<iframe src=/page/{text}></iframe>" for text in held).encode(), 200
        self.send_response(status)
        if status == 200:
            self.send_header("Content-Type", "text/html; charset=utf-8")
        if number.isdigit():
            self.send_header("Content-Security-Policy-Report-Only", _POLICY)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@contextmanager
def _proxy() -> Iterator[_Proxy]:
    with _Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Frame:
    """One piece of markup in the browser, and what was seen of it."""

    def __init__(self, number: int, source: str, allowed: frozenset[str]) -> None:
        self.faults: set[str] = set()
        self.source = source
        self.address = f"http://{HOME}/page/{number}"
        self._allowed = allowed | {HOME}

    def look(self, frame: Frame, script: str) -> None:
        """Run a script of ours in it and read what the watches say."""
        try:
            for what, of in frame.evaluate(script, self.source):
                self._tell(what, of)
        except Error as error:
            self.faults.add(f"did not answer: {error.message.splitlines()[0]}")

    def connected(self, hosts: set[str]) -> None:
        """`hosts` are those the proxy was asked for, by whichever page: ours are those that are named here."""
        words = set(_WORD.split(unescape(self.source).lower()))
        self.faults.update(f"connected to {host}" for host in (hosts - self._allowed) & words)

    def _tell(self, what: str, of: str) -> None:
        if of != "inline" and what in (
            "fetch",
            "img-src",
            "media-src",
            "style-src-elem",
            "font-src",
            "connect-src",
            "default-src",
        ):
            self.fetched(of)
        else:
            self.faults.add(f"{what}: {of}")

    def fetched(self, address: str) -> None:
        """A request of this address came from it."""
        if address == self.address or address.partition(":")[0] in ("data", "about"):
            return
        parts = urlsplit(address)
        if parts.netloc not in self._allowed:
            self.faults.add(f"fetched from {parts.netloc or address}")


class _Batch:
    """Some pieces side by side, each in a frame of its own. `broken` says that they could not be kept apart."""

    def __init__(self, context: BrowserContext, frames: Sequence[_Frame]) -> None:
        self.broken = ""
        self._frames = {frame.address: frame for frame in frames}
        self._seen: dict[Frame, _Frame] = {}
        numbers = ",".join(frame.address.rpartition("/")[2] for frame in frames)
        self._address = f"http://{HOME}/hold/{numbers}"
        self._page: Page = context.new_page()
        self._page.set_default_timeout(PLAY_MS)
        self._page.on("request", self._asked)
        self._page.on("popup", lambda _popup: self._break("opened a window"))
        self._page.on("download", lambda _download: self._break("downloaded something"))
        self._page.on("dialog", self._spoke)
        self._page.on("crash", lambda _page: self._break("crashed"))

    def run(self, hosts: set[str]) -> None:
        """Load them, let them be, play with them, let them be again."""
        try:
            self._page.goto(self._address, wait_until="load", timeout=LOAD_MS)
            self._page.wait_for_timeout(SETTLE_MS)
            self._play(_PLAY)
            self._page.wait_for_timeout(SETTLE_MS)
            self._play("() => window.__inert")
        except Error as error:
            self._break(f"did not load: {error.message.splitlines()[0]}")
        for frame in self._frames.values():
            frame.connected(hosts)
        for page in self._page.context.pages:
            page.close()

    def _play(self, script: str) -> None:
        frames = {frame.url.partition("#")[0]: frame for frame in self._page.main_frame.child_frames}
        for address, frame in self._frames.items():
            if address in frames:
                frame.look(frames[address], script)
            else:
                frame.faults.add("moved the page")
        if self._page.url != self._address:
            self._break("moved the page")

    def _asked(self, request: Request) -> None:
        frame = request.frame
        if request.url in self._frames and frame not in self._seen:
            self._seen[frame] = self._frames[request.url]
            return
        outer: Frame | None = frame
        while outer is not None and outer not in self._seen:
            outer = outer.parent_frame
        if outer is None:
            if request.url != self._address:
                self._break(f"fetched {request.url}")
        elif request.is_navigation_request() and outer is frame:
            self._seen[frame].faults.add("moved the page")
        else:
            self._seen[outer].fetched(request.url)

    def _spoke(self, dialog: Dialog) -> None:
        self._break(f"ran {dialog.type}")
        dialog.dismiss()

    def _break(self, why: str) -> None:
        self.broken = self.broken or why


class NoBrowser(Exception):
    """Chromium could not be started, or ended; the text has what it said."""


class Browser:
    """A Chromium that inspects markup. To be closed after use, as a context manager does. Raises NoBrowser.

    Playwright's event loop is asyncio's and the caller may run another one, so Chromium is driven by a process of its
    own.
    """

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.inert"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and Chromium."""
        self._process.communicate()
        self._errors.close()

    def inert(self, pages: Sequence[str], allowed_hosts: frozenset[str] = frozenset()) -> list[list[str]]:
        """Return each page's actions in words: an empty list for an inert page.

        `pages` are pieces of markup for the body of a page; images may come from `allowed_hosts` (with their port if
        it is not the scheme's own) and from the page's own host. Takes some hundredths of a second for an inert page,
        a second for another one.
        """
        faults: list[list[str]] = self._ask("inert", list(pages), sorted(allowed_hosts))
        return faults

    def shown(self, pages: Sequence[str]) -> list[str]:
        """Return for each piece of markup the text that the browser makes of it."""
        texts: list[str] = self._ask("shown", list(pages))
        return texts

    def _ask(self, task: str, *arguments: list[str]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        answer = ""
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([task, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._errors.seek(0)
            raise NoBrowser(self._errors.read()[-2_000:])
        return json.loads(answer)


def inert(pages: Sequence[str]) -> list[list[str]]:
    """Inspect pages in a browser started for them; see `Browser.inert`. Raises NoBrowser."""
    with Browser() as browser:
        return browser.inert(pages)


def _shown(browser: Chromium, pages: Sequence[str]) -> list[str]:
    read = "all => all.map(each => new DOMParser().parseFromString(each, 'text/html').body.textContent)"
    with browser.new_page() as page:
        texts: list[str] = page.evaluate(read, [f"<div>{page_text}</div>" for page_text in pages])
    return texts


def _inert(browser: Chromium, proxy: _Proxy, pages: Sequence[str], allowed_hosts: Sequence[str]) -> list[list[str]]:
    faults: list[list[str]] = [[] for _ in pages]
    proxy.pages = pages
    with browser.new_context() as context:
        context.add_init_script(_WATCH)
        waiting = [range(first, min(first + TOGETHER, len(pages))) for first in range(0, len(pages), TOGETHER)]
        while waiting:
            numbers = waiting.pop()
            frames = [_Frame(number, pages[number], frozenset(allowed_hosts)) for number in numbers]
            proxy.hosts.clear()
            batch = _Batch(context, frames)
            batch.run(proxy.hosts)
            if batch.broken and len(numbers) > 1:
                middle = len(numbers) // 2
                waiting += [numbers[:middle], numbers[middle:]]
                continue
            for number, frame in zip(numbers, frames, strict=True):
                faults[number] = sorted(frame.faults | ({batch.broken} - {""}))
    return faults


def _serve() -> None:
    """Answer the requests of a `Browser`, one in each line."""
    with _proxy() as proxy, sync_playwright() as playwright:
        server = f"http://127.0.0.1:{proxy.server_address[1]}"
        options: Any = {"executable_path": program("chromium"), "args": ARGUMENTS, "proxy": {"server": server}}
        chromium = playwright.chromium.launch(**options)
        for line in sys.stdin:
            task, *arguments = json.loads(line)
            done = _shown(chromium, *arguments) if task == "shown" else _inert(chromium, proxy, *arguments)
            print(json.dumps(done), flush=True)
        chromium.close()


if __name__ == "__main__":
    _serve()
