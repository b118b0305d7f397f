"""Derives a user's inbox over all threads: questions that wait for the user, running runs, unread answers. Pure.

It is derived from the log and the rows of runs alone, so it is the same on every node and after a restart.
"""

from collections.abc import Iterable
from typing import Any, Final

from transport.wire.errors import UnreadableEvent
from understudy.chat.run.client_tools import CLIENT
from understudy.extensions.notices.inbox_storage import UnfinishedRun, UnreadThread
from understudy.storage.records import LoggedEvent, RunRecord
from understudy.wire.events import (
    ApprovalDecided,
    ApprovalRequired,
    Envelope,
    QuestionAnswered,
    QuestionAsked,
    ToolCompleted,
    ToolExecuting,
)
from understudy.wire.vocabulary import from_log

TYPES: Final = tuple(
    kind.type
    for kind in (ApprovalRequired, ApprovalDecided, QuestionAsked, QuestionAnswered, ToolExecuting, ToolCompleted)
)
"""The types of events from which the inbox derives what a run waits for and what it does now."""

Item = dict[str, Any]


def items_of(unfinished: UnfinishedRun, title: str, now: float) -> tuple[list[Item], Item | None]:
    """Return the questions of a run that wait for its user at `now` (Unix seconds), oldest first, and the run itself.

    A run with such a question does not count as running: then the second value is None.
    """
    waiting, doing = _open_questions(unfinished.events, now)
    of_run = _of_run(unfinished.run, title)
    if waiting:
        return [of_run | {"last_seq": unfinished.last_seq} | question for question in waiting], None
    run, last = unfinished.run, {"last_seq": unfinished.last_seq, "doing": doing}
    return [], of_run | {"status": run.status, "started_at": run.started_at} | last


def unread_of(row: UnreadThread, title: str) -> Item:
    """Return a thread with an unread answer."""
    return {
        "thread_id": row.id,
        "title": title,
        "agent": row.pillar or row.agent_type,
        "agent_type": row.agent_type,
        "pillar": row.pillar,
        "status": row.status,
        "updated_at": row.updated_at,
        "answered_seq": row.answered_seq,
    }


def _of_run(run: RunRecord, title: str) -> Item:
    return {
        "thread_id": run.thread_id,
        "title": title,
        "run_id": run.id,
        "agent": run.pillar or run.agent_type,
        "agent_type": run.agent_type,
        "pillar": run.pillar,
    }


def _open_questions(rows: Iterable[LoggedEvent], now: float) -> tuple[list[Item], str]:
    """Return the questions that wait for the user, and a description of the newest unfinished call, empty for none."""
    waits: dict[str, Item] = {}
    calls: dict[str, ToolExecuting] = {}
    for row in rows:
        try:
            envelope = from_log(row.body)
        except UnreadableEvent:
            continue  # of a later release, or damaged: the run itself reports that
        match envelope.event:
            case ToolExecuting() as event:
                calls[event.call_id] = event
            case ApprovalRequired(call_id=call_id) as event:
                waits[call_id] = _approval(envelope, event, calls.get(call_id))
            case QuestionAsked(question_id=name) as event if event.asked_by != CLIENT:
                waits[name] = _question(envelope, event, calls.get(event.call_id or ""))
            case ApprovalDecided(call_id=name) | QuestionAnswered(question_id=name):
                waits.pop(name, None)
            case ToolCompleted(call_id=call_id):
                calls.pop(call_id, None)
                waits = {name: wait for name, wait in waits.items() if wait["call_id"] != call_id}
    doing = next((call.description or call.tool_name for call in reversed(calls.values())), "")
    return [wait for wait in waits.values() if wait["expires_at"] > now], doing


def _approval(envelope: Envelope, event: ApprovalRequired, call: ToolExecuting | None) -> Item:
    return _wait("approval", event.call_id, envelope, event) | {
        "tool_name": event.tool_name,
        "description": "" if call is None else call.description,
        "parameters": event.parameters,
    }


def _question(envelope: Envelope, event: QuestionAsked, call: ToolExecuting | None) -> Item:
    """Return a question: a form, a sign-in at an MCP server, or whether a lost call had an effect (`doubt`)."""
    kind = "sign_in" if event.sign_in else "doubt" if event.choices and event.asked_by == "server" else "question"
    return _wait(kind, event.question_id, envelope, event) | {
        "tool_name": None if call is None else call.tool_name,
        "parameters": None if call is None else call.parameters,
        "question_id": event.question_id,
        "question": event.title,
        "text": event.text,
        "choices": event.choices,
        "sign_in": event.sign_in,
    }


def _wait(kind: str, name: str, envelope: Envelope, event: ApprovalRequired | QuestionAsked) -> Item:
    times = {"seq": envelope.seq, "asked_at": envelope.timestamp, "expires_at": event.expires_at}
    return {"kind": kind, "id": name, "call_id": event.call_id, "schema": event.schema, **times}
