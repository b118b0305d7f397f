"""Schemas of the inbox: what a user has open over all threads, and read marks."""

from collections.abc import Mapping
from typing import Final

from understudy.storage.inbox import MOST_MARKS
from understudy.web.specs.schemas import COUNT, NUMBER, OBJECT, TEXT, Schema, array_of, one_of, or_null, record

_THREAD: Final[Mapping[str, Schema]] = {
    "thread_id": TEXT, "title": TEXT, "agent": TEXT, "agent_type": TEXT, "pillar": or_null(TEXT),
}  # fmt: skip
_ASKED: Final[Mapping[str, Schema]] = {
    **_THREAD, "run_id": TEXT, "last_seq": COUNT, "id": TEXT, "seq": COUNT, "asked_at": NUMBER, "expires_at": NUMBER,
}  # fmt: skip
APPROVAL: Final = record(
    **_ASKED, kind={"const": "approval"}, call_id=TEXT, tool_name=TEXT, description=TEXT, parameters=OBJECT,
    schema=or_null(OBJECT),
)  # fmt: skip
QUESTION: Final = record(
    **_ASKED, kind=one_of(["question", "sign_in", "doubt"]), question_id=TEXT, question=TEXT, text=or_null(TEXT),
    schema=OBJECT, choices=or_null(array_of(OBJECT)), sign_in=or_null(TEXT), call_id=or_null(TEXT),
    tool_name=or_null(TEXT), parameters=or_null(OBJECT),
)  # fmt: skip
RUNNING: Final = record(
    **_THREAD, run_id=TEXT, last_seq=COUNT, status=one_of(["queued", "running"]), started_at=NUMBER, doing=TEXT,
)  # fmt: skip
UNREAD: Final = record(**_THREAD, status=or_null(TEXT), updated_at=NUMBER, answered_seq=COUNT)
INBOX: Final = record(
    needs_you=array_of({"anyOf": [APPROVAL, QUESTION]}), running=array_of(RUNNING), unread=array_of(UNREAD),
    counts=record(needs_you=COUNT, running=COUNT, unread=COUNT), now=NUMBER,
)  # fmt: skip
MARKED: Final = {
    "type": "object", "maxProperties": MOST_MARKS,
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
}  # fmt: skip
