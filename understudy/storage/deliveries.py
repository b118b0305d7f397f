"""The queue of webhooks: one row for each event that is to be delivered, until it is or is given up.

1. A row is written in the transaction of its event, under a key of its own: each event is queued once.
2. A node claims a row by moving its `due_at`, if the number of attempts is still the one it read. A node that dies
   leaves a row that is due again later.
"""

from typing import Final, TypeAlias

from attrs import asdict, frozen
from sqlalchemy import Connection, delete, select, update

from . import schema

LARGEST_BATCH: Final = 20

_d = schema.deliveries.c


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


@frozen
class ClaimDelivery:
    """Claim a delivery for one attempt: it is due again at `due_at`. The answer is whether nobody else has it."""

    id: str
    attempts: int
    due_at: float


@frozen
class DelayDelivery:
    """Set when a delivery is due again, after a failed attempt. The answer is whether it is still there."""

    id: str
    due_at: float


@frozen
class EndDelivery:
    """Remove a delivery that has succeeded or is given up. The answer is whether it was there."""

    id: str


DeliveryWrite: TypeAlias = ClaimDelivery | DelayDelivery | EndDelivery


def write(connection: Connection, work: DeliveryWrite) -> bool:
    """Execute a write; return the answer that its class documents."""
    match work:
        case ClaimDelivery(name, attempts, due_at):
            this = update(schema.deliveries).where(_d.id == name, _d.attempts == attempts)
            return connection.execute(this.values(attempts=attempts + 1, due_at=due_at)).rowcount > 0
        case DelayDelivery(name, due_at):
            return connection.execute(update(schema.deliveries).where(_d.id == name).values(due_at=due_at)).rowcount > 0
        case EndDelivery(name):
            return connection.execute(delete(schema.deliveries).where(_d.id == name)).rowcount > 0


def due(connection: Connection, now: float) -> list[Delivery]:
    """Return deliveries that are due, those of fewest attempts first, at most LARGEST_BATCH."""
    wanted = select(*(_d[name] for name in asdict(_EMPTY))).where(_d.due_at <= now)
    return [Delivery(*row) for row in connection.execute(wanted.order_by(_d.attempts, _d.due_at).limit(LARGEST_BATCH))]


_EMPTY: Final = Delivery("", "", "", "", 1, "", 0.0, 0.0)
