"""The summary of the older part of a conversation: the model's, or a plain one if it makes none in time."""

import logging

import trio
from attrs import evolve

from transport.wire.events import Usage
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.window import BYTES_PER_TOKEN, SUMMARISE, SUMMARY_TOKENS, describe, estimate, item_tokens
from understudy.chat.services import Services
from understudy.models.model import MessageItem, Model, ModelEvent, ModelUnavailable, Turn, fenced

log = logging.getLogger(__name__)

SUMMARY_S = 60.0
"""Seconds for a model's summary of older turns; then a plain one is used."""


async def summarise(
    model: Model, turn: Turn, given: ModelInput, services: Services, run_id: str
) -> tuple[str, Usage | None]:
    """Return the summary of the items of `turn`, and what it used of the model; None if the model did not make it.

    It is a turn of the run that has the input `given`.
    """
    items, text, usage = (*turn.items, MessageItem("user", SUMMARISE)), "", None
    estimated = estimate(turn.instructions) + sum(map(item_tokens, items))
    if estimated * given.scale <= given.limits.window_tokens * 7 // 8:
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
