"""Misbehaving programs of the sandbox, for `test_worker`. Each request names the behaviour."""

import resource
import sys
import time
from typing import Any

from understudy.sandbox.confine import Confined
from understudy.sandbox.worker import serve

confined = Confined()


def prepare() -> None:
    """Load nothing."""


def main() -> int:
    """Answer requests."""
    serve(answer)
    return 0


def answer(request: Any) -> Any:
    """Behave as the request says."""
    match request:
        case "work for ever":
            used = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (used + 1, resource.RLIM_INFINITY))
            while True:
                pass
        case "end":
            sys.exit(3)
        case "announce too much":
            sys.stdout.buffer.write(b"\xff\xff\xff\xff")
            sys.stdout.buffer.flush()
        case "no json":
            sys.stdout.buffer.write(b"\0\0\0\x03abc")
            sys.stdout.buffer.flush()
        case "memory":
            return len(bytearray(1 << 30))
    return request
