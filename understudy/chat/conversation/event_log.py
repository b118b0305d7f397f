"""The log of one thread. Its conversation writes it: events get their numbers here, and are committed here.

The rows that belong together (events, the message, the run and its end, steps) are one `Change`, one transaction.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import trio
from attrs import define, evolve, field

from transport.outbox.outbox import LogPage
from transport.wire.codec import from_log, to_log
from transport.wire.errors import UnreadableEvent
from transport.wire.events import Envelope, Error, Event, FinalResponse, MessageAccepted, SanitizationSummary
from understudy.chat.answer.html import PREFETCH_S, AnswerHtml
from understudy.chat.conversation.active_run import ActiveRun
from understudy.chat.conversation.resume import ResumeAttempt
from understudy.chat.envelope import wrap
from understudy.chat.messages import RunRequest
from understudy.chat.routing import ANSWER
from understudy.chat.run.replay import UnreadableSteps, replay
from understudy.chat.run.run_settings import read_settings
from understudy.chat.run_protocol import RunProtocol, RunProtocolError
from understudy.content.texts import run_off_loop
from understudy.storage.errors import Fenced, NotStored, SequenceConflict
from understudy.storage.rows import LoggedEvent, Message, RawText, RunRecord, StepRecord, Thread
from understudy.storage.store import Store
from understudy.storage.writes import Change, Fence, RunAttempt, RunEnd

log = logging.getLogger(__name__)

TITLE_CHARS = 80
"""Characters of a thread's first message that become its title."""
PAGE_ANSWERS: Final = 200_000
"""Characters of answers after which a page of the log ends, so that rendering them does not keep a client waiting."""
READ_INLINE: Final = 8 * 1024
"""Bytes of events read on the spot, in a fraction of a millisecond; a trip to a thread takes as long."""


@define
class EventLog:
    """The end of one thread's log: `head` is the number of its last event, 0 for none.

    `newest` is the id of the answer with which the newest branch ends or will end, None before the first message.
    `shown` gives a stored text as its user is shown it. `fence` is by what right this server writes the log, None
    where it is the only one.
    """

    owner: str
    thread_id: str
    store: Store
    html: AnswerHtml
    clock: Callable[[], float]
    restore: Callable[[str], str] = str
    fence: Fence | None = None
    last_seq: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)
    newest_answer: str | None = field(default=None, init=False)

    async def open(self) -> list[ActiveRun]:
        """Find the end of the log; returns the runs that began and did not end, as the log shows them.

        Raises:
            StorageUnavailable: The database cannot be read.
            Fenced: Another server has claimed the thread since. Where the log ends is known all the same.
        """
        opening = await self.store.thread_with_open_runs(self.owner, self.thread_id)
        if opening is None:
            return []
        thread, runs = opening
        self.exists, self.last_seq = True, thread.last_seq
        self.newest_answer = ANSWER + thread.newest_run if thread.newest_run is not None else None
        self._check_fence(thread)
        return [await self._rebuild(run) for run in runs]

    async def verify_end(self) -> None:
        """Find out whether the log still ends where it did.

        Raises:
            StorageUnavailable: The database cannot be read.
            Fenced: Another server has claimed the thread since, and may have written to it.
            SequenceConflict: What could not be confirmed to be stored was.
            NotStored: The thread was deleted.
        """
        opening = await self.store.thread_with_open_runs(self.owner, self.thread_id)
        if opening is None:
            if self.exists:
                raise NotStored("thread", self.thread_id)
            return
        thread, _ = opening
        self._check_fence(thread)
        if thread.last_seq != self.last_seq:
            raise SequenceConflict(self.thread_id, thread.last_seq + 1, self.last_seq + 1)

    def _check_fence(self, thread: Thread) -> None:
        if self.fence is not None and (thread.node, thread.fence) != (self.fence.node, self.fence.token):
            raise Fenced(self.thread_id, thread.node)

    async def commit(
        self,
        live: ActiveRun,
        events: Sequence[Event],
        *,
        steps: Sequence[StepRecord] = (),
        opening: bool = False,
        raw: RawText | None = None,
    ) -> list[Envelope]:
        """Number and commit the events of a run; returns them as they now stand in the log.

        `opening` also stores the run, and the thread when it is new. The run's arc is only moved on when the
        commit succeeded. `raw` is the message as it was sent, sealed.

        Raises:
            RunProtocolError: An event breaks the run's promise. Nothing was stored.
            Fenced: Another server has the thread now. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        arc, now = (
            evolve(live.protocol, agents=dict(live.protocol.agents), calls=dict(live.protocol.calls)),
            self.clock(),
        )
        envelopes = []
        for number, event in enumerate(events, self.last_seq + 1):
            arc.apply(event)
            envelopes.append(wrap(event, live.envelope_template, now=now, seq=number))
        change = Change(
            owner=self.owner,
            thread_id=self.thread_id,
            events=tuple(
                LoggedEvent(number, each.event.type, live.request.run_id, to_log(each))
                for number, each in enumerate(envelopes, self.last_seq + 1)
            ),
            thread=self._thread_row(live, now) if opening and not self.exists else None,
            messages=tuple(row for event in events for row in self._message_rows(live, event, now)),
            run=self._run_row(live, now) if opening else None,
            run_end=_run_end(live, events, now),
            steps=tuple(steps),
            raw=raw,
            fence=self.fence,
        )
        answers = [self.restore(each.message) for each in events if isinstance(each, FinalResponse)]
        await self.html.prefetch(answers, self.owner)
        await self.store.commit(change)
        live.protocol = arc
        self.last_seq += len(envelopes)
        self.exists = True
        if opening:
            self.newest_answer = ANSWER + live.request.run_id
        return envelopes

    async def save_step(self, step: StepRecord) -> None:
        """Store a step that is not finished.

        Raises:
            StorageError: It was not stored, or that could not be confirmed.
        """
        await self.store.commit(Change(self.owner, self.thread_id, steps=(step,), fence=self.fence))

    async def record_attempt(self, run_id: str, attempts: int, progress: int) -> None:
        """Store how often a run was taken up since it had `progress` finished steps.

        Raises:
            StorageError: It was not stored, or that could not be confirmed; `NotStored`: the run has ended.
        """
        taken = RunAttempt(run_id, attempts, progress)
        await self.store.commit(Change(self.owner, self.thread_id, attempt=taken, fence=self.fence))

    async def acceptance(self, message: Message, run_id: str) -> Envelope:
        """Give the `message_accepted` of an earlier run of this thread, without a number if the log was trimmed."""
        events = await self.store.run_events(self.owner, self.thread_id, run_id)
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
        around = Envelope(accepted, message.created_at, None, self.thread_id, run_id, message.id)
        around = around.replace(agent_type=message.agent_type, pillar=message.pillar)
        return wrap(accepted, around, now=message.created_at)

    async def _rebuild(self, run: RunRecord) -> ActiveRun:
        arc, told, why = await self._replay_protocol(run)
        events = [each.event for each in told]
        accepted = next((each for each in events if isinstance(each, MessageAccepted)), None)
        accepted = accepted or MessageAccepted(run.message_id, run.id, "")
        found = None if run.found is None else msgspec.json.decode(run.found, type=SanitizationSummary)
        content, references = accepted.content, tuple(accepted.references)
        job = RunRequest(run.id, self.owner, self.thread_id, run.message_id, content, references, run.agent_type, found)
        job = evolve(job, context=accepted.context or {}, settings=read_settings(accepted.settings))
        before = None
        try:
            before = None if why else replay(events, await self.store.steps(run.id))
        except UnreadableSteps as error:
            why = error
        if why is not None:
            log.warning("run.unreadable", extra={"run_id": run.id, "reason": str(why)})
        if told:
            around = told[-1]
        else:
            names = (self.thread_id, run.id, run.message_id, run.conversation_id, run.agent_type, run.pillar)
            around = Envelope(accepted, 0.0, None, *names)
        again = accepted.branch_of == run.message_id
        live = ActiveRun(job, arc, around, regenerates=again, attempt=ResumeAttempt.next_of(run, before))
        if before is not None:
            live.append_text(self.restore(before.shown_text), (), before.shown_text)
        return live

    async def _replay_protocol(self, run: RunRecord) -> tuple[RunProtocol, list[Envelope], Exception | None]:
        """What the log tells of a run that has not ended, and why that is not all, where it is not.

        An event that is damaged, or of a later release, is left out: the run is to end, with what can be read of it.
        """
        arc, told, why = RunProtocol(run.id), list[Envelope](), None
        for logged in await self.store.run_events(self.owner, self.thread_id, run.id):
            try:
                envelope = from_log(logged.body)
                arc.apply(envelope.event)
                told.append(envelope)
            except (UnreadableEvent, RunProtocolError) as error:
                arc.accepted = True  # it was, whatever can be read of that
                why = error
        return arc, told, why

    def _thread_row(self, live: ActiveRun, now: float) -> Thread:
        words = live.request.content.split(maxsplit=TITLE_CHARS)[:TITLE_CHARS]  # no more of them can be seen in a title
        title = " ".join(words)[:TITLE_CHARS] or "New conversation"
        agent_type, pillar = live.envelope_template.agent_type or "", live.envelope_template.pillar
        return Thread(self.owner, self.thread_id, title, agent_type, pillar, now, now)

    def _run_row(self, live: ActiveRun, now: float) -> RunRecord:
        return RunRecord(
            id=live.request.run_id,
            owner=self.owner,
            thread_id=self.thread_id,
            message_id=live.request.message_id,
            conversation_id=live.envelope_template.conversation_id,
            agent_type=live.envelope_template.agent_type or "",
            pillar=live.envelope_template.pillar,
            status="running",
            started_at=now,
            request_id=live.request_id,
            found=None if live.request.findings_summary is None else msgspec.json.encode(live.request.findings_summary),
        )

    def _message_rows(self, live: ActiveRun, event: Event, now: float) -> list[Message]:
        match event:
            case MessageAccepted() if not live.regenerates:
                said = self._message(live, event.message_id, "user", event.content, "accepted", now)
                parent, branch_of = event.parent_id, event.branch_of
                return [evolve(said, references=event.references, parent_id=parent, branch_of=branch_of)]
            case FinalResponse(message=content, status=status, visualization=chart):
                answer = self._message(live, ANSWER + live.request.run_id, "assistant", content, status.value, now)
                asked = live.request.message_id
                branch_of = asked if live.regenerates else None
                return [evolve(answer, visualization=chart, parent_id=asked, branch_of=branch_of)]
        return []

    def _message(self, live: ActiveRun, message_id: str, role: str, content: str, status: str, now: float) -> Message:
        return Message(
            owner=self.owner,
            id=message_id,
            thread_id=self.thread_id,
            run_id=live.request.run_id,
            role=role,
            content=content,
            agent_type=live.envelope_template.agent_type or "",
            pillar=live.envelope_template.pillar,
            status=status,
            created_at=now,
        )


async def read_page(
    store: Store,
    owner: str,
    thread_id: str,
    after: int,
    limit: int,
    shown: Callable[[Envelope], Envelope] = lambda envelope: envelope,
    *,
    html: AnswerHtml | None = None,
) -> LogPage:
    """Read a thread's events after `after`, at most `limit`, for an outbox.

    `shown` gives an event as its user is shown it. With `html` the HTML of the answers among them is cached there.

    Raises:
        StorageUnavailable: The database cannot be read.
        UnreadableEvent: An event in the log is damaged.
    """
    head, rows = await store.log_page(owner, thread_id, after, limit)
    small = sum(len(row.body) for row in rows) < READ_INLINE
    envelopes = [shown(each) for each in (_envelopes(rows) if small else await run_off_loop(_envelopes, rows))]
    together = await _prefetch(envelopes, owner, html) if html is not None else len(envelopes)
    return LogPage(envelopes[:together], after if head is None else head)


async def _prefetch(envelopes: Sequence[Envelope], owner: str, html: AnswerHtml) -> int:
    """Cache the HTML of the answers among these, for `PREFETCH_S`. Return how many events form a page, at least one."""
    room, number = PAGE_ANSWERS, 0
    with trio.move_on_after(PREFETCH_S):
        for number, envelope in enumerate(envelopes, 1):
            if isinstance(envelope.event, FinalResponse):
                await html.render(envelope.event.message, owner)
                room -= len(envelope.event.message)
                if room < 0:
                    return number
        return len(envelopes)
    return max(1, number - 1)


def _envelopes(rows: Sequence[LoggedEvent]) -> list[Envelope]:
    return [from_log(row.body) for row in rows]


def _run_end(live: ActiveRun, events: Sequence[Event], now: float) -> RunEnd | None:
    for event in events:
        match event:
            case FinalResponse(status=status):
                return RunEnd(live.request.run_id, status.value, now)
            case Error(code=code):
                return RunEnd(live.request.run_id, "interrupted" if code == "run_interrupted" else "failed", now)
    return None
