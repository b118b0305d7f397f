"""`/api/threads/{id}/turns`: the last page of a branch, with everything that a client needs to show it at once.

1. A page is one snapshot of the database up to its `seq`, so a client that resumes from `seq` misses no event and gets
   none twice.
2. Events of an ended run lack the parts that a folded turn does not show: arguments and results of tools, all thoughts
   but the first, and texts that the page's messages have. `/api/runs/{id}/events` has the complete events.
3. Events of an unfinished run are complete, because it is shown live.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from quart import Response, request

from transport.wire.codec import encode
from transport.wire.errors import CommandRejected
from understudy.chat.routing import check_id
from understudy.content.texts import run_off_loop
from understudy.storage.records import UNFINISHED, LoggedEvent
from understudy.storage.turns import ANSWER, OtherTurn, StoredTurn, TurnsPage
from understudy.web.api import thread_answers
from understudy.web.api.shown import Shown, message_of, short_run_of
from understudy.web.api.threads import encode_read, require_found
from understudy.web.context import identity, web_context, whole_number
from understudy.web.routes import OF_ONE, Routes, up_to
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

blueprint = Routes("turns", __name__, url_prefix="/api/threads")

LIMIT: Final = 20
"""Default number of turns of a page: several screens, which a browser renders in some 150 ms."""
MOST: Final = 50
"""Most turns of a page."""
THOUGHT: Final = 200
"""Characters of the thought that is sent with a page; the rest is left out."""
_IMPLIED: Final = ("thread_id", "run_id", "message_id", "conversation_id", "priority")
_OF_AGENTS: Final = frozenset({"message_accepted", "agent_started"})
"""Events whose agent a turn shows."""
_SENTENCES: Final = frozenset({"error", "call_settled", "final_response"})
"""Events whose `message` has more information than their fields."""

Frame = dict[str, Any]


@blueprint.get(
    "/<thread_id>/turns", query={"before": str, "through": str, "limit": up_to(MOST)}, errors=OF_ONE,
    answer=thread_answers.TurnsPage,
)  # fmt: skip
async def page(thread_id: str) -> Response:
    """Return the last turns of the newest branch, or those that `through` or `before` select."""
    check_id("thread_id", thread_id)
    before, through = request.args.get("before"), request.args.get("through")
    if before is not None and through is not None:
        raise CommandRejected("invalid_command", "A page takes one of before and through.")
    for name, cursor in (("before", before), ("through", through)):
        if cursor is not None:
            check_id(name, cursor.removeprefix(ANSWER))
    owner, limit = identity().user, whole_number("limit", LIMIT, 1, MOST)
    read = await web_context().reads.turns_page(owner, thread_id, before, through, limit)
    turns = require_found(read.value)
    vault = web_context().content_filter.vault
    restored = partial(vault.restore_text, owner, thread_id)
    body = await run_off_loop(_page, turns, restored, partial(vault.restore_envelope, owner))
    return await encode_read(body, read)


def _page(page: TurnsPage, restored: Shown, shown: Callable[[Envelope], Envelope]) -> Frame:
    return {
        "title": restored(page.thread.title),
        "seq": page.thread.last_seq,
        "turns": [_turn(turn, restored, shown) for turn in page.turns],
        "others": [_other(turn) for turn in page.others],
        "tip": page.tip,
        "older": page.older,
    }


def _turn(turn: StoredTurn, restored: Shown, shown: Callable[[Envelope], Envelope]) -> Frame:
    run = turn.run
    answer = None if turn.answer is None else _message(turn.answer, restored)
    events = _events(turn.events, shown, answer, live=run.status in UNFINISHED)
    earlier = [{"run_id": earlier_run.id, "events": _events(rows, shown, None)} for earlier_run, rows in turn.earlier]
    return {
        "message": _message(turn.message, restored),
        "run": short_run_of(run) | {"started_at": run.started_at, "ended_at": run.ended_at},
        "first_seq": turn.first_seq,
        "again": turn.again,
        "answer": answer,
        "events": events,
        "earlier": earlier,
    }


def _message(row: Any, restored: Shown) -> Frame:
    message = message_of(row, (), restored)
    del message["runs"]
    return message


def _other(turn: OtherTurn) -> Frame:
    return {
        "message_id": turn.message_id,
        "parent_id": turn.parent_id,
        "run_id": turn.run.id,
        "status": turn.run.status,
        "first_seq": turn.first_seq,
        "again": turn.again,
    }


def _events(
    rows: Sequence[LoggedEvent], shown: Callable[[Envelope], Envelope], answer: Frame | None, *, live: bool = False
) -> list[Frame]:
    """Encode the events of a run, shortened unless the run is `live`."""
    events = [event for row in rows if (event := _event(shown(from_log(row.body)), answer)) is not None]
    if live:
        return events
    thoughts = [event for event in events if event["type"] == "agent_thinking" and not event["data"].get("notice")]
    left_out = {id(thought) for thought in thoughts[1:]}
    return [_shortened(event, len(thoughts)) for event in events if id(event) not in left_out]


def _event(envelope: Envelope, answer: Frame | None) -> Frame | None:
    """Return an event as it was sent, without the texts in the page's messages; None if clients do not get it."""
    body = encode(envelope, Dialect.CANONICAL)
    if not body:
        return None
    event: Frame = msgspec.json.decode(body)
    for name in _IMPLIED:
        event.pop(name, None)
    data = event.setdefault("data", {})
    if event["type"] == "message_accepted":
        data.pop("content", None)
        data.pop("references", None)
    elif event["type"] == "final_response" and answer is not None and data.get("message") == answer["content"]:
        event.pop("message", None)
        del data["message"]
    return event


def _shortened(event: Frame, thoughts: int) -> Frame:
    """Drop the parts of an ended run's event that a folded turn does not show. `thoughts` counts those of the run.

    The event is marked `omitted` if an unfolded turn needs the complete event.
    """
    kind, data = event["type"], event["data"]
    if kind not in _SENTENCES:
        event.pop("message", None)
    if kind not in _OF_AGENTS:
        event.pop("agent_type", None)
        event.pop("pillar", None)
    if "timestamp" in data:
        event.pop("timestamp", None)
    match kind:
        case "agent_completed" | "subagent_completed":
            data.pop("result", None)  # the answer has it, so no client shows it
        case "tool_executing" if data.pop("parameters", None):
            event["omitted"] = True
        case "tool_completed" if data.pop("result", None) is not None:
            event["omitted"] = True
        case "agent_thinking" if len(data.get("thought") or "") > THOUGHT:
            data["thought"] = data["thought"][: THOUGHT - 1] + "…"
            event["omitted"] = True
        case "agent_thinking" if thoughts > 1:
            event["omitted"] = True
    return event
