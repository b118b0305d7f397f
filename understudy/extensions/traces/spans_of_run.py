"""Records the spans of one attempt at a run: of its agents, of requests to their models, and of their tool calls.

1. A span is recorded when it ends. The span of an agent that was cut off, by a kill or a stop of the server, is
   recorded by the next attempt, which knows its ids from the log, and whose own spans link to it.
2. Spans have texts only with `SentTraces.content`, and only in the form that the content filter lets be stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from understudy.agents.agent import Agent
from understudy.chat.conversation.active_run import ResumeAttempt
from understudy.chat.messages import RunRequest
from understudy.chat.placement import actor_name
from understudy.chat.run.call import CallSubagent, RunCall
from understudy.chat.run.part import AgentDone, CallMade, Done, ModelAsked, RunOver, RunPart
from understudy.chat.run.work import RunWork
from understudy.chat.services import Services
from understudy.extensions.traces.sender import SentTraces, as_messages, as_text
from understudy.extensions.traces.spans_of_commits import SpansOfCommits
from understudy.observe import conventions as names
from understudy.observe.spans import INTERRUPTED, Attribute, SpanContext, SpanKind, span_of
from understudy.wire.events import Usage


def spans_of_run(traces: SentTraces, services: Services, request: RunRequest, _agent: Agent) -> "SpansOfRun | None":
    """Return the part for a run or a subagent, None if the run is not traced."""
    return SpansOfRun(traces, services, request) if traces.of_run(request.run_id) else None


@define(eq=False)
class SpansOfRun(RunPart):
    """Records the spans of the agents of a run, one after the other, or of one subagent.

    `above` is the parent of the agents' spans: that of the message, or of the call `scope` which asks a subagent.
    `agent` is the span of the agent at work. `before` is the previous attempt, None in the first.
    """

    traces: SentTraces
    services: Services
    request: RunRequest
    scope: str = field(default="", init=False)
    above: SpanContext = field(init=False)
    agent: SpanContext = field(init=False)
    before: ResumeAttempt | None = field(default=None, init=False)
    _begun_at: float = field(init=False)
    _links: tuple[SpanContext, ...] = field(default=(), init=False)
    _attributes: dict[str, Attribute] = field(factory=dict, init=False, repr=False)
    _cut_calls: frozenset[str] = field(default=frozenset(), init=False)

    def __attrs_post_init__(self) -> None:
        self.agent = self.above = self._above(self.request.attempt)
        self._begun_at = self.services.clock()

    def _above(self, attempt: str) -> SpanContext:
        return span_of(self.request.run_id, attempt, self.scope) if self.scope else span_of(self.request.run_id)

    def call_fields(self, call_id: str) -> Mapping[str, Any]:
        """Return the header by which spans of other servers become children of a call's span."""
        return {"traceparent": self._of_attempt(call_id).header}

    def _of_attempt(self, name: str) -> SpanContext:
        """Return the span of an agent or a tool call of this attempt, by its id."""
        return span_of(self.request.run_id, self.request.attempt, name)

    async def ended(self, done: Done) -> None:
        """Record the span of an agent, a request, a call or a run that has ended."""
        now = self.services.clock()
        match done:
            case AgentDone(usage, text):
                self._end_agent(usage, now, text=text)
                self._begun_at = now
            case ModelAsked():
                await self._end_model(done, now)
            case CallMade():
                self._end_call(done)
            case RunOver(str(error), usage, calls) if not self.scope:  # the span of a subagent ends with its call
                self._end_calls(calls, now, error)
                self._end_agent(usage, now, error=error)

    # agents

    async def begin(self, work: RunWork) -> None:
        """Begin the span of an agent. If it was at work when the previous attempt was cut off, link to its span there.

        If that attempt did not record that span, record it here, with the spans of its unfinished calls.
        """
        agent, agent_id, past, live = work.agent, work.agent_id, work.past, work.log.active
        if len(work.agent_ids) < len(past.agents):
            return  # this agent has handed over in an earlier attempt
        self.scope, self.before = work.log.scope, live.attempt
        self.above, self.agent = self._above(self.request.attempt), self._of_attempt(agent_id)
        for observer in () if self.scope else work.log.thread.hooks.committed:
            if isinstance(observer, SpansOfCommits):
                observer.agents[live] = self.agent
        self._links, self._attributes = (), self._of_agent(agent.name, agent_id)
        if self.traces.content and not self.scope:  # a subagent's request is among the call's arguments
            self._attributes[names.INPUT_MESSAGES] = as_messages("user", self.request.content)
        if (before := self.before) is not None and past.agents and past.agents[-1][0] == agent_id:
            span = span_of(self.request.run_id, before.before, agent_id)
            self._links = (span,)
            calls = past.turns[-1].calls if past.turns else ()
            cut = {call.call_id: call.step for call in calls if call.step is not None and call.result is None}
            self._cut_calls = frozenset(cut)
            if not before.crashed:
                attributes = self._of_agent(agent.name, agent_id)
                self._record_cut(agent.name, span, self._above(before.before), before.began_at, attributes)
                for call_id, step in cut.items():
                    span_of_call = span_of(self.request.run_id, before.before, call_id)
                    attributes = self._of_call(step.name, call_id)
                    self._record_cut(step.name, span_of_call, span, step.started_at, attributes)
                self.traces.hurry()  # no later attempt records them again

    def _of_agent(self, name: str, agent_id: str) -> dict[str, Attribute]:
        return {
            names.OPERATION: names.INVOKE_AGENT,
            names.AGENT_NAME: name,
            names.AGENT_ID: agent_id,
            names.CONVERSATION: actor_name(self.request.owner, self.request.thread_id),
            names.RUN: self.request.run_id,
        }

    def _record_cut(
        self, name: str, span: SpanContext, parent: SpanContext, began_at: float, about: dict[str, Attribute]
    ) -> None:
        """Record a span of the previous attempt, which ends with that attempt's last sign of life."""
        heard_at, label = 0.0 if self.before is None else self.before.heard_at, f"{about[names.OPERATION]} {name}"
        self.traces.add(label, span, parent, began_at, heard_at, about, error=INTERRUPTED)

    def _end_agent(self, usage: Usage, now: float, *, error: str = "", text: str = "") -> None:
        """Record the span of the agent at work, if there is one; `text` is its answer as it is stored."""
        if not self._attributes:
            return
        attributes = {**self._attributes, names.INPUT_TOKENS: usage.input, names.OUTPUT_TOKENS: usage.output}
        if text and self.traces.content:
            attributes[names.OUTPUT_MESSAGES] = as_messages("assistant", text)
        name, self._attributes = f"{names.INVOKE_AGENT} {attributes[names.AGENT_NAME]}", {}
        self.traces.add(name, self.agent, self.above, self._begun_at, now, attributes, links=self._links, error=error)

    # models and tools

    async def _end_model(self, asked: ModelAsked, now: float) -> None:
        """Record a request to a model."""
        provider, _, name = asked.requested.partition(":")
        shown = name or asked.model
        attributes: dict[str, Attribute] = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: provider.removesuffix("-chat") if name else "understudy",
            names.REQUEST_MODEL: shown,
            names.CONVERSATION: actor_name(self.request.owner, self.request.thread_id),
            names.INPUT_TOKENS: asked.usage.input,
            names.OUTPUT_TOKENS: asked.usage.output,
        }
        text = asked.text if self.traces.content else ""
        if text and (text := await self.services.content_filter.filter_for_storage(text) or ""):
            attributes[names.OUTPUT_MESSAGES] = as_messages("assistant", text)
        span = self.traces.new_context(self.agent.trace_id)
        name, kind = f"{names.CHAT} {shown}", SpanKind.CLIENT
        self.traces.add(name, span, self.agent, asked.began_at, now, attributes, kind=kind, error=asked.error)

    def _end_call(self, made: CallMade) -> None:
        """Record a tool call, and the subagent that it asks. A call that the previous attempt left unfinished links to
        its span there. Arguments and result are recorded as they are stored."""
        call, now = made.call, made.ended_at
        if call.subagent is not None and (below := self._below(call.subagent)) is not None:
            below._end_agent(call.subagent.usage, now, error=made.error)
        tool = "(unknown)" if call.tool is None else call.tool.name  # a name that no tool has is the model's text
        attributes = self._of_call(tool, call.call_id)
        if self.traces.content:
            attributes[names.TOOL_ARGUMENTS] = as_text(call.step.arguments)
            attributes[names.TOOL_RESULT] = as_text(made.result)
        links: tuple[SpanContext, ...] = ()
        if self.before is not None and call.call_id in self._cut_calls:
            links = (span_of(self.request.run_id, self.before.before, call.call_id),)
        name, span = f"{names.EXECUTE_TOOL} {tool}", self._of_attempt(call.call_id)
        self.traces.add(name, span, self.agent, made.began_at, now, attributes, links=links, error=made.error)

    def _end_calls(self, calls: Sequence[RunCall], now: float, error: str) -> None:
        """Record the unfinished calls, the innermost first."""
        for call in calls:
            if (agent := call.subagent) is not None and agent.tools and (below := self._below(agent)) is not None:
                below._end_calls(agent.tools.begun_calls(), now, error)
            self._end_call(CallMade(call, call.began, now, error))

    def _below(self, asked: CallSubagent) -> "SpansOfRun | None":
        """Return the part that records the spans of a subagent, None if it has none."""
        parts = () if asked.tools is None else asked.tools.parts.ended
        return next((part for part in parts if isinstance(part, SpansOfRun)), None)

    def _of_call(self, tool: str, call_id: str) -> dict[str, Attribute]:
        return {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL: call_id,
        }
