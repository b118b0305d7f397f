"""A supervised call of a function beside a tool: `reconcile` after an interruption, `undo` at the user's wish.

An `EffectCall` is an actor of its own, a child of the run or of the conversation that needs its answer: its crash, its
time limit and its being killed are recorded in its `Attempt`, and concern nobody else.
"""

import functools
import logging
from collections.abc import Awaitable, Callable

import trio
from attrs import define, field

from actors import Actor, ActorRef, ChildSpec, Context, Crashed, Exit, Restart
from understudy.observe.logs import new_error_id
from understudy.tools.errors import ToolError
from understudy.wire.codes import ERRORS

log = logging.getLogger(__name__)

MAX_ASKED = 5
"""Times that a `reconcile` is asked whose actor is killed each time, as it has no effect; then the user is asked."""
GRACE_S = 2.0
"""Seconds beyond the time limit of a call, after which its actor is killed."""


@define(eq=False)
class Attempt:
    """One call of a tool's `reconcile` or `undo`, which is `role`, and what came of it.

    `work` makes the call. `answer` is what it returned; None, with a `sentence` for the user, if it raised, took more
    than `timeout_s` seconds, or was killed. `killed`: its actor has stopped before it came to an end. `ended` is set
    when its actor has stopped.
    """

    role: str
    tool_name: str
    run_id: str
    call_id: str
    timeout_s: float
    work: Callable[[], Awaitable[object]] = field(repr=False)
    answer: object = field(default=None, init=False, repr=False)
    sentence: str = field(default="Was interrupted before it was finished.", init=False)
    killed: bool = field(default=True, init=False)
    ended: trio.Event = field(factory=trio.Event, init=False, repr=False)

    def fail(self, sentence: str, error: BaseException | None = None) -> None:
        """Record that there is no answer, in the log with an `error_id`, which the sentence names if it crashed."""
        error_id = new_error_id()
        extra = {"tool": self.tool_name, "role": self.role, "run_id": self.run_id, "error_id": error_id}
        log.warning("effect.failed", extra=extra | {"call_id": self.call_id}, exc_info=error)
        self.answer, self.killed = None, False
        self.sentence = f"{sentence} (error {error_id})" if error is not None else sentence

    def exited(self, reason: Exit) -> None:
        """Take the exit of the actor into account: a crash is recorded."""
        if isinstance(reason, Crashed):
            self.fail(ERRORS["tool_failed"].text, reason.error)
        self.ended.set()

    def expire(self) -> None:
        """Record that the actor did not stop when its time was up."""
        self.fail(f"{self.tool_name} did not stop when its time was up.")
        self.ended.set()

    async def start(self, context: Context) -> ActorRef:
        """Start the call as a child of the actor with this context, which watches it."""
        make = functools.partial(EffectCall, self)
        name = f"{self.role}-{self.call_id}"
        ref = await context.spawn(ChildSpec(name, make, restart=Restart.TEMPORARY, shutdown_s=GRACE_S))
        context.watch(ref)
        return ref


class EffectCall(Actor):
    """Makes the call of an `Attempt` within its time limit, and stops."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt

    async def on_start(self, context: Context) -> None:
        """Start the call in a task of its own; the parent does not wait for it."""
        context.start_soon(functools.partial(self._call, context))

    async def receive(self, message: object, context: Context) -> None:
        """Ignore messages: a call is only stopped or killed."""

    async def _call(self, context: Context) -> None:
        attempt = self.attempt
        with trio.move_on_after(attempt.timeout_s) as limit:
            try:
                attempt.answer = await attempt.work()
                attempt.sentence, attempt.killed = "", False
            except ToolError as error:
                attempt.fail(error.message)
        if limit.cancelled_caught:
            attempt.fail(f"{attempt.tool_name} took longer than {attempt.timeout_s:g} s.")
        context.stop()
