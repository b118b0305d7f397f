"""Reads from the log of a thread: unfinished runs, acceptances of messages, and pages of events for connections."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from transport.outbox.outbox import LogPage
from transport.wire.errors import UnreadableEvent
from transport.wire.unknown_event import UnknownEvent
from understudy.chat.conversation.active_run import ActiveRun, ResumeAttempt
from understudy.chat.envelope import wrap, wrap_about_run
from understudy.chat.messages import RunRequest
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RESUMED, RunState
from understudy.chat.run_state.transitions import RunProtocolError
from understudy.chat.run_state.turns import LaterSteps, UnreadableSteps
from understudy.content.texts import run_off_loop
from understudy.storage import queries
from understudy.storage.records import LoggedEvent, Message, RunRecord
from understudy.storage.store import Store
from understudy.wire.events import AgentStarted, Envelope, MessageAccepted, SanitizationSummary
from understudy.wire.vocabulary import from_log

log = logging.getLogger(__name__)

READ_INLINE: Final = 8 * 1024
"""Bytes of events that are decoded in the event loop, in a fraction of a millisecond; more in a worker thread."""


async def read_unfinished_run(store: Store, run: RunRecord, restore: Callable[[str], str]) -> ActiveRun:
    """Read an unfinished run back from its log and its steps. `restore` gives a stored text as its user is shown it.

    A run with an event or a step that is damaged, or that a later release wrote, cannot be resumed: what it did is not
    known, and would be repeated. It is to end with what can be read of it.

    Raises:
        StorageUnavailable: The database cannot be read.
    """
    state, logged = RunState(run.id), list[Envelope]()
    past, finished, unreadable, later = None, None, None, False
    for row in await store.run_events(run.owner, run.thread_id, run.id):
        try:
            envelope = from_log(row.body)
            state.apply(envelope.event)
            logged.append(envelope)
            if isinstance(envelope.event, UnknownEvent):
                unreadable, later = f"event of a later release: {envelope.event.type}", True
        except (UnreadableEvent, RunProtocolError) as error:
            state.state = state.state or "queued"  # it was accepted, even if that cannot be read
            unreadable = str(error)
    accepted = state.accepted or MessageAccepted(run.message_id, run.id, "")
    if unreadable is None:
        whole, steps = state.copy(), await store.steps(run.id)
        whole.record(steps)
        try:
            past, finished = Past.of(whole), sum(step.ended_at is not None for step in steps)
        except UnreadableSteps as error:
            unreadable, later = str(error), isinstance(error, LaterSteps)
    if unreadable is not None:
        log.warning("run.unreadable", extra={"run_id": run.id, "reason": unreadable})
    request = RunRequest(
        run.id,
        run.owner,
        run.thread_id,
        run.message_id,
        accepted.content,
        tuple(accepted.references),
        run.agent_type,
        None if run.found is None else msgspec.json.decode(run.found, type=SanitizationSummary),
        context=accepted.context or {},
        settings=accepted.settings or {},
    )
    template = logged[-1] if logged else wrap_about_run(run, accepted)
    starts = [
        item.timestamp
        for item in logged
        if isinstance(item.event, AgentStarted) or getattr(item.event, "notice", "") == RESUMED
    ]
    times = {"began_at": max(starts, default=run.started_at), "heard_at": template.timestamp or run.started_at}
    attempt = ResumeAttempt.next_of(run, past, finished_steps=finished, later_release=later, **times)
    active = ActiveRun(request, state, template, attempt=attempt)
    if past is not None:
        active.text.begin_with(restore(past.shown_text), past.shown_text)
    return active


async def read_acceptance(store: Store, message: Message, run_id: str) -> Envelope:
    """Read the `message_accepted` of an earlier run of a message, without a number if the log was trimmed.

    Raises:
        StorageUnavailable: The database cannot be read.
        UnreadableEvent: The event in the log is damaged.
    """
    events = await store.run_events(message.owner, message.thread_id, run_id)
    if events and events[0].type == MessageAccepted.type:
        return from_log(events[0].body)
    accepted = MessageAccepted(
        message_id=message.id,
        run_id=run_id,
        content=message.content,
        references=message.references,
        parent_id=message.parent_id,
        branch_of=message.branch_of if message.run_id == run_id else message.id,
    )
    template = Envelope(accepted, message.created_at, None, message.thread_id, run_id, message.id)
    template = template.replace(agent_type=message.agent_type, pillar=message.pillar)
    return wrap(accepted, template, now=message.created_at)


async def read_page(
    store: Store,
    owner: str,
    thread_id: str,
    after: int,
    limit: int,
    shown: Callable[[Envelope], Envelope] = lambda envelope: envelope,
) -> LogPage:
    """Read a thread's events after `after`, at most `limit`, for an outbox.

    `shown` gives an event as its user is shown it.

    Raises:
        StorageUnavailable: The database cannot be read.
        UnreadableEvent: An event in the log is damaged.
    """
    head, created_at, rows = await store.read(queries.log_page, owner, thread_id, after, limit)
    small = sum(len(row.body) for row in rows) < READ_INLINE
    envelopes = [shown(envelope) for envelope in (_envelopes(rows) if small else await run_off_loop(_envelopes, rows))]
    return LogPage(envelopes, after if head is None else head, created_at, head is not None)


def _envelopes(rows: Sequence[LoggedEvent]) -> list[Envelope]:
    return [from_log(row.body) for row in rows]
