"""Undoes calls of an ended run, in the conversation of its thread.

1. The undo of a call is a step of its run, of the kind `undo`, with the call's id. It is open until its outcome is
   known; if its server dies, the next conversation of the thread continues it.
2. The newest call of a run is undone first. The first failure ends the undo; the earlier calls stay as they are, and
   can be undone later, as can the failed one.
3. An undone call is never undone again.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import define, evolve, field, frozen
from sqlalchemy import select, text

from actors import Ask
from transport.wire.errors import CommandRejected
from understudy.agents.agent import Agent, with_subagents
from understudy.chat.conversation.settling import context_of_call, template_after
from understudy.chat.conversation.thread_log import BUSY_S, RETRY_S
from understudy.chat.conversation.thread_part import ThreadPart
from understudy.chat.effects import Attempt
from understudy.storage import schema
from understudy.storage.errors import StorageUnavailable
from understudy.storage.records import RunRecord, StepRecord
from understudy.tools.loop import ToolLoop
from understudy.tools.tool import Tool
from understudy.wire.events import CallUndone, ToolStatus, UndoStarted, UndoStatus

log = logging.getLogger(__name__)

KIND: Final = "undo"
"""The `kind` of the steps that record undos."""
MAX_ATTEMPTS: Final = 3
"""Limit of attempts to undo one call, so that an undo which kills its server is not repeated for ever."""


@define(eq=False)
class UndoCalls(Ask[None]):
    """To a conversation: undo a call of an ended run, or with None all its calls that can be undone.

    `roles` are those of the sender's token. The reply comes when the undo is stored; a repeated request for an undo in
    progress succeeds. Fails with `CommandRejected` (`not_undoable`, `undo_expired`, `already_undone`, `busy`,
    `storage_unavailable`).
    """

    must_finish = True

    run_id: str
    call_id: str | None = None
    roles: tuple[str, ...] = ()


@frozen
class RetryUndo:
    """Timer message: continue an undo whose progress could not be stored."""

    run_id: str


@define(eq=False)
class UndoWalk:
    """An undo in progress. `left` are the open steps, the next one first; `calls` the steps of the calls, by call id.

    `roles` are those of the user's token. `outcome` is an outcome of the next call that is not stored yet: why it
    failed, empty if it succeeded, None without an outcome. `at_work`: an attempt is stored without an outcome.
    """

    run: RunRecord
    left: list[StepRecord]
    calls: Mapping[str | None, StepRecord] = field(repr=False)
    roles: tuple[str, ...] = ()
    outcome: str | None = field(default=None, init=False)
    at_work: bool = field(default=False, init=False)

    @classmethod
    def resumed(cls, run: RunRecord, steps: Sequence[StepRecord]) -> "UndoWalk":
        """Return the undo of the open steps among the steps of a run."""
        open_steps = [step for step in steps if step.kind == KIND and step.ended_at is None]
        calls = _calls(steps)
        open_steps.sort(key=lambda step: -calls[step.call_id].number)
        return cls(run, open_steps, calls)

    @property
    def started(self) -> UndoStarted:
        """The event that names the calls which it undoes."""
        return UndoStarted(tuple(step.call_id or "" for step in self.left))

    def takes_back(self, call_id: str | None) -> bool:
        """Return whether this call is among those that it undoes; with None always True."""
        return call_id is None or any(step.call_id == call_id for step in self.left)

    def tool(self, agents: Mapping[str, Agent]) -> Tool | None:
        """Return the tool of the next call; None if it no longer exists, or no longer has an `undo`."""
        call = self.calls[self.left[0].call_id]
        agent = with_subagents(agents.values()).get(call.result.get("agent", ""))
        tool = None if agent is None else agent.tool(call.name)
        return None if tool is None or tool.undo is None else tool

    def attempted(self, more: int) -> StepRecord:
        """Return the next step with `more` attempts added to its count."""
        step = self.left[0]
        return evolve(step, result={"attempts": step.result["attempts"] + more})

    def next_attempt(self) -> StepRecord | None:
        """Return the next step with one more attempt counted; None if there were too many."""
        step = self.attempted(1)
        return None if step.result["attempts"] > MAX_ATTEMPTS else step

    def ended(self, sentence: str, now: float) -> tuple[CallUndone, tuple[StepRecord, ...]]:
        """Return the event and steps that record the outcome of the next call. `sentence`: why it failed, or empty."""
        step, *others = self.left
        status = UndoStatus.FAILED if sentence else UndoStatus.OK
        kept = tuple(other.call_id or "" for other in others) if sentence else ()
        event = CallUndone(step.call_id or "", step.name, status, sentence or None, kept or None)
        steps = [evolve(step, status=status.value, ended_at=now)]
        if sentence:
            steps += [evolve(other, status="left", ended_at=now) for other in others]
        return event, tuple(steps)


def _calls(steps: Sequence[StepRecord]) -> dict[str | None, StepRecord]:
    return {step.call_id: step for step in steps if step.kind == "tool"}


def plan_undo(
    run: RunRecord, steps: Sequence[StepRecord], call_id: str | None, now: float, roles: tuple[str, ...] = ()
) -> UndoWalk:
    """Return the undo of a call of this ended run, or with None of all its calls that can still be undone.

    Raises:
        CommandRejected: No call can be undone (`not_undoable`, `undo_expired`, `already_undone`).
    """
    calls, undo_steps = _calls(steps), {step.call_id: step for step in steps if step.kind == KIND}
    number = max((step.number for step in steps), default=0)
    open_steps, undone, late = [], False, False
    for name, call in sorted(calls.items(), key=lambda item: -item[1].number):
        if call_id not in (None, name) or call.status != ToolStatus.OK.value or not isinstance(call.result, dict):
            continue
        until = call.result.get("undo_until")
        if until is None:
            continue
        past = undo_steps.get(name)
        if past is not None and past.status == UndoStatus.OK.value:
            undone = True
        elif until <= now:
            late = True
        else:
            number += past is None
            number_of = number if past is None else past.number
            open_steps.append(StepRecord(run.id, number_of, KIND, call.name, name, {}, {"attempts": 0}, "started", now))
    if not open_steps:
        raise CommandRejected("undo_expired" if late else "already_undone" if undone else "not_undoable")
    return UndoWalk(run, open_steps, calls, roles)


@define(eq=False)
class Undos(ThreadPart):
    """Carries out the undos of a thread. `walks` are those in progress, by the id of their run."""

    messages = (UndoCalls,)
    unfinished = select(schema.steps.c.run_id).where(text(schema.OPEN_UNDO))

    walks: dict[str, UndoWalk] = field(factory=dict, init=False)

    def handlers(self) -> Mapping[type[Any], Callable[[Any], Awaitable[None]]]:
        """As `ThreadPart.handlers`."""
        return {UndoCalls: self.begin, RetryUndo: self._retry}

    @property
    def at_work(self) -> Collection[str]:
        """As `ThreadPart.at_work`."""
        return self.walks.keys()

    async def resume(self, run: RunRecord, steps: Sequence[StepRecord]) -> None:
        """Continue the undo of a run that has open steps, if it does."""
        if (undo := UndoWalk.resumed(run, steps)).left:
            self.walks[run.id] = undo
            await self.go_on(undo)

    def suspended(self) -> Sequence[StepRecord]:
        """Return the steps of the attempts in progress, with these attempts not counted."""
        return [undo.attempted(-1) for undo in self.walks.values() if undo.at_work]

    def clear(self) -> None:
        """Forget the undos."""
        self.walks.clear()

    async def _retry(self, retry: RetryUndo) -> None:
        if (undo := self.walks.get(retry.run_id)) is not None:
            await self.go_on(undo)

    async def begin(self, ask: UndoCalls) -> None:
        """Commit the undo of calls of an ended run, reply, and begin with the newest call."""
        run_id = ask.run_id
        try:
            live, undo = self.thread.runs.get(run_id), self.walks.get(run_id)
            if live is not None and live.state.end is None:
                raise CommandRejected("busy", "The run is still at work: stop it, or wait for its end.", BUSY_S)
            if undo is not None:
                if not undo.takes_back(ask.call_id):
                    raise CommandRejected("busy", "Another call of this run is being undone.", RETRY_S)
                ask.reply(None)
                return
            await self.thread.check_queued(run_id)
            run = await self.thread.store.run(run_id)
            if run is None:
                raise CommandRejected("not_found")
            steps = await self.thread.store.steps(run_id)
            undo = plan_undo(run, steps, ask.call_id, self.thread.now, ask.roles)
            await self.thread.append_after_end(template_after(undo.run), undo.started, undo.left)
        except CommandRejected as refused:
            ask.fail(refused)
            return
        except StorageUnavailable as error:
            ask.fail(error)
            return
        self.walks[run_id] = undo
        ask.reply(None)
        await self.go_on(undo)

    async def go_on(self, undo: UndoWalk) -> None:
        """Commit the outcome of the last attempt, if there is one, and begin the next attempt; remove a finished undo.

        If the database is down, this is repeated later.
        """
        run_id, services = undo.run.id, self.thread.services
        try:
            while True:
                if undo.outcome is not None:
                    event, steps = undo.ended(undo.outcome, self.thread.now)
                    await self.thread.append_after_end(template_after(undo.run), event, steps)
                    del undo.left[: len(steps)]
                    undo.outcome = None
                if not undo.left:
                    del self.walks[run_id]
                    return
                tool, step = undo.tool(services.agents), undo.next_attempt()
                if tool is None:
                    undo.outcome = "Its tool cannot undo it any more."
                elif step is None:
                    undo.outcome = f"It was interrupted {MAX_ATTEMPTS} times."
                else:
                    await self.thread.commit(self.thread.change(steps=(step,)))
                    undo.left[0], undo.at_work = step, True
                    await self._start(undo, tool)
                    return
        except StorageUnavailable:
            log.warning("undo.not_stored", extra={"run_id": run_id})
            self.workers.call_later(f"undo {run_id}", RETRY_S, RetryUndo(run_id))

    async def _start(self, undo: UndoWalk, tool: Tool) -> None:
        """Start an attempt to undo the next call with its tool's `undo`."""
        services, run_id, call = self.thread.services, undo.run.id, undo.calls[undo.left[0].call_id]
        call_id, loop = call.call_id or "", services.parts.find(ToolLoop)
        context = context_of_call(self.thread, run_id, call_id, call.result["agent"], undo.roles)
        work = partial(tool.take_back, call.result["value"], call.arguments, context, loop)
        attempt = Attempt("undo", tool.name, run_id, call_id, tool.timeout_s, work)
        await self.workers.start_attempt(attempt, partial(self._attempted, run_id, attempt))

    async def _attempted(self, run_id: str, attempt: Attempt) -> None:
        """Continue an undo after an attempt to undo its next call."""
        sentence = await self.thread.services.content_filter.filter_progress(attempt.sentence)
        if (undo := self.walks.get(run_id)) is not None:
            undo.outcome, undo.at_work = sentence, False
            await self.go_on(undo)
