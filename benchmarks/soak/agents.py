"""The agent of the soak: each answer follows from its message. And a count of what its server holds, on a signal."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import trio

from understudy import Agent, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn

FILE = "BENCH_HELD"
"""The environment variable that names the file for the count."""
PIECE_S = 0.05
"""Seconds between two pieces."""
WORDS = 30
LONG = 600
"""Words of a common answer, and of a long one, which comes in bursts of `LONG / WORDS`."""


@tool(retry_safe=True)
async def look_up(name: str, size: int) -> str:
    """Return so many words about a name."""
    await trio.sleep(PIECE_S)
    return " ".join(f"{name}-{number}" for number in range(size))


@tool(retry_safe=True)
async def fail(name: str) -> str:
    """Crash."""
    raise RuntimeError(f"told to crash about {name}")


class Talker:
    """Says words, some of which the scrubber must find; or calls tools; or crashes. The message says which."""

    name = "talker"
    notice = ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the next turn of the message's plan: its first word, and a seed."""
        plan, _, seed = turn.request.partition(" ")
        chance = random.Random(seed)
        if plan in ("tool", "crash") and not turn.rounds:
            size = chance.choice((3, 30, 3_000))
            call = ToolRequest("1", "look_up", {"name": seed, "size": size})
            other = ToolRequest("2", "fail", {"name": seed})
            return Reply(calls=(call, other) if plan == "crash" else (call,))
        if plan == "break":
            raise RuntimeError("told to break")
        words = [f"word{chance.randrange(10_000)} " for _ in range(LONG if plan == "long" else WORDS)]
        words[WORDS // 2] = f"\n\n- write to someone{chance.randrange(10_000)}@example.org\n- or **not**\n\n"
        step = len(words) // WORDS
        for begin in range(0, len(words), step):
            await emit(TextDelta("".join(words[begin : begin + step])))
            await trio.sleep(PIECE_S)
        return Reply(text="".join(words))


AGENTS = [Agent("talker", model=Talker(), tools=[look_up, fail])]


class _Allocated(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _names_ = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )
    _fields_ = [(name, ctypes.c_size_t) for name in _names_]


def held() -> dict[str, int]:
    """Count what this process holds: objects by type, and bytes of the allocators."""
    found = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    malloc = ctypes.CDLL(None).mallinfo2
    malloc.restype = _Allocated
    allocated = malloc()
    return {
        "objects": found.total(),
        "blocks of Python": sys.getallocatedblocks(),
        "bytes in use by malloc": allocated.uordblks + allocated.hblkhd,
        "bytes free in malloc": allocated.fordblks,
        **dict(found.most_common(300)),
    }


def _write(_number: int, _frame: FrameType | None) -> None:
    whole = Path(os.environ[FILE])
    part = whole.with_suffix(".part")
    part.write_text(json.dumps(held()))
    part.replace(whole)


if FILE in os.environ:
    signal.signal(signal.SIGUSR2, _write)
