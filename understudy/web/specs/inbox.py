"""Schemas of the inbox: what a user has open over all threads, read marks, and the browsers that are notified."""

from collections.abc import Mapping
from typing import Final

from understudy.storage.inbox import MOST_MARKS
from understudy.web.specs.schemas import COUNT, FLAG, NUMBER, OBJECT, TEXT, Schema, array_of, object_of, or_null


def _all(*members: Mapping[str, Schema]) -> Schema:
    together = {name: schema for each in members for name, schema in each.items()}
    return object_of(together, list(together))


_THREAD: Final[Mapping[str, Schema]] = {
    "thread_id": TEXT, "title": TEXT, "agent": TEXT, "agent_type": TEXT, "pillar": or_null(TEXT),
}  # fmt: skip
_ASKED: Final[Mapping[str, Schema]] = {
    **_THREAD, "run_id": TEXT, "last_seq": COUNT, "id": TEXT, "seq": COUNT, "asked_at": NUMBER, "expires_at": NUMBER,
}  # fmt: skip
APPROVAL: Final = _all(
    _ASKED,
    {
        "kind": {"const": "approval"}, "call_id": TEXT, "tool_name": TEXT, "description": TEXT, "parameters": OBJECT,
        "schema": or_null(OBJECT),
    },
)  # fmt: skip
QUESTION: Final = _all(
    _ASKED,
    {
        "kind": {"type": "string", "enum": ["question", "sign_in", "doubt"]}, "question_id": TEXT, "question": TEXT,
        "text": or_null(TEXT), "schema": OBJECT, "choices": or_null(array_of(OBJECT)), "sign_in": or_null(TEXT),
        "call_id": or_null(TEXT), "tool_name": or_null(TEXT), "parameters": or_null(OBJECT),
    },
)  # fmt: skip
RUNNING: Final = _all(
    _THREAD,
    {
        "run_id": TEXT, "last_seq": COUNT, "status": {"type": "string", "enum": ["queued", "running"]},
        "started_at": NUMBER, "doing": TEXT,
    },
)  # fmt: skip
UNREAD: Final = _all(_THREAD, {"status": or_null(TEXT), "updated_at": NUMBER, "answered_seq": COUNT})
SCHEDULED: Final = _all({"schedule_id": TEXT, "title": TEXT, "agent": or_null(TEXT), "next_due_at": NUMBER})
INBOX: Final = _all(
    {
        "needs_you": array_of({"anyOf": [APPROVAL, QUESTION]}),
        "running": array_of(RUNNING),
        "unread": array_of(UNREAD),
        "scheduled": array_of(SCHEDULED),
        "counts": _all({"needs_you": COUNT, "running": COUNT, "unread": COUNT, "scheduled": COUNT}),
        "now": NUMBER,
    }
)
MARKED: Final = {
    "type": "object",
    "maxProperties": MOST_MARKS,
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
}
BROWSER: Final = _all({"id": TEXT, "host": TEXT, "answers": FLAG, "created_at": NUMBER})
WEB_PUSH: Final = _all({"key": or_null(TEXT), "browsers": array_of(BROWSER)})
