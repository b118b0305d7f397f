"""A run without a committed end: its state, its streamed text, its rows, and how it is resumed. Pure."""

import random
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from attrs import define, field

from transport.wire.events import PartialResult
from understudy.agents.agent import Agent
from understudy.chat.conversation.streamed_text import StreamedText
from understudy.chat.messages import AnswerQuestion, Decide, RunRequest
from understudy.chat.routing import find_stored_agent
from understudy.chat.run.meter import usage_of
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.state import RunState
from understudy.chat.title_text import derived_title
from understudy.storage.owners import tenant_of
from understudy.storage.records import Message, RunEnd, RunRecord, StepRecord, Thread
from understudy.storage.spending import Spent, day_of
from understudy.tools.result import MAX_STEPS
from understudy.wire.events import ANSWER, AskedAgent, Envelope, FinalResponse, Usage

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
INTERRUPTED: Final = "The work on this message was interrupted"


@define(eq=False)
class ResumeAttempt:
    """The next attempt at a run. `number` counts from 1; `due`: its backoff is over; `recorded`: it is in the database.

    `resume_at` is when it is due (Unix seconds), None before that is decided. `progress` is the number of finished
    steps, `past` is None if the steps cannot be read, in a run of a `later_release` because that wrote some of them.
    `agent_type` and `pillar` are those that the message was addressed to. `before` is the name of the last attempt,
    which began at `began_at` and was last heard of at `heard_at`, by the log (Unix seconds); `crashed`: its own code
    ended it.
    """

    number: int
    progress: int
    past: Past | None = field(repr=False)
    agent_type: str
    pillar: str | None = None
    later_release: bool = False
    resume_at: float | None = None
    before: str = ""
    began_at: float = 0.0
    heard_at: float = 0.0
    crashed: bool = False
    due: bool = field(init=False)
    recorded: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.due = self.number <= 1

    @classmethod
    def next_of(
        cls,
        run: RunRecord,
        past: Past | None,
        *,
        finished_steps: int | None = None,
        later_release: bool = False,
        began_at: float = 0.0,
        heard_at: float = 0.0,
    ) -> "ResumeAttempt":
        """Return the next attempt at a run; a step finished since the last attempt restarts the count.

        `finished_steps` is their number, None if the steps cannot be read. `began_at` and `heard_at` are those of the
        last attempt.
        """
        progress = run.progress if finished_steps is None else finished_steps
        number = 1 if progress > run.progress else run.attempts + 1
        # An attempt that a stop of its server ended was taken back: the first one has no progress.
        last = run.attempts or (1 if run.progress else 0)
        last_attempt = f"{run.progress}.{last}"
        recorded = run.agent_type, run.pillar, later_release, run.resume_at, last_attempt, began_at, heard_at
        return cls(number, progress, past, *recorded)

    @property
    def name(self) -> str:
        """The attempt's name, which no other one at the run has."""
        return f"{self.progress}.{self.number}"

    def agent(self, agents: Mapping[str, Agent]) -> str | None:
        """Return the name of the run's first agent; None if that agent does not exist any more."""
        if self.past is not None and self.past.agents:
            name = self.past.agents[0][1]
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
        `client_tools` are the names of its client's tools."""
        if self.number > MAX_ATTEMPTS:
            return "set_aside", f"The work on this message was given up: it did not get on in {MAX_ATTEMPTS} attempts."
        if self.past is None and self.later_release:
            return "later_release", f"{INTERRUPTED}, and only a newer release of this server could go on with it."
        if self.past is None:
            return "unreadable", f"{INTERRUPTED}, and what was done of it cannot be read any more."
        if self.agent(agents) is None or any(name not in agents for _, name in self.past.agents):
            return "no_agent", f"{INTERRUPTED}, and the agent that was at work is not here any more."
        if unknown := self.past.calls_in_doubt(agents.get(self.past.speaker or ""), client_tools):
            names = ", ".join(dict.fromkeys(unknown))
            verb, pronoun = ("was", "it") if len(unknown) == 1 else ("were", "they")
            return "unknown", f"{INTERRUPTED} while {names} {verb} at work: whether {pronoun} took effect is unknown."
        return None


@define(eq=False)
class ActiveRun:
    """One run that has not ended. `started` while its actor lives. `cancelled_by` is the id of an operator who stops
    it, with a `cancel_reason` if they gave one.

    `request_id` is the client's name for the request to answer a message once more.
    `taken_over` is what it begins with, if it forks or continues another run. `lost_server`: its server has died, which
    its user is told. `attempt` is set if the run lost its server or its actor and is resumed. `decisions` and answers
    of its user wait for a reply. `lingering` are the tools of calls that go on after its end. `text` is the answer
    that is being written.
    """

    request: RunRequest
    state: RunState
    envelope_template: Envelope
    started: bool = False
    stopped: bool = False
    cancelled_by: str | None = None
    cancel_reason: str | None = field(default=None, repr=False)
    request_id: str | None = None
    attempt: ResumeAttempt | None = None
    taken_over: Past | None = field(default=None, repr=False)
    lost_server: bool = False
    decisions: list[Decide | AnswerQuestion] = field(factory=list)
    lingering: tuple[str, ...] = field(default=(), init=False)
    text: StreamedText = field(factory=StreamedText, init=False)

    def set_speaker(self, agent_type: str, pillar: str | None) -> None:
        """Have the events come from this agent from now on; they also name the agent that the message asked."""
        template = self.envelope_template
        if (template.agent_type, template.pillar) == (agent_type, pillar):
            return
        speaker = template.asked_agent or AskedAgent(template.agent_type or "", template.pillar)
        same = (agent_type, pillar) == (speaker.agent_type, speaker.pillar)
        asked_agent = None if same else speaker
        self.envelope_template = template.replace(agent_type=agent_type, pillar=pillar, asked_agent=asked_agent)

    def takes(self, attempt: str) -> bool:
        """Whether text of this attempt belongs to the answer. A call of a dead one may still go on."""
        return self.started and attempt == self.request.attempt and self.state.end is None

    def wrap_text(self, piece: PartialResult, now: float) -> Envelope:
        """Put a piece of the text into an envelope, which names the text that it is a piece of."""
        return self.envelope_template.replace(
            event=piece, timestamp=now, seq=None, message="", text_epoch=self.text.epoch
        )


def rows_of(active: ActiveRun, after: RunState, now: float, new_thread: float | None = None) -> dict[str, Any]:
    """Return the rows that follow from events after which a run is in the state `after`, as fields of a `Change`.

    Its acceptance inserts the run and its message, its end the answer, or the text so far if it ends in an error. That
    it goes on after its server died is counted. `new_thread` is when its thread was created if it is not stored yet.
    """
    rows: dict[str, Any] = {}
    request, template, before, accepted = active.request, active.envelope_template, active.state, after.accepted
    run_id, message_id, end = request.run_id, request.message_id, after.end
    names: dict[str, Any] = {"owner": request.owner, "thread_id": request.thread_id}
    names |= {"agent_type": template.agent_type or "", "pillar": template.pillar}
    message = partial(Message, **names, run_id=run_id, created_at=now)
    again = accepted is not None and accepted.branch_of == message_id
    if before.accepted is None and accepted is not None:
        if new_thread is not None:
            title, kind = derived_title(accepted.content), names["agent_type"]
            rows["thread"] = Thread(request.owner, request.thread_id, title, kind, template.pillar, new_thread, now)
        found = request.findings_summary
        rows["run"] = RunRecord(
            **names,
            id=run_id,
            message_id=message_id,
            conversation_id=template.conversation_id,
            status="running",
            started_at=now,
            request_id=active.request_id,
            found=None if found is None else msgspec.json.encode(found),
            continues=accepted.continues,
        )
        if not again:
            question = partial(message, id=message_id, role="user", content=accepted.content, status="accepted")
            above = {"parent_id": accepted.parent_id, "branch_of": accepted.branch_of}
            rows["messages"] = (question(references=accepted.references, **above),)
    if before.end is None and end is not None:
        answer = partial(message, id=ANSWER + run_id, role="assistant", parent_id=message_id)
        branch_of = message_id if again else None
        if isinstance(end, FinalResponse):
            how, about = end.status.value, end.data or {}
            content, shown = end.message, {"visualization": end.visualization, "files": about.get("files")}
            shown["next_steps"] = next_steps(about)
        else:
            how, content, shown = "interrupted" if end.code == "run_interrupted" else "failed", active.text.stored, {}
        if content or isinstance(end, FinalResponse):
            rows["messages"] = (answer(content=content, status=how, branch_of=branch_of, **shown),)
        rows["run_end"] = RunEnd(run_id, how, now)
    if after.restarts > before.restarts:
        rows["restarted"] = run_id
    return rows


def spent_of(owner: str, steps: Iterable[StepRecord]) -> tuple[Spent, ...]:
    """Return what finished steps used of models, to be counted for their user's days."""
    return tuple(spent_in(owner, step, usage) for step in steps if (usage := usage_of(step)) is not None)


def spent_in(owner: str, step: StepRecord, usage: Usage) -> Spent:
    """Return what a finished step used of the model, to be counted for its user's day."""
    cost = 0.0 if isinstance(usage.cost, msgspec.UnsetType) else usage.cost
    day = day_of(step.ended_at or step.started_at)
    return Spent(step.run_id, step.number, owner, tenant_of(owner), day, usage.input + usage.output, cost)


def next_steps(about: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the calls that the tools of an answer offer, each label once, for its message; None without any."""
    results = about.get("results") or ()
    offered = {step["label"]: step for result in results for step in result.get("next_steps") or ()}
    return list(offered.values())[:MAX_STEPS] or None
