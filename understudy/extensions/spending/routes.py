"""`/api/admin/spending`: sums of spending, for operators; those of a tenant see their tenant's only."""

import time
from datetime import UTC, datetime

from attrs import asdict
from msgspec import Struct
from quart import request

from understudy.extensions.spending.report import BY, spending_by
from understudy.storage.spending import DAY_S, KEPT_DAYS, day_of
from understudy.web.context import one_of, web_context, whole_number
from understudy.web.operators import MOST, OF_OPERATOR, scope, who
from understudy.web.routes import JsonObject, Routes, choice, up_to

blueprint = Routes("spending", __name__, url_prefix="/api/admin/spending")


class SpendingReport(Struct):
    """Sums of spending from the day `since` to `until`, both included, with costs in `currency`."""

    spending: list[JsonObject]
    since: str
    until: str
    currency: str


@blueprint.get("", query={"tenant": str, "by": choice(BY), "days": up_to(KEPT_DAYS)}, errors=OF_OPERATOR)
async def spending() -> SpendingReport:
    """Sum up what was spent on models in the last `days` (today is one), by what `by` names."""
    of, days = scope(), whole_number("days", 1, 1, KEPT_DAYS)
    by = one_of("by", request.args.get("by", "user"), BY)
    context, today = web_context(), day_of(time.time())
    span = today - days + 1, today
    rows = await context.store.archive.read(spending_by, by, *span, MOST, of)
    shown = []
    for row in rows:
        fields = asdict(row)
        key = fields.pop("key")
        if by == "user":
            shown.append(who(key) | fields)
        else:
            shown.append({by: _date(key) if by == "day" else key} | fields)
    return SpendingReport(shown, _date(span[0]), _date(today), context.models.prices.currency)


def _date(day: int) -> str:
    """Return a day, counted from 1970, as 2026-11-23."""
    return f"{datetime.fromtimestamp(day * DAY_S, UTC):%Y-%m-%d}"
