"""Draws a Vega-Lite specification as SVG: a program of `understudy.sandbox`.

It runs in a process, not a thread: the renderer holds the interpreter's lock while it draws (700 ms the first time, 26
to 63 ms after that, as measured), which would stop the whole server. A process can also be killed.
"""

import importlib
import json
import sys
from typing import Any, Final

VEGA_LITE: Final = "5.20"
"""The newest release of version 5 that both vl-convert 1.8 and 1.9 include."""


def prepare() -> None:
    """Load the renderer while libraries can still be read."""
    importlib.import_module("vl_convert")


def draw(spec: dict[str, Any]) -> str:
    """Return the SVG of a specification. Raises ValueError if it cannot be drawn."""
    import vl_convert

    # No address is allowed, so nothing is fetched.
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
    return svg


def main() -> int:
    """Draw the specification on standard input; return the exit code."""
    try:
        sys.stdout.buffer.write(draw(json.load(sys.stdin.buffer)).encode())
    except ValueError as error:
        sys.stderr.write(str(error))
        return 1
    return 0
