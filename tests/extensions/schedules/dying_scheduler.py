"""A server that dies at its firings of schedules: first before a message is sent, then before its end is recorded."""

import os
import signal
from pathlib import Path
from typing import Any, Final

from tests.rigs.scripted_model import Say, scripted
from understudy.extensions.schedules import firing

DIES: Final = "UNDERSTUDY_TEST_DIES"
"""Environment variable with the path of a file that has a line for each death."""
AGENT: Final = scripted(*[Say("one two") for _ in range(50)])

_send = firing.ScheduleRunner._send


def deaths() -> int:
    trace = Path(os.environ[DIES])
    return trace.read_text().count("died") if trace.exists() else 0


def die() -> None:
    with Path(os.environ[DIES]).open("a") as file:
        file.write("died\n")
    os.kill(os.getpid(), signal.SIGKILL)


async def _send_or_die(self: Any, *arguments: Any) -> Any:
    if deaths() == 0:
        die()
    end = await _send(self, *arguments)
    if deaths() == 1:
        die()
    return end


if DIES in os.environ:  # not in the test's own process
    firing.CLAIM_S = 1.0
    firing.ScheduleRunner._send = _send_or_die  # type: ignore[method-assign]
