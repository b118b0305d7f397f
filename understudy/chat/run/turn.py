"""One turn of a model: asked for, counted, and recorded with its calls; or the one that the log has."""

import uuid
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from understudy.chat.run.model_request import ModelRequest, estimated_usage, priced
from understudy.chat.run.replay import PastTurn, PendingCall, encode_reply, read_turn
from understudy.chat.run.window import estimate, item_tokens
from understudy.chat.run.work import RunWork
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    ModelFault,
    ModelUnavailable,
    Reply,
    ToolRequest,
    Turn,
    limits_of,
)
from understudy.storage.records import StepRecord


async def take_turn(work: RunWork, number: int, *, last: bool) -> tuple[PastTurn, Sequence[PendingCall]]:
    """Return a turn as it is recorded, and its calls: recorded ones, or those of the model, recorded here."""
    services, before, agent = work.services, work.replay, work.agent
    if number < len(before.turns):
        past = before.turns[number]
        work.meter.add_usage(past.reply.usage, turns=0 if past.taken else 1)
        work.stream.add_finished_turn(past.reply.text)
        return past, past.calls
    interrupted = before.interrupted_step if number == len(before.turns) else None
    partial_text = before.partial_text if interrupted is not None and before.continues else ""
    model = services.models.of(agent.model)
    work.input.limits = limits_of(model)
    instructions, notes = work.equipped().instructions, await work.notes()
    fixed = estimate(instructions) + sum(map(item_tokens, notes)) + work.equipped().tool_tokens
    await work.fit(model, instructions, fixed)
    card, colleagues = work.equipped().card, tuple(work.colleagues().values())
    step = interrupted or work.recorder.next_step("model", model.name, None, None, services.clock())
    work.recorder.activity = "thinking"
    turn = Turn(
        agent=card,
        items=tuple(work.input.shown),
        instructions=instructions,
        tools=() if last else card.tools,
        files=work.input.files,
        colleagues=() if last else colleagues,
        partial_text=partial_text,
        notes=notes,
        settings=agent.settings.capped(work.input.limits),
        listed_colleagues=colleagues,
        output=None if agent.output is None else agent.output.format,
    )
    work.stream.begin_turn(step, partial_text)
    request = ModelRequest(work, model, turn, silent=agent.output is not None)
    while True:
        try:
            reply = await request.reply()
            break
        except ModelUnavailable as error:  # an input that its provider finds too long is shortened, and asked for again
            if error.fault is not ModelFault.TOO_LONG or error.message == MESSAGE_TOO_LONG or request.was_heard:
                raise
            kept = work.input.compaction
            work.input.overflow(limits_of(model), fixed)
            await work.fit(model, instructions, fixed)
            if work.input.compaction == kept:
                raise
            request.turn = evolve(request.turn, items=tuple(work.input.shown))
    if not reply.usage.estimated:
        work.input.correct(fixed + work.input.tokens, reply.usage.input)
    lost = request.lost
    if interrupted is not None and not before.partial_taken:  # its model was asked before, and that answer is lost
        usage = estimated_usage(work, request.turn, before.partial_text)
        lost += priced(work, model, evolve(usage, turns=0))
    if (usage := request.priced(reply.usage) + lost) is not reply.usage:
        reply = evolve(reply, usage=usage)
    if last and reply.calls:  # some providers ignore that no tool may be called
        reply = evolve(reply, calls=())
    text = await work.stream.end_turn(cut=request.limit.cancelled_caught)
    if text:
        reply = evolve(reply, text=text)
    work.meter.add_usage(reply.usage, turns=1)
    services.metrics.models.used(model.name, reply.usage)
    return await record_turn(work, step, reply)


async def record_turn(
    work: RunWork, step: StepRecord, reply: Reply, *, at_once: bool = False
) -> tuple[PastTurn, Sequence[PendingCall]]:
    """Record a turn that is over as `step`. Return it as it is recorded, and its calls.

    It is committed with what follows: the first event of its calls, the steers that enter next, or the end of the
    run; `at_once`: a turn without calls is committed now.
    """
    if reply.calls:
        work.thoughts.ensure_with_next()  # that of the first call
    else:
        await work.thoughts.ensure()
    calls = [PendingCall(call, uuid.uuid4().hex) for call in reply.calls]
    result = await _storable_result(work, reply, calls)
    work.stream.add_finished_turn(result["text"])
    finished = evolve(step, result=result, status="ok", ended_at=work.services.clock())
    if at_once and not calls:
        await work.recorder.record(steps=(finished,))
    else:
        work.recorder.defer(finished)
    work.thoughts.logged.clear()
    return read_turn(finished, {}), calls


async def _storable_result(work: RunWork, reply: Reply, calls: Sequence[PendingCall]) -> dict[str, Any]:
    """Return the result of the turn's step: the reply without the parts that the content policy blocks."""
    keep = work.services.content_filter.filter_for_storage
    storable: list[ToolRequest | None] = []
    for call in reply.calls:
        words = {"name": call.name, "arguments": dict(call.arguments), "description": call.description}
        words["problem"] = call.problem
        kept = await keep(words)
        if kept is not None:  # else it is blocked
            name = call.name if work.agent.tool(call.name) is not None else kept["name"]
            kept = ToolRequest(call.id, name, kept["arguments"], kept["description"], kept["problem"])
        storable.append(kept)
    if reply.handoff is not None:
        reply = evolve(reply, handoff=evolve(reply.handoff, reason=await keep(reply.handoff.reason) or ""))
    if reply.reasoning:
        reply = evolve(reply, reasoning=await keep(reply.reasoning) or "")
    text, call_ids = await keep(reply.text) or "", [each.call_id for each in calls]
    return encode_reply(reply, call_ids, text, storable, work.thoughts.count, work.stream.findings)
