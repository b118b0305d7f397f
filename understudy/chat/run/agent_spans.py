"""The spans of one attempt at a run: of its agents, of the requests to their models, and of their tool calls.

1. A span is recorded when it has ended. That of an agent whose work was cut off from outside, by a kill or a stop of
   the server, is recorded by the next attempt, which knows its ids from the log, and whose own spans link to it.
2. Texts are in spans only with `Traces.content`, and only as the content filter lets them be stored.
"""

from collections.abc import Sequence
from typing import Any

import trio
from attrs import define, field

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.placement import actor_name
from understudy.chat.run.replay import PendingCall, Replay
from understudy.observe import conventions as names
from understudy.observe.spans import INTERRUPTED, Attribute, SpanContext, SpanKind, span_of
from understudy.observe.traces import Traces, as_messages, as_text
from understudy.wire.events import Usage


def error_type(error: BaseException) -> str:
    """Return the type of the error that ended a span."""
    return "cancelled" if isinstance(error, trio.Cancelled) else type(error).__name__


def commit_attributes(database: str, events: int, steps: int) -> dict[str, Attribute]:
    """Return the attributes of a commit to the database."""
    known = {names.DATABASE: database, names.DATABASE_OPERATION: "COMMIT"}
    return {**known, names.EVENTS: events, names.STEPS: steps}


@define(eq=False)
class AgentSpans:
    """Records the spans of the agents of a run, one after the other, or of one subagent.

    `above` is the span that asks the agents: the message's, or the call's `scope` that asks a subagent. `agent` is the
    span of the agent at work.
    """

    traces: Traces
    job: RunRequest
    scope: str = ""
    above: SpanContext = field(init=False)
    agent: SpanContext = field(init=False)
    _begun_at: float = field(default=0.0, init=False)
    _links: tuple[SpanContext, ...] = field(default=(), init=False)
    _attributes: dict[str, Attribute] = field(factory=dict, init=False, repr=False)
    _cut_calls: frozenset[str] = field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        self.agent = self.above = self._above(self.job.attempt.name)

    def below(self, call_id: str) -> "AgentSpans":
        """Return the spans of the subagent that a call asks."""
        return AgentSpans(self.traces, self.job, call_id)

    def _above(self, attempt: str) -> SpanContext:
        return span_of(self.job.run_id, attempt, self.scope) if self.scope else span_of(self.job.run_id)

    def of_call(self, call_id: str) -> SpanContext:
        """Return the span of a tool call."""
        return span_of(self.job.run_id, self.job.attempt.name, call_id)

    # agents

    def begin(self, agent: Agent, agent_id: str, replay: Replay, now: float) -> None:
        """Begin the span of an agent. If it was at work when the attempt before was cut off, link to the span it had.

        That one is recorded here, with those of the calls it left, if that attempt could not.
        """
        attempt, run_id = self.job.attempt, self.job.run_id
        self.agent = span_of(run_id, attempt.name, agent_id)
        self._begun_at, self._links = now, ()
        self._attributes = self._of_agent(agent.name, agent_id)
        if self.traces.content and not self.scope:  # a subagent's request is among the call's arguments
            self._attributes[names.INPUT_MESSAGES] = as_messages("user", self.job.content)
        if attempt.before is not None and replay.agents and replay.agents[-1][0] == agent_id:
            before = span_of(run_id, attempt.before, agent_id)
            self._links = (before,)
            calls = replay.turns[-1].calls if replay.turns else ()
            cut = [each for each in calls if each.step is not None and each.result is None]
            self._cut_calls = frozenset(each.call_id for each in cut)
            if attempt.cut:
                name, about = f"{names.INVOKE_AGENT} {agent.name}", self._of_agent(agent.name, agent_id)
                self._record_cut(name, before, self._above(attempt.before), attempt.began_at, about)
                self._record_cut_calls(cut, before)
                self.traces.hurry()  # nobody records them again

    def _of_agent(self, name: str, agent_id: str) -> dict[str, Attribute]:
        return {
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: name,
            names.AGENT_ID: agent_id,
            names.CONVERSATION: actor_name(self.job.owner, self.job.thread_id),
            names.RUN: self.job.run_id,
        }

    def _record_cut_calls(self, calls: Sequence[PendingCall], agent: SpanContext) -> None:
        """Record the calls that the attempt before has left."""
        attempt = self.job.attempt
        for call in calls:
            if call.step is not None:
                span = span_of(self.job.run_id, attempt.before or "", call.call_id)
                about = self._of_call(call.step.name, call.call_id)
                name = f"{names.EXECUTE_TOOL} {call.step.name}"
                self._record_cut(name, span, agent, call.step.started_at, about)

    def _record_cut(
        self, name: str, span: SpanContext, parent: SpanContext, began_at: float, about: dict[str, Attribute]
    ) -> None:
        """Record a span of the attempt before, until its last sign of life."""
        self.traces.add(name, span, parent, began_at, self.job.attempt.heard_at, about, error=INTERRUPTED)

    def end(self, usage: Usage, now: float, *, error: str = "", text: str = "") -> None:
        """Record the span of the agent at work, if one is; `text` is its answer as it is stored."""
        if not self._attributes:
            return
        attributes = {**self._attributes, names.INPUT_TOKENS: usage.input, names.OUTPUT_TOKENS: usage.output}
        if text and self.traces.content:
            attributes[names.OUTPUT_MESSAGES] = as_messages("assistant", text)
        name, self._attributes = f"{names.INVOKE_AGENT} {attributes[names.AGENT_NAME]}", {}
        self.traces.add(name, self.agent, self.above, self._begun_at, now, attributes, links=self._links, error=error)

    # models and tools

    def model_ended(
        self, requested: str, model: str, usage: Usage, began_at: float, now: float, *, error: str = "", text: str = ""
    ) -> None:
        """Record a request to a model. `requested` is its name in settings, `text` its reply as it is stored."""
        provider, _, name = requested.partition(":")
        shown = name or model
        attributes: dict[str, Attribute] = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: provider.removesuffix("-chat") if name else "understudy",
            names.REQUEST_MODEL: shown,
            names.CONVERSATION: actor_name(self.job.owner, self.job.thread_id),
            names.INPUT_TOKENS: usage.input,
            names.OUTPUT_TOKENS: usage.output,
        }
        if text and self.traces.content:
            attributes[names.OUTPUT_MESSAGES] = as_messages("assistant", text)
        span = self.traces.new_context(self.agent.trace_id)
        name = f"{names.CHAT} {shown}"
        self.traces.add(name, span, self.agent, began_at, now, attributes, kind=SpanKind.CLIENT, error=error)

    def call_ended(
        self,
        tool: str | None,
        call_id: str,
        began_at: float,
        now: float,
        *,
        error: str = "",
        arguments: Any = None,
        result: Any = None,
    ) -> None:
        """Record a tool call. `tool` None: the agent has none of the name.

        `arguments` and `result` are those that are stored. A call that the attempt before has left links to its span.
        """
        shown = tool or "(unknown)"
        attributes = self._of_call(shown, call_id)
        if self.traces.content:
            attributes[names.TOOL_ARGUMENTS] = as_text(arguments)
            attributes[names.TOOL_RESULT] = as_text(result)
        before = self.job.attempt.before
        links = (
            (span_of(self.job.run_id, before, call_id),) if call_id in self._cut_calls and before is not None else ()
        )
        span, name = self.of_call(call_id), f"{names.EXECUTE_TOOL} {shown}"
        self.traces.add(name, span, self.agent, began_at, now, attributes, links=links, error=error)

    def _of_call(self, tool: str, call_id: str) -> dict[str, Attribute]:
        return {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL: call_id,
        }
