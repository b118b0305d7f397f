"""Reads and writes of what nodes count together. All times are by the database's clock.

1. A count of a node is a row of its own, and counts while the node is alive.
2. A shared bucket of tokens is a row of no node: what it has now follows from what it had, and when. It may go below
   zero, by one burst at most.
3. The number of a node's last report is a row too, so that a report which is stored again takes nothing again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, Float, bindparam, delete, func, select

from understudy.extensions.nodes.tables import nodes, shared_counts
from understudy.storage.schema import Now
from understudy.storage.write import put, write

_c = shared_counts.c
_n = nodes.c

REPORTS: Final = "reports"
"""Key of the number of a node's last report."""


@frozen
class TokensTaken:
    """Tokens that a user took from a bucket of `burst` tokens, refilled with `rate_per_min`. `bucket` is its key."""

    bucket: str
    rate_per_min: float
    burst: float
    count: int


@write
def report(
    connection: Connection, node: str, number: int, counts: Mapping[str, int], taken: Sequence[TokensTaken]
) -> bool:
    """Set counts of a node, and take tokens from shared buckets. Return False if it was stored before."""
    insert, rows = put(connection, shared_counts), {"node": node, "at": Now()}
    given = insert.values(rows | {"key": REPORTS, "value": number})
    is_new = given.on_conflict_do_update(
        index_elements=["key", "node"], set_={"value": given.excluded.value}, where=_c.value < given.excluded.value
    )
    if not connection.execute(is_new).rowcount:
        return False
    given = insert.values(rows | {"key": bindparam("of"), "value": bindparam("count")})
    count = given.on_conflict_do_update(index_elements=["key", "node"], set_={"value": given.excluded.value})
    if counts:
        connection.execute(count, [{"of": key, "count": counts[key]} for key in sorted(counts)])
    rate, burst, took = (bindparam(name, type_=Float()) for name in ("rate", "burst", "n"))
    left = func.least(burst, _c.value + func.greatest(0, Now() - _c.at) * rate / 60)
    full_at = Now() + 2 * burst * 60 / rate
    take = insert.values(key=bindparam("of"), node="", value=burst - took, at=Now(), until=full_at)
    take = take.on_conflict_do_update(
        index_elements=["key", "node"],
        set_={"value": func.greatest(-burst, left - took), "at": Now(), "until": full_at},
    )
    if taken:  # in the order of their keys: two servers cannot deadlock
        ordered = sorted(taken, key=lambda each: each.bucket)
        rows_of = [{"of": t.bucket, "rate": t.rate_per_min, "burst": t.burst, "n": t.count} for t in ordered]
        connection.execute(take, rows_of)
    return True


@write
def sweep(connection: Connection) -> bool:
    """Delete the counts of nodes that are gone and those of nothing, and the buckets that are full again. Return
    True."""
    nothing = (_c.node != "") & ((_c.value == 0) | _c.node.not_in(select(_n.id)))
    connection.execute(delete(shared_counts).where(nothing | (_c.until < Now())))
    return True


def counted_by_others(connection: Connection, node: str, key: str) -> int:
    """Return the sum of the counts of a key on all other living nodes."""
    counted = select(func.coalesce(func.sum(_c.value), 0)).join(nodes, (_n.id == _c.node) & (_n.expires_at > Now()))
    return int(connection.execute(counted.where(_c.key == key, _c.node != node)).scalar_one())


def counted_runs(connection: Connection) -> dict[str, tuple[float, dict[str, int]]]:
    """Return for each living node that counts runs the seconds until its lease ends, and the counts by key."""
    alive = (_n.id == _c.node) & (_n.expires_at > Now())
    counted = select(_n.id, _n.expires_at - Now(), _c.key, _c.value).join(nodes, alive)
    found: dict[str, tuple[float, dict[str, int]]] = {}
    for node, left_s, key, value in connection.execute(counted.where(_c.key.startswith("runs:"), _c.value > 0)):
        found.setdefault(node, (left_s, {}))[1][key] = int(value)
    return found


def tokens_left(connection: Connection, buckets: Sequence[str]) -> dict[str, float]:
    """Return what is left in these buckets, as they were when somebody last took from them."""
    left = select(_c.key, _c.value).where(_c.node == "", _c.key.in_(buckets))
    return {row.key: row.value for row in connection.execute(left)}
