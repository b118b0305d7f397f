"""Calls of isolated tools: each runs in its own process, which has a memory limit and is killed when the call ends.

Isolation is for functions that may hang or take all memory. They are trusted: the process has the server's rights and
environment. A process takes half a second to start and to import the server's modules.
"""

import inspect
import json
import math
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from attrs import frozen

from understudy.sandbox import spawner
from understudy.sandbox.limiters import FairLimiter, RunLocal
from understudy.sandbox.spawner import MIB, ProcessLimiter, Program, memory_for_all
from understudy.tools.errors import IsolatedExit, ToolError
from understudy.tools.result import NextStep, ToolResult
from understudy.tools.threads import wait_for_permit

if TYPE_CHECKING:
    from understudy.tools.context import ToolContext

WORKER: Final = "understudy.tools.isolated_worker"
"""The module that a call's process runs; by name, because its imports lead back to this module."""
MEMORY_MB: Final = 512
"""Default MiB of a process; the interpreter and the server's modules take about 60 of them."""
MIN_MEMORY_MB: Final = 128
"""Least MiB of a process: with less it may not even import its modules."""
PROCESSES: Final = 4
"""Processes of isolated tools at a time, two of them of one user. Confined processes are counted separately."""
_NOT_PLAIN: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)

isolated_limiter: Final = RunLocal("understudy.isolated_tools", lambda: FairLimiter(PROCESSES))
_processes: Final = RunLocal(
    "understudy.isolated_processes", lambda: ProcessLimiter(PROCESSES, max(spawner.LARGEST, memory_for_all() // 2))
)


class IsolatedCrash(RuntimeError):
    """The function of an isolated tool raised an error, whose traceback is the text, or its process died."""


@frozen
class IsolatedFunction:
    """A function that a process can import, with its bounds: `memory_mb` in MiB, `timeout_s` of processor time."""

    tool: str
    module: str
    name: str
    memory_mb: int
    timeout_s: float

    @classmethod
    def of(cls, function: Callable[..., Any], tool: str, memory_mb: int, timeout_s: float) -> "IsolatedFunction":
        """Describe a function. Raises TypeError or ValueError, with a hint, if it cannot be isolated."""
        if not inspect.isfunction(function) or not function.__qualname__.replace(".", "").isidentifier():
            raise TypeError(f"{tool} is isolated, so its process must import it: make it a function of a module")
        if function.__module__ == "__main__":
            raise TypeError(
                f"{tool} is isolated, so its process must import it: move it out of the script that you run"
            )
        if any(excludes(function) for excludes in _NOT_PLAIN):
            raise TypeError(f"{tool} is isolated, so it must be a plain function, not async and no generator")
        if memory_mb < MIN_MEMORY_MB:
            raise ValueError(f"memory_mb of {tool} must be at least {MIN_MEMORY_MB}, not {memory_mb!r}")
        return cls(tool, function.__module__, function.__qualname__, memory_mb, timeout_s)

    async def call(self, arguments: Mapping[str, Any], context: "ToolContext") -> ToolResult:
        """Call the function in a process. A call that is cancelled returns when the process has ended.

        Raises:
            ToolError: Its own; ``invalid_arguments``; ``busy``; ``tool_failed`` if its memory does not suffice.
            IsolatedCrash: The function raised anything else, or its process died.
        """
        memory, limiter, processes = self.memory_mb * MIB, isolated_limiter(), _processes()
        program = Program(WORKER, memory, open=True)
        request = {"module": self.module, "name": self.name, "arguments": dict(arguments)}
        await wait_for_permit(limiter, context.owner, self.tool, context.means.while_queued)
        try:
            async with processes.permit(min(memory, processes.memory)):
                cpu_s = math.ceil(self.timeout_s) + 2
                ended = await spawner.run(program, json.dumps(request).encode(), cpu_s=cpu_s)
        finally:
            limiter.release(context.owner, self.tool)
        return self._read(ended.returncode, ended.stdout)

    def _read(self, code: int, body: bytes) -> ToolResult:
        match code:
            case IsolatedExit.ANSWERED:
                answer = msgspec.json.decode(body, type=dict[str, Any])
                steps = tuple(NextStep(**step) for step in answer.pop("next_steps"))
                return ToolResult(**answer, next_steps=steps)
            case IsolatedExit.REFUSED:
                raise ToolError(*msgspec.json.decode(body, type=tuple[str, str]))
            case IsolatedExit.CRASHED:
                raise IsolatedCrash(body.decode(errors="replace"))
        if code in (IsolatedExit.NO_MEMORY, -signal.SIGKILL):  # the system kills a process for lack of memory
            raise ToolError("tool_failed", f"{self.tool} needs more memory than its {self.memory_mb:,} MiB.")
        if code == -signal.SIGXCPU:
            raise ToolError("tool_timeout", f"{self.tool} took longer than {self.timeout_s:g} s.")
        raise IsolatedCrash(f"the process of {self.tool} ended with {code}")
