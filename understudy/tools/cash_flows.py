"""The value of a series of cash flows: present value, return, payback, internal rate.

Conventions, as in Brealey, Myers and Allen, *Principles of Corporate Finance*, chapters 2 and 5:

- The first cash flow is now (time 0) and is not discounted; flow *t* comes at the end of period *t*.
  Excel's ``NPV`` function discounts the first flow too: this is ``flow[0] + NPV(rate, flow[1:])`` there.
- An outlay is negative, a return positive. The rate is for one period.
- Payback is counted in periods from now, with a flow taken as spread evenly over its period.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

# A rate below this, or above 10,000 per cent, means nothing for a plan.
_LOWEST: Final = -0.99
_HIGHEST: Final = 100.0


def present_value(flows: Sequence[float], rate: float) -> float:
    """The sum of ``flow[t] / (1 + rate) ** t``. `rate` is a fraction above -1.

    Infinite where it leaves the range of a float.
    """
    worth = 0.0
    for flow in reversed(flows):  # Horner's scheme: no power is ever written out, so none can overflow on its own
        worth = worth / (1 + rate) + flow
    return worth


def discounted(flows: Sequence[float], rate: float) -> list[float]:
    """Return every flow at its present value."""
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
    """Periods until what was paid out has come back for the first time; None if it never does, or nothing was paid.

    For the discounted payback give the flows as `discounted` returns them.
    """
    balance = 0.0
    in_debt = False
    for period, flow in enumerate(flows):
        after = balance + flow
        if in_debt and after >= -_dust(flows):
            return period - 1 + min(1.0, -balance / flow)
        in_debt = in_debt or after < 0
        balance = after
    return None


def _dust(flows: Sequence[float]) -> float:
    """Return the amount below which a value is a rounding error."""
    return 1e-12 * max(abs(flow) for flow in flows)


def internal_rate(flows: Sequence[float]) -> tuple[float | None, str]:
    """The rate at which the present value is nothing, and, where there is none to be relied on, why.

    Only for flows that change sign exactly once: then Descartes' rule of signs says there is exactly one such rate
    above -100 %. With more changes there can be several, and none of them means anything.
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
