"""Stores, reads and expires the entries of the audit log.

1. Triggers of the database refuse every change of an entry. They refuse every deletion too, except of entries older
   than a time that the same transaction has set in `audit_retention`, as `expire_audit` does.
2. An entry refers to no other table: it stays when its users are erased.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import Meta, Struct
from sqlalchemy import Connection, delete, func, insert, or_, select

from understudy.extensions.audit import tables
from understudy.storage.acts import Act, Deed
from understudy.storage.owners import name_of, tenant_of
from understudy.storage.schema import Now
from understudy.storage.write import put, write

_a = tables.audit.c

READ: Final = Act("audit.read")
EXPIRED: Final = 200
"""Limit of entries deleted per transaction (about 10 ms), because all other writes wait for it."""


@write
def append_entry(connection: Connection, deed: Deed) -> bool:
    """Append an entry about a deed to the log. Return True, also if the entry is stored already."""
    row: dict[str, Any] = {
        "id": deed.id,
        "at": Now(),
        "who": deed.who,
        "role": deed.role,
        "way": deed.way,
        "action": deed.act.name,
        "target": deed.target,
        "tenant": tenant_of(deed.target or deed.who) if deed.tenant is None else deed.tenant,
        "detail": dict(deed.detail),
    }
    connection.execute(put(connection, tables.audit).values(**row).on_conflict_do_nothing(index_elements=["id"]))
    return True


@write
def expire_audit(connection: Connection, before: float) -> int:
    """Delete up to `EXPIRED` entries stored before a time (Unix seconds). Return how many were deleted.

    The newest entry stays, because SQLite would use its number again."""
    connection.execute(insert(tables.audit_retention).values(before=before))
    newest = select(func.max(_a.number)).scalar_subquery()
    expired = select(_a.number).where(_a.at < before, _a.number < newest).order_by(_a.at).limit(EXPIRED)
    count = connection.execute(delete(tables.audit).where(_a.number.in_(expired))).rowcount
    connection.execute(delete(tables.audit_retention))
    return count


@frozen
class StoredEntry:
    """An entry of the log. Numbers grow with time; a transaction that was rolled back may leave a gap."""

    number: int
    at: float
    who: str
    role: str
    way: str
    action: str
    target: str | None
    tenant: str | None
    detail: dict[str, str | bool]


@frozen
class AuditFilter:
    """Selects entries: of one `tenant` unless `everywhere`, made by or about a `user`, of one `action`, and from the
    time `since` to before `until` (Unix seconds)."""

    everywhere: bool = True
    tenant: str | None = None
    user: str | None = None
    action: str | None = None
    since: float | None = None
    until: float | None = None


def entries(connection: Connection, selection: AuditFilter, before: int, limit: int) -> list[StoredEntry]:
    """Return the newest entries whose number is at most `before`, newest first."""
    query = select(*_ENTRY).where(_a.number <= before)
    if not selection.everywhere:
        query = query.where(_a.tenant == selection.tenant)
    if selection.user is not None:
        query = query.where(or_(_a.who == selection.user, _a.target == selection.user))
    if selection.action is not None:
        query = query.where(_a.action == selection.action)
    if selection.since is not None:
        query = query.where(_a.at >= selection.since)
    if selection.until is not None:
        query = query.where(_a.at < selection.until)
    return [StoredEntry(*row) for row in connection.execute(query.order_by(_a.number.desc()).limit(limit))]


def number_of(connection: Connection, entry_id: str, who: str) -> int | None:
    """Return the number of the `audit.read` entry with which a user began to read the log; None if there is none."""
    query = select(_a.number).where(_a.id == entry_id, _a.who == who, _a.action == READ.name)
    return connection.execute(query).scalar_one_or_none()


_ENTRY: Final = (_a.number, _a.at, _a.who, _a.role, _a.way, _a.action, _a.target, _a.tenant, _a.detail)


class ShownEntry(Struct):
    """An entry of the audit log."""

    number: Annotated[int, Meta(ge=0)]
    at: float
    user: str
    user_tenant: str | None
    role: str | None
    way: str
    action: str
    target: str | None
    tenant: str | None
    detail: Mapping[str, Any]


def entry_of(row: StoredEntry) -> ShownEntry:
    """Return a stored entry as it is shown, with users' names in place of their ids."""
    user, target = name_of(row.who), None if row.target is None else name_of(row.target)
    role = row.role or None
    return ShownEntry(
        row.number, row.at, user, tenant_of(row.who), role, row.way, row.action, target, row.tenant, row.detail
    )
