"""Makes the title of a thread by asking the model of its agent after the thread's first answer.

1. The request is small: the beginnings of the first message and of the answer, no tools, a short reply, `LIMIT_S`.
2. It is made beside the conversation: the end of the run does not wait for it, and it holds no permit of a run. No
   message waits for it either, as a model server may have a single slot: it is given up when the thread's next run
   starts, and made after the answer of that run.
3. Its usage counts for the user's day, and it is not made when a limit of spending is reached. If it fails, or its
   server dies, the thread keeps its present title; the model is not asked again.
4. A title that the user has set is never replaced: the write requires the title that was derived from the message.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import trio
from attrs import evolve, frozen

from understudy.chat.messages import RunRequest
from understudy.chat.run.meter import TITLE, usage_of
from understudy.chat.run.window import estimate
from understudy.chat.services import Services
from understudy.chat.spending import SpendingOfUsers
from understudy.chat.title_text import derived_title
from understudy.extensions.titles.clean_title import clean_title
from understudy.models.fallback import FallbackModel
from understudy.models.model import (
    FENCE_NOTE,
    AgentCard,
    MessageItem,
    Model,
    ModelEvent,
    ModelSettings,
    ModelUnavailable,
    Turn,
    fenced,
)
from understudy.storage.errors import StorageError
from understudy.storage.records import ONCE, StepRecord
from understudy.tools.containment import contained
from understudy.wire.events import RunStatus, Usage

log = logging.getLogger(__name__)

MODEL_S: Final = 60.0
"""Timeout of the model's only reply: a small model without a graphics card takes many seconds to read its prompt."""
LIMIT_S: Final = MODEL_S + 10.0
"""Timeout of the whole attempt, with the reads from the store."""
CHARACTERS: Final = 1_000
"""Characters of the first message, and of the answer, that the model is given; the rest is cut off."""
REPLY_TOKENS: Final = 24
REASONING_TOKENS: Final = 1_000
"""Limit of tokens of a reply, and of further ones for a model that reasons, as its reasoning counts for the limit."""
MESSAGES: Final = 10
"""Limit of messages of a thread that can still get a title, after failed answers and titles that were given up."""
INSTRUCTIONS: Final = (
    "You name conversations. Reply with the title of the conversation that you are given, and nothing else: at most "
    "six words, in the language of the conversation, without quotes, markup or a full stop."
)


@frozen
class TitleMade:
    """The result of a request: a `title`, empty if it failed, to replace the one `derived` from the message.

    `usage` is the model's usage with its cost, None if the model was not reached. `began` is in Unix seconds.
    """

    title: str
    derived: str
    usage: Usage | None
    began: float


def model_for_titles(services: Services, request: RunRequest) -> tuple[Model, str] | None:
    """Return the model for the title of a run's thread, and the model's name for prices; None if there is none.

    It is the model of the run's agent; in a chain the first one that can make titles. There is none for agents without
    a model, for runs that call a tool in place of a model, and for threads that are in no list.
    """
    if "tool" in request.settings or request.thread_id.startswith(ONCE):
        return None
    agent = services.agents.get(request.agent)
    if agent is None or agent.run is not None or agent.remote is not None:
        return None
    chosen, model = agent.model, services.models.of(agent.model)
    name = services.models.default if chosen is None else chosen if isinstance(chosen, str) else model.name
    models = [(model, name)]
    if isinstance(model, FallbackModel):
        models = list(zip(model.models, model.names, strict=True))
    return next((model for model in models if getattr(model[0], "titles", False) is True), None)


async def make_title(
    services: Services, request: RunRequest, model: Model, model_name: str, time_left: trio.CancelScope
) -> TitleMade | None:
    """Ask a model for the title of the thread of a run that has just ended with an answer.

    Cancel `time_left` to give it up. Return None if the model is not asked: the answer is not among the thread's first
    ones, the user has renamed the thread, or a limit of spending is reached.
    """
    owner, thread_id, store = request.owner, request.thread_id, services.store
    try:
        page = await store.messages(owner, thread_id, None, MESSAGES)
        answers = [item for item in page.items if item.role == "assistant" and item.status == RunStatus.SUCCESS.value]
        if page.next_cursor is not None or not answers or answers[-1].run_id != request.run_id:
            return None
        derived, thread = derived_title(page.items[0].content), await store.thread(owner, thread_id)
        if thread is None or thread.title != derived:
            return None
        spending = services.parts.find(SpendingOfUsers)
        if spending is not None and await spending.exceeded(request) is not None:
            log.info("title.not_made", extra={"run_id": request.run_id, "detail": "a limit of spending is reached"})
            return None
        steps = await store.steps(request.run_id)
    except StorageError as error:
        log.info("title.not_made", extra={"run_id": request.run_id, "detail": str(error)})
        return None
    reasons = any(map(_has_reasoned, steps))
    turn = _turn(page.items[0].content, answers[-1].content, REPLY_TOKENS + (REASONING_TOKENS if reasons else 0))
    began, clocked = services.clock(), time.monotonic()
    title, usage = await _ask(model, turn, request.run_id, time_left)
    services.metrics.models.answered(model.name, time.monotonic() - clocked)
    if usage is not None and (cost := services.models.prices.cost(model_name, usage)) is not None:
        usage = evolve(usage, cost=cost)
    if usage is not None:
        services.metrics.models.used(model.name, usage)
    title = " ".join(str(await services.content_filter.filter_for_storage(title) or "").split())
    return TitleMade(title, derived, usage, began)


def _has_reasoned(step: StepRecord) -> bool:
    """Return whether a model reasoned in a step: its provider counted tokens of reasoning, or showed the reasoning."""
    used = usage_of(step)
    return used is not None and (bool(step.result.get("reasoning")) or bool(used.reasoning))


def usage_step(run_id: str, steps: Sequence[StepRecord], made: TitleMade, now: float) -> StepRecord:
    """Return the next step of a run after these `steps`, which records the usage of its thread's title."""
    number = max((step.number for step in steps), default=0) + 1
    return StepRecord(run_id, number, *TITLE, {"usage": msgspec.to_builtins(made.usage)}, "ok", made.began, now)


def _turn(first: str, answer: str, tokens: int) -> Turn:
    exchange = fenced({"user": first[:CHARACTERS], "answer": answer[:CHARACTERS]})
    return Turn(
        AgentCard("titles", "Titles"),
        (MessageItem("user", f"The beginning of the conversation:\n{exchange}\nReply with its title."),),
        f"{INSTRUCTIONS}\n\n{FENCE_NOTE}",
        purpose="title",
        settings=ModelSettings(max_output=tokens),
    )


async def _ask(model: Model, turn: Turn, run_id: str, time_left: trio.CancelScope) -> tuple[str, Usage | None]:
    """Return the title, empty without one, and the model's usage, which is estimated if its time was over."""
    time_left.deadline = trio.current_time() + MODEL_S
    with time_left:
        try:
            with contained(model.name):
                reply = await model.respond(turn, _ignore)
        except ModelUnavailable as error:
            log.info("title.not_made", extra={"run_id": run_id, "detail": error.detail})
            return "", None
        title = "" if reply.cut or reply.calls else clean_title(reply.text)
        if not title:
            log.info("title.not_made", extra={"run_id": run_id, "detail": "the reply is no title"})
        return title, reply.usage
    log.info("title.not_made", extra={"run_id": run_id, "detail": "no answer in time, or another question came"})
    tokens = estimate(turn.instructions) + estimate(turn.request)
    return "", Usage(tokens, 0, turns=1, estimated=tokens)


async def _ignore(_: ModelEvent) -> None:
    """Ignore an event of a reply, as the reply is not shown."""
