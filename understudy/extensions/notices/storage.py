"""The queue of webhooks: one row for each event, until it is delivered or given up.

1. A row is written in the transaction of its event, under a key of its own: each event is queued once.
2. A node claims a row by moving its `due_at`, if the number of attempts is still the one it read. A node that dies
   leaves a row that is due again later.
"""

from typing import Any, Final

from attrs import asdict, fields, frozen
from sqlalchemy import Connection, delete, select, update

from understudy.extensions.notices.tables import deliveries
from understudy.storage.write import put, write

LARGEST_BATCH: Final = 20
"""Limit of deliveries in one read."""

_d = deliveries.c


@frozen
class Delivery:
    """An event, by its number in its thread, to be sent to a URL. Times are Unix seconds; `id` is stable."""

    id: str
    owner: str
    thread_id: str
    run_id: str
    seq: int
    url: str
    due_at: float
    created_at: float
    attempts: int = 0


@write
def add_delivery(connection: Connection, delivery: Delivery) -> bool:
    """Queue an event, once."""
    row = put(connection, deliveries).values(**asdict(delivery))
    connection.execute(row.on_conflict_do_nothing(index_elements=["id"]))
    return True


@write
def claim_delivery(connection: Connection, delivery_id: str, attempts: int, due_at: float) -> bool:
    """Claim a delivery for one attempt: it is due again at `due_at`. Return False if another node has claimed it."""
    this = update(deliveries).where(_d.id == delivery_id, _d.attempts == attempts)
    return connection.execute(this.values(attempts=attempts + 1, due_at=due_at)).rowcount > 0


@write
def delay_delivery(connection: Connection, delivery_id: str, due_at: float) -> bool:
    """Set when a delivery is due again, after a failed attempt. Return whether it is still there."""
    this = update(deliveries).where(_d.id == delivery_id)
    return connection.execute(this.values(due_at=due_at)).rowcount > 0


@write
def end_delivery(connection: Connection, delivery_id: str) -> bool:
    """Remove a delivery that has succeeded or is given up. Return whether it was there."""
    return connection.execute(delete(deliveries).where(_d.id == delivery_id)).rowcount > 0


def due(connection: Connection, now: float) -> list[Delivery]:
    """Return the due deliveries, those with the fewest attempts first, at most LARGEST_BATCH."""
    query = select(*_ALL).where(_d.due_at <= now).order_by(_d.attempts, _d.due_at).limit(LARGEST_BATCH)
    return [Delivery(*row) for row in connection.execute(query)]


def record_of(row: Delivery) -> dict[str, Any]:
    """Return the event and the address of a delivery, for an export."""
    return {"run_id": row.run_id, "seq": row.seq, "url": row.url, "created_at": row.created_at}


_ALL: Final = tuple(_d[field.name] for field in fields(Delivery))
