"""The tool `compare_scenarios`: compares plans by their cash flows.

Conventions, as in Brealey, Myers and Allen, *Principles of Corporate Finance*, chapters 2 and 5:

- The first cash flow is now (time 0) and is not discounted; flow *t* comes at the end of period *t*.
  Excel's ``NPV`` function discounts the first flow too: the value here is ``flow[0] + NPV(rate, flow[1:])`` there.
- An outlay is negative, a return positive. The rate is for one period.
- Payback is counted in periods from now; a flow is spread evenly over its period.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Final

from understudy.extensions.liaisons.amounts import read_amount, split_lines
from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_SCENARIOS: Final = 20
MAX_PERIODS: Final = 600  # fifty years of months
# Range in which the internal rate is searched, as fractions; a rate outside it is meaningless for a plan.
_LOWEST: Final = -0.99
_HIGHEST: Final = 100.0
_GROUPED: Final = re.compile(r"\d,\d{3}(?!\d)", re.ASCII)

CONVENTIONS: Final = (
    "The first flow is now and is not discounted; later ones come at the end of their period. "
    "ROI is total gain over total outlay, undiscounted. Payback is in periods from now."
)


@tool(retry_safe=True, timeout_s=5.0)
def compare_scenarios(
    scenarios: Annotated[
        list[str],
        Param("One plan a line, its cash flows from now on: Build: -1000, 400, 500, 600. Outlays are negative."),
    ],
    rate_percent: Annotated[float, Param("Discount rate a period, in per cent: 8 for 8 %.")] = 8.0,
) -> ToolResult:
    """Compare plans by their cash flows: net present value, return on investment, payback, internal rate of return."""
    if not math.isfinite(rate_percent) or not -99 <= rate_percent <= 1_000:
        raise ToolError("invalid_arguments", "The rate must be between -99 and 1,000 per cent a period.")
    plans = split_lines(scenarios, "Build: -1000, 400, 500, 600", MAX_SCENARIOS)
    if not plans:
        raise ToolError("invalid_arguments", "There is no plan; write one a line, such as Build: -1000, 400, 500, 600.")
    rows = [_row(name, _flows(name, text), rate_percent / 100) for name, text in plans.items()]
    ranking = [row["name"] for row in sorted(rows, key=lambda row: -row["npv"])]
    value = {
        "rate_percent": rate_percent,
        "scenarios": rows,
        "ranking": ranking,
        "best": ranking[0],
        "conventions": CONVENTIONS,
    }
    return ToolResult(value, _sentence(rows, ranking, rate_percent), kind=ANALYSIS)


def _flows(name: str, text: str) -> list[float]:
    if _GROUPED.search(text):
        why = f"A comma separates the cash flows of “{name}”: write a space after it, and 1000 for 1,000."
        raise ToolError("invalid_arguments", why)
    parts = text.split(",", MAX_PERIODS)
    if len(parts) < 2:
        raise ToolError("invalid_arguments", f"“{name}” needs two cash flows or more: the one of now and a later one.")
    if len(parts) > MAX_PERIODS:
        raise ToolError("invalid_arguments", f"“{name}” has more than {MAX_PERIODS} cash flows.")
    return [read_amount(part, name) for part in parts]


def _row(name: str, flows: list[float], rate: float) -> dict[str, Any]:
    irr, irr_note = internal_rate(flows)
    npv = present_value(flows, rate)
    if not math.isfinite(npv):
        raise ToolError("invalid_arguments", f"“{name}” is worth more than can be calculated at that rate.")
    return {
        "name": name,
        "flows": flows,
        "npv": _rounded(npv, 2),
        "roi_percent": _percent(return_on_investment(flows)),
        "payback_periods": _rounded(payback(flows), 4),
        "discounted_payback_periods": _rounded(payback(_discounted(flows, rate)), 4),
        "irr_percent": _percent(irr),
        "irr_note": irr_note,
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places) + 0.0  # + 0.0: never -0.0


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else _rounded(fraction * 100, 4)


def _sentence(rows: list[dict[str, Any]], ranking: list[str], rate_percent: float) -> str:
    npvs = {row["name"]: f"{row['npv']:,.2f}" for row in rows}
    best, *others = ranking
    rate = f"at {rate_percent:g} % a period"
    if not others:
        periods = rows[0]["payback_periods"]
        back = "the outlay does not come back" if periods is None else f"the outlay is back after {periods:.4g} periods"
        verdict = "worth it" if rows[0]["npv"] > 0 else "not worth it"
        return f"{best} has a net present value of {npvs[best]} {rate}, so it is {verdict} at that rate; {back}."
    if npvs[best] == npvs[others[0]]:
        return f"{best} and {others[0]} have the same net present value, {npvs[best]}, {rate}."
    return f"{best} has the highest net present value, {npvs[best]} {rate}; next is {others[0]} with {npvs[others[0]]}."


def present_value(flows: Sequence[float], rate: float) -> float:
    """Return the sum of ``flow[t] / (1 + rate) ** t``, infinite beyond the range of a float; `rate` is above -1."""
    value = 0.0
    for flow in reversed(flows):  # Horner's scheme: no power is computed, so none can overflow on its own
        value = value / (1 + rate) + flow
    return value


def _discounted(flows: Sequence[float], rate: float) -> list[float]:
    present, factor = [], 1.0
    for flow in flows:
        present.append(flow * factor if flow else 0.0)
        factor /= 1 + rate
    return present


def return_on_investment(flows: Sequence[float]) -> float | None:
    """Return the net gain over the outlays: ``sum(flows) / sum of outlays``. None without an outlay."""
    outlay = -math.fsum(flow for flow in flows if flow < 0)
    return math.fsum(flows) / outlay if outlay > 0 else None


def payback(flows: Sequence[float]) -> float | None:
    """Return the periods until the outlays are recovered for the first time; None if never, or without an outlay."""
    rounding = 1e-12 * max(abs(flow) for flow in flows)
    balance, in_debt = 0.0, False
    for period, flow in enumerate(flows):
        new_balance = balance + flow
        if in_debt and new_balance >= -rounding:
            return period - 1 + min(1.0, -balance / flow)
        in_debt = in_debt or new_balance < 0
        balance = new_balance
    return None


def internal_rate(flows: Sequence[float]) -> tuple[float | None, str]:
    """Return the rate at which the present value is zero, or None and the reason why there is no reliable one.

    By Descartes' rule of signs, flows that change sign exactly once have exactly one such rate above -100 %. With more
    changes there can be several, and none of them is meaningful.
    """
    signs = [flow > 0 for flow in flows if flow]
    changes = sum(a != b for a, b in pairwise(signs))
    if changes == 0:
        return None, "all flows have the same sign"
    if changes > 1:
        return None, "the flows change sign more than once, so there may be several rates"
    low, high = _LOWEST, _HIGHEST
    rising = present_value(flows, low) < 0
    if rising == (present_value(flows, high) < 0):
        return None, "the rate is below -99 % or above 10,000 %"
    for _ in range(200):
        middle = (low + high) / 2
        if (present_value(flows, middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2, ""
