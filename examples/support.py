"""An agent for a small shop, with a tool of each kind. The tutorial (docs/tutorial/first-agent.md) builds it up.

understudy serve examples.support:support
understudy chat --agent support
"""

import asyncio
from typing import Annotated, Literal

import trio

from understudy import Agent, Param, ToolContext, ToolError, ToolResult, serve, tool

ORDERS = {
    "A-17": {"item": "desk lamp", "status": "on its way", "carrier": "northmail"},
    "A-18": {"item": "tea pot", "status": "being packed", "carrier": "coastline"},
}


@tool
async def lookup(order_id: Annotated[str, Param("The order's number, such as A-17.", format="identifier")]) -> dict:
    """Look up an order and say where it is."""
    if order_id not in ORDERS:
        raise ToolError("not_found", f"There is no order {order_id}; a number looks like A-17.")
    return {"order_id": order_id, **ORDERS[order_id]}


@tool
def postage(grams: int, speed: Literal["normal", "express"] = "normal") -> ToolResult:
    """Work out the postage of a parcel.

    Args:
        grams: What the parcel weighs.
        speed: How fast it is to go.
    """
    if not 0 < grams <= 30_000:
        raise ToolError("invalid_arguments", "A parcel weighs from 1 to 30,000 grams.")
    cents = 390 + grams // 500 * 80 + (500 if speed == "express" else 0)
    return ToolResult({"cents": cents}, f"{cents / 100:.2f} for {grams:,} g, {speed}")


@tool(asyncio=True, timeout_s=5.0)
async def carrier_status(carrier: Literal["northmail", "coastline"]) -> str:
    """Ask a carrier whether its vans are late today."""
    await asyncio.sleep(0.05)  # stands for a library written for asyncio
    return f"{carrier}: no delays today"


@tool
async def stocktake(context: ToolContext) -> dict:
    """Count the stock, shelf by shelf."""
    shelves = {"lamps": 12, "pots": 7, "rugs": 3}
    for done, shelf in enumerate(shelves):
        context.progress(done, len(shelves), f"Counting {shelf}")
        await trio.sleep(0.05)
    return {"total": sum(shelves.values()), **shelves}


support = Agent(
    "support",
    instructions="You help with orders. Look things up before you answer.",
    tools=[lookup, postage, carrier_status, stocktake],
    title="Support",
    description="Knows the orders, the postage, the carriers and the stock.",
    starters=["Look up order A-17", "What is the postage of a parcel of 1200 grams, express?"],
)

if __name__ == "__main__":
    raise SystemExit(serve(support))
