"""An agent whose tool asks for a form with every kind of field, for `forms_story.py`."""

import datetime
from enum import Enum
from typing import Annotated, Literal

from attrs import frozen

from understudy import Agent, ToolContext, mcp, tool
from understudy.models.model import Emit, Reply, TextDelta, ToolRequest, Turn
from understudy.tools.tool import Param


class Size(Enum):
    """A size."""

    SMALL = "small"
    LARGE = "large"


@frozen
class Sender:
    """Who sends it."""

    name: str
    floor: Annotated[int, Param(maximum=40)] = 0


@frozen
class ParcelDelivery:
    """Where shall the parcel go?"""

    city: Annotated[str, Param("the town, without its post code")]
    parcels: Annotated[int, Param("how many there are", minimum=1, maximum=6)]
    size: Size
    day: datetime.date = datetime.date(2026, 12, 24)
    express: bool = False
    notes: Annotated[str, Param(format="multiline")] = ""
    extras: tuple[Literal["gift wrap", "insurance", "call before"], ...] = ()
    sender: Sender | None = None


@tool
async def deliver(context: ToolContext) -> str:
    """Have parcels delivered."""
    order = await context.ask(ParcelDelivery)
    more = "".join(f", {extra}" for extra in order.extras) + (f", from {order.sender.name}" if order.sender else "")
    return f"{order.parcels} {order.size.value} to {order.city} on {order.day:%d %B}{more}"


class DeliveringModel:
    """Calls the tool once, and answers with its result."""

    name = "delivering"
    notice = "A script for tests."

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Call the tool, then say that it is done."""
        if not turn.rounds:
            return Reply(calls=(ToolRequest("c1", "deliver", {}),))
        await emit(TextDelta("On its way."))
        return Reply("On its way.")


agent = Agent("parcels", tools=[deliver, mcp("no-such-program", name="maps")], model=DeliveringModel())
