"""Renders answers in a process of its own: a program of `understudy.sandbox` that serves until end of input.

A request is a frame of JSON, and so is its reply (`understudy.sandbox.worker`): `["render", [text, …]]` gives a list
with the HTML of each text, or null if it took too long; `["cut", part]` gives a `Cut` as a list, or null.

Each call has a limit of processor time. If the signal does not end it, the system kills the process.
"""

import contextlib
import math
import resource
import time
from typing import Any, Final

from understudy.chat.answer.cpu_time import CpuTimeExceeded, cpu_limit, install_handler
from understudy.chat.answer.markdown import Part, Renderer
from understudy.sandbox.confine import Confined
from understudy.sandbox.worker import serve

RENDER_S: Final = 1.5
"""Seconds of processor time for one text, then as many again to render it block by block."""
KILL_S: Final = 5
"""Seconds of processor time of one call after which the system kills the process."""

confined = Confined()
"""The confinement in force; set by the sandbox before `main`."""

_renderer: Final = Renderer(limit=cpu_limit)


def prepare() -> None:
    """Render once, so that modules loaded late are loaded before the process is confined."""
    install_handler()
    _renderer.render("# a\n\n- *b* [c](https://example.org) `d`\n\n|e|\n|-|\n|f|\n\n```python\ng = 1\n```\n")


def main() -> int:
    """Answer requests until end of input."""
    serve(answer)
    return 0


def answer(request: Any) -> Any:
    """Return the reply to one request."""
    operation, given = request
    _bound()
    if operation == "cut":
        return _cut(Part(*given))
    return [_html(text) for text in given]


def _html(text: str) -> str | None:
    for render in (_renderer.render, _renderer.render_blocks):
        with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
            return render(text)
    return None


def _cut(part: Part) -> Any:
    with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
        return _renderer.cut(part)
    return None


def _bound() -> None:
    """Have the system kill this process if the next call exceeds `KILL_S`."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time()) + KILL_S
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))
