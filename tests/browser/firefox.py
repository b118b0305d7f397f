"""Debian's Firefox for Playwright, which drives a stock one by WebDriver BiDi (its channel `moz-firefox`).

Playwright sends a command that Firefox ESR does not know yet (`emulation.setMediaFeaturesOverride`), and gives up at
its refusal. So what Playwright starts is this module: it starts Firefox, stands between the two, and acknowledges that
command itself. It also gives downloads an id: Firefox has none, and Playwright ignores a download that has neither an
id nor a navigation (a link's `download`). Everything else passes unchanged. Consequence: `color_scheme` has no effect
in Firefox; its pages follow the preference `layout.css.prefers-color-scheme.content-override` (0 dark, 1 light), which
`served.firefox` takes.
"""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

UNKNOWN: Final = frozenset({"emulation.setMediaFeaturesOverride"})
"""Commands that are acknowledged without Firefox."""
DOWNLOAD: Final = ("browsingContext.downloadWillBegin", "browsingContext.downloadEnd")
_LISTENING: Final = re.compile(r"(WebDriver BiDi listening on )(ws://\S+)")
_OPEN_S: Final = 30.0


def write_launcher(folder: Path, firefox: Path) -> Path:
    """Write the program that Playwright can start as its browser, which runs `firefox`. Return its path."""
    path = folder / "firefox"
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, str(firefox)])} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class _Downloads:
    """Gives each download an id, by which Playwright knows the events of one."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}

    def named(self, message: str) -> str:
        """Return the message; the event of a download has its id, the same at its begin and at its end."""
        if '"browsingContext.download' not in message:
            return message
        event = json.loads(message)
        if event.get("method") not in DOWNLOAD:
            return message
        url = event["params"]["url"]
        self.begun[url] = self.begun.get(url, 0) + (event["method"] == DOWNLOAD[0])
        event["params"]["download"] = f"{self.begun[url]} of {url}"
        return json.dumps(event)


def _answer(playwright: ServerConnection, firefox: ClientConnection) -> None:
    """Pass commands on to Firefox, and acknowledge what it does not know, until either side is closed."""
    with suppress(ConnectionClosed):
        for message in playwright:
            command = json.loads(message)
            if command.get("method") in UNKNOWN:
                playwright.send(json.dumps({"type": "success", "id": command["id"], "result": {}}))
            else:
                firefox.send(message)
    playwright.close()
    firefox.close()


def _report(firefox: ClientConnection, playwright: ServerConnection) -> None:
    """Pass events and results on to Playwright until either side is closed."""
    downloads = _Downloads()
    with suppress(ConnectionClosed):
        for message in firefox:
            playwright.send(downloads.named(str(message)))
    playwright.close()
    firefox.close()


def _between(address: str) -> Server:
    """Listen for Playwright, and connect each of its sessions to Firefox at `address`."""

    def join(playwright: ServerConnection) -> None:
        request = playwright.request
        assert request is not None
        limits = {"max_size": None, "open_timeout": _OPEN_S, "ping_interval": None}
        with connect(address + request.path, compression=None, proxy=None, **limits) as firefox:
            back = threading.Thread(target=_report, args=(firefox, playwright), daemon=True)
            back.start()
            _answer(playwright, firefox)
            back.join()

    server = serve(join, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> int:
    """Run the command that the arguments are, which starts Firefox, and name our own port in place of its port."""
    firefox = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True, env=os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: firefox.send_signal(number))
    assert firefox.stderr is not None
    for line in firefox.stderr:
        match = _LISTENING.search(line)
        if match:
            port = _between(match[2]).socket.getsockname()[1]
            line = f"{match[1]}ws://127.0.0.1:{port}\n"
        sys.stderr.write(line)
        sys.stderr.flush()
    return firefox.wait()


if __name__ == "__main__":
    sys.exit(main())
