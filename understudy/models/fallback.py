"""A chain of models: when one fails, the next one continues its answer.

1. A model has failed once its own client gives up: its circuit is open, its retries are used up, it refused the
   request, or its answer did not begin in time. The last model's error is the chain's.
2. Text written before a failure stays, and the next model is asked to continue after it, as after a crash.
3. A model that cannot be reached or is busy is skipped for `REST_S`, so that later turns do not wait for it again. If
   all models are to be skipped, none is.
"""

import math
from collections.abc import Sequence

import trio
from attrs import define, evolve, field

from understudy.models.model import (
    AttemptLost,
    Emit,
    Model,
    ModelChanged,
    ModelEvent,
    ModelFault,
    ModelLimits,
    ModelUnavailable,
    Reply,
    TextDelta,
    TextDropped,
    Turn,
    UsageSoFar,
    limits_of,
)
from understudy.models.resilient import SILENT, ResilientModel

REST_S = 60.0
"""Seconds for which a failed model is skipped."""


@define
class _Answer:
    """Forwards one model's events to `emit`, and collects its text. Its first event removes the deadline of `scope`."""

    emit: Emit
    text: list[str] = field(factory=list)
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def __call__(self, event: ModelEvent) -> None:
        if not isinstance(event, UsageSoFar | AttemptLost):
            self.scope.deadline = math.inf
        if isinstance(event, TextDelta):
            self.text.append(event.text)
        elif isinstance(event, TextDropped):
            self.text.clear()
        await self.emit(event)


@define(eq=False)
class FallbackModel:
    """A `Model` that asks `models` in their order; `names` are theirs in settings."""

    models: Sequence[Model]
    names: Sequence[str]
    name: str = field(init=False)
    notice: str = field(init=False)
    _rests_until: dict[str, float] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.name, self.notice = self.models[0].name, self.models[0].notice

    @property
    def limits(self) -> ModelLimits:
        """The smallest window and output; images and documents if any model takes them. The offline model has none."""
        limits = [limits_of(model) for model in self.models if getattr(model, "limits", None) is not None]
        return ModelLimits(
            min((limit.window_tokens for limit in limits), default=ModelLimits().window_tokens),
            min((limit.max_output for limit in limits), default=ModelLimits().max_output),
            any(limit.images for limit in limits),
            any(limit.documents for limit in limits),
        )

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn. Raises the last model's `ModelUnavailable` if none answers."""
        awake = self._awake()
        text = ""
        if (failed := self.names[0]) != self.names[awake[0]]:
            await emit(_changed(failed, self.names[awake[0]]))
        for place, number in enumerate(awake):
            remaining = len(awake) - place
            model, name, answer = self.models[number], self.names[number], _Answer(emit, scope=_scope(remaining))
            try:
                continued = evolve(turn, partial_text=turn.partial_text + text) if text else turn
                reply = await self._ask(model, continued, answer, last=remaining == 1)
            except ModelUnavailable as error:
                if error.fault in (ModelFault.AWAY, ModelFault.BUSY):  # other faults are those of one request
                    self._rests_until[name] = trio.current_time() + REST_S
                if remaining == 1:
                    raise
                # Halves of a JSON object by two models do not fit together, so the next model begins it again.
                text = "" if turn.output is not None else text + "".join(answer.text)
                await emit(_changed(name, self.names[awake[place + 1]]))
            else:
                self._rests_until.pop(name, None)
                return evolve(reply, text=text + reply.text) if text else reply
        raise AssertionError  # the last model returns or raises

    async def _ask(self, model: Model, turn: Turn, answer: _Answer, *, last: bool) -> Reply:
        """Ask one model. Unless it is the `last`, its answer must begin in time, and a timeout is not retried."""
        with answer.scope:
            if isinstance(model, ResilientModel) and not last:
                return await model.respond(turn, answer, patient=False)
            return await model.respond(turn, answer)
        raise ModelUnavailable(SILENT, True, "no answer in time", None, ModelFault.AWAY)

    def _awake(self) -> list[int]:
        """Return the indices of the models that are not skipped, in order; of all models if all failed."""
        now = trio.current_time()
        awake = [n for n, name in enumerate(self.names) if self._rests_until.get(name, -math.inf) <= now]
        return awake or list(range(len(self.names)))


def _scope(models: int) -> trio.CancelScope:
    """Return the scope in which an answer must begin: the caller's remaining time, divided by the `models` left."""
    now = trio.current_time()
    remaining_s = trio.current_effective_deadline() - now
    return trio.CancelScope(deadline=math.inf if models == 1 else now + remaining_s / models)


def _changed(failed: str, successor: str) -> ModelChanged:
    return ModelChanged(failed, successor, f"{failed} did not answer; {successor} goes on.")
