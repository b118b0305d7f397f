"""Reads and writes of what nodes count together. All times are by the database's clock.

1. A count of a node is a row of its own, and counts while the node is alive.
2. A shared bucket of tokens is a row of no node: what it has now follows from what it had, and when. It may go below
   zero, by one burst at most.
3. The number of a node's last report is a row too, so that a report which is stored again takes nothing again.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import Connection, Float, bindparam, delete, func, select

from understudy.extensions.nodes.tables import nodes, shared_counts
from understudy.storage.schema import Now
from understudy.storage.write import put, write

_c = shared_counts.c
_n = nodes.c

REPORTS: Final = "reports"
"""The kind of the number of a node's last report."""
SWEEP_EVERY: Final = 60
"""Reports of a node after which what says nothing any more is deleted."""

Key: TypeAlias = tuple[str, str]
"""What is counted, and a name: of a user, a tenant or nothing."""


@frozen
class TokensTaken:
    """Tokens taken from the bucket `key` of `burst` tokens, refilled with `rate_per_min`."""

    key: Key
    rate_per_min: float
    burst: float
    count: int


@write
def report(
    connection: Connection, node: str, number: int, counts: Mapping[Key, int], taken: Sequence[TokensTaken]
) -> bool:
    """Set counts of a node, and take tokens from shared buckets. Return False if it was stored before."""
    insert, unique = put(connection, shared_counts), ["kind", "name", "node"]
    given = insert.values(kind=REPORTS, name="", node=node, at=Now(), value=number)
    is_new = given.on_conflict_do_update(
        index_elements=unique, set_={"value": given.excluded.value}, where=_c.value < given.excluded.value
    )
    if not connection.execute(is_new).rowcount:
        return False
    of: dict[str, Any] = {"kind": bindparam("of_kind"), "name": bindparam("of_name")}
    given = insert.values(of | {"node": node, "at": Now(), "value": bindparam("count")})
    count = given.on_conflict_do_update(index_elements=unique, set_={"value": given.excluded.value})
    if counts:
        rows = [{"of_kind": key[0], "of_name": key[1], "count": counts[key]} for key in sorted(counts)]
        connection.execute(count, rows)
    rate, burst, took = (bindparam(name, type_=Float()) for name in ("rate", "burst", "n"))
    left = func.least(burst, _c.value + func.greatest(0, Now() - _c.at) * rate / 60)
    state = {"at": Now(), "until": Now() + 2 * burst * 60 / rate}
    take = insert.values(of | state | {"node": "", "value": burst - took}).on_conflict_do_update(
        index_elements=unique, set_=state | {"value": func.greatest(-burst, left - took)}
    )
    if taken:  # in the order of their keys: two servers cannot deadlock
        ordered, fields = sorted(taken, key=lambda each: each.key), ("of_kind", "of_name", "rate", "burst", "n")
        values = [(*each.key, each.rate_per_min, each.burst, each.count) for each in ordered]
        connection.execute(take, [dict(zip(fields, row, strict=True)) for row in values])
    if number % SWEEP_EVERY == 1:  # counts of dead nodes and of nothing, and full buckets
        nothing = (_c.node != "") & ((_c.value == 0) | _c.node.not_in(select(_n.id)))
        connection.execute(delete(shared_counts).where(nothing | (_c.until < Now())))
    return True


def counted_by_others(connection: Connection, node: str, key: Key) -> int:
    """Return the sum of the counts of a key on all other living nodes."""
    counted = select(func.coalesce(func.sum(_c.value), 0)).join(nodes, (_n.id == _c.node) & (_n.expires_at > Now()))
    return int(connection.execute(counted.where(_c.kind == key[0], _c.name == key[1], _c.node != node)).scalar_one())


def counted(connection: Connection, kinds: Collection[str]) -> dict[str, tuple[float, dict[Key, int]]]:
    """Return for each living node that has counts of these kinds the seconds until its lease ends, and the counts."""
    alive = (_n.id == _c.node) & (_n.expires_at > Now())
    wanted = select(_n.id, _n.expires_at - Now(), _c.kind, _c.name, _c.value).join(nodes, alive)
    found: dict[str, tuple[float, dict[Key, int]]] = {}
    for node, left_s, kind, name, value in connection.execute(wanted.where(_c.kind.in_(kinds), _c.value > 0)):
        found.setdefault(node, (left_s, {}))[1][kind, name] = int(value)
    return found


def tokens_left(connection: Connection, keys: Collection[Key]) -> dict[Key, float]:
    """Return what is left in these buckets, as they were when somebody last took from them."""
    names = {name for _, name in keys}
    left = select(_c.kind, _c.name, _c.value).where(_c.kind.in_({kind for kind, _ in keys}), _c.name.in_(names))
    return {(row.kind, row.name): row.value for row in connection.execute(left.where(_c.node == ""))}
