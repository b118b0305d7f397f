"""Chainlit, a peer: its own server and page, with an agent that writes the same text at the same speed.

It needs other versions of what understudy needs, and so has an environment of its own in `.bench`, made when it is
first measured. Its page asks other hosts for its font and the style of its math; those are not reached here, and
nothing of theirs is counted.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen
from playwright.sync_api import Page

from benchmarks.page.browser import WAIT_MS, online_ms
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.home import environment

CHAINLIT: Final = Peer("Chainlit", "chainlit.py", "chainlit", ("chainlit==2.12.0",))
_MATH: Final = ("latex = false", "latex = true")
"""Its only setting that is not as it comes: the documents hold formulas."""
_APP: Final = Path(__file__).with_name("chainlit_app.py")


class Started:
    """`chainlit run` in its own process, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program = environment(CHAINLIT) / "bin" / "chainlit"
        folder.mkdir(exist_ok=True)
        shutil.copy(_APP, folder)
        shutil.copy(_APP.with_name("documents.py"), folder)
        subprocess.run([self._program, "init"], cwd=folder, check=True, capture_output=True, timeout=WAIT_MS / 1000)
        config = folder / ".chainlit" / "config.toml"
        config.write_text(config.read_text().replace(*_MATH))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{self._port}"
        self.launch()

    def launch(self) -> None:
        """Start the server without waiting for it."""
        self._process = subprocess.Popen(
            [self._program, "run", _APP.name, "--headless", "--host", "127.0.0.1", "--port", str(self._port)],
            cwd=self._folder,
            env=os.environ | {"HOME": str(self._folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Wait until the server answers. Raises RuntimeError if it does not."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("Chainlit's server did not start")

    def stop(self) -> None:
        """Kill the server, and wait for its end."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@frozen
class Chainlit:
    """Chainlit's page."""

    name: str = CHAINLIT.name
    online: str = "#upload-button:not([disabled])"
    prose: str = ".ai-message .prose"
    done: str = "#chat-submit"
    ready: str = "/"
    keeps_itself: bool = False

    @classmethod
    def installed(cls) -> Chainlit:
        """Install it if it is not; raises `Missing`."""
        environment(CHAINLIT)
        return cls()

    @contextmanager
    def served(self, folder: Path) -> Iterator[Started]:
        """A server with the typist."""
        server = Started(folder / "chainlit")
        try:
            server.wait()
            yield server
        finally:
            server.stop()

    def write(self, page: Page, message: str) -> None:
        """Write to its only agent."""
        online_ms(page, self.online)
        page.locator("#chat-input").click()
        page.keyboard.insert_text(message)
