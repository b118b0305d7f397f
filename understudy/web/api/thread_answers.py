"""The types of what `understudy.privacy.records` makes of threads, and of the pages and exports that hold it."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, UnsetType

from understudy.content.tags import MOST_TAGS
from understudy.privacy.records import FORMAT, VERSION, ShownPasskey
from understudy.storage.archive_queries import StoredMemory
from understudy.storage.consents import Consent
from understudy.storage.records import File, Message, StepRecord, Thread
from understudy.web.routes import Count, EventFrame, JsonObject, many, shape

Tags: TypeAlias = Annotated[list[str], Meta(extra_json_schema={"maxItems": MOST_TAGS})]
STALE = Literal[True] | UnsetType
"""The mark of a cached read."""

_FURTHER: dict[str, Any] = {"continues": str | UnsetType, "restarts": Count | UnsetType}
_RUN: dict[str, Any] = {"run_id": str, "status": str, **_FURTHER}
_MATCH = shape("Match", message_id=str, role=str, snippet=many(shape("Piece", text=str, hit=bool)))
_FEEDBACK = shape("ShownFeedback", rating=str | None, note=str | None)
_NEWEST = shape("Newest", message_id=str, run_id=str) | None
_MESSAGE = (Message, ("owner", "rating", "note"))
_STEP = shape("ShownStep", StepRecord, ("run_id",))

ThreadRow = shape(
    "Thread", Thread, ("owner", "node", "fence", "pinned_at", "archived_at"),
    pinned=bool, archived=bool, tags=Tags, match=_MATCH | None | UnsetType, stale=STALE,
)  # fmt: skip
ThreadsPage = shape("Threads", threads=many(ThreadRow), next_cursor=str | None, stale=STALE)
MessageRow = shape("Message", *_MESSAGE, feedback=_FEEDBACK | None, runs=many(shape("RunOfMessage", **_RUN)))
MessagesPage = shape("Messages", messages=many(MessageRow), newest=_NEWEST, next_cursor=str | None, stale=STALE)
EventsPage = shape("Events", events=many(EventFrame), last_seq=Count, stale=STALE)

_TURN_MESSAGE = shape("TurnMessage", *_MESSAGE, feedback=_FEEDBACK | None)
_TURN = shape(
    "Turn", message=_TURN_MESSAGE, run=shape("RunOfTurn", started_at=float, ended_at=float | None, **_RUN),
    first_seq=Count | None, again=bool, answer=_TURN_MESSAGE | None, events=many(JsonObject),
    earlier=many(shape("EarlierRun", run_id=str, events=many(JsonObject))),
)  # fmt: skip
_OTHER_TURN = shape(
    "OtherTurn", message_id=str, parent_id=str | None, run_id=str, status=str, first_seq=Count | None, again=bool,
)  # fmt: skip
TurnsPage = shape(
    "Turns", title=str, seq=Count, turns=many(_TURN), others=many(_OTHER_TURN), tip=str | None, older=str | None,
    stale=STALE,
)  # fmt: skip

_HEAD: dict[str, Any] = {"format": Literal[FORMAT], "version": Literal[VERSION], "exported_at": float}
_EXPORTED_RUN = shape(
    "ExportedRun", agent_type=str, pillar=str | None, conversation_id=str | None, started_at=float,
    ended_at=float | None, steps=many(_STEP), **_RUN,
)  # fmt: skip
_FILES = many(shape("ExportedFile", File, ("owner",)))
_THREAD: dict[str, Any] = {
    "thread": ThreadRow, "newest": _NEWEST, "files": _FILES, "consents": many(Consent),
    "messages": many(shape("ExportedMessage", *_MESSAGE, feedback=_FEEDBACK | None, runs=many(_EXPORTED_RUN))),
    "events": many(EventFrame) | UnsetType,
}  # fmt: skip
_ACCOUNT = shape(
    "ExportedAccount", roles=many(str), groups=many(str), created_at=float, disabled_at=float | None, password=bool,
    passkeys=many(ShownPasskey), invited_until=float | None,
)  # fmt: skip
ThreadExport = shape("Export", **_HEAD, **_THREAD)
UserExport = shape(
    "UserExport", user=str, tenant=str | None, created_at=float, account=_ACCOUNT | None, files=_FILES,
    contexts=many(StoredMemory), threads=many(shape("ExportedThread", **_THREAD)), **_HEAD,
)  # fmt: skip
