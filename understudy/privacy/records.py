"""Converts rows to the plain values of HTTP responses and exports. Pure.

An export is `{"format", "version", …}`: members may be added within a version, and none is removed or changed.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from attrs import asdict
from msgspec import Meta, Struct

from understudy.storage.accounts import Account
from understudy.storage.agent_states import StateEntry
from understudy.storage.archive_queries import StoredMemory, User
from understudy.storage.audit import StoredEntry, actions
from understudy.storage.owners import name_of, tenant_of
from understudy.storage.passkeys import Passkey, public_id
from understudy.storage.records import File, Message, RunRecord, StepRecord, Thread
from understudy.storage.sign_ins import SignIn

FORMAT: Final = "understudy-export"
VERSION: Final = 1
_OURS: Final = frozenset({"owner", "node", "fence", "pinned_at", "archived_at"})
"""Columns of a thread that are left out: its owner is implied, and its node is internal."""

Shown = Callable[[str], str]
"""Restores the placeholders in a stored text for its user."""


def head(exported_at: float) -> dict[str, Any]:
    """Return the first members of every export; `exported_at` is in Unix seconds."""
    return {"format": FORMAT, "version": VERSION, "exported_at": exported_at}


def thread_of(row: Thread, shown: Shown) -> dict[str, Any]:
    """Return a thread with its title restored."""
    own = asdict(row, filter=lambda attribute, _: attribute.name not in _OURS)
    return own | {
        "title": shown(row.title),
        "pinned": row.pinned_at is not None,
        "archived": row.archived,
        "tags": row.tags.split(),
    }


def state_of(entry: StateEntry) -> dict[str, Any]:
    """Return an entry of the state of another framework's agent; its bytes as Base64."""
    return asdict(entry) | {"body": b64encode(entry.body).decode()}


def newest_of(run: RunRecord | None) -> dict[str, str] | None:
    """Return the end of a thread's newest branch: a user's message, and the run that answers or answered it."""
    return None if run is None else {"message_id": run.message_id, "run_id": run.id}


def message_of(row: Message, runs: Sequence[Mapping[str, Any]], shown: Shown) -> dict[str, Any]:
    """Return a message with its position in the tree and, for a user's message, the runs that answered it."""
    own = asdict(row, recurse=False, filter=lambda attribute, _: attribute.name not in ("owner", "rating", "note"))
    given = {"rating": row.rating, "note": row.note}
    return own | {
        "content": shown(row.content),
        "next_steps": [{**each, "label": shown(str(each["label"]))} for each in row.next_steps or ()],
        "files": list(row.files or ()),
        "feedback": given if any(given.values()) else None,
        "runs": list(runs),
    }


def files_named(row: Message) -> list[str]:
    """Return the ids of the files of a message: those attached to it, and those made for it."""
    return [*row.references, *(str(each["id"]) for each in row.files or ())]


def short_run_of(run: RunRecord) -> dict[str, Any]:
    """Return a run as the history of a thread names it."""
    further = {"continues": run.continues, "restarts": run.restarts}
    return {"run_id": run.id, "status": run.status} | {name: value for name, value in further.items() if value}


def run_of(run: RunRecord, steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Return a run with its recorded steps."""
    return short_run_of(run) | {
        "agent_type": run.agent_type,
        "pillar": run.pillar,
        "conversation_id": run.conversation_id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "steps": [asdict(step, recurse=False, filter=lambda each, _: each.name != "run_id") for step in steps],
    }


def file_of(row: File) -> dict[str, Any]:
    """Return the metadata of an uploaded file; its bytes are downloaded by its id."""
    return asdict(row, filter=lambda attribute, _: attribute.name != "owner")


def context_of(row: StoredMemory) -> dict[str, Any]:
    """Return a value that an agent remembers about the user."""
    return asdict(row, recurse=False)


def sign_in_of(row: SignIn) -> dict[str, Any]:
    """Return that a user is signed in at an MCP server, without the token."""
    return {"server": row.server, "signed_in_at": row.signed_in_at}


class ShownPasskey(Struct):
    """A passkey without its key, under the id by which users name it."""

    id: str
    name: str
    created_at: float
    used_at: float | None


def passkey_of(row: Passkey) -> ShownPasskey:
    """Return a passkey as it is shown."""
    return ShownPasskey(public_id(row.id), row.name, row.created_at, row.used_at)


def account_of(row: Account | None, passkeys: Sequence[Passkey]) -> dict[str, Any] | None:
    """Return the local account of a user, without password, keys and invite; None if there is none."""
    if row is None:
        return None
    own = asdict(row, filter=lambda attribute, _: attribute.name in ("roles", "groups", "created_at", "disabled_at"))
    return own | {
        "password": bool(row.password),
        "passkeys": list(map(passkey_of, passkeys)),
        "invited_until": row.invite_expires_at if row.invite else None,
    }


def user_of(row: User, name: str) -> dict[str, Any]:
    """Return the user under the name in their token."""
    return {"user": name, "tenant": row.tenant, "created_at": row.created_at}


class ShownEntry(Struct):
    """An entry of the audit log."""

    number: Annotated[int, Meta(ge=0)]
    at: float
    user: str
    user_tenant: str | None
    role: str | None
    way: str
    action: Annotated[str, Meta(extra_json_schema={"enum": list(actions())})]
    target: str | None
    tenant: str | None
    detail: Mapping[str, Any]


def audit_entry_of(row: StoredEntry) -> ShownEntry:
    """Return an entry of the audit log under the names of its users."""
    user, target = name_of(row.who), None if row.target is None else name_of(row.target)
    role = row.role or None
    return ShownEntry(
        row.number, row.at, user, tenant_of(row.who), role, row.way, row.action, target, row.tenant, row.detail
    )
