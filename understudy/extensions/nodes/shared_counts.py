"""Reads and writes of the counts that nodes share. All times are by the database's clock.

1. Each count of a node is a row of that node, and is valid while the node is alive.
2. A shared token bucket is a row of no node, with its tokens at the time `at`, from which the present ones follow. It
   may go below zero, by one burst at most.
3. The number of a node's last report is a row too, so that a report which is stored twice takes tokens only once.
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
"""The kind of the row with the number of a node's last report."""
SWEEP_EVERY: Final = 60
"""Number of reports of a node after which it deletes the rows that are not valid any more."""

Key: TypeAlias = tuple[str, str]
"""The kind of a count, and the name of the user or tenant whose count it is; empty if it is of neither."""


@frozen
class TokensTaken:
    """`count` tokens taken from the bucket `key`, which holds `burst` tokens and is refilled with `rate_per_min`."""

    key: Key
    rate_per_min: float
    burst: float
    count: int


@write
def report(
    connection: Connection, node: str, number: int, counts: Mapping[Key, int], taken: Sequence[TokensTaken]
) -> bool:
    """Store report `number` of a node: set its counts, and take tokens from shared buckets.

    Return False, with nothing changed, if the report was stored before.
    """
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
    rate, burst, count_taken = (bindparam(name, type_=Float()) for name in ("rate", "burst", "n"))
    refilled = func.least(burst, _c.value + func.greatest(0, Now() - _c.at) * rate / 60)
    state = {"at": Now(), "until": Now() + 2 * burst * 60 / rate}
    take = insert.values(of | state | {"node": "", "value": burst - count_taken}).on_conflict_do_update(
        index_elements=unique, set_=state | {"value": func.greatest(-burst, refilled - count_taken)}
    )
    if taken:  # in the order of the keys, so that two servers cannot deadlock
        ordered, fields = sorted(taken, key=lambda bucket: bucket.key), ("of_kind", "of_name", "rate", "burst", "n")
        values = [(*bucket.key, bucket.rate_per_min, bucket.burst, bucket.count) for bucket in ordered]
        connection.execute(take, [dict(zip(fields, row, strict=True)) for row in values])
    if number % SWEEP_EVERY == 1:  # delete counts of dead nodes, counts of zero, and full buckets
        nothing = (_c.node != "") & ((_c.value == 0) | _c.node.not_in(select(_n.id)))
        connection.execute(delete(shared_counts).where(nothing | (_c.until < Now())))
    return True


def counted_by_others(connection: Connection, node: str, key: Key) -> int:
    """Return the sum of the counts of a key on all other living nodes."""
    counted = select(func.coalesce(func.sum(_c.value), 0)).join(nodes, (_n.id == _c.node) & (_n.expires_at > Now()))
    return int(connection.execute(counted.where(_c.kind == key[0], _c.name == key[1], _c.node != node)).scalar_one())


def counted(connection: Connection, kinds: Collection[str]) -> dict[str, tuple[float, dict[Key, int]]]:
    """Return by each living node with counts of these kinds the seconds until its lease ends, and those counts."""
    alive = (_n.id == _c.node) & (_n.expires_at > Now())
    query = select(_n.id, _n.expires_at - Now(), _c.kind, _c.name, _c.value).join(nodes, alive)
    by_node: dict[str, tuple[float, dict[Key, int]]] = {}
    for node, left_s, kind, name, value in connection.execute(query.where(_c.kind.in_(kinds), _c.value > 0)):
        by_node.setdefault(node, (left_s, {}))[1][kind, name] = int(value)
    return by_node


def tokens_left(connection: Connection, keys: Collection[Key]) -> dict[Key, float]:
    """Return the tokens in these buckets after the last report that took some; buckets without a row are left out."""
    names = {name for _, name in keys}
    query = select(_c.kind, _c.name, _c.value).where(_c.kind.in_({kind for kind, _ in keys}), _c.name.in_(names))
    return {(row.kind, row.name): row.value for row in connection.execute(query.where(_c.node == ""))}
