"""`reduce_costs`: which cost lines to cut, and by how much, for savings of a given share."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, NextStep, ToolResult
from understudy.tools.schema import Param
from understudy.tools.table_analysis import Groups
from understudy.tools.tables import ask_table, attached
from understudy.tools.tool import ToolContext, tool

MAX_LINES: Final = 100
MAX_AMOUNT: Final = 1e15
_MAX_NAME: Final = 80

ASK_LINES: Final = (
    "To find savings I need your cost lines: write them as “Rent: 12000; Salaries: 48000; Travel: 5000”, or attach a "
    "table of costs. I do not make up figures."
)
ASK_SHARE: Final = "How much is to be saved? I need a share, such as “by 20 %”, or an amount, such as “save 8000”."


@tool(retry_safe=True)
async def reduce_costs(
    context: ToolContext,
    percent: Annotated[
        float | None, Param("The share of all costs to save, in per cent: 35 for 35 %.", format="percentage")
    ] = None,
    costs: Annotated[
        dict[str, float] | None, Param("The amount of each cost line by its name.", format="amounts")
    ] = None,
    file_id: Annotated[str | None, Param("Id of an attached table of costs.", format="table-id")] = None,
    save: Annotated[float | None, Param("The amount to save, in place of a share.", minimum=0)] = None,
    limit_percent: Annotated[float, Param("The most that may be cut of any single line, in per cent.")] = 50.0,
) -> ToolResult:
    """Find out how to reduce costs, cut spending, lower expenses or save money by a share: which cost lines to cut, all
    in proportion or the largest first; from given amounts or an attached table of costs."""
    if costs is None and file_id is not None:
        file = await attached(context, file_id)
        groups = await ask_table(file, context.owner, "costs", (MAX_LINES,), Groups)
        costs = {str(name)[:_MAX_NAME]: amount for name, amount, _ in groups.rows if amount is not None and amount > 0}
    if not costs:
        return ToolResult({"missing": "costs"}, "The cost lines are missing, so the user is asked", answer=ASK_LINES)
    if percent is None and save is not None:
        percent = round(100 * save / math.fsum(costs.values()), 6) if math.fsum(costs.values()) > 0 else None
    if percent is None:
        return ToolResult({"missing": "percent"}, "The share is missing, so the user is asked", answer=ASK_SHARE)
    _check(costs, percent, limit_percent)
    total = math.fsum(costs.values())
    target = total * percent / 100
    cuts = largest_first(costs, target, limit_percent / 100)
    saved = math.fsum(cuts.values())
    rows = [
        {
            "line": name,
            "cost": round(amount, 2),
            "share_percent": round(100 * amount / total, 1),
            "in_proportion": round(amount * percent / 100, 2),
            "largest_first": round(cuts[name], 2),
            "left": round(amount - cuts[name], 2),
        }
        for name, amount in sorted(costs.items(), key=lambda each: -each[1])
    ]
    reached = saved >= target * (1 - 1e-9)
    value = {
        "total": round(total, 2),
        "target": round(target, 2),
        "percent": percent,
        "lines": rows,
        "largest_first": {
            "saved": round(saved, 2),
            "saved_percent": round(100 * saved / total, 2),
            "lines_cut": sum(each > 0 for each in cuts.values()),
            "reached": reached,
            "limit_percent": limit_percent,
        },
    }
    return ToolResult(value, _sentence(value, cuts, reached), kind=ANALYSIS, next_steps=_steps(costs, percent))


def largest_first(costs: Mapping[str, float], target: float, limit: float) -> dict[str, float]:
    """Return the cut of each line: the largest lines first, none by more than the share `limit`, until `target`."""
    left, cuts = target, dict.fromkeys(costs, 0.0)
    for name, amount in sorted(costs.items(), key=lambda each: -each[1]):
        cuts[name] = min(max(0.0, left), amount * limit)
        left -= cuts[name]
    return cuts


def _check(costs: Mapping[str, float], percent: float, limit_percent: float) -> None:
    if not 0 < percent <= 100:
        raise ToolError("invalid_arguments", f"A share to save is above 0 and at most 100 per cent, not {percent:g}.")
    if not 0 < limit_percent <= 100:
        raise ToolError("invalid_arguments", "limit_percent must be above 0 and at most 100.")
    if len(costs) > MAX_LINES:
        raise ToolError("invalid_arguments", f"At most {MAX_LINES} cost lines can be planned at once.")
    for name, amount in costs.items():
        if not math.isfinite(amount) or not 0 < amount <= MAX_AMOUNT:
            raise ToolError("invalid_arguments", f"The cost “{name[:_MAX_NAME]}” must be an amount above 0.")


def _sentence(value: Mapping[str, Any], cuts: Mapping[str, float], reached: bool) -> str:
    named = [f"{name[:_MAX_NAME]} by {cut:,.2f}" for name, cut in sorted(cuts.items(), key=lambda e: -e[1]) if cut > 0]
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    lead = f"{value['percent']:g} % of {value['total']:,.2f} is {value['target']:,.2f}. Largest first, cut "
    lead += f"{', '.join(named[:4])}{more}"
    if reached:
        return f"{lead}; in proportion, every line gives {value['percent']:g} %."
    plan = value["largest_first"]
    return (
        f"{lead}: that saves {plan['saved_percent']:g} %, because no line is cut by more than "
        f"{plan['limit_percent']:g} %; in proportion, every line gives {value['percent']:g} %."
    )


def _steps(costs: Mapping[str, float], percent: float) -> list[NextStep]:
    """Offer half of the savings, with the same lines."""
    lines = "; ".join(f"{name}: {amount:g}" for name, amount in costs.items())
    half = f"Reduce costs by {percent / 2:g}%: {lines}"
    return [NextStep(f"And with {percent / 2:g} %?", half)] if len(half) <= 1_000 else []
