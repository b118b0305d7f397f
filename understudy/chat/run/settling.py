"""Calls in doubt: they may have taken effect, as their server, their actor or their time ended before they did."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import trio
from attrs import define

from actors import Context
from understudy.chat.effects import GRACE_S, MAX_ASKED, Attempt
from understudy.chat.messages import RunRequest
from understudy.chat.run.asking import Asking
from understudy.chat.run.questions import calls_that_ask, question_id
from understudy.chat.run.tool_call import ToolCalls
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.services import Services
from understudy.tools.context import CallMeans
from understudy.tools.effects import Done, NotDone, Reconciled, Unknown
from understudy.tools.form import Question
from understudy.tools.loop import ToolLoop
from understudy.tools.result import ToolResult
from understudy.tools.schema import Misfit
from understudy.tools.tool import Tool
from understudy.wire.events import ToolStatus

MAX_MADE = 5
"""Times that one call is made or settled: one whose actor is killed each time must not go on for ever."""
EFFECT_UNKNOWN = "Whether it took effect is unknown."


@define(eq=False)
class CallSettling:
    """Runs calls until their outcome is known: a call in doubt is settled, and made again if it took no effect."""

    job: RunRequest
    services: Services
    asking: Asking
    calls: ToolCalls

    async def run(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        outcome: ToolOutcome,
        agent_id: str,
        context: Context,
        *,
        in_doubt: bool,
        whole: bool,
    ) -> None:
        """Run the tool until the outcome of the call is known, or cannot be.

        A call that may have taken effect, because its server, its actor or its time ended, is settled by the tool's
        `reconcile`, or else by the user, and made again only if it took none. One that has kept a handle is never in
        doubt: its tool finds its work again. `whole`: its arguments are not redacted.
        """
        in_doubt = in_doubt and outcome.handle is None
        for _ in range(MAX_MADE):
            killed = in_doubt
            if not in_doubt:
                async with self.calls.recorder.notes.of_call() as progress:
                    await self.calls.run(tool, arguments, outcome, progress, agent_id, context)
                killed = outcome.status is ToolStatus.KILLED
                if not (killed or outcome.crashed or outcome.status is ToolStatus.TIMED_OUT):
                    break
                outcome.effect_unknown = not outcome.crashed and not tool.retry_safe
                asked = outcome.call_id in calls_that_ask(self.asking.questions.logged)
                if killed and tool.reconcile is None and (asked or outcome.handle is not None):
                    outcome.ended, outcome.effect_unknown = trio.Event(), False
                    continue
                if tool.reconcile is None:
                    break
            again = await self._settle(tool, arguments, outcome, agent_id, context, killed=killed, whole=whole)
            if not again:
                break
            in_doubt, outcome.crashed, outcome.effect_unknown = False, False, False
            outcome.ended = trio.Event()
        self.asking.questions.forget(outcome.call_id)
        if outcome.status is ToolStatus.OK and tool.undo is not None and not outcome.by_user:
            outcome.undo_s = tool.undo_s
        elif outcome.effect_unknown:
            outcome.summary = f"{outcome.summary} {EFFECT_UNKNOWN}"

    async def _settle(
        self,
        tool: Tool,
        arguments: dict[str, Any],
        outcome: ToolOutcome,
        agent_id: str,
        context: Context,
        *,
        killed: bool,
        whole: bool,
    ) -> bool:
        """Find out whether a call took effect, and set its outcome. Return whether it is to be made again."""
        outcome.effect_unknown = True
        answer = await self._reconcile(tool, arguments, outcome, context)
        if isinstance(answer, Unknown) and killed and not (tool.retry_safe and whole):
            answer = await self._ask_about_effect(tool, outcome, agent_id, context, whole=whole)
        match answer:
            case Done(result):
                outcome.succeed(result)
                outcome.effect_unknown = False
                return False
            case NotDone():
                outcome.effect_unknown = False
                if not whole:
                    sentence = "It was interrupted and took no effect; what it was called with is redacted."
                    outcome.fail(ToolStatus.KILLED, "run_interrupted", sentence)
                return killed and whole
        return killed and whole and tool.retry_safe

    async def _ask_tool(self, tool: Tool, call_id: str, arguments: dict[str, Any]) -> Reconciled:
        async with self.calls.recorder.notes.of_call() as progress:
            context = self.calls.context(call_id, progress, CallMeans())
            return await tool.settle(call_id, arguments, context, self.services.parts.find(ToolLoop))

    async def _ask_about_effect(
        self, tool: Tool, outcome: ToolOutcome, agent_id: str, context: Context, *, whole: bool
    ) -> Reconciled:
        """Ask the user what became of a call. Without an answer in time it is unknown."""
        titles = {"happened": "It happened"} | ({"again": "Try again"} if whole else {}) | {"skip": "Skip it"}
        question = Question(
            f"Did {tool.name} take effect?",
            {
                "type": "object",
                "properties": {"choice": {"enum": [*titles], "title": "What became of it"}},
                "required": ["choice"],
                "additionalProperties": False,
            },
            "The call was interrupted, and it is unknown whether it took effect.",
            tuple({"value": value, "title": title} for value, title in titles.items()),
        )

        async def check(answer: Mapping[str, Any]) -> None:
            if answer.keys() != {"choice"} or answer["choice"] not in titles:
                raise Misfit("choice", f"it is one of {', '.join(titles)}")

        # A call that was made again at the user's wish, and interrupted again, is a new question.
        for number in itertools.count(1):
            name = question_id(self.job.run_id, outcome.call_id, f"effect{number}")
            logged = self.asking.questions.logged.get(name)
            if logged is None or logged.answered is None or logged.answered.answer != {"choice": "again"}:
                break
        began = self.services.clock()
        reply = await self.asking.ask(name, question, check, "server", outcome.call_id, agent_id, context)
        outcome.waited_s += max(0.0, self.services.clock() - began)
        match (reply.answer or {}).get("choice"):
            case "happened":
                outcome.by_user = True
                return Done(ToolResult({"confirmed_by_user": True, "result": None}, "The user says that it happened."))
            case "again":
                return NotDone()
        return Unknown()

    async def _reconcile(
        self, tool: Tool, arguments: dict[str, Any], outcome: ToolOutcome, context: Context
    ) -> Reconciled:
        """Ask the tool, in an actor of its own, whether a call took effect. An error or a timeout counts as unknown.

        An actor that is killed says nothing about the call: the tool is asked again.
        """
        for _ in range(MAX_ASKED if tool.reconcile is not None else 0):
            ask = functools.partial(self._ask_tool, tool, outcome.call_id, arguments)
            attempt = Attempt("reconcile", tool.name, self.job.run_id, outcome.call_id, tool.timeout_s, ask)
            ref = await attempt.start(context)
            self.calls.started(ref, attempt, tool)
            with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
                await attempt.ended.wait()
            if limit.cancelled_caught:
                self.calls.running.pop(ref, None)
                ref.kill()
                attempt.expire()
            if not attempt.killed:
                answer = attempt.answer
                return answer if isinstance(answer, Done | NotDone) else Unknown()
        return Unknown()
