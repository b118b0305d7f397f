"""A chain of models: if one does not answer, the next one goes on.

1. A model counts as silent once its own client has given up: its circuit is open, its retries are used up, it refused
   the request, or nothing came in time. The last one's failure is the chain's.
2. What was said before a failure stays, and the next model is asked to go on after it, as after a crash.
3. A model that failed rests for `REST_S`, so that each further turn does not wait for it again. If all rest, all are
   asked.
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
"""Seconds for which a model that failed is not asked while another one can be."""


@define
class _Said:
    """What one model of the chain says: its events go to `emit`. `scope` has no deadline once it has begun."""

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
        """What fits into each of them. The offline model is no measure: it has no window."""
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
            left = len(awake) - place
            model, name, saying = self.models[number], self.names[number], _Said(emit, scope=_scope(left))
            try:
                going_on = evolve(turn, partial_text=turn.partial_text + text) if text else turn
                reply = await self._ask(model, going_on, saying, last=left == 1)
            except ModelUnavailable as error:
                if error.fault in (ModelFault.AWAY, ModelFault.BUSY):  # not if one message made it fail
                    self._rests_until[name] = trio.current_time() + REST_S
                if left == 1:
                    raise
                # The parts of an object by two models would be no object: that is begun again.
                text = "" if turn.output is not None else text + "".join(saying.text)
                await emit(_changed(name, self.names[awake[place + 1]]))
            else:
                self._rests_until.pop(name, None)
                return evolve(reply, text=text + reply.text) if text else reply
        raise AssertionError  # the last one returns or raises

    async def _ask(self, model: Model, turn: Turn, saying: _Said, *, last: bool) -> Reply:
        """Ask one model. Unless it is the `last`, it is not asked again after a silence, and has its share of time."""
        with saying.scope:
            if isinstance(model, ResilientModel) and not last:
                return await model.respond(turn, saying, patient=False)
            return await model.respond(turn, saying)
        raise ModelUnavailable(SILENT, True, "no answer in time", None, ModelFault.AWAY)

    def _awake(self) -> list[int]:
        """Return the numbers of the models that do not rest, in order; all if all rest."""
        now = trio.current_time()
        awake = [n for n, name in enumerate(self.names) if self._rests_until.get(name, -math.inf) <= now]
        return awake or list(range(len(self.names)))


def _scope(left: int) -> trio.CancelScope:
    """Return the scope of a model until it begins: its share of the caller's time, all of it for the last one."""
    now = trio.current_time()
    left_s = trio.current_effective_deadline() - now
    return trio.CancelScope(deadline=math.inf if left == 1 else now + left_s / left)


def _changed(failed: str, successor: str) -> ModelChanged:
    return ModelChanged(failed, successor, f"{failed} did not answer; {successor} goes on.")
