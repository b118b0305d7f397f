"""The audit log: who did what to whom, and when. Its entries, and how they are stored, read and expire.

1. An entry is committed before its action begins. So an action of which nothing could be stored does not happen, and
   an entry may stand for an action that failed or found nothing to do.
2. Triggers of the database refuse to change an entry. They refuse to delete one, except in a transaction that has set
   a time in `audit_retention`, and then only older ones: `ExpireAudit` does so.
3. An entry refers to no other table: it stays when its users are erased.
4. It has the names of users, roles, tools and agents, and ids that this server made: no text of a user, no name that
   a user or a model made up, and no secret. The `reason` is what an operator wrote, as the content filter leaves it.
"""

import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from attrs import Attribute, field, frozen
from sqlalchemy import Connection, delete, func, insert, or_, select

from understudy.extension import brought, installed

from . import schema
from .errors import ChangeRefused, StorageUnavailable, Unstorable
from .owners import tenant_of
from .schema import Now
from .store import Store
from .write import Write, put

_a = schema.audit.c

_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "account.changed": frozenset(),
    "account.disabled": frozenset(),
    "account.invited": frozenset({"again"}),
    "account.joined": frozenset({"passkey"}),
    "account.password_changed": frozenset(),
    "account.sign_in_refused": frozenset({"passkey"}),
    "account.signed_in": frozenset({"passkey"}),
    "actor.killed": frozenset({"path"}),
    "alert.sent": frozenset(),
    "audit.read": frozenset(),
    "consent.withdrawn": frozenset({"tool"}),
    "mcp.signed_in": frozenset({"server"}),
    "mcp.signed_out": frozenset({"server"}),
    "passkey.added": frozenset({"passkey"}),
    "passkey.removed": frozenset({"passkey"}),
    "model.used": frozenset({"model", "port"}),
    "run.handed_back": frozenset({"run"}),
    "run.steered": frozenset({"act", "reason", "run"}),
    "run.stopped": frozenset({"reason", "run"}),
    "run.taken_over": frozenset({"reason", "run"}),
    "sessions.begun": frozenset(),
    "sessions.ended": frozenset({"all"}),
    "stop.ended": frozenset({"kind", "name"}),
    "stop.made": frozenset({"kind", "name"}),
    "tool.allowed": frozenset({"always", "run", "tool"}),
    "tool.denied": frozenset({"run", "tool"}),
    "user.erased": frozenset(),
    "user.exported": frozenset({"events", "format", "thread"}),
}
COMMAND_LINE: Final = "command line"
PAGE: Final = "page"
PROVIDER: Final = "provider"
LONGEST: Final = 200
"""Characters of a text in a detail; longer ones are cut."""
EXPIRED: Final = 200
"""Limit of entries deleted per transaction (about 10 ms), as all other writes wait for it."""


@cache
def actions() -> Mapping[str, frozenset[str]]:
    """Return every action by its name, in order, with the members that the detail of its entries may have."""
    found = dict(_ACTIONS)
    for extension in installed().values():
        found |= brought(extension.acts)
    return dict(sorted(found.items()))


def _short(detail: Mapping[str, str | bool]) -> dict[str, str | bool]:
    return {name: value[:LONGEST] if isinstance(value, str) else value for name, value in detail.items()}


@frozen
class AuditEntry(Write):
    """Append an entry to the log. `who` and `target` are keys of owners; `role` is what allowed `who` to do it, empty
    for what everybody may do.

    `way` is how it came: the door of a command, or a constant of this module; at the command line, `who` is the name of
    the operating system's user. `tenant` is whom the entry concerns: None for the tenant of the target, or else of
    `who`. The answer is True, also if the entry with this `id` is stored already.
    """

    action: str = field()
    who: str
    way: str
    target: str | None = None
    role: str = ""
    tenant: str | None = None
    detail: Mapping[str, str | bool] = field(factory=dict, converter=_short)
    id: str = field(factory=lambda: uuid.uuid4().hex)

    @action.validator
    def _check(self, _: "Attribute[str]", action: str) -> None:
        if action not in actions():
            raise ValueError(f"no entry of the audit log is called {action}")

    @detail.validator
    def _check_detail(self, _: "Attribute[Any]", detail: Mapping[str, str | bool]) -> None:
        if wrong := detail.keys() - actions()[self.action]:
            raise ValueError(f"an entry of {self.action} has no {', '.join(wrong)}")

    def apply(self, connection: Connection) -> bool:
        """As `Write.apply`."""
        row: dict[str, Any] = {
            "id": self.id,
            "at": Now(),
            "who": self.who,
            "role": self.role,
            "way": self.way,
            "action": self.action,
            "target": self.target,
            "tenant": tenant_of(self.target or self.who) if self.tenant is None else self.tenant,
            "detail": dict(self.detail),
        }
        connection.execute(put(connection, schema.audit).values(**row).on_conflict_do_nothing(index_elements=["id"]))
        return True


async def record(store: Store, entry: AuditEntry) -> None:
    """Append an entry. Raises StorageUnavailable, whatever the reason: its action must not be."""
    try:
        await store.commit(entry)
    except (ChangeRefused, Unstorable) as error:
        raise StorageUnavailable(f"the audit log cannot be written: {error}") from error


@frozen
class ExpireAudit(Write):
    """Delete some entries that were stored before a time (Unix seconds), but not the newest.

    The answer is how many were deleted.
    """

    before: float

    def apply(self, connection: Connection) -> int:
        """As `Write.apply`. The triggers allow it meanwhile. SQLite would give the number of the newest again."""
        connection.execute(insert(schema.audit_retention).values(before=self.before))
        newest = select(func.max(_a.number)).scalar_subquery()
        old = select(_a.number).where(_a.at < self.before, _a.number < newest).order_by(_a.at).limit(EXPIRED)
        count = connection.execute(delete(schema.audit).where(_a.number.in_(old))).rowcount
        connection.execute(delete(schema.audit_retention))
        return count


@frozen
class StoredEntry:
    """An entry of the log. Numbers grow with time; one may be left out, by a transaction that was rolled back."""

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
    """Selects entries: of one `tenant` unless `everywhere`, that a user made or that concern them, of one action, and
    from one time to before another (Unix seconds)."""

    everywhere: bool = True
    tenant: str | None = None
    user: str | None = None
    action: str | None = None
    since: float | None = None
    until: float | None = None


def entries(connection: Connection, wanted: AuditFilter, before: int, limit: int) -> list[StoredEntry]:
    """Return the newest entries whose number is at most `before`, newest first."""
    found = select(*_ENTRY).where(_a.number <= before)
    if not wanted.everywhere:
        found = found.where(_a.tenant == wanted.tenant)
    if wanted.user is not None:
        found = found.where(or_(_a.who == wanted.user, _a.target == wanted.user))
    if wanted.action is not None:
        found = found.where(_a.action == wanted.action)
    if wanted.since is not None:
        found = found.where(_a.at >= wanted.since)
    if wanted.until is not None:
        found = found.where(_a.at < wanted.until)
    return [StoredEntry(*row) for row in connection.execute(found.order_by(_a.number.desc()).limit(limit))]


def number_of(connection: Connection, entry_id: str, who: str) -> int | None:
    """Return the number of the entry with which a user began to read the log."""
    begun = select(_a.number).where(_a.id == entry_id, _a.who == who, _a.action == "audit.read")
    return connection.execute(begun).scalar_one_or_none()


_ENTRY: Final = (_a.number, _a.at, _a.who, _a.role, _a.way, _a.action, _a.target, _a.tenant, _a.detail)
