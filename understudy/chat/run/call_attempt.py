"""One attempt to make a tool call, by an actor of its own, and the doubt that it may leave: did the call take effect?

The doubt is settled by the tool's `reconcile`; if that does not know, by the user, if the call was killed.
"""

import functools
import itertools
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen

from actors import Actor, Context, Crashed
from understudy.chat.effects import GRACE_S, MAX_ASKED, Attempt
from understudy.chat.messages import Begin
from understudy.chat.run.deadline import suspend_deadlines
from understudy.chat.run.progress_notes import CallProgress
from understudy.chat.run.questions import question_id
from understudy.chat.run.tool_outcome import ToolOutcome, crash, failure, success
from understudy.chat.run_state.records import ToolCallRecord
from understudy.chat.user_files import SavedFiles
from understudy.tools.context import CallHandle, CallMeans, ToolContext
from understudy.tools.effects import Done, NotDone, Reconciled, Unknown
from understudy.tools.errors import EffectUnknown, ToolError
from understudy.tools.form import Question
from understudy.tools.loop import ToolLoop
from understudy.tools.result import ToolResult
from understudy.tools.schema import Misfit
from understudy.tools.tool import Tool
from understudy.wire.events import ToolStatus

if TYPE_CHECKING:
    from understudy.chat.run.call import RunCall

PUBLISH_S: Final = 0.1
"""Seconds between two batches of the items that a call yields."""
MAX_WAITING: Final = 16
"""Items of one batch. With `understudy.tools.result.MAX_PARTIAL_BYTES` for each, an event has at most 64 KiB."""


@define(eq=False)
class CallAttempt:
    """An attempt to make a call. `outcome` is None until the tool has ended.

    `ended` is set when the actor has stopped, or was given up. `crashed`: the tool raised something else than a
    `ToolError`. `effect_unknown`: it may have taken effect although it failed. `files` are the cards of the files that
    it saved.
    """

    call: ToolCallRecord
    run_id: str
    outcome: ToolOutcome | None = field(default=None, init=False)
    crashed: bool = field(default=False, init=False)
    effect_unknown: bool = field(default=False, init=False)
    files: list[dict[str, Any]] = field(factory=list, init=False, repr=False)
    ended: trio.Event = field(factory=trio.Event, init=False, repr=False)

    @property
    def tool_name(self) -> str:
        """The name of its tool."""
        return self.call.request.name

    def fail(self, status: ToolStatus, code: str, sentence: str, *, own: bool = False) -> None:
        """Set a failure as the outcome."""
        self.outcome = failure(self.call, status, code, sentence, own=own)

    def exited(self, reason: Crashed) -> None:
        """Set the crash of the actor as the outcome."""
        self.outcome, self.crashed = crash(self.call, reason.error, self.run_id), True


@frozen
class AskedAgents:
    """The part of a server that lets calls ask agents: `make` returns the actor of a call, by its attempt, its tool and
    the request."""

    make: "Callable[[RunCall, CallAttempt, Tool, str], Actor]"


@define(eq=False)
class ToolCall(Actor):
    """Calls a tool within its time limit, sets the outcome of the attempt, and stops."""

    call: "RunCall"
    attempt: CallAttempt
    tool: Tool
    arguments: dict[str, Any] = field(repr=False)
    progress: CallProgress
    _items: trio.MemorySendChannel[Any] | None = field(default=None, init=False, repr=False)

    async def receive(self, message: object, context: Context) -> None:
        """Start the call in a task of its own, so that it can be stopped at any time. It heeds no other message."""
        if isinstance(message, Begin):
            context.start_soon(functools.partial(self._call, context))

    async def _call(self, context: Context) -> None:
        """Call the tool, and set the outcome. An error that is no `ToolError` crashes the actor: see `exited`."""
        call, attempt, tool = self.call, self.attempt, self.tool
        trio.lowlevel.current_task().name = f"tool {tool.name}"  # in the watchdog's record of a hold
        with trio.move_on_after(tool.timeout_s) as limit:
            call.limits.append(limit)
            try:
                loop = call.executor.services.parts.find(ToolLoop)
                attempt.outcome = success(attempt.call, await tool.call(self.arguments, self._context(context), loop))
            except ToolError as error:
                attempt.fail(ToolStatus.FAILED, error.code, error.message, own=error.message == call.unanswered)
                attempt.effect_unknown = isinstance(error, EffectUnknown)
        if limit.cancelled_caught:
            sentence = f"{tool.name} was stopped after {tool.timeout_s:g} s without a result."
            attempt.fail(ToolStatus.TIMED_OUT, "tool_timeout", sentence)
        context.stop()

    def _context(self, context: Context) -> ToolContext:
        """Return what the tool is given beside its arguments."""
        call, executor = self.call, self.call.executor
        given_up = lambda: executor.stopped or any(limit.cancel_called for limit in call.limits)  # noqa: E731
        handle = CallHandle(call.handle if call.step.result else None, call.keep_handle, given_up)
        means = CallMeans(call.ask, while_queued=self._while_queued, handle=handle)
        files = SavedFiles(executor.services.attachments(executor.request.owner), self.attempt.files)
        show = functools.partial(self._show_partial, context)
        return executor.context(call.call_id, self.progress, means, show_partial=show, files=files)

    @contextmanager
    def _while_queued(self) -> Generator[None]:
        """Tell the user that the call waits for a worker thread; its time limits are suspended meanwhile."""
        self.progress(0.0, None, f"{self.call.name} is waiting for a free place")
        with suspend_deadlines(self.call.limits):
            yield

    async def _show_partial(self, context: Context, item: Any) -> None:
        """Queue an item that the tool has yielded, to be published. A tool that is faster than that waits."""
        if self._items is None:
            self._items, items = trio.open_memory_channel[Any](MAX_WAITING)
            context.start_soon(functools.partial(publish_partials, items, self._publish_partial))
        await self._items.send(item)

    async def _publish_partial(self, offset: int, items: list[Any]) -> None:
        """Filter items by the policy for results, and publish them; drop them if they are blocked."""
        executor, content_filter = self.call.executor, self.call.executor.services.content_filter
        clean = await content_filter.filter_value(items, content_filter.tool)
        if not clean.blocked:
            await executor.log.send_partial(self.call.call_id, offset, clean.value)


async def publish_partials(
    items: trio.MemoryReceiveChannel[Any], publish: Callable[[int, list[Any]], Awaitable[None]]
) -> None:
    """Publish the items that a call yields as they come, by offset and in batches: at most one each `PUBLISH_S`."""
    offset = 0
    async for item in items:
        batch = [item]
        with suppress(trio.WouldBlock):
            while len(batch) < MAX_WAITING:
                batch.append(items.receive_nowait())
        await publish(offset, batch)
        offset += len(batch)
        await trio.sleep(PUBLISH_S)


@define(eq=False)
class CallDoubt:
    """The doubt about one call. It was `killed`, or has the failure of its tool as its outcome.

    `whole`: its arguments are unredacted, as the model wrote them. Only then it can be made again.
    """

    call: "RunCall"
    tool: Tool
    arguments: dict[str, Any] = field(repr=False)
    killed: bool
    whole: bool

    async def settle(self) -> bool:
        """Find out whether the call took effect, and set its outcome. Return whether it is to be made again."""
        call, may_repeat = self.call, self.killed and self.whole
        answer = await self._reconcile()
        by_user = False
        if isinstance(answer, Unknown) and self.killed and not (may_repeat and self.tool.retry_safe):
            answer = await self._ask_user()
            by_user = isinstance(answer, Done)
        call.effect_unknown = False
        match answer:
            case Done(result):
                call.outcome = success(call.past, result, by_user=by_user)
                return False
            case NotDone():
                if not self.whole:
                    sentence = "It was interrupted and took no effect; what it was called with is redacted."
                    call.fail(ToolStatus.KILLED, "run_interrupted", sentence)
                return may_repeat
        again = may_repeat and self.tool.retry_safe
        call.effect_unknown = not again
        return again

    async def _reconcile(self) -> Reconciled:
        """Ask the tool, in an actor of its own, whether the call took effect. An error or a timeout counts as unknown.
        An actor that is killed says nothing about the call: the tool is asked again."""
        tool, executor, call_id = self.tool, self.call.executor, self.call.call_id

        async def ask() -> Reconciled:
            async with executor.log.notes.of_call() as progress:
                context = executor.context(call_id, progress, CallMeans())
                return await tool.settle(call_id, self.arguments, context, executor.services.parts.find(ToolLoop))

        for _ in range(MAX_ASKED if tool.reconcile is not None else 0):
            attempt = Attempt("reconcile", tool.name, executor.request.run_id, call_id, tool.timeout_s, ask)
            ref = await attempt.start(self.call.context)
            executor.actors[ref] = attempt
            with trio.move_on_after(tool.timeout_s + GRACE_S) as limit:
                await attempt.ended.wait()
            if limit.cancelled_caught:
                attempt.expire()
                ref.kill()
            if not attempt.killed:
                return attempt.answer if isinstance(attempt.answer, Done | NotDone) else Unknown()
        return Unknown()

    async def _ask_user(self) -> Reconciled:
        """Ask the user what became of the call. Without an answer in time it is unknown."""
        call, again = self.call, {"again": "Try again"} if self.whole else {}
        titles = {"happened": "It happened"} | again | {"skip": "Skip it"}
        question = Question(
            f"Did {self.tool.name} take effect?",
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
            name = question_id(call.executor.request.run_id, call.call_id, f"effect{number}")
            logged = call.executor.questions.logged.get(name)
            if logged is None or logged.answered is None or logged.answered.answer != {"choice": "again"}:
                break
        reply = await call.ask_as("server", name, question, check)
        match (reply.answer or {}).get("choice"):
            case "happened":
                return Done(ToolResult({"confirmed_by_user": True, "result": None}, "The user says that it happened."))
            case "again":
                return NotDone()
        return Unknown()
