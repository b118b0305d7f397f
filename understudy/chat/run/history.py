"""Derives the items of a conversation from what is stored: its messages, and the steps of their runs. Pure.

The same messages and steps give the same items, byte for byte, in every run and on every node, so that a provider's
prompt cache keeps them. Results are shown as far as the window allows: see `understudy.chat.run.window`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from understudy.chat.run.replay import SEPARATOR, PastTurn, RecordedResult, UnreadableSteps, read_turns
from understudy.models.model import (
    DocumentPart,
    FileCard,
    HandoffItem,
    ImagePart,
    Item,
    MessageItem,
    NoteItem,
    Origin,
    Part,
    ReasoningItem,
    tool_result,
)
from understudy.storage.records import STEP_KINDS, AnsweredMessage, Message
from understudy.wire.events import UndoStatus

_ENDINGS: Final = {
    "cancelled": "The user stopped this answer before it was finished.",
    "failed": "This answer ended with an error before it was finished.",
    "interrupted": "This answer was interrupted before it was finished.",
}


def question_item(
    message_id: str,
    run_id: str,
    content: str,
    references: Sequence[str],
    files: Mapping[str, FileCard],
    parts: Mapping[str, Part] | None = None,
) -> MessageItem:
    """Return a message of the user with its attached files, as far as they are known; `parts` are the contents."""
    attached = [parts[each] for each in references if parts and each in parts]
    return MessageItem(
        "user",
        content,
        tuple(files[each] for each in references if each in files),
        tuple(each for each in attached if isinstance(each, ImagePart)),
        tuple(each for each in attached if isinstance(each, DocumentPart)),
        Origin(message_id, run_id),
    )


def exchange_items(
    exchange: AnsweredMessage, files: Mapping[str, FileCard], parts: Mapping[str, Part] | None = None
) -> list[Item]:
    """Return the items of a message and of the run that answered it on this branch."""
    message, answer, run_id = exchange.message, exchange.answer, exchange.run_id or ""
    items: list[Item] = [question_item(message.id, run_id, message.content, message.references, files, parts)]
    agent = message.pillar or message.agent_type
    origin = Origin(message.id, run_id, 0, agent)
    try:
        turns, steers, partial = read_turns(exchange.steps)
    except UnreadableSteps:
        turns, steers, partial = (), (), ""
    for number, turn in enumerate(turns):
        items += [steer_item(each.text, origin) for each in steers if each.turn == number]
        origin = Origin(message.id, run_id, turn.number, agent)
        items += turn_items(turn, origin)
        if turn.reply.handoff is not None:
            agent = turn.reply.handoff.to
    items += [steer_item(each.text, origin) for each in steers if each.turn == len(turns)]
    if tail := _tail(turns, partial, answer):
        items.append(MessageItem("assistant", tail, origin=evolve(origin, step=origin.step + 1, agent=agent)))
    if ending := _ENDINGS.get(exchange.status):
        items.append(NoteItem(ending, evolve(origin, step=origin.step + 1)))
    if any(each.kind not in STEP_KINDS for each in exchange.steps):
        note = "A part of the work on this answer is left out here: a newer release of the server did it."
        items.append(NoteItem(note, evolve(origin, step=origin.step + 1)))
    for step in exchange.steps:
        if step.kind == "undo" and step.status == UndoStatus.OK.value:
            note = f"The user undid this call afterwards: {step.name}, call {step.call_id}. Its effect is taken back."
            items.append(NoteItem(note, evolve(origin, step=origin.step + 1)))
    return items


def steer_item(text: str, origin: Origin) -> MessageItem:
    """Return a message of the user that entered a run; `origin` is that of the items before it."""
    return MessageItem("user", text, origin=origin)


def turn_items(
    turn: PastTurn, origin: Origin, results: Mapping[str, tuple[str, RecordedResult]] | None = None
) -> list[Item]:
    """Return the items of a recorded turn: reasoning, text, calls with the server's ids, results, handoff.

    `results` are the statuses and results by call id; by default those recorded with the turn.
    """
    if results is None:
        done = (each for each in turn.calls if each.result is not None and each.step is not None)
        results = {each.call_id: (each.step.status, each.result) for each in done if each.step and each.result}
    reply = turn.reply
    items: list[Item] = []
    if reply.reasoning or reply.state is not None:
        items.append(ReasoningItem(reply.reasoning, reply.state, origin))
    if reply.text:
        items.append(MessageItem("assistant", reply.text, origin=origin))
    calls = [evolve(each.request, id=each.call_id) for each in turn.calls]
    items += [call.item(origin) for call in calls]
    for call in calls:
        if call.id in results:
            status, past = results[call.id]
            result = tool_result(
                call, status, past.value, past.summary, note=past.note, suspect=past.suspect, origin=origin
            )
            items.append(result)
    if reply.handoff is not None:
        items.append(HandoffItem(origin.agent, reply.handoff.to, reply.handoff.reason, origin))
    return items


def _tail(turns: Sequence[PastTurn], partial: str, answer: Message | None) -> str:
    """Return the text of an answer after its recorded turns: of an interrupted turn, or of tools that answer."""
    if not turns:
        return partial if answer is None else answer.content
    last = turns[-1]
    recorded = SEPARATOR.join(turn.reply.text for turn in turns if turn.reply.text)
    if answer is not None and answer.content.startswith(recorded) and answer.content != recorded:
        return answer.content[len(recorded) :].strip("\n")
    answers = [each.result.answer for each in last.calls if each.result is not None and each.result.answer]
    return partial or SEPARATOR.join(answers)
