"""Shared parts of answers to operators: the owner of a row, the users that a request concerns, and reachable runs."""

from typing import Any, Final

from attrs import asdict, frozen
from quart import request

from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.storage.acts import LONGEST
from understudy.storage.owners import name_of, tenant_of
from understudy.storage.queries import Scope
from understudy.storage.records import RunRecord
from understudy.web.context import decode_json, rights, web_context
from understudy.web.routes import STORED, many, shape

MOST: Final = 500
"""Most rows of one answer."""
MAX_REASON: Final = LONGEST
"""Characters of a reason, so that it fits into an entry of the audit log. A longer one is refused."""
OF_OPERATOR: Final = ("invalid_command", "rate_limited", *STORED)


@frozen
class Reason:
    """The body of a request to take over or end a run: a sentence that says why, for its user and for auditors."""

    reason: str


def listed(name: str, kind: type[Any], owner: str = "owner", **more: Any) -> Any:
    """Return the type of an answer with a list `name` of rows, in which `owned` has replaced `owner`."""
    row = shape(f"Owned{kind.__name__}", kind, (owner,), user=str, tenant=str | None)
    return shape(f"{kind.__name__}s", **{name: many(row)}, **more)


def who(owner: str) -> dict[str, Any]:
    """Return the user and the tenant of the key `owner` of a user's data, as fields of an answer to operators."""
    return {"user": name_of(owner), "tenant": tenant_of(owner)}


def owned(row: Any, owner: str = "owner") -> dict[str, Any]:
    """Return the fields of a row, with user and tenant in place of the field `owner`, the key of the user's data."""
    fields = asdict(row)
    return {**who(fields.pop(owner)), **fields}


def scope() -> Scope:
    """Return the users that an operator's request concerns: those of the tenant in the query, or all within the
    caller's rights.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The caller is no operator, or one of another tenant (`forbidden`).
    """
    granted, tenant_in_query = rights(), request.args.get("tenant") or None
    tenant = granted.reach(tenant_in_query)
    return Scope(granted.server and tenant_in_query is None, tenant)


async def reached_run(run_id: str) -> RunRecord:
    """Return a run of a user within the rights of the current request's operator.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The caller is no operator (`forbidden`), or has no rights for a run of that id (`not_found`).
    """
    check_id("run_id", run_id)
    whose = rights().whose()
    run = await web_context().store.run(run_id)
    if run is None or not whose(run.owner):
        raise CommandRejected("not_found", "There is no run of that name.")
    return run


async def filtered_reason(owner: str, body: bytes) -> str:
    """Return the reason in a request's body after the content filter, for the log of the user `owner`.

    Raises:
        CommandRejected: The reason is missing or too long (`invalid_command`), or the filter blocks it.
    """
    reason = " ".join(decode_json(body, Reason, '{"reason": "…"}').reason.split())
    if not 0 < len(reason) <= MAX_REASON:
        raise CommandRejected("invalid_command", f"A reason has 1 to {MAX_REASON} characters.")
    return (await web_context().content_filter.filter_note(owner, reason))[:MAX_REASON]
