"""`compare_scenarios`, `sensitivity_analysis` and `break_even`: plans by their cash flows, prices and costs.

Conventions, as in Brealey, Myers and Allen, *Principles of Corporate Finance*, chapters 2 and 5:

- The first cash flow is now (time 0) and is not discounted; flow *t* comes at the end of period *t*.
  Excel's ``NPV`` function discounts the first flow too: the value here is ``flow[0] + NPV(rate, flow[1:])`` there.
- An outlay is negative, a return positive. The rate is for one period.
- Payback is counted in periods from now; a flow is spread evenly over its period.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Final

from understudy.tools.errors import ToolError
from understudy.tools.result import ANALYSIS, NextStep, ToolResult
from understudy.tools.schema import Param
from understudy.tools.tool import tool

MAX_SCENARIOS: Final = 20
MAX_PERIODS: Final = 600  # fifty years of months
MAX_AMOUNT: Final = 1e15
_MAX_NAME: Final = 80
_MAX_STEP: Final = 600  # characters of cash flows in the message of a next step
# Internal rates that are searched, as fractions; one outside is meaningless for a plan.
_LOWEST: Final = -0.99
_HIGHEST: Final = 100.0

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
    _check(scenarios, rate_percent)
    rows = [_row(name, flows, rate_percent / 100) for name, flows in scenarios.items()]
    ranking = [row["name"] for row in sorted(rows, key=lambda row: -row["npv"])]
    value = {
        "rate_percent": rate_percent,
        "scenarios": rows,
        "ranking": ranking,
        "best": ranking[0],
        "conventions": CONVENTIONS,
    }
    flows = "; ".join(f"{row['name']}: {', '.join(f'{each:g}' for each in row['flows'])}" for row in rows)
    steps = []
    if len(flows) <= _MAX_STEP:
        steps.append(
            NextStep("How sensitive is that?", f"How sensitive to changes is this at {rate_percent:g}%: {flows}")
        )
    return ToolResult(value, _sentence(rows, ranking, rate_percent), kind=ANALYSIS, next_steps=steps)


@tool(retry_safe=True, timeout_s=5.0)
def sensitivity_analysis(
    scenarios: Annotated[
        dict[str, list[float]],
        Param("Cash flows of each named plan, the one of now first; outlays are negative.", format="cash-flows"),
    ],
    rate_percent: Annotated[float, Param("Discount rate a period, in per cent: 8 for 8 %.", format="percentage")] = 8.0,
    swing_percent: Annotated[float, Param("By how much to vary returns and outlays, in per cent.")] = 10.0,
) -> ToolResult:
    """Test how sensitive plans are: the net present value if returns or outlays turn out higher, lower or worse, if
    the rate changes, if returns come a period late; and by how much returns may fall, what if they do."""
    _check(scenarios, rate_percent)
    if not 0 < swing_percent <= 100:
        raise ToolError("invalid_arguments", "swing_percent must be above 0 and at most 100.")
    rows = [row for name, flows in scenarios.items() for row in _swings(name, flows, rate_percent, swing_percent)]
    spare = {name: _spare(flows, rate_percent / 100) for name, flows in scenarios.items()}
    most = max(rows, key=lambda row: abs(row["change"]))
    said = [
        f"{name} {'stays worth it until returns fall' if share > 0 else 'is worth it only if returns rise'} by "
        f"{abs(share) * 100:.1f} %"
        for name, share in spare.items()
        if share is not None
    ]
    summary = f"{most['name']} reacts most to “{most['case']}”: {most['change']:+,.2f} to {most['npv']:,.2f}"
    value = {
        "rate_percent": rate_percent,
        "swing_percent": swing_percent,
        "cases": rows,
        "spare": [{"name": name, "returns_may_fall_percent": _percent(share)} for name, share in spare.items()],
        "conventions": CONVENTIONS,
    }
    return ToolResult(value, f"{'; '.join([*said, summary])}.", kind=ANALYSIS)


def _swings(name: str, flows: list[float], rate_percent: float, swing: float) -> list[dict[str, Any]]:
    """Return the worth of a plan in each case, and its change against the plan as given."""
    row = _row(name, flows, rate_percent / 100)
    more, less = 1 + swing / 100, 1 - swing / 100
    cases = {
        f"returns {swing:g} % lower": ([f * less if f > 0 else f for f in flows], rate_percent),
        f"returns {swing:g} % higher": ([f * more if f > 0 else f for f in flows], rate_percent),
        f"outlays {swing:g} % higher": ([f * more if f < 0 else f for f in flows], rate_percent),
        f"outlays {swing:g} % lower": ([f * less if f < 0 else f for f in flows], rate_percent),
        "rate 2 points higher": (flows, rate_percent + 2),
        "rate 2 points lower": (flows, rate_percent - 2),
        "returns a period late": (_late(flows), rate_percent),
    }
    found = []
    for case, (changed, rate) in cases.items():
        worth = present_value(changed, max(rate, -99) / 100)
        found.append(
            {"name": row["name"], "case": case, "npv": _rounded(worth, 2), "change": round(worth - row["npv"], 2)}
        )
    return found


def _late(flows: Sequence[float]) -> list[float]:
    """Return the flows with each return a period later, and each outlay when it was."""
    late = [flow if flow < 0 else 0.0 for flow in (*flows, 0.0)]
    for period, flow in enumerate(flows):
        late[period + 1] += max(0.0, flow)
    return late


def _spare(flows: Sequence[float], rate: float) -> float | None:
    """Return the share by which all returns may fall before the present value is zero; None without returns."""
    returns = present_value([max(0.0, flow) for flow in flows], rate)
    return present_value(flows, rate) / returns if returns > 0 else None


@tool(retry_safe=True, timeout_s=5.0)
def break_even(
    fixed_costs: Annotated[float, Param("Costs of a period that do not depend on the volume.", minimum=0)],
    price: Annotated[float, Param("Price of one unit.")],
    variable_cost: Annotated[float, Param("Variable cost of one unit.", minimum=0)],
    units: Annotated[float | None, Param("Planned units; left out, only the break-even point.")] = None,
) -> ToolResult:
    """Find the break-even point: how many units must be sold to cover the fixed costs, at a price and a variable cost
    of one unit, and the margin of safety of a planned volume."""
    given = {"fixed_costs": fixed_costs, "price": price, "variable_cost": variable_cost, "units": units or 0.0}
    for name, amount in given.items():
        if not math.isfinite(amount) or not 0 <= amount <= MAX_AMOUNT:
            raise ToolError("invalid_arguments", f"{name} must be between 0 and {MAX_AMOUNT:,.0f}, not {amount:g}.")
    margin = price - variable_cost
    if margin <= 0:
        message = f"There is no break-even point: a unit costs {variable_cost:,.2f} and brings {price:,.2f}."
        raise ToolError("invalid_arguments", message)
    point = fixed_costs / margin
    value: dict[str, Any] = {
        "units": math.ceil(round(point, 9)),
        "exact_units": _rounded(point, 4),
        "revenue": _rounded(point * price, 2),
        "margin_per_unit": _rounded(margin, 4),
        "margin_percent": _percent(margin / price),
        "profit_by_units": [
            {"units": round(point * share), "profit": _rounded(round(point * share) * margin - fixed_costs, 2)}
            for share in (0.5, 0.8, 1.0, 1.2, 1.5)
        ],
    }
    summary = (
        f"The break-even point is {value['units']:,} units, which bring {value['revenue']:,.2f}; each unit leaves "
    )
    summary += f"{margin:,.2f} for the fixed costs of {fixed_costs:,.2f}"
    if units:
        value["planned_profit"] = _rounded(units * margin - fixed_costs, 2)
        value["safety_percent"] = _percent(1 - point / units)
        summary += f"; {units:,g} units give {value['planned_profit']:,.2f}"
    step = f"Break-even with fixed costs of {fixed_costs:g}, price {price * 0.9:g} and variable cost {variable_cost:g}"
    steps = [NextStep("With a price 10 % lower", step)] if price * 0.9 > variable_cost else []
    return ToolResult(value, f"{summary}.", kind=ANALYSIS, next_steps=steps)


def _check(scenarios: dict[str, list[float]], rate_percent: float) -> None:
    if not math.isfinite(rate_percent) or not -99 <= rate_percent <= 1_000:
        raise ToolError("invalid_arguments", "The rate must be between -99 and 1,000 per cent a period.")
    if not scenarios:
        raise ToolError("invalid_arguments", "There is no scenario; give cash flows such as -1000, 400, 700.")
    if len(scenarios) > MAX_SCENARIOS:
        raise ToolError("invalid_arguments", f"At most {MAX_SCENARIOS} scenarios can be compared at once.")


def _row(name: str, flows: list[float], rate: float) -> dict[str, Any]:
    label = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
    if len(flows) < 2:
        raise ToolError("invalid_arguments", f"“{label}” needs two cash flows or more: the one of now and a later one.")
    if len(flows) > MAX_PERIODS:
        raise ToolError("invalid_arguments", f"“{label}” has more than {MAX_PERIODS} cash flows.")
    if any(not math.isfinite(flow) or abs(flow) > MAX_AMOUNT for flow in flows):
        raise ToolError("invalid_arguments", f"“{label}” has an amount that is not a number below {MAX_AMOUNT:,.0f}.")
    irr, why = internal_rate(flows)
    worth = present_value(flows, rate)
    if not math.isfinite(worth):
        raise ToolError("invalid_arguments", f"“{label}” is worth more than can be calculated at that rate.")
    return {
        "name": label,
        "flows": list(flows),
        "npv": _rounded(worth, 2),
        "roi_percent": _percent(return_on_investment(flows)),
        "payback_periods": _rounded(payback(flows), 4),
        "discounted_payback_periods": _rounded(payback(_discounted(flows, rate)), 4),
        "irr_percent": _percent(irr),
        "irr_note": why,
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places) + 0.0  # + 0.0: never -0.0


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else _rounded(fraction * 100, 4)


def _sentence(rows: list[dict[str, Any]], ranking: list[str], rate_percent: float) -> str:
    worth = {row["name"]: f"{row['npv']:,.2f}" for row in rows}
    best, *others = ranking
    at = f"at {rate_percent:g} % a period"
    if not others:
        pays = rows[0]["payback_periods"]
        back = "the outlay does not come back" if pays is None else f"the outlay is back after {pays:.4g} periods"
        worth_it = "worth it" if rows[0]["npv"] > 0 else "not worth it"
        return f"{best} has a net present value of {worth[best]} {at}, so it is {worth_it} at that rate; {back}."
    if worth[best] == worth[others[0]]:
        return f"{best} and {others[0]} have the same net present value, {worth[best]}, {at}."
    return f"{best} has the highest net present value, {worth[best]} {at}; next is {others[0]} with {worth[others[0]]}."


def present_value(flows: Sequence[float], rate: float) -> float:
    """Return the sum of ``flow[t] / (1 + rate) ** t``, infinite beyond the range of a float; `rate` is above -1."""
    worth = 0.0
    for flow in reversed(flows):  # Horner's scheme: no power is computed, so none can overflow on its own
        worth = worth / (1 + rate) + flow
    return worth


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
        after = balance + flow
        if in_debt and after >= -rounding:
            return period - 1 + min(1.0, -balance / flow)
        in_debt = in_debt or after < 0
        balance = after
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
