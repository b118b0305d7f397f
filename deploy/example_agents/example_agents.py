"""Agents that are shipped as a wheel: compose, the systemd unit and the Helm chart serve `example_agents:AGENTS`."""

from typing import Annotated

from understudy import Agent, Param, Starter, ToolError, ToolResult, tool

PARCELS = {"P-17": "on its way", "P-18": "being packed"}


@tool
async def parcel_status(
    number: Annotated[str, Param("The parcel's number, such as P-17.")],
) -> ToolResult:
    """Look up a parcel and say where it is."""
    if number not in PARCELS:
        raise ToolError("not_found", f"There is no parcel {number}; a number looks like P-17.")
    return ToolResult({"number": number, "status": PARCELS[number]}, f"{number}: {PARCELS[number]}")


parcels = Agent(
    "parcels",
    instructions="You tell where parcels are. Look them up before you answer.",
    tools=[parcel_status],
    title="Parcels",
    description="Knows where parcels are.",
    starters=[Starter("Look up parcel P-17", tool="parcel_status", arguments={"number": "P-17"})],
)

AGENTS = [parcels]
