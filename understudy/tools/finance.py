"""`compare_scenarios`: plans with cash flows, side by side."""

import math
from typing import Annotated, Any, Final

from understudy.tools.cash_flows import discounted, internal_rate, payback, present_value, return_on_investment
from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_SCENARIOS: Final = 20
# Fifty years of months.
MAX_PERIODS: Final = 600
MAX_AMOUNT: Final = 1e15
_MAX_NAME: Final = 80

CONVENTIONS: Final = (
    "The first flow is now and is not discounted; later ones come at the end of their period. "
    "ROI is total gain over total outlay, undiscounted. Payback is in periods from now."
)


@tool(retry_safe=True, timeout_s=5.0)
def compare_scenarios(
    scenarios: Annotated[
        dict[str, list[float]],
        Param("Cash flows of each named scenario, the one of now first; outlays are negative.", format="cash-flows"),
    ],
    rate_percent: Annotated[float, Param("Discount rate a period, in per cent: 8 for 8 %.", format="percentage")] = 8.0,
) -> ToolResult:
    """Compare plans by net present value, return on investment, payback, discounted payback and internal rate of
    return, from their cash flows and a discount rate."""
    rate = _rate(rate_percent)
    if not scenarios:
        raise ToolError("invalid_arguments", "There is no scenario; give cash flows such as -1000, 400, 700.")
    if len(scenarios) > MAX_SCENARIOS:
        raise ToolError("invalid_arguments", f"At most {MAX_SCENARIOS} scenarios can be compared at once.")
    rows = [_row(name, flows, rate) for name, flows in scenarios.items()]
    ranking = [row["name"] for row in sorted(rows, key=lambda row: -row["npv"])]
    value = {
        "rate_percent": rate_percent,
        "scenarios": rows,
        "ranking": ranking,
        "best": ranking[0],
        "conventions": CONVENTIONS,
    }
    return ToolResult(value, _sentence(rows, ranking, rate_percent), kind=ANALYSIS)


def _rate(rate_percent: float) -> float:
    if not math.isfinite(rate_percent) or not -99 <= rate_percent <= 1_000:
        raise ToolError("invalid_arguments", "The rate must be between -99 and 1,000 per cent a period.")
    return rate_percent / 100


def _row(name: str, flows: list[float], rate: float) -> dict[str, Any]:
    label = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
    _check(label, flows)
    irr, why = internal_rate(flows)
    roi = return_on_investment(flows)
    worth = present_value(flows, rate)
    if not math.isfinite(worth):
        raise ToolError("invalid_arguments", f"“{label}” is worth more than can be calculated at that rate.")
    return {
        "name": label,
        "flows": list(flows),
        "npv": _rounded(worth, 2),
        "roi_percent": _percent(roi),
        "payback_periods": _rounded(payback(flows), 4),
        "discounted_payback_periods": _rounded(payback(discounted(flows, rate)), 4),
        "irr_percent": _percent(irr),
        "irr_note": why,
    }


def _check(label: str, flows: list[float]) -> None:
    if len(flows) < 2:
        raise ToolError("invalid_arguments", f"“{label}” needs two cash flows or more: the one of now and a later one.")
    if len(flows) > MAX_PERIODS:
        raise ToolError("invalid_arguments", f"“{label}” has more than {MAX_PERIODS} cash flows.")
    if any(not math.isfinite(flow) or abs(flow) > MAX_AMOUNT for flow in flows):
        raise ToolError("invalid_arguments", f"“{label}” has an amount that is not a number below {MAX_AMOUNT:,.0f}.")


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places) + 0.0  # + 0.0: never -0.0


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else _rounded(fraction * 100, 4)


def _sentence(rows: list[dict[str, Any]], ranking: list[str], rate_percent: float) -> str:
    worth = {row["name"]: f"{row['npv']:,.2f}" for row in rows}
    best, *others = ranking
    at = f"at {rate_percent:g} % a period"
    if not others:
        return f"{best} has a net present value of {worth[best]} {at}."
    if worth[best] == worth[others[0]]:
        return f"{best} and {others[0]} have the same net present value, {worth[best]}, {at}."
    return f"{best} has the highest net present value, {worth[best]} {at}; next is {others[0]} with {worth[others[0]]}."
