"""A run without a committed end: its protocol, its streamed text, its rows, and how it is resumed. Pure."""

import random
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from attrs import define, field

from transport.wire.events import Error, PartialResult
from understudy.agents.agent import Agent
from understudy.chat.conversation.streamed_text import StreamedText
from understudy.chat.messages import FIRST, AnswerQuestion, Decide, RunRequest, TracedAttempt
from understudy.chat.routing import find_stored_agent
from understudy.chat.run.meter import usage_of
from understudy.chat.run.replay import Replay
from understudy.chat.run_protocol import RunProtocol
from understudy.chat.title_text import derived_title
from understudy.observe.spans import SpanContext
from understudy.storage.changes import Change
from understudy.storage.owners import tenant_of
from understudy.storage.records import Fence, LoggedEvent, Message, RunEnd, RunRecord, StepRecord, Thread
from understudy.storage.spending import Spent, day_of
from understudy.tools.result import MAX_STEPS
from understudy.wire.events import ANSWER, AgentThinking, AskedAgent, Envelope, FinalResponse, MessageAccepted, Usage
from understudy.wire.vocabulary import to_log

MAX_ATTEMPTS: Final = 5
"""Attempts at a run without progress; then it is abandoned, as it may be the cause of its servers' crashes."""
MAX_CRASHES: Final = 2
"""Attempts at a run without progress after which it fails if its own code raises once more: that is no accident."""
BACKOFF_S: Final = 1.0
BACKOFF_FACTOR: Final = 4.0
MAX_BACKOFF_S: Final = 16.0
"""Seconds before the second attempt, the factor for each further one, and the longest backoff. The first has none."""
JITTER: Final = 0.25
"""Fraction by which a backoff varies at random, as all runs of a server lose it at the same moment."""
RESUMED: Final = "resumed"
"""The notice of a run that goes on after its server has died."""
INTERRUPTED: Final = "The work on this message was interrupted"


@define(eq=False)
class ResumeAttempt:
    """The next attempt at a run. `number` counts from 1; `due`: its backoff is over; `recorded`: it is in the database.

    `resume_at` is when it is due (Unix seconds), None before that is decided. `progress` is the number of finished
    steps, `replay` is None if the steps cannot be read, in a run of a `later_release` because that wrote some of them.
    `agent_type` and `pillar` are those that the message was addressed to. `traced` is the attempt for the run's trace.
    """

    number: int
    progress: int
    replay: Replay | None = field(repr=False)
    agent_type: str
    pillar: str | None = None
    later_release: bool = False
    resume_at: float | None = None
    traced: TracedAttempt = FIRST
    due: bool = field(init=False)
    recorded: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.due = self.number <= 1

    @classmethod
    def next_of(
        cls,
        run: RunRecord,
        replay: Replay | None,
        *,
        later_release: bool = False,
        began_at: float = 0.0,
        heard_at: float = 0.0,
    ) -> "ResumeAttempt":
        """Return the next attempt at a run; a step finished since the last attempt restarts the count.

        `began_at` and `heard_at` are those of the last attempt.
        """
        progress = run.progress if replay is None else replay.finished_steps
        number = 1 if progress > run.progress else run.attempts + 1
        # An attempt that a stop of its server ended was taken back: the first one has no progress.
        last = run.attempts or (1 if run.progress else 0)
        traced = TracedAttempt(f"{progress}.{number}", f"{run.progress}.{last}", began_at, heard_at)
        return cls(number, progress, replay, run.agent_type, run.pillar, later_release, run.resume_at, traced)

    def agent(self, agents: Mapping[str, Agent]) -> str | None:
        """Return the name of the run's first agent; None if that agent does not exist any more."""
        if self.replay is not None and self.replay.agents:
            name = self.replay.agents[0][1]
            return name if name in agents else None
        return find_stored_agent(self.agent_type, self.pillar, agents)

    def backoff_s(self, chance: random.Random) -> float:
        """Return the seconds to wait before this attempt."""
        if self.due:
            return 0.0
        rest_s = min(BACKOFF_S * BACKOFF_FACTOR ** (self.number - 2), MAX_BACKOFF_S)
        return rest_s * chance.uniform(1 - JITTER, 1 + JITTER)

    def left_s(self, now: float) -> float:
        """Return the seconds until it is due, bounded whatever the clocks of nodes say."""
        return 0.0 if self.resume_at is None else max(0.0, min(self.resume_at - now, MAX_BACKOFF_S * (1 + JITTER)))

    def unresumable_reason(
        self, agents: Mapping[str, Agent], client_tools: Collection[str] = ()
    ) -> tuple[str, str] | None:
        """Return why the run cannot be resumed: a word for the log and a sentence for the user. None if it can.

        `client_tools` are the names of its client's tools.
        """
        replay = self.replay
        if self.number > MAX_ATTEMPTS:
            return "set_aside", f"The work on this message was given up: it did not get on in {MAX_ATTEMPTS} attempts."
        if replay is None and self.later_release:
            return "later_release", f"{INTERRUPTED}, and only a newer release of this server could go on with it."
        if replay is None:
            return "unreadable", f"{INTERRUPTED}, and what was done of it cannot be read any more."
        if self.agent(agents) is None or any(name not in agents for _, name in replay.agents):
            return "no_agent", f"{INTERRUPTED}, and the agent that was at work is not here any more."
        if unknown := replay.calls_in_doubt(agents.get(replay.speaker or ""), client_tools):
            names = ", ".join(dict.fromkeys(unknown))
            was, it = ("was", "it") if len(unknown) == 1 else ("were", "they")
            return "unknown", f"{INTERRUPTED} while {names} {was} at work: whether {it} took effect is unknown."
        return None


@define(eq=False)
class ActiveRun:
    """One run that has not ended. `started` while its actor lives. `cancelled_by` is the id of an operator who stops
    it, with a `cancel_reason` if they gave one.

    `regenerates`: it answers a message once more; `request_id` is the client's name for the request to do so.
    `taken_over` is what it begins with, if it forks or continues another run. `lost_server`: its server has died, which
    its user is told. `attempt` is set if the run lost its server or its actor and is resumed. `decisions` and answers
    of its user wait for a reply. `lingering` are the tools of calls that go on after its end. `span` is that of the
    agent at work, None if it is not traced. `text` is the answer that is being written.
    """

    request: RunRequest
    protocol: RunProtocol
    envelope_template: Envelope
    started: bool = False
    stopped: bool = False
    cancelled_by: str | None = None
    cancel_reason: str | None = field(default=None, repr=False)
    regenerates: bool = False
    request_id: str | None = None
    attempt: ResumeAttempt | None = None
    taken_over: Replay | None = field(default=None, repr=False)
    lost_server: bool = False
    decisions: list[Decide | AnswerQuestion] = field(factory=list)
    lingering: tuple[str, ...] = field(default=(), init=False)
    span: SpanContext | None = field(default=None, init=False)
    text: StreamedText = field(factory=StreamedText, init=False)

    def set_speaker(self, agent_type: str, pillar: str | None) -> None:
        """Have the events come from this agent from now on; they also name the agent that the message asked."""
        template = self.envelope_template
        asked = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)
        same = (agent_type, pillar) == (asked.agent_type, asked.pillar)
        asked_agent = None if same else asked
        self.envelope_template = template.replace(agent_type=agent_type, pillar=pillar, asked_agent=asked_agent)

    def takes(self, attempt: str) -> bool:
        """Whether text of this attempt belongs to the answer. A call of a dead one may still go on."""
        return self.started and attempt == self.request.attempt.name and not self.protocol.ended

    def wrap_text(self, piece: PartialResult, now: float) -> Envelope:
        """Put a piece of the text into an envelope, which names the text that it is a piece of."""
        return self.envelope_template.replace(
            event=piece, timestamp=now, seq=None, message="", text_epoch=self.text.epoch
        )

    def resume_as(self, recorded: "ActiveRun") -> None:
        """Go on as recorded, after the death of the actor: with the attempt and the text that are read from the log."""
        self.attempt, self.text = recorded.attempt, recorded.text

    def change(
        self,
        envelopes: Sequence[Envelope],
        fence: Fence | None,
        *,
        steps: Sequence[StepRecord] = (),
        new_thread: float | None = None,
    ) -> Change:
        """Return the change that stores these numbered events, and the rows that follow from them.

        `MessageAccepted` inserts the run and its message, `FinalResponse` the answer, an `Error` the text so far if
        there is any; either ends the run. A notice that the run goes on after its server died is counted.
        `new_thread` is when the thread was created if it is not stored yet.
        """
        request, template = self.request, self.envelope_template
        owner, thread_id, run_id = request.owner, request.thread_id, request.run_id
        agent_type, pillar = template.agent_type or "", template.pillar
        row = partial(Message, owner=owner, thread_id=thread_id, run_id=run_id, agent_type=agent_type, pillar=pillar)
        answer = partial(
            row,
            id=ANSWER + run_id,
            role="assistant",
            parent_id=request.message_id,
            branch_of=request.message_id if self.regenerates else None,
        )
        events, messages, thread, run, run_end, restarted = [], [], None, None, None, None
        for envelope in envelopes:
            event, now = envelope.event, envelope.timestamp
            events.append(LoggedEvent(envelope.seq or 0, event.type, run_id, to_log(envelope)))
            match event:
                case MessageAccepted(message_id=message_id, content=content):
                    if new_thread is not None:
                        title = derived_title(content)
                        thread = Thread(owner, thread_id, title, agent_type, pillar, new_thread, now)
                    found = request.findings_summary
                    run = RunRecord(
                        id=run_id,
                        owner=owner,
                        thread_id=thread_id,
                        message_id=message_id,
                        conversation_id=template.conversation_id,
                        agent_type=agent_type,
                        pillar=pillar,
                        status="running",
                        started_at=now,
                        request_id=self.request_id,
                        found=None if found is None else msgspec.json.encode(found),
                        continues=event.continues,
                    )
                    if not self.regenerates:
                        message = row(
                            id=message_id,
                            role="user",
                            content=content,
                            status="accepted",
                            created_at=now,
                            references=event.references,
                            parent_id=event.parent_id,
                            branch_of=event.branch_of,
                        )
                        messages.append(message)
                case AgentThinking(notice=notice) if notice == RESUMED:
                    restarted = run_id
                case FinalResponse(message=content, status=status):
                    messages.append(
                        answer(
                            content=content,
                            status=status.value,
                            created_at=now,
                            visualization=event.visualization,
                            next_steps=_next_steps(event),
                            files=(event.data or {}).get("files"),
                        )
                    )
                    run_end = RunEnd(run_id, status.value, now)
                case Error(code=code):
                    how = "interrupted" if code == "run_interrupted" else "failed"
                    if text := self.text.stored:
                        messages.append(answer(content=text, status=how, created_at=now))
                    run_end = RunEnd(run_id, how, now)
        return Change(
            owner=owner,
            thread_id=thread_id,
            events=tuple(events),
            thread=thread,
            messages=tuple(messages),
            run=run,
            run_end=run_end,
            restarted=restarted,
            steps=tuple(steps),
            fence=fence,
            spent=tuple(spent_in(owner, step, usage) for step in steps if (usage := usage_of(step)) is not None),
        )


def spent_in(owner: str, step: StepRecord, usage: Usage) -> Spent:
    """Return what a finished step used of the model, to be counted for its user's day."""
    cost = 0.0 if isinstance(usage.cost, msgspec.UnsetType) else usage.cost
    day = day_of(step.ended_at or step.started_at)
    return Spent(step.run_id, step.number, owner, tenant_of(owner), day, usage.input + usage.output, cost)


def _next_steps(answer: FinalResponse) -> list[dict[str, Any]] | None:
    """Return the calls that the tools of an answer offer, each label once, for its message; None without any."""
    results = (answer.data or {}).get("results") or ()
    offered = {step["label"]: step for result in results for step in result.get("next_steps") or ()}
    return list(offered.values())[:MAX_STEPS] or None
