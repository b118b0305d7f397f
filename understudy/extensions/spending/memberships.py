"""Reads and writes of memberships: the groups and roles for which a user's spending counts, by days of UTC.

1. A user is in the groups and roles of their last token, for which work without a token, such as a schedule's, counts.
2. A user's spending counts for a group from the first to the last day on which the user was in it, both included; it
   stays in the group's sum when the user leaves.
3. Rights are never read from here: the token of each message has them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, and_, exists, or_, select, update

from understudy.extensions.spending import tables
from understudy.extensions.spending.sums import SUMS, add_up
from understudy.storage import schema
from understudy.storage.deletion import delete_some
from understudy.storage.spending import DELETED, day_of
from understudy.storage.write import add_users, put, write

_m = tables.memberships.c
_s = schema.spending.c

IN_FORCE: Final = _m.last_day.is_(None)
COUNTS: Final = and_(_m.owner == _s.owner, _m.first_day <= _s.day, or_(IN_FORCE, _m.last_day >= _s.day))
"""Condition on a membership and a row of spending: the row counts for the entry of the membership."""


@write
def set_memberships(connection: Connection, owner: str, entries: tuple[str, ...], at: float) -> bool:
    """Make these entries (`group:NAME`, `role:NAME`) those of a user, from the day of `at` on (Unix seconds)."""
    add_users(connection, [(owner, at)])
    table, of_owner, today = tables.memberships, _m.owner == owner, day_of(at)
    ended = update(table).where(of_owner, IN_FORCE, _m.entry.not_in(entries))
    connection.execute(ended.values(last_day=today))
    current = memberships(connection, owner)
    for entry in entries:
        if entry in current:
            continue
        # A membership that ended today continues, so that no day is in two rows.
        back = update(table).where(of_owner, _m.entry == entry, _m.last_day == today).values(last_day=None)
        if not connection.execute(back).rowcount:
            row = put(connection, table).values(owner=owner, entry=entry, first_day=today, last_day=None)
            connection.execute(row.on_conflict_do_nothing())  # another server may have just written it
    return True


@write
def forget_memberships(connection: Connection, before_day: int) -> bool:
    """Delete memberships that ended before a day, at most DELETED. Return whether there may be more."""
    ended = select(_m.owner, _m.entry, _m.first_day).where(_m.last_day < before_day)
    return delete_some(connection, tables.memberships, ended, DELETED) == DELETED


def memberships(connection: Connection, owner: str) -> frozenset[str]:
    """Return the entries in which a user is now."""
    return frozenset(connection.scalars(select(_m.entry).where(_m.owner == owner, IN_FORCE)))


def spent_together(
    connection: Connection, owner: str, tenant: str | None, entries: Collection[str], firsts: Sequence[int], last: int
) -> Mapping[str, list[tuple[int, float]]]:
    """Return by entry the tokens and cost of all its users, for those of `entries` in which `owner` is now.

    Each value has one sum per day in `firsts`, from that day to `last`. With a `tenant` only its users count.
    """
    sums: dict[str, list[tuple[int, float]]] = {}
    for entry in sorted(memberships(connection, owner) & set(entries)):
        counted = SUMS.where(exists().where(_m.entry == entry, COUNTS))
        if tenant is not None:
            counted = counted.where(_s.tenant == tenant)
        sums[entry] = [add_up(connection, counted.where(_s.day.between(first, last))) for first in firsts]
    return sums
