"""The tool `reduce_costs`: computes which cost lines to cut, and by how much, to save a given share."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from understudy.extensions.liaisons.amounts import read_amount, split_lines
from understudy.tools.errors import ToolError
from understudy.tools.offers import NextStep
from understudy.tools.result import ANALYSIS, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_LINES: Final = 100
SAMPLE: Final = {"Rent": 12_000.0, "Salaries": 48_000.0, "Travel": 5_000.0}


@tool(retry_safe=True, timeout_s=5.0)
def reduce_costs(
    percent: Annotated[float, Param("The share of all costs to save, in per cent: 35 for 35 %.")],
    costs: Annotated[
        list[str] | None, Param("One cost a line: Rent: 12000. Left out, the tool works on sample lines, and says so.")
    ] = None,
    limit_percent: Annotated[float, Param("The most that may be cut of any single line, in per cent.")] = 50.0,
) -> ToolResult:
    """Find savings: how much of each cost line to cut for a share of all costs, in proportion or the largest first."""
    for name, share in (("percent", percent), ("limit_percent", limit_percent)):
        if not 0 < share <= 100:
            raise ToolError("invalid_arguments", f"{name} must be above 0 and at most 100, not {share:g}.")
    lines = _read(costs or ())
    sample = not lines
    lines = lines or SAMPLE
    total = math.fsum(lines.values())
    target = total * percent / 100
    cuts = largest_first(lines, target, limit_percent / 100)
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
        for name, amount in sorted(lines.items(), key=lambda line: -line[1])
    ]
    value = {
        "sample": sample,
        "total": round(total, 2),
        "target": round(target, 2),
        "percent": percent,
        "lines": rows,
        "largest_first": {
            "saved": round(saved, 2),
            "saved_percent": round(100 * saved / total, 2),
            "lines_cut": sum(cut > 0 for cut in cuts.values()),
            "reached": saved >= target * (1 - 1e-9),
            "limit_percent": limit_percent,
        },
    }
    with_half = NextStep(f"And with {percent / 2:g} %?", "reduce_costs", {"percent": percent / 2, "costs": costs})
    steps = [NextStep("With my own costs", "reduce_costs") if sample else with_half]
    return ToolResult(value, _sentence(value, cuts), kind=ANALYSIS, next_steps=steps)


def largest_first(costs: Mapping[str, float], target: float, limit: float) -> dict[str, float]:
    """Return the cut of each line, up to the sum `target`: largest lines first, none by more than the share `limit`."""
    remaining, cuts = target, dict.fromkeys(costs, 0.0)
    for name, amount in sorted(costs.items(), key=lambda line: -line[1]):
        cuts[name] = min(max(0.0, remaining), amount * limit)
        remaining -= cuts[name]
    return cuts


def _read(costs: Sequence[str]) -> dict[str, float]:
    lines = {name: read_amount(text, name) for name, text in split_lines(costs, "Rent: 12000", MAX_LINES).items()}
    for name, amount in lines.items():
        if amount <= 0:
            raise ToolError("invalid_arguments", f"The cost “{name}” must be an amount above 0.")
    return lines


def _sentence(value: Mapping[str, Any], cuts: Mapping[str, float]) -> str:
    cut_lines = [f"{name} by {cut:,.2f}" for name, cut in sorted(cuts.items(), key=lambda line: -line[1]) if cut > 0]
    more = f" and {len(cut_lines) - 4} more" if len(cut_lines) > 4 else ""
    text = f"{value['percent']:g} % of {value['total']:,.2f} is {value['target']:,.2f}. Largest first, cut "
    text += f"{', '.join(cut_lines[:4])}{more}"
    plan = value["largest_first"]
    if not plan["reached"]:
        text += f": that saves {plan['saved_percent']:g} %, as no line is cut by more than {plan['limit_percent']:g} %"
    text += f"; in proportion, every line gives {value['percent']:g} %."
    if value["sample"]:
        sample = ", ".join(f"{name} {amount:,.0f}" for name, amount in SAMPLE.items())
        return f"These are sample figures ({sample}); the form takes your own lines. {text}"
    return text
