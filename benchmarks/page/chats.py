"""The chat pages that are measured: ours, and by the same selectors a peer's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as TooSlow

from benchmarks.page.browser import ONLINE, online_ms, served

AGENT: Final = "benchmarks.page.typist:typist"


class Server(Protocol):
    """A server in its own process, which can be killed, and launched again on the same port."""

    address: str

    def launch(self) -> None:
        """Start the server without waiting for it."""
        ...

    def stop(self) -> None:
        """Kill the server, and wait for its end."""
        ...


class Chat(Protocol):
    """A chat page. Its agent writes what a message `NAME RATE [LENGTH]` names of `documents`."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def online(self) -> str:
        """Selector: the page is connected, and a message can be sent."""
        ...

    @property
    def prose(self) -> str:
        """Selector: the text of an answer, as it is shown."""
        ...

    @property
    def done(self) -> str:
        """Selector: there once the answer has begun and ended."""
        ...

    @property
    def ready(self) -> str:
        """Path: answered with success once the server takes messages."""
        ...

    @property
    def keeps_itself(self) -> bool:
        """Whether a service worker keeps the page."""
        ...

    def served(self, folder: Path) -> AbstractContextManager[Server]:
        """A server with its data in this folder, ended with the block."""
        ...

    def write(self, page: Page, message: str) -> None:
        """Open the typist and write a message to it; Enter sends it."""
        ...


@frozen
class Understudy:
    """Our page, of the checkout or, by `environment`, of an installed wheel."""

    environment: Mapping[str, str] = {}
    name: str = "ours"
    online: str = ONLINE
    prose: str = ".reply .prose"
    done: str = ".turn[data-status=done]"
    ready: str = "/readyz"
    keeps_itself: bool = True

    def served(self, folder: Path) -> AbstractContextManager[Server]:
        """A server with the typist, its data in `folder`/data."""
        return served(folder / "data", options=[AGENT], environment=self.environment)

    def write(self, page: Page, message: str) -> None:
        """Choose the typist, which is not the agent of a new chat, and write to it."""
        online_ms(page)
        option = page.get_by_role("option", name=re.compile("^Typist"))
        while not option.is_visible():  # the list of agents is read after the page is there
            page.get_by_role("button", name=re.compile("^Agent")).click()
            try:
                option.wait_for(timeout=2_000)
            except TooSlow:
                page.keyboard.press("Escape")
        option.click()
        page.get_by_role("textbox", name="Message", exact=True).fill(message)
