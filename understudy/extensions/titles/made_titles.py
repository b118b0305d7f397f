"""The title of a thread by the model of its agent, which is asked after the thread's first answer.

1. The request is small: the beginnings of the first message and of the answer, no tools, a short reply, `LIMIT_S`.
2. It is made beside the conversation, which the run's end does not wait for, and holds no permit of a run. No question
   waits for it, as a model server may have one slot: it is not begun while one waits, given up when the thread's next
   one is asked, and made after that one's answer.
3. What it used counts for the user's day, and it is not made once that is spent. If it fails, or its server dies, the
   thread keeps the title that it has; the model is not asked again.
4. A title that the user has given is never replaced: the store compares it with the one derived from the message.
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
"""Seconds for the model's reply, in one attempt: a small model on a processor reads its prompt for many of them."""
LIMIT_S: Final = MODEL_S + 10.0
"""Seconds for all of it, with the reads from the store."""
CHARACTERS: Final = 1_000
"""Characters of the first message, and of its answer, that the model is given."""
REPLY_TOKENS: Final = 24
REASONING_TOKENS: Final = 1_000
"""Tokens of a reply, and those that a model may have beside them which reasoned before its answer: they count, too."""
MESSAGES: Final = 10
"""Messages of a thread up to which it can get a title, after answers that failed and titles that were given up."""
INSTRUCTIONS: Final = (
    "You name conversations. Reply with the title of the conversation that you are given, and nothing else: at most "
    "six words, in the language of the conversation, without quotes, markup or a full stop."
)


@frozen
class TitleMade:
    """What came of the request: the `title`, empty if there is none, to replace the one `derived` from the message.

    `usage` is what the model used, with its cost; None if it was not reached. `began` is in Unix seconds.
    """

    title: str
    derived: str
    usage: Usage | None
    began: float


def model_for_titles(services: Services, request: RunRequest) -> tuple[Model, str] | None:
    """Return the model that makes the title of the thread of a run, with its name for prices; None if none does.

    It is that of the run's agent; of a chain the first one that can. Agents without a model have none. Runs that call
    a tool in place of a model ask for none, nor do threads that no list shows.
    """
    if "tool" in request.settings or request.thread_id.startswith(ONCE):
        return None
    agent = services.agents.get(request.agent)
    if agent is None or agent.run is not None or agent.remote is not None:
        return None
    wanted, model = agent.model, services.models.of(agent.model)
    name = services.models.default if wanted is None else wanted if isinstance(wanted, str) else model.name
    models = [(model, name)]
    if isinstance(model, FallbackModel):
        models = list(zip(model.models, model.names, strict=True))
    return next((model for model in models if getattr(model[0], "titles", False) is True), None)


async def make_title(
    services: Services, request: RunRequest, model: Model, model_name: str, time_left: trio.CancelScope
) -> TitleMade | None:
    """Ask a model for the title of the thread of a run that has just ended with an answer.

    Cancel `time_left` to give it up. Return None if the model is not asked: the answer is not among the thread's first
    ones, the user has renamed the thread, or has spent what they may today.
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
    """Return whether a model reasoned in a step: its provider has counted it, or shown it."""
    used = usage_of(step)
    return used is not None and (bool(step.result.get("reasoning")) or bool(used.reasoning))


def usage_step(run_id: str, steps: Sequence[StepRecord], made: TitleMade, now: float) -> StepRecord:
    """Return the step after these of a run that counts what its thread's title has used."""
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
    """Return the title, empty without one, and what the model used: an estimate if its time was over."""
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
    """Take the events of a reply that is not shown."""
