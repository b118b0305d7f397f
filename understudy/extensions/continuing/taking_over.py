"""Reads the steps that a run takes over of the run that it continues or forks."""

from contextlib import suppress

from transport.wire.errors import CommandRejected, UnreadableEvent
from understudy.chat.conversation.thread_log import ThreadLog
from understudy.chat.messages import RunRequest
from understudy.extensions.continuing.continuation import CODE, steps_of_continuation
from understudy.extensions.continuing.fork import steps_of_fork
from understudy.storage.records import StepRecord
from understudy.wire.events import ANSWER
from understudy.wire.vocabulary import from_log


async def steps_taken_over(
    thread: ThreadLog, request: RunRequest, run_id: str, after_step: int | None
) -> tuple[StepRecord, ...]:
    """Return the steps that the run of `request` takes over of the run `run_id`, which it continues, or forks after the
    step `after_step`.

    Raises `CommandRejected`, `StorageUnavailable`.
    """
    if run_id in thread.runs and after_step is None:
        raise CommandRejected(CODE, "That run is still at work.")
    recorded = await thread.store.steps(run_id)
    if after_step is not None:
        return steps_of_fork(recorded, after_step, request.run_id, thread.now)
    rows = await thread.store.run_events(thread.owner, thread.thread_id, run_id)
    answer = await thread.store.message(thread.owner, ANSWER + run_id)
    events = []
    for row in rows:
        with suppress(UnreadableEvent):  # a call whose events are missing is taken to be in doubt
            events.append(from_log(row.body).event)
    text, agent = "" if answer is None else answer.content, thread.services.agents[request.agent]
    return steps_of_continuation(recorded, events, text, agent, request.run_id, thread.now)
