"""Sums of spending for operators, over all users or those of a tenant."""

from typing import Any, Final, Literal, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, func, select

from understudy.extensions.spending.memberships import COUNTS
from understudy.extensions.spending.tables import memberships
from understudy.storage import schema
from understudy.storage.queries import Scope

_p = schema.spending.c
_r = schema.runs.c
_s = schema.steps.c

By: TypeAlias = Literal["user", "group", "agent", "model", "day"]
BY: Final[tuple[By, ...]] = ("user", "group", "agent", "model", "day")
MODEL_STEPS: Final = ("model", "summary", "ask")
"""Kinds of the steps in which a model was asked."""
NO_MODELS: Final = ("cut off", "title", "hand-written")
"""Names of such steps that name no model."""


@frozen
class SpendingRow:
    """A sum of spending: `key` is the user, the group, the name of the agent or model, or the day (counted from 1970);
    None for deleted runs, and for requests that name no model."""

    key: str | int | None
    tokens: int
    cost: float
    runs: int


def spending_by(connection: Connection, by: By, first: int, last: int, limit: int, scope: Scope) -> list[SpendingRow]:
    """Return sums of these users' spending on the days from `first` to `last` (UTC, counted from 1970), at most `limit`
    rows: by tokens, the most first; `by` day the latest first."""
    source: Any = schema.spending
    key: Any = {"user": _p.owner, "day": _p.day}.get(by)
    if by == "agent":
        source, key = source.outerjoin(schema.runs, _r.id == _p.run_id), func.coalesce(_r.pillar, _r.agent_type)
    elif by == "group":
        source, key = source.join(memberships, COUNTS), memberships.c.entry
    elif by == "model":
        named = _s.kind.in_(MODEL_STEPS) & _s.name.not_in(NO_MODELS)
        source = source.outerjoin(schema.steps, (_s.run_id == _p.run_id) & (_s.number == _p.number) & named)
        key = _s.name
    tokens, cost, runs = func.sum(_p.tokens), func.sum(_p.cost), func.count(_p.run_id.distinct())
    query = select(key, tokens, cost, runs).select_from(source).where(_p.day.between(first, last), scope.of(_p.owner))
    order = key.desc() if by == "day" else tokens.desc()
    rows = connection.execute(query.group_by(key).order_by(order).limit(limit))
    return [SpendingRow(name, int(count), float(price), int(of)) for name, count, price, of in rows]
