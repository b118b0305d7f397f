"""Renders answers in a process of its own: a program of `understudy.sandbox` that serves until end of input.

A request is a frame of JSON, and so is its reply (`understudy.sandbox.worker`): `["render", [[text, cut], …]]` gives a
list with the HTML of each text, or null if it took too long (`cut`: the text ends anywhere); `["cut", part]` gives a
`Cut` as a list, or null; `["preview", part]` gives the HTML of an open end and the seconds of processor time that it
took, or null.

Each call has limits of processor time. A signal interrupts code that does not cooperate: Python's regular expressions
check for signals while they match. The system kills a process whose code does not check (a library in Rust).
"""

import contextlib
import math
import resource
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import msgspec

from understudy.chat.answer.blocks import Part
from understudy.chat.answer.code import CpuTimeExceeded
from understudy.chat.answer.markdown import Renderer
from understudy.sandbox.confine import Confined
from understudy.sandbox.worker import serve

RENDER_S: Final = 1.5
"""Seconds of processor time for one text block by block, then as many again if it has to be rendered as a whole."""
PREVIEW_S: Final = 1.0
"""Seconds of processor time for the preview of an open end. A paragraph of 60,000 characters may take half of it. The
caller pauses between two previews (`understudy.chat.answer.stream`), so a long block costs no more than a short one."""
KILL_S: Final = 5
"""Seconds of processor time of one call after which the system kills the process."""
REPEAT_S: Final = 0.05
"""Seconds of processor time after which the signal is repeated, in case its exception was swallowed."""

confined = Confined()
"""The confinement in force; set by the sandbox before `main`."""


_deadlines: Final[list[float]] = []  # of the open limits, by `time.process_time`: outermost first, never increasing


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `CpuTimeExceeded` in the block once it has used `seconds` of processor time. Limits may be nested."""
    depth = len(_deadlines)
    _deadlines.append(min([time.process_time() + seconds, *_deadlines[-1:]]))
    _arm()
    try:
        yield
        if time.process_time() > _deadlines[depth]:
            raise CpuTimeExceeded
    finally:
        del _deadlines[depth:]
        _arm()


def _arm() -> None:
    left = max(_deadlines[-1] - time.process_time(), 0.000_1) if _deadlines else 0.0
    signal.setitimer(signal.ITIMER_PROF, left, REPEAT_S)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    if _deadlines and time.process_time() >= _deadlines[-1]:
        raise CpuTimeExceeded


_renderer: Final = Renderer(limit=cpu_limit)


def install_handler() -> None:
    """Install the signal handler of `cpu_limit`; call it once, in the main thread."""
    signal.signal(signal.SIGPROF, _on_signal)


def prepare() -> None:
    """Render once, so that modules loaded late are loaded before the process is confined."""
    install_handler()
    _renderer.render("# a\n\n- *b* [c](https://example.org) `d`\n\n|e|\n|-|\n|f|\n\n```python\ng = 1\n```\n")


def main() -> int:
    """Answer requests until end of input."""
    serve(answer)
    return 0


def answer(request: Any) -> Any:
    """Return the reply to one request. The system kills this process if the call exceeds `KILL_S`."""
    operation, given = request
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    until = math.ceil(time.process_time()) + KILL_S
    resource.setrlimit(resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most))
    if operation == "render":
        return [_cut_off(text) if cut else _html(text) for text, cut in given]
    part = msgspec.convert(given, Part)
    if operation == "preview":
        began = time.process_time()
        html = _preview(part)
        return None if html is None else [html, time.process_time() - began]
    with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
        cut = _renderer.cut(part)
        rest = cut.rest_of(part) if cut.blocks else None
        return cut if rest is None else cut._replace(open_end=_preview(rest) or "")
    return None


def _preview(part: Part) -> str | None:
    with contextlib.suppress(CpuTimeExceeded), cpu_limit(PREVIEW_S):
        return _renderer.preview(part)
    return None


def _cut_off(text: str) -> str | None:
    with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
        return _renderer.render_cut_off(text)
    return _html(text)


def _html(text: str) -> str | None:
    """Render block by block, as a streamed answer is, and as a whole only if a block uses a reference below it."""
    html, exact = None, False
    with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
        html, exact = _renderer.render_blocks(text)
    if html is not None and not exact:
        with contextlib.suppress(CpuTimeExceeded), cpu_limit(RENDER_S):
            html = _renderer.render(text)
    return html
