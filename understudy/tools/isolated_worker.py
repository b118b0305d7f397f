"""Makes one call of an isolated tool: an open program of `understudy.sandbox`.

It imports the module of the tool's function, checks the arguments, calls the function and writes the result as JSON.
The function's prints go to standard error. The process ends when the server does.
"""

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, Final, NoReturn

from understudy.tools.errors import IsolatedExit

MAX_TRACEBACK: Final = 10_000
"""Characters of the traceback of a crash, the last ones."""


def prepare() -> None:
    """Start a thread that ends this process when the server has ended, even if it was killed."""
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> NoReturn:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)
    raise SystemExit


def main() -> int:
    """Answer the request on standard input; return the exit code."""
    request = json.load(sys.stdin.buffer)
    answer = os.fdopen(os.dup(1), "w", errors="replace")
    os.dup2(2, 1)
    code, body = _answer(request)
    with answer:
        answer.write(body)
    return code


def _answer(request: dict[str, Any]) -> tuple[int, str]:
    import attrs

    from understudy.tools.containment import contain
    from understudy.tools.errors import ToolError
    from understudy.tools.result import to_result, whole_text
    from understudy.tools.tool import Tool, tool

    try:
        value: Any = importlib.import_module(request["module"])
        for name in request["name"].split("."):
            value = getattr(value, name)
        callee = value if isinstance(value, Tool) else tool(value)
        result = to_result(callee.function(**callee.check(request["arguments"])))
        return IsolatedExit.ANSWERED, json.dumps(attrs.asdict(result), allow_nan=False)
    except MemoryError:
        return IsolatedExit.NO_MEMORY, ""
    except BaseException as error:  # even `SystemExit`: this process only has to report it
        failure = contain(request["name"], error, cancelled=False)
        if isinstance(failure, ToolError):
            return IsolatedExit.REFUSED, json.dumps([failure.code, whole_text(failure.message)])
        return IsolatedExit.CRASHED, traceback.format_exc()[-MAX_TRACEBACK:]
