"""Reads and writes of schedules, and of their firings. All times are by the database's clock.

1. A due time is claimed by one node: the claim moves the schedule to its next due time in the same transaction, under a
   version that every change raises.
2. A claimed firing stays in the row until its end is recorded. If that does not happen within the claim's time, another
   node claims it again and repeats it under the same message id, by which its message is accepted once.
3. `wake_at` is when a node must look at the schedule: when it is due, or when its claim expires. Only this column is
   searched.
"""

from typing import Any, Final

from attrs import asdict, field, frozen
from sqlalchemy import Connection, delete, func, select, update

from understudy.chat.messages import AUTOMATIC
from understudy.extensions.schedules.due import When
from understudy.extensions.schedules.tables import schedules
from understudy.storage import schema
from understudy.storage.queries import Scope
from understudy.storage.schema import Now
from understudy.storage.write import add_users, put, write

LARGEST_BATCH: Final = 20
"""Limit of due schedules in one read."""
MOST: Final = 1000
"""Limit of schedules of a user in one read, above the limit of schedules that servers set."""
FULL, ADDED, REPEATED = 0, 1, 2
"""Results of `add_schedule`: the user has as many as allowed; it was added; it exists already."""

_s = schedules.c


@frozen
class LastFiring:
    """The outcome of a due time: its run, or why there is none. A refused one has a `code`, a dropped one has none."""

    due_at: float
    thread_id: str | None = None
    run_id: str | None = None
    code: str | None = None
    message: str | None = None


@frozen
class Schedule:
    """A user's schedule: the message, the agent, the timing, and the outcome of its last firing.

    `thread_id` None: a new thread each time. `firing_at` is a due time that is claimed, and whose end is not recorded.
    """

    id: str
    owner: str
    name: str
    agent: str | None
    message: str = field(repr=False)
    when: When
    thread_id: str | None
    policy: str
    settings: dict[str, Any]
    enabled: bool
    created_at: float
    next_due_at: float | None
    version: int = 0
    firing_at: float | None = None
    last: LastFiring | None = None

    def message_id(self, due_at: float) -> str:
        """Return the id of the message of a due time, which is the same on every node and at every attempt."""
        return f"{AUTOMATIC}{self.id}-{due_at:.0f}"


DEFINITION: Final = (
    "name", "agent", "message", "cron", "every_s", "time_zone", "thread_id", "policy", "settings", "enabled",
    "starts_at", "next_due_at",
)  # fmt: skip
"""Columns that `change_schedule` sets. The others belong to the firings."""
_INTERNAL: Final = ("owner", "starts_at", "version", "firing_at")


@write
def add_schedule(connection: Connection, schedule: Schedule, most: int) -> int:
    """Add a schedule of a user who has fewer than `most`. Return ADDED, REPEATED or FULL."""
    add_users(connection, [(schedule.owner, schedule.created_at)])
    # The lock makes two nodes count one after the other.
    owner = select(schema.users.c.id).where(schema.users.c.id == schedule.owner).with_for_update()
    connection.execute(owner)
    if connection.execute(select(_s.id).where(_s.id == schedule.id)).first() is not None:
        return REPEATED
    mine = select(func.count()).select_from(schedules).where(_s.owner == schedule.owner)
    if connection.execute(mine).scalar_one() >= most:
        return FULL
    row = _columns(schedule) | {"wake_at": schedule.next_due_at}
    connection.execute(put(connection, schedules).on_conflict_do_nothing(index_elements=["id"]), row)
    return ADDED


@write
def change_schedule(connection: Connection, schedule: Schedule) -> int:
    """Set the DEFINITION of a schedule. Return False, with nothing changed, if its version is not that of
    `schedule`."""
    values = {name: value for name, value in _columns(schedule).items() if name in DEFINITION}
    this = (_s.owner == schedule.owner, _s.id == schedule.id, _s.version == schedule.version)
    changed = update(schedules).where(*this).values(values | {"version": schedule.version + 1})
    if connection.execute(changed).rowcount == 0:
        return False
    idle = update(schedules).where(_s.id == schedule.id, _s.firing_at.is_(None))
    connection.execute(idle.values(wake_at=schedule.next_due_at))
    return True


@write
def delete_schedule(connection: Connection, owner: str, schedule_id: str) -> bool:
    """Delete a schedule of a user. Return whether there was one."""
    return connection.execute(delete(schedules).where(_s.owner == owner, _s.id == schedule_id)).rowcount > 0


@write
def claim_firing(
    connection: Connection,
    schedule_id: str,
    version: int,
    at: float | None,
    next_at: float | None,
    claim_s: float,
    dropped: str | None = None,
) -> int:
    """Claim the firing of the due time `at` for `claim_s` seconds; the schedule is due next at `next_at`.

    `at` None: nothing fires, and `dropped` is a sentence that says why. Return False if another node has claimed it.
    """
    values: dict[str, Any] = {"version": version + 1, "next_due_at": next_at, "firing_at": at}
    if at is None:
        values |= {"wake_at": next_at, "last_due_at": _s.next_due_at, "last_thread_id": None}
        values |= {"last_run_id": None, "last_code": None, "last_message": dropped}
    else:
        values |= {"wake_at": Now() + claim_s}
    this = (_s.id == schedule_id, _s.version == version, _s.wake_at <= Now())
    return connection.execute(update(schedules).where(*this).values(values)).rowcount > 0


@write
def end_firing(connection: Connection, schedule_id: str, last: LastFiring) -> int:
    """Record the outcome of the claimed firing. Return whether it was still claimed."""
    values = {"firing_at": None, "wake_at": _s.next_due_at}
    values |= {f"last_{name}": value for name, value in asdict(last).items()}
    ended = update(schedules).where(_s.id == schedule_id, _s.firing_at == last.due_at)
    return connection.execute(ended.values(values)).rowcount > 0


@frozen
class Due:
    """The time, the schedules that a node must look at now, and the next `wake_at` of another, None if there is
    none."""

    now: float
    schedules: list[Schedule]
    next_at: float | None


def _columns(schedule: Schedule) -> dict[str, Any]:
    """Return the values of a schedule's columns, without those of its last firing."""
    row = asdict(schedule, filter=lambda member, _: member.name != "last")
    when = row.pop("when")
    return {**row, **when}


def _schedule(row: Any) -> Schedule:
    """Return the schedule of a row."""
    columns = {name: getattr(row, name) for name in Schedule.__annotations__ if name in _s}
    when = When(*(getattr(row, name) for name in When.__annotations__))
    last = LastFiring(*(getattr(row, f"last_{name}") for name in LastFiring.__annotations__))
    return Schedule(**columns, when=when, last=None if row.last_due_at is None else last)


def of_owner(connection: Connection, owner: str) -> list[Schedule]:
    """Return a user's schedules, oldest first."""
    mine = select(schedules).where(_s.owner == owner).order_by(_s.created_at, _s.id)
    return [_schedule(row) for row in connection.execute(mine.limit(MOST))]


def one(connection: Connection, owner: str, name: str) -> tuple[Schedule | None, float]:
    """Return a user's schedule, None if there is none, and the time."""
    row = connection.execute(select(schedules).where(_s.owner == owner, _s.id == name)).one_or_none()
    return None if row is None else _schedule(row), _now(connection)


def due(connection: Connection) -> Due:
    """Return the schedules whose `wake_at` has come, longest waiting first, at most LARGEST_BATCH."""
    now = _now(connection)
    query = select(schedules).where(_s.wake_at <= now).order_by(_s.wake_at).limit(LARGEST_BATCH)
    rows = [_schedule(row) for row in connection.execute(query)]
    return Due(now, rows, connection.execute(select(func.min(_s.wake_at)).where(_s.wake_at > now)).scalar_one())


def record_of(row: Schedule) -> dict[str, Any]:
    """Return a schedule with the outcome of its last due time, None if none has passed."""
    columns = {name: value for name, value in _columns(row).items() if name not in _INTERNAL}
    return columns | {"last": None if row.last is None else asdict(row.last)}


def export_of(row: Any) -> dict[str, Any]:
    """Return the record of a row of the table."""
    return record_of(_schedule(row))


@frozen
class ScheduleRow:
    """A schedule without its texts. `last_code`: why its last firing was refused."""

    id: str
    owner: str
    agent: str | None
    cron: str | None
    every_s: int | None
    time_zone: str
    enabled: bool
    next_due_at: float | None
    last_due_at: float | None
    last_run_id: str | None
    last_code: str | None


def of_scope(connection: Connection, limit: int, scope: Scope) -> list[ScheduleRow]:
    """Return the schedules of these users, those that are due next first, and then those that are never due."""
    query = select(*(_s[column] for column in ScheduleRow.__annotations__)).where(scope.of(_s.owner))
    order = _s.next_due_at.is_(None), _s.next_due_at, _s.id
    return [ScheduleRow(*row) for row in connection.execute(query.order_by(*order).limit(limit))]


def _now(connection: Connection) -> float:
    return float(connection.execute(select(Now())).scalar_one())
