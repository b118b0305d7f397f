"""Isolated tools, in a module that their processes import quickly."""

import os
import time
from decimal import Decimal
from pathlib import Path

import attrs

from understudy.tools import Tool, tool
from understudy.tools.errors import ToolError
from understudy.tools.offers import NextStep
from understudy.tools.result import ToolResult


@attrs.frozen
class Order:
    """A class of a tool's author."""

    amount: Decimal


@tool(isolate=True)
def pay(order: Order) -> ToolResult:
    """Pay, and print."""
    print("paying")
    if order.amount > 100:
        raise ExceptionGroup("as of a nursery", [ToolError("forbidden", "That is too much \udce9.")])
    if order.amount < 0:
        raise ZeroDivisionError("less than nothing")
    return ToolResult(
        {"paid": order.amount, "pid": os.getpid()}, "Paid.", kind="analysis", next_steps=[NextStep("Pay more", "pay")]
    )


@tool(isolate=True)
def hang(file: str) -> None:
    """Write the process's id, and hold the interpreter."""
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01) if Path(file).suffix == ".slow" else None


@tool(isolate=True, memory_mb=256)
def eat() -> int:
    """Take a gigabyte."""
    return len(bytearray(2**30))


@tool(isolate=True)
def die() -> None:
    """End the process."""
    os._exit(7)


TOOLS: tuple[Tool, ...] = (pay, hang, eat, die)
