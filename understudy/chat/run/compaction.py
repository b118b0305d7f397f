"""Shortens the input of a run's model when it fills the window: older results first, then a summary of what is older.

The compaction is recorded as a step: all later requests show the items so, also those of a resumed run.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio
from attrs import evolve

from understudy.chat.run.turn import check_models, model_names, priced
from understudy.chat.run.window import (
    BYTES_PER_TOKEN,
    SUMMARISE,
    SUMMARY_TOKENS,
    ModelInput,
    describe,
    encode_compaction,
    estimate,
    item_tokens,
)
from understudy.chat.services import Services
from understudy.chat.stops import Enforcement
from understudy.content.texts import run_off_loop
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    MessageItem,
    Model,
    ModelEvent,
    ModelSettings,
    ModelUnavailable,
    Turn,
    fenced,
)
from understudy.wire.events import Usage

if TYPE_CHECKING:
    from understudy.chat.run.work import RunWork

log = logging.getLogger(__name__)

SUMMARY_S = 60.0
"""Seconds for a model's summary of older turns; then a plain one is used."""


async def shorten_input(work: "RunWork", model: Model, instructions: str, fixed: int, reserve: int) -> None:
    """Shorten the input of a run until it fits beside `fixed` tokens and the `reserve` for the reply; record how.
    Raises `ModelUnavailable` if the user's message alone is longer than the window: nothing shortens that."""
    model_input, services = work.input, work.services
    present, used = model_input.compaction, Usage()
    if model_input.asks_too_much():
        raise ModelUnavailable(MESSAGE_TOO_LONG, False, "the message is longer than the model's window")
    planned = await run_off_loop(model_input.planned, fixed, reserve)
    if planned == present:
        return
    if planned.start != present.start:
        work.thoughts.publish("This conversation is long: I summarise its older part and go on with that")
        settings = ModelSettings(max_output=min(2 * SUMMARY_TOKENS, model_input.limits.window_tokens // 8))
        older, colleagues = await run_off_loop(model_input.older, planned), tuple(work.colleagues().values())
        turn = Turn(work.equipped().card, tuple(older), instructions, settings=settings, listed_colleagues=colleagues)
        check_models(work)
        scope = trio.CancelScope()
        with Enforcement(services.stops, partial(model_names, work, model), scope), scope:
            summary, usage = await summarise(model, turn, model_input, services, work.request.run_id)
        planned = evolve(planned, summary=summary)
        if usage is not None:
            used = priced(work, model, usage)
            work.meter.add_usage(used)
            services.metrics.models.used(model.name, used)
    else:
        work.thoughts.publish("This conversation is long: I shorten the older results in it")
    first_run = None if planned.start is None else planned.start.run_id
    now = services.clock()
    step = work.log.next_step("summary", model.name, None, {"first_run": first_run}, now)
    result = encode_compaction(planned) | {"usage": msgspec.to_builtins(used)}
    await work.log.record(steps=(evolve(step, result=result, status="ok", ended_at=now),))
    await run_off_loop(model_input.compact, planned)


async def summarise(
    model: Model, turn: Turn, model_input: ModelInput, services: Services, run_id: str
) -> tuple[str, Usage | None]:
    """Return a summary of the items of `turn`, and the usage of the model; None if the model did not make the summary.
    `model_input` is the input of the run."""
    items, text, usage = (*turn.items, MessageItem("user", SUMMARISE)), "", None
    estimated = estimate(turn.instructions) + sum(map(item_tokens, items))
    if estimated * model_input.scale <= model_input.limits.window_tokens * 7 // 8:
        with trio.move_on_after(SUMMARY_S):
            try:
                reply = await model.respond(evolve(turn, items=items, purpose="summary"), _ignore)
            except ModelUnavailable as error:
                log.warning("summary.not_made", extra={"run_id": run_id, "detail": error.detail})
            else:
                usage = reply.usage
                text = str(await services.content_filter.filter_for_storage(reply.text) or "").strip()
    text = text[: 4 * BYTES_PER_TOKEN * SUMMARY_TOKENS] or describe(turn.items)
    return f"The older part of this conversation is left out. A summary of it:\n{fenced(text)}", usage


async def _ignore(_: ModelEvent) -> None:
    """Take the events of a reply that is not shown."""
