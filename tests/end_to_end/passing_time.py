"""Time that a test lets pass: on the event loop's clock and on the one that tokens and stored times are read from."""

import time
from typing import Any

import pytest
import trio.testing

from understudy.app import build
from understudy.web.user_connections import UserConnections


class Clocks(trio.abc.Clock):
    """The loop's clock, which is slow, and an offset of `time.time`; `forward` sets both forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop, self._passed_s, now = trio.testing.MockClock(rate=0.25), 0.0, time.time

        def later() -> float:
            return now() + self._passed_s

        def make_callbacks(*parts: Any) -> UserConnections:
            callbacks = UserConnections(*parts)
            callbacks.clock = later
            return callbacks

        monkeypatch.setattr(time, "time", later)
        monkeypatch.setattr(build, "UserConnections", make_callbacks)  # its default is the function of the import

    def forward(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self._passed_s += seconds
        self._loop.jump(seconds)

    def start_clock(self) -> None:
        self._loop.start_clock()

    def current_time(self) -> float:
        return self._loop.current_time()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return the real seconds until a deadline on the loop's clock."""
        return self._loop.deadline_to_sleep_time(deadline)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Return both clocks. The test itself has to ask for them: pytest-trio runs it on them only then."""
    return Clocks(monkeypatch)
