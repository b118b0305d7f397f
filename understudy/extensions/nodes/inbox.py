"""Reads and writes of the inbox: requests between nodes, and their replies. Times are by the database's clock.

1. A row is for one node, which deletes it in the transaction that stores its reply. If that node dies before, another
   node takes the row over (`SKIP LOCKED`), unless the node that asked is alive: it asks again by itself.
2. A row that was not executed by its deadline is never executed, and is deleted.
"""

from collections.abc import Collection, Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import Connection, bindparam, delete, or_, select, update

from understudy.extensions.nodes.tables import inbox, nodes
from understudy.storage.schema import Now
from understudy.storage.write import put, write

_i = inbox.c
_n = nodes.c

AT_ONCE: Final = 200
"""Limit of rows in one read."""
TAKEN_OVER: Final = 1_000
"""Limit of rows of dead nodes that are taken over in one transaction."""


@frozen
class Letter:
    """A row of the inbox of `node`: `body` is encoded in `version` of `codec`, and expires in `within_s` seconds."""

    id: str
    node: str
    sender: str
    version: int
    body: bytes
    within_s: float

    def __repr__(self) -> str:
        return f"Letter({self.id!r}, {len(self.body)} bytes)"


@write
def deliver(connection: Connection, letters: Sequence[Letter], done: Collection[str]) -> bool:
    """Add letters, and delete the letters whose ids are in `done`. Return True."""
    if done:
        connection.execute(delete(inbox).where(_i.id.in_(list(done))))
    if letters:
        names = ("id", "node", "sender", "version", "body")
        values = {name: bindparam(f"of_{name}", type_=_i[name].type) for name in names}
        until = Now() + bindparam("within", type_=_i.deadline.type)
        add = put(connection, inbox).values(values | {"deadline": until}).on_conflict_do_nothing(index_elements=["id"])
        rows = [{f"of_{name}": getattr(row, name) for name in names} | {"within": row.within_s} for row in letters]
        connection.execute(add, rows)
    return True


@write
def take_over(connection: Connection, node: str) -> int:
    """Give a node the letters that dead nodes sent to dead nodes; delete expired ones, and those of living to dead
    nodes. Return how many letters the node was given; 0 if it is not alive itself."""
    alive = select(_n.id).where(_n.expires_at > Now())
    if node not in connection.execute(alive).scalars().all():
        return 0
    connection.execute(delete(inbox).where(or_(_i.deadline < Now(), _i.node.not_in(alive) & _i.sender.in_(alive))))
    orphaned = select(_i.id).where(_i.node.not_in(alive)).order_by(_i.deadline).limit(TAKEN_OVER)
    letter_ids = list(connection.execute(orphaned.with_for_update(skip_locked=True)).scalars())
    if letter_ids:
        connection.execute(update(inbox).where(_i.id.in_(letter_ids)).values(node=node))
    return len(letter_ids)


def letters_for(connection: Connection, node: str, but: Collection[str]) -> list[Letter]:
    """Return the letters for a node that have not expired, by their deadlines, except those with an id in `but`."""
    query = select(_i.id, _i.node, _i.sender, _i.version, _i.body, _i.deadline - Now())
    query = query.where(_i.node == node, _i.deadline > Now(), _i.id.not_in(list(but)))
    return [Letter(*row) for row in connection.execute(query.order_by(_i.deadline).limit(AT_ONCE))]
