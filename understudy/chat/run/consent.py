"""Consent of the user to a call: whether it is needed, the request for it, and what the decision means.

The arguments that a user approves are those that run: if some were redacted, the redacted ones run.
"""

import functools
from collections.abc import Callable
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from actors import Context
from transport.wire.events import Event
from understudy.chat.consents import Consents
from understudy.chat.messages import Decide, RunRequest
from understudy.chat.run.approval import check_parameters, copy_arguments, needs_approval
from understudy.chat.run.call_waits import CallWaits
from understudy.chat.run.recorder import Recorder
from understudy.chat.run.tool_outcome import ToolOutcome
from understudy.chat.services import Services
from understudy.storage.acts import Act, Deed, say
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import StepRecord
from understudy.tools.errors import ToolError
from understudy.tools.tool import Tool
from understudy.wire.events import ApprovalDecided, ApprovalDecision, ApprovalRequired, ToolStatus

ALLOWED: Final = Act("tool.allowed", "always", "run", "tool")
DENIED: Final = Act("tool.denied", "run", "tool")

REDIRECTED = "The user has sent a new message instead."
"""The note with which calls are denied that wait when a steer is to enter now."""
REMEMBERED = "remembered"
"""The door of a decision that the user made before, for every call of the tool in the thread."""


@define(eq=False)
class CallConsent:
    """Gets the consent to the calls of a run. While it is `redirected`, calls that wait for it are denied."""

    job: RunRequest
    services: Services
    recorder: Recorder
    waits: CallWaits
    redirected: bool = field(default=False, init=False)

    def deny_redirected(self, call_id: str) -> None:
        """Deny a call that waits, as a steer is to enter now."""
        self.waits.decide(Decide(call_id, ApprovalDecision.DENY, REDIRECTED))

    async def request(
        self, tool: Tool, outcome: ToolOutcome, arguments: dict[str, Any], agent_id: str
    ) -> ApprovalRequired | None:
        """Return the request for the user's approval; None if the call needs none, or fails because that is unknown."""
        try:
            if not await needs_approval(tool, dict(outcome.request.arguments), self.job.owner):
                return None
            present = bool(self.services.presence.outboxes(self.job.owner, self.job.thread_id))
            wait_s = self.services.patience.wait_s(self.job.owner, present=present)
            expires_at, asked = self.services.clock() + wait_s, copy_arguments(arguments)
            return ApprovalRequired(agent_id, outcome.call_id, tool.name, asked, expires_at, tool.parameters)
        except ToolError as error:
            outcome.fail(ToolStatus.FAILED, error.code, error.message)
        except Exception as error:  # of the tool's own `approval`
            outcome.crash(error, self.job.run_id)
        return None

    async def ask(
        self,
        tool: Tool,
        required: ApprovalRequired,
        outcome: ToolOutcome,
        context: Context,
        *events: Event,
        step: StepRecord,
        begun: Callable[[], None],
    ) -> ApprovalDecided:
        """Wait for the user's decision about a call, and return it.

        `events`, the request and `step` are recorded first, unless there are no `events`: then the log has them.
        `begun` is called just before. A tool that the user has allowed always in this thread is allowed at once, unless
        its arguments were redacted.
        """
        call_id, left_s = outcome.call_id, required.expires_at - self.services.clock()
        left_s = min(max(0.0, left_s), self.services.patience.longest_s())
        deadline = trio.current_time() + left_s
        approval = self.waits.approval(call_id)
        self.waits.for_approval[call_id] = required.tool_name
        self.services.patience.begin(self.job.owner, left_s)
        try:
            whole = bool(events) and required.parameters == outcome.request.arguments
            consents, of_thread = self.services.parts.find(Consents), (self.job.owner, self.job.thread_id)
            allowed = whole and consents is not None and await consents.covers(*of_thread, tool)
            begun()
            if allowed:
                decided = ApprovalDecided(call_id, ApprovalDecision.ALLOW, by=self.job.owner, door=REMEMBERED)
                await self.recorder.record(*events, required, decided, steps=(step,))
                return decided
            if events:
                await self.recorder.record(*events, required, steps=(step,))
            if self.redirected:
                self.deny_redirected(call_id)
            self.waits.pause_if_all_wait()
            check = functools.partial(check_parameters, tool, self.job.owner)
            decided = await approval.wait_for_decision(call_id, deadline, check)
            try:
                if decided.decision is not ApprovalDecision.EXPIRED and decided.by is not None:
                    await self._say(decided, decided.by, required.tool_name)
                if decided.remember and consents is not None:  # first: an acknowledged decision is remembered
                    await consents.add(*of_thread, tool)
                await self.recorder.record(decided)
            except StorageUnavailable as error:
                approval.fail_stored(error)
                raise
            approval.confirm_stored()
            await self.waits.deadline.resume(context.ref)
        finally:
            self.services.patience.end(self.job.owner, left_s)
            del self.waits.for_approval[call_id]
        return decided

    async def _say(self, decided: ApprovalDecided, by: str, tool_name: str) -> None:
        """Say what a user has decided."""
        detail: dict[str, str | bool] = {"run": self.job.run_id, "tool": tool_name}
        allowed = decided.decision is ApprovalDecision.ALLOW
        if allowed:
            detail["always"] = bool(decided.remember)
        await say(
            self.services.store,
            Deed(ALLOWED if allowed else DENIED, by, decided.door or "", self.job.owner, detail=detail),
        )

    def allows(self, decided: ApprovalDecided, outcome: ToolOutcome) -> bool:
        """Return whether a decided call may run; if not, set the outcome."""
        decision, note = decided.decision, decided.note or ""
        if decision is ApprovalDecision.ALLOW:
            outcome.note = note
            if decided.parameters is not None:
                changed = f"I changed the arguments to {msgspec.json.encode(decided.parameters).decode()}."
                outcome.note = f"{changed} {note}".rstrip()
            return True
        sentence = f"Not allowed: {note}" if note else "Not allowed."
        if decision is ApprovalDecision.EXPIRED:
            sentence = "It was not allowed in time."
        outcome.fail(ToolStatus.DENIED, "forbidden", sentence)
        return False
