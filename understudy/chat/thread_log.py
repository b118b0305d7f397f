"""The log of one thread. Its conversation writes it: events get their numbers here, and are committed here.

The rows that belong together (events, the message, the run and its end, steps) are one `Change`, one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import trio
from attrs import define, evolve, field

from transport.codec import from_log, to_log
from transport.events import AgentStarted, Envelope, Error, Event, FinalResponse, MessageAccepted
from transport.outbox import LogPage
from understudy.chat.arc import Arc
from understudy.chat.envelope import wrap
from understudy.chat.live import LiveRun
from understudy.chat.messages import Job
from understudy.chat.rendered import aside, rendered
from understudy.chat.routing import ANSWER
from understudy.storage.changes import Change, RunEnd
from understudy.storage.rows import LoggedEvent, Message, Run, Step, Thread
from understudy.storage.store import Store

TITLE = 80
"""Characters of a thread's first message that become its title."""
PAGE_ANSWERS: Final = 200_000
"""Characters of answers after which a page of the log ends, so that rendering them does not keep a client waiting."""
RENDER_S: Final = 2.0
"""Longest time that the end of a run waits for its HTML; beyond, whoever encodes it makes it."""


@define
class ThreadLog:
    """The end of one thread's log: `head` is the number of its last event, 0 for none."""

    owner: str
    thread_id: str
    store: Store
    clock: Callable[[], float]
    head: int = field(default=0, init=False)
    exists: bool = field(default=False, init=False)

    async def open(self) -> list[LiveRun]:
        """Find the end of the log; returns the runs that began and did not end, as the log shows them.

        Raises:
            StorageUnavailable: The database cannot be read.
        """
        thread = await self.store.thread(self.owner, self.thread_id)
        if thread is None:
            return []
        self.exists, self.head = True, thread.last_seq
        runs = await self.store.unfinished_runs(self.owner, self.thread_id)
        return [await self._rebuild(run) for run in runs]

    async def write(
        self, live: LiveRun, events: Sequence[Event], *, steps: Sequence[Step] = (), opening: bool = False
    ) -> list[Envelope]:
        """Number and commit the events of a run; returns them as they now stand in the log.

        `opening` also stores the run, and the thread when it is new. The run's arc is only moved on when the
        commit succeeded.

        Raises:
            ArcBroken: An event breaks the run's promise. Nothing was stored.
            StorageError: Nothing was stored, or its storing could not be confirmed.
        """
        arc, now = evolve(live.arc, agents=dict(live.arc.agents), calls=dict(live.arc.calls)), self.clock()
        envelopes = []
        for number, event in enumerate(events, self.head + 1):
            arc.note(event)
            envelopes.append(wrap(event, live.around, now=now, seq=number))
        change = Change(
            owner=self.owner,
            thread_id=self.thread_id,
            events=tuple(
                LoggedEvent(number, each.event.type, live.job.run_id, to_log(each))
                for number, each in enumerate(envelopes, self.head + 1)
            ),
            thread=self._thread_row(live, now) if opening and not self.exists else None,
            messages=tuple(row for event in events for row in self._message_rows(live, event, now)),
            run=self._run_row(live, now) if opening else None,
            run_end=_run_end(live, events, now),
            steps=tuple(steps),
        )
        await _prepare(events)
        await self.store.commit(change)
        live.arc = arc
        self.head += len(envelopes)
        self.exists = True
        return envelopes

    async def accepted_again(self, thread_id: str, run_id: str) -> Envelope | None:
        """Give the `message_accepted` of an earlier run as the log has it, in whichever thread it stands."""
        events = await self.store.run_events(self.owner, thread_id, run_id)
        return from_log(events[0].body) if events else None

    async def _rebuild(self, run: Run) -> LiveRun:
        arc, around, content = Arc(run.id), Envelope(AgentStarted("", "", 0.0), 0.0), ""
        for logged in await self.store.run_events(self.owner, self.thread_id, run.id):
            around = from_log(logged.body)
            arc.note(around.event)
            if isinstance(around.event, MessageAccepted):
                content = around.event.content
        job = Job(run.id, self.owner, self.thread_id, run.message_id, content, (), run.agent_type)
        return LiveRun(job, arc, around)

    def _thread_row(self, live: LiveRun, now: float) -> Thread:
        words = live.job.content.split(maxsplit=TITLE)[:TITLE]  # no more of them can be seen in a title
        title = " ".join(words)[:TITLE] or "New conversation"
        agent_type, pillar = live.around.agent_type or "", live.around.pillar
        return Thread(self.owner, self.thread_id, title, agent_type, pillar, now, now)

    def _run_row(self, live: LiveRun, now: float) -> Run:
        return Run(
            id=live.job.run_id,
            owner=self.owner,
            thread_id=self.thread_id,
            message_id=live.job.message_id,
            conversation_id=live.around.conversation_id,
            agent_type=live.around.agent_type or "",
            pillar=live.around.pillar,
            status="running",
            started_at=now,
        )

    def _message_rows(self, live: LiveRun, event: Event, now: float) -> list[Message]:
        match event:
            case MessageAccepted(message_id=name, content=content, references=references):
                return [self._message(live, name, "user", content, "accepted", now, tuple(references))]
            case FinalResponse(message=content, status=status, visualization=chart):
                name = ANSWER + live.job.run_id
                return [self._message(live, name, "assistant", content, status.value, now, visualization=chart)]
        return []

    def _message(
        self,
        live: LiveRun,
        message_id: str,
        role: str,
        content: str,
        status: str,
        now: float,
        references: tuple[str, ...] = (),
        visualization: Mapping[str, Any] | None = None,
    ) -> Message:
        return Message(
            owner=self.owner,
            id=message_id,
            thread_id=self.thread_id,
            run_id=live.job.run_id,
            role=role,
            content=content,
            agent_type=live.around.agent_type or "",
            pillar=live.around.pillar,
            status=status,
            created_at=now,
            references=references,
            visualization=visualization,
        )


async def read_page(store: Store, owner: str, thread_id: str, after: int, limit: int) -> LogPage:
    """Read a thread's events after `after`, at most `limit`, for an outbox; the HTML of their answers is at hand then.

    Raises:
        StorageUnavailable: The database cannot be read.
        UnreadableEvent: An event in the log is damaged.
    """
    # The end first, then the events: what is committed in between is in the page, and never looks like a hole.
    thread = await store.thread(owner, thread_id)
    rows = await store.events(owner, thread_id, after, limit)
    envelopes = await aside(_envelopes, rows)
    room = PAGE_ANSWERS
    for number, envelope in enumerate(envelopes, 1):
        if isinstance(envelope.event, FinalResponse):
            await rendered(envelope.event.message)
            room -= len(envelope.event.message)
            if room < 0:
                envelopes = envelopes[:number]
                break
    return LogPage(envelopes, thread.last_seq if thread else after)


def _envelopes(rows: Sequence[LoggedEvent]) -> list[Envelope]:
    return [from_log(row.body) for row in rows]


async def _prepare(events: Sequence[Event]) -> None:
    """Have the HTML of an answer made before it is sent: encoding an event must not take long."""
    for event in events:
        if isinstance(event, FinalResponse):
            with trio.move_on_after(RENDER_S):
                await rendered(event.message)


def _run_end(live: LiveRun, events: Sequence[Event], now: float) -> RunEnd | None:
    for event in events:
        match event:
            case FinalResponse(status=status):
                return RunEnd(live.job.run_id, status.value, now)
            case Error(code=code):
                return RunEnd(live.job.run_id, "interrupted" if code == "run_interrupted" else "failed", now)
    return None
