"""The types of answers about threads, which `understudy.web.api.shown` converts rows to, and of their pages."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, UnsetType

from understudy.content.tags import MOST_TAGS
from understudy.storage.records import Message, Thread
from understudy.web.routes import Count, EventFrame, JsonObject, many, shape

Tags: TypeAlias = Annotated[list[str], Meta(extra_json_schema={"maxItems": MOST_TAGS})]
STALE = Literal[True] | UnsetType
"""The mark of a cached read."""

_FURTHER: dict[str, Any] = {"continues": str | UnsetType, "restarts": Count | UnsetType}
RUN: dict[str, Any] = {"run_id": str, "status": str, **_FURTHER}
_MATCH = shape("Match", message_id=str, role=str, snippet=many(shape("Piece", text=str, hit=bool)))
FEEDBACK = shape("ShownFeedback", rating=str | None, note=str | None)
NEWEST = shape("Newest", message_id=str, run_id=str) | None
MESSAGE = (Message, ("owner", "rating", "note"))

ThreadRow = shape(
    "Thread", Thread, ("owner", "node", "fence", "pinned_at", "archived_at"),
    pinned=bool, archived=bool, tags=Tags, match=_MATCH | None | UnsetType, stale=STALE,
)  # fmt: skip
ThreadsPage = shape("Threads", threads=many(ThreadRow), next_cursor=str | None, stale=STALE)
MessageRow = shape("Message", *MESSAGE, feedback=FEEDBACK | None, runs=many(shape("RunOfMessage", **RUN)))
MessagesPage = shape("Messages", messages=many(MessageRow), newest=NEWEST, next_cursor=str | None, stale=STALE)
EventsPage = shape("Events", events=many(EventFrame), last_seq=Count, stale=STALE)

_TURN_MESSAGE = shape("TurnMessage", *MESSAGE, feedback=FEEDBACK | None)
_TURN = shape(
    "Turn", message=_TURN_MESSAGE, run=shape("RunOfTurn", started_at=float, ended_at=float | None, **RUN),
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
