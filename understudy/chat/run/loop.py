"""The loop of a run: ask the model, record what it says, make its calls, ask again, until it has answered.

Agents whose work is a function, their author's own or another framework's, take the place of `answer_by_model`.
"""

from attrs import evolve

from actors import Context
from understudy.agents.framework import is_of_framework
from understudy.chat.run.hand_written import FrameworkRuns, HandWritten
from understudy.chat.run.history import turn_items
from understudy.chat.run.turn import take_turn
from understudy.chat.run.work import RunWork
from understudy.chat.run_state.turns import SEPARATOR, PastTurn
from understudy.models.model import Handoff
from understudy.storage.records import History


async def answer(work: RunWork, context: Context, known: History | None = None) -> None:
    """Work until the answer is recorded; `known` is the conversation before the message, None to read it.

    Raises:
        ModelUnavailable: The model cannot be reached.
        StorageUnavailable: An event or step cannot be recorded.
        Blocked: The content policy blocks the answer, or the model's other text.
        InvalidOutput: The answer is not of the agent's output type.
    """
    number, last, handoff = 0, None, None
    try:
        await work.begin(known)
        while True:
            if work.agent.run is None:
                number, last, handoff = await answer_by_model(work, context, number)
            else:
                kind = work.services.parts[FrameworkRuns].kind if is_of_framework(work.agent.run) else HandWritten
                number, handoff = await kind(work, context, number).run()
            if handoff is None:
                break
            await work.hand_over(handoff)
            number += 1
        await work.finish(last)
    finally:
        work.stream.close()


async def answer_by_model(work: RunWork, context: Context, number: int) -> tuple[int, PastTurn | None, Handoff | None]:
    """Ask the model of the agent at work from turn `number` on, until it has answered or hands over.

    Return the number of the last turn, the turn, and the handoff with which it ended.
    """
    turn: PastTurn | None = None
    while not await work.is_over(number):
        work.input.add(await work.take_steers(number))
        closing = work.closes(number)
        turn, calls = await take_turn(work, number, last=closing)
        for part in work.tools.parts.after_turn:
            await part.after_turn(work)
        origin = work.input.origin = evolve(work.input.origin, step=turn.number, agent=work.agent.name)
        if (handoff := turn.reply.handoff) is not None and not closing:
            # A recorded handoff was allowed when it was recorded: a resumed run does not know its user's roles.
            recorded = number < len(work.past.turns)
            if handoff.to in (work.agent.colleagues if recorded else work.colleagues()):
                work.input.add(turn_items(turn, origin))
                return number, turn, handoff
        if not calls:
            steers = [] if closing or work.meter.closed_by is not None else await work.take_steers(number + 1)
            if not steers:
                break
            work.input.add((*turn_items(turn, origin), *steers))
        else:
            outcomes = await work.tools.execute(calls, work.equipped().tools, work.agent_id, context)
            work.gathered.outcomes += outcomes
            answers = [outcome.answer for outcome in outcomes if outcome.answer] if work.agent.output is None else []
            if answers:
                await work.stream.feed(SEPARATOR.join(answers))
            if answers or closing:
                break
            results = {outcome.call_id: (outcome.status.value, outcome.recorded()) for outcome in outcomes}
            work.input.add(turn_items(turn, origin, results))
        number += 1
    return number, turn, None
