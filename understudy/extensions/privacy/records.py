"""Converts rows to the plain values of exports. Pure.

An export is `{"format", "version", …}`: members may be added within a version, and none is removed or changed.
"""

from collections.abc import Sequence
from typing import Any, Final

from attrs import asdict

from understudy.extensions.privacy.queries import User
from understudy.storage.records import Message, RunRecord, StepRecord
from understudy.web.api.shown import short_run_of

FORMAT: Final = "understudy-export"
VERSION: Final = 1


def head(exported_at: float) -> dict[str, Any]:
    """Return the first members of every export; `exported_at` is in Unix seconds."""
    return {"format": FORMAT, "version": VERSION, "exported_at": exported_at}


def files_named(row: Message) -> list[str]:
    """Return the ids of the files of a message: those attached to it, and those made for it."""
    return [*row.references, *(str(file["id"]) for file in row.files or ())]


def run_of(run: RunRecord, steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Return a run with its recorded steps."""
    return short_run_of(run) | {
        "agent_type": run.agent_type,
        "pillar": run.pillar,
        "conversation_id": run.conversation_id,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "steps": [asdict(step, recurse=False, filter=lambda member, _: member.name != "run_id") for step in steps],
    }


def user_of(row: User, name: str) -> dict[str, Any]:
    """Return the user under the name in their token."""
    return {"user": name, "tenant": row.tenant, "created_at": row.created_at}
