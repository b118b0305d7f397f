"""Two agents of a small shop: a tool, a form, consent with undo, and a handoff.

The tutorial (docs/tutorial/first-agent.md) builds them up.

understudy serve examples.support:AGENTS
understudy chat --agent support
"""

from typing import Annotated, Literal

from attrs import frozen

from understudy import Agent, Param, Starter, ToolContext, ToolError, ToolResult, serve, tool

ORDERS = {
    "A-17": {"item": "desk lamp", "status": "on its way", "carrier": "northmail"},
    "A-18": {"item": "tea pot", "status": "being packed", "carrier": "coastline"},
}
OrderId = Annotated[str, Param("The order's number, such as A-17.")]


def find(order_id: str) -> dict[str, str]:
    """Return an order. Raises ToolError if there is none of this number."""
    if order_id not in ORDERS:
        raise ToolError("not_found", f"There is no order {order_id}; a number looks like A-17.")
    return ORDERS[order_id]


@tool
async def lookup(order_id: OrderId) -> dict[str, str]:
    """Look up an order and say where it is."""
    return {"order_id": order_id, **find(order_id)}


@frozen
class Delivery:
    """Where shall it go?"""

    town: Annotated[str, Param("The town, without the postcode.")]
    express: bool = False


@tool
async def deliver(order_id: OrderId, context: ToolContext) -> str:
    """Deliver an order to another town."""
    order = find(order_id)
    delivery = await context.ask(Delivery)
    return f"The {order['item']} goes to {delivery.town}{', express' if delivery.express else ''}"


def take_back(result: dict[str, str], arguments: dict[str, str]) -> None:
    """Undo a cancellation."""
    ORDERS[arguments["order_id"]]["status"] = result["before"]


@tool(approval=True, undo=take_back, undo_s=600)
def cancel(order_id: OrderId) -> ToolResult:
    """Cancel an order."""
    order = find(order_id)
    before, order["status"] = order["status"], "cancelled"
    return ToolResult({"order_id": order_id, "before": before}, f"{order_id}, {order['item']}: cancelled")


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


parcels = Agent(
    "parcels",
    instructions="You know what parcels cost.",
    tools=[postage],
    title="Parcels",
    description="Knows the postage of parcels.",
    starters=[
        Starter(
            "What is the postage of 1200 g, express?", tool="postage", arguments={"grams": 1200, "speed": "express"}
        )
    ],
)

support = Agent(
    "support",
    instructions="You help with orders. Look things up before you answer.",
    tools=[lookup, deliver, cancel],
    colleagues=["parcels"],
    title="Support",
    description="Looks orders up, delivers them elsewhere, and cancels them.",
    starters=[
        Starter("Look up order A-17", tool="lookup", arguments={"order_id": "A-17"}),
        Starter("Deliver A-18 to another town", tool="deliver", arguments={"order_id": "A-18"}),
        Starter("Cancel order A-18", tool="cancel", arguments={"order_id": "A-18"}),
    ],
)

AGENTS = [support, parcels]

if __name__ == "__main__":
    raise SystemExit(serve(*AGENTS))
