"""What a run has done, as a resumed one goes on from it: read from its state. Pure.

1. A recorded turn of the model is not asked again, with one exception: none of its calls has started, and the recorded
   arguments of one were redacted, so that the call cannot be made from them.
2. A finished tool call has its outcome from its step. A call that started and did not finish is in doubt: it is made
   again only if its tool or its user says so, or its tool is safe to retry, and its arguments were recorded unredacted.
   A call that waited for its user is not in doubt: for approval it did not run, and a tool asks its questions before it
   acts.
3. Logged events are not published again: agents' starts, thoughts, approval requests and decisions, questions and
   answers.
4. An interrupted turn continues after the text that was shown. If some of that text was redacted the model could not
   continue it, and the turn is asked from its beginning.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve, field, frozen

from understudy.agents.agent import Agent
from understudy.chat.run.meter import HAND_WRITTEN, usage_of, worked_s
from understudy.chat.run_state.records import AgentRecord, QuestionRecord, calls_that_ask
from understudy.chat.run_state.state import RunState
from understudy.chat.run_state.turns import (
    RECALL,
    SEPARATOR,
    WRITTEN_KINDS,
    CutTurn,
    PastSteer,
    PastTurn,
    check_kinds,
    is_cut,
    read_turns,
)
from understudy.storage.records import StepRecord
from understudy.wire.events import NO_USAGE, Usage


@frozen
class Past:
    """The recorded progress of a run; empty for a new one.

    `agents` are the (agent_id, name) of the agents that started, in order; `handoffs` is the number of handoffs.
    `turns` are those of the model, `cut` is the one that was interrupted. `thoughts` are all of the run. `summaries`
    are the steps that say what older items the model is shown shortened. `unmatched_tools` are the names of tools with
    an unfinished call that belongs to no turn. `questions` are those that the run asked, by id. `worked_s` is how long
    the run has worked, in seconds, `summary_usage` what its summaries, and requests that were cut off, used of the
    model. `steers` are those that the run has taken. `written` are the steps of hand-written agents, `used` is the use
    of each finished turn of a model, `subagents` is the progress of subagents by the id of the call that asks them.
    """

    agents: tuple[tuple[str, str], ...] = ()
    handoffs: int = 0
    turns: tuple[PastTurn, ...] = ()
    cut: CutTurn | None = None
    thoughts: tuple[str, ...] = field(default=(), repr=False)
    last_step: int = 0
    summaries: tuple[StepRecord, ...] = field(default=(), repr=False)
    unmatched_tools: tuple[str, ...] = ()
    questions: Mapping[str, QuestionRecord] = field(factory=dict, repr=False)
    worked_s: float = 0.0
    summary_usage: Usage = NO_USAGE
    steers: tuple[PastSteer, ...] = ()
    written: tuple[StepRecord, ...] = ()
    used: tuple[Usage, ...] = ()
    subagents: "Mapping[str, Past]" = field(factory=dict, repr=False)

    @classmethod
    def of(cls, state: RunState) -> "Past":
        """Return the progress of a run.

        Raises:
            UnreadableSteps: A step cannot be decoded.
            LaterSteps: A step is of a kind that this release does not know.
        """
        steps = [state.steps[number] for number in sorted(state.steps)]
        check_kinds(steps)
        agents, subagents = list[AgentRecord](), dict[str, Past]()
        for agent in state.agents.values():
            if agent.call_id is None:
                agents.append(agent)
            else:
                subagents[agent.call_id] = _read(state, steps, [agent], agent.call_id)
        elsewhere = {call.call_id for past in subagents.values() for turn in past.turns for call in turn.calls}
        past = _read(state, steps, agents)
        matched = elsewhere.union(call.call_id for turn in past.turns for call in turn.calls)
        return evolve(
            past,
            handoffs=state.handoffs,
            unmatched_tools=tuple(call.tool_name for call in state.open_calls if call.call_id not in matched),
            worked_s=worked_s(
                (step for step in steps if step.kind != "model" or step.call_id is None), state.durations_s
            ),
            summary_usage=sum(
                (usage_of(step) or Usage() for step in steps if step.kind == "summary" or is_cut(step)), Usage()
            ),
            subagents=subagents,
        )

    @property
    def speaker(self) -> str | None:
        """The name of the current agent; None if none has started."""
        return self.agents[-1][1] if self.agents else None

    @property
    def recorded_text(self) -> str:
        """The text of the recorded turns."""
        return SEPARATOR.join(turn.reply.text for turn in self.turns if turn.reply.text)

    @property
    def shown_text(self) -> str:
        """The text of the answer that was shown, as far as it was saved."""
        cut = "" if self.cut is None else self.cut.text
        return SEPARATOR.join(part for part in (self.recorded_text, cut) if part)

    def taken_agent(self, name: str) -> str | None:
        """Return the id of a hand-written agent of this name in the run that this one goes on with; None if none was.
        Its steps are found by that id."""
        agent_ids = {agent_id for agent_id, _ in self.agents}
        ids = (str((step.arguments or {}).get("agent_id", "")) for step in self.written)
        return next(
            (agent_id for agent_id in ids if agent_id not in agent_ids and agent_id.rpartition("-")[0] == name), None
        )

    def calls_in_doubt(self, agent: Agent | None, client_tools: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the calls in doubt that cannot be settled, as their tools are gone. `client_tools` are
        the names of the client's tools: the client makes their calls, whatever dies here."""
        names = list(self.unmatched_tools)
        for wanted in self.turns[-1].calls if self.turns else ():
            available = agent is not None and agent.may_have(wanted.request.name)
            if wanted.in_doubt and not available and wanted.request.name not in (RECALL, *client_tools):
                names.append(wanted.request.name)
        return tuple(names)


def _read(
    state: RunState, steps: Sequence[StepRecord], agents: Sequence[AgentRecord], scope: str | None = None
) -> Past:
    """Return what the steps say of these agents: those of the run, or the subagent that the call `scope` asks."""
    waiting = calls_that_ask(state.questions) & state.calls.keys()
    calls = {**state.calls, **{call_id: evolve(state.calls[call_id], asking=True) for call_id in waiting}}
    unlisted = state.agents.keys() - {agent.agent_id for agent in agents}
    within = [step for step in steps if step.kind != "model" or step.call_id == scope]
    read = read_turns(within, scope, calls).asked_again(within)
    return Past(
        agents=tuple((agent.agent_id, agent.name) for agent in agents),
        turns=read.turns,
        cut=read.cut,
        thoughts=tuple(thought for agent_id, thought in state.thoughts if agent_id not in unlisted),
        last_step=max(state.steps, default=0),
        summaries=tuple(step for step in within if step.kind == "summary"),
        questions=state.questions,
        steers=read.steers,
        written=tuple(step for step in within if step.kind in WRITTEN_KINDS and not is_cut(step)),
        used=tuple(usage_of(step) or Usage() for step in within if _asks_model(step) and step.ended_at is not None),
    )


def _asks_model(step: StepRecord) -> bool:
    return (step.kind == "ask" and not is_cut(step)) or (step.kind == "model" and step.name != HAND_WRITTEN)
