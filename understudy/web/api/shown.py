"""Converts rows of threads to the plain values of HTTP responses and exports. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict

from understudy.storage.records import Message, RunRecord, Thread

_OURS: Final = frozenset({"owner", "node", "fence", "pinned_at", "archived_at"})
"""Columns of a thread that are left out, because the owner is implied and the others are internal or converted."""

Shown = Callable[[str], str]
"""Restores the redacted parts of a stored text for its user."""


def thread_of(row: Thread, shown: Shown) -> dict[str, Any]:
    """Convert a thread; `shown` restores its title."""
    members = asdict(row, filter=lambda attribute, _: attribute.name not in _OURS)
    return members | {
        "title": shown(row.title),
        "pinned": row.pinned_at is not None,
        "archived": row.archived,
        "tags": row.tags.split(),
    }


def newest_of(run: RunRecord | None) -> dict[str, str] | None:
    """Return the end of a thread's newest branch: a user's message and the run that answers it."""
    return None if run is None else {"message_id": run.message_id, "run_id": run.id}


def message_of(row: Message, runs: Sequence[Mapping[str, Any]], shown: Shown) -> dict[str, Any]:
    """Convert a message. `runs` are the runs that answered it, if it is a user's; `shown` restores its texts."""
    members = asdict(row, recurse=False, filter=lambda attribute, _: attribute.name not in ("owner", "rating", "note"))
    feedback = {"rating": row.rating, "note": row.note}
    return members | {
        "content": shown(row.content),
        "next_steps": [{**step, "label": shown(str(step["label"]))} for step in row.next_steps or ()],
        "files": list(row.files or ()),
        "feedback": feedback if any(feedback.values()) else None,
        "runs": list(runs),
    }


def short_run_of(run: RunRecord) -> dict[str, Any]:
    """Convert a run for the history of a thread."""
    further = {"continues": run.continues, "restarts": run.restarts}
    return {"run_id": run.id, "status": run.status} | {name: value for name, value in further.items() if value}
