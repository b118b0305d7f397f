"""What answers to operators share: whose a row is, the users whom a request is about, and a run that they reach."""

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
"""Rows of one answer."""
MAX_REASON: Final = LONGEST
"""Characters of a reason, which an entry of the audit log has whole. A longer one is refused."""
OF_OPERATOR: Final = ("invalid_command", "rate_limited", *STORED)


@frozen
class Reason:
    """The body of a request to take over or end a run: a sentence that says why, for its user and for auditors."""

    reason: str


def listed(name: str, kind: type[Any], owner: str = "owner", **more: Any) -> Any:
    """Return the type of an answer with a list of such rows, each with what `owned` has in place of `owner`."""
    row = shape(f"Owned{kind.__name__}", kind, (owner,), user=str, tenant=str | None)
    return shape(f"{kind.__name__}s", **{name: many(row)}, **more)


def who(owner: str) -> dict[str, Any]:
    """Return the user and the tenant that the key of a user's data stands for, as answers to operators have them."""
    return {"user": name_of(owner), "tenant": tenant_of(owner)}


def owned(row: Any, owner: str = "owner") -> dict[str, Any]:
    """Return the fields of a row with the user and the tenant in place of `owner`, the key of the user's data."""
    fields = asdict(row)
    return {**who(fields.pop(owner)), **fields}


def scope() -> Scope:
    """Return the users that a request of an operator is about: those of the tenant in the query, or all that the
    caller's rights reach.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The caller is no operator, or one of another tenant (`forbidden`).
    """
    granted, asked = rights(), request.args.get("tenant") or None
    tenant = granted.reach(asked)
    return Scope(granted.server and asked is None, tenant)


async def reached_run(run_id: str) -> RunRecord:
    """Return a run of a user within the rights of the current request's operator.

    Raises:
        Unauthenticated: There is no valid token.
        CommandRejected: The caller is no operator (`forbidden`), or reaches no run of that id (`not_found`).
    """
    check_id("run_id", run_id)
    whose = rights().whose()
    run = await web_context().store.run(run_id)
    if run is None or not whose(run.owner):
        raise CommandRejected("not_found", "There is no run of that name.")
    return run


async def filtered_reason(owner: str, body: bytes) -> str:
    """Return the reason in a request's body, as the content filter leaves it for the log of a user.

    Raises:
        CommandRejected: There is none, or it is too long (`invalid_command`), or it is blocked.
    """
    reason = " ".join(decode_json(body, Reason, '{"reason": "…"}').reason.split())
    if not 0 < len(reason) <= MAX_REASON:
        raise CommandRejected("invalid_command", f"A reason has 1 to {MAX_REASON} characters.")
    return (await web_context().content_filter.filter_note(owner, reason))[:MAX_REASON]
