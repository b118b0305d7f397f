"""The conversation before a message, read and made into the items of its run's model: messages, steps, files.

The same messages and steps give the same items, byte for byte, in every run and on every node, so that a provider's
prompt cache keeps them. Results are shown as far as the window allows: see `understudy.chat.run.window`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.window import ModelInput, exchanges_compaction
from understudy.chat.run_state.past import Past
from understudy.chat.run_state.records import RecordedResult
from understudy.chat.run_state.turns import SEPARATOR, PastTurn, PastTurns, UnreadableSteps, read_turns
from understudy.chat.services import Services
from understudy.content.texts import run_off_loop
from understudy.models.model import (
    DocumentPart,
    FileCard,
    HandoffItem,
    ImagePart,
    Item,
    MessageItem,
    ModelLimits,
    NoteItem,
    Origin,
    Part,
    ReasoningItem,
    ToolRequest,
    limits_of,
    tool_result,
)
from understudy.storage import queries
from understudy.storage.records import STEP_KINDS, AnsweredMessage, History, Message
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
    attached = [parts[file_id] for file_id in references if parts and file_id in parts]
    return MessageItem(
        "user",
        content,
        tuple(files[file_id] for file_id in references if file_id in files),
        tuple(part for part in attached if isinstance(part, ImagePart)),
        tuple(part for part in attached if isinstance(part, DocumentPart)),
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
        read = read_turns(exchange.steps)
    except UnreadableSteps:
        read = PastTurns()
    turns, steers, partial = read.turns, read.steers, "" if read.cut is None else read.cut.text
    for number, turn in enumerate(turns):
        items += [steer_item(steer.text, origin) for steer in steers if steer.turn == number]
        origin = Origin(message.id, run_id, turn.number, agent)
        items += turn_items(turn, origin)
        if turn.reply.handoff is not None:
            agent = turn.reply.handoff.to
    items += [steer_item(steer.text, origin) for steer in steers if steer.turn == len(turns)]
    if tail := _tail(turns, partial, answer):
        items.append(MessageItem("assistant", tail, origin=evolve(origin, step=origin.step + 1, agent=agent)))
    if ending := _ENDINGS.get(exchange.status):
        items.append(NoteItem(ending, evolve(origin, step=origin.step + 1)))
    if any(step.kind not in STEP_KINDS for step in exchange.steps):
        note = "A part of the work on this answer is left out here: a newer release of the server did it."
        items.append(NoteItem(note, evolve(origin, step=origin.step + 1)))
    for step in exchange.steps:
        if step.kind == "undo" and step.status == UndoStatus.OK.value:
            note = f"The user undid this call afterwards: {step.name}, call {step.call_id}. Its effect was reverted."
            items.append(NoteItem(note, evolve(origin, step=origin.step + 1)))
    return items


def steer_item(text: str, origin: Origin) -> MessageItem:
    """Return a message of the user that entered a run; `origin` is that of the items before it."""
    return MessageItem("user", text, origin=origin)


def turn_items(
    turn: PastTurn, origin: Origin, results: Mapping[str, tuple[str, RecordedResult]] | None = None
) -> list[Item]:
    """Return the items of a recorded turn: reasoning, text, calls with the server's ids, results, handoff. `results`
    are the statuses and results by call id; by default those recorded with the turn."""
    if results is None:
        done = (call for call in turn.calls if call.result is not None and call.step is not None)
        results = {call.call_id: (call.step.status, call.result) for call in done if call.step and call.result}
    reply = turn.reply
    items: list[Item] = []
    if reply.reasoning or reply.state is not None:
        items.append(ReasoningItem(reply.reasoning, reply.state, origin))
    if reply.text:
        items.append(MessageItem("assistant", reply.text, origin=origin))
    calls = [call.request for call in turn.calls]
    if any(call.request.id != call.call_id for call in turn.calls):  # of a turn of this run
        calls = [evolve(call.request, id=call.call_id) for call in turn.calls]
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
    answers = [call.result.answer for call in last.calls if call.result is not None and call.result.answer]
    return partial or SEPARATOR.join(answers)


MAX_IMAGES, MAX_IMAGE_BYTES = 8, 4 * 1024 * 1024
"""Images of a conversation that a model is given, the newest ones, and the size of one; others are only described."""
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
DOCUMENT_TYPE, PDF = "application/pdf", b"%PDF-"
MAX_DOCUMENTS, MAX_DOCUMENT_BYTES = 2, 4 * 1024 * 1024
"""PDF files of a conversation that a model is given, the newest ones, and the size of one."""
MAX_FILES = 32
"""Files of a conversation that are described to its model: the newest ones."""
INLINE_STEPS, INLINE_CHARACTERS = 32, 64 * 1024
"""Steps of a history, and characters of them, that are read in the event loop; more are read in a thread. A result may
have 256 KiB, which take about a millisecond."""
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


async def load_conversation(
    request: RunRequest, services: Services, before: Past, given: ModelInput, agent: Agent, known: History | None = None
) -> History:
    """Load the conversation and the message to answer, with its files, into `given`. Return the history.

    The items are those of the branch from the root of the thread, as far as they are read: `known`, else those of the
    store.

    Raises:
        StorageUnavailable: The database cannot be read.
    """
    limit = services.settings.limits.history_messages
    if known is not None and len(known.messages) <= limit:
        history = known
    else:
        history = await services.store.read(queries.history, request.owner, request.message_id, limit)
    earlier = (name for exchange in history.exchanges for name in exchange.message.references)
    references = tuple(dict.fromkeys((*earlier, *request.references)))[-MAX_FILES:]
    cards = await services.attachments(request.owner).cards(references) if references else ()
    files = {card.id: card for card in cards}
    given.limits = limits_of(services.models.of(agent.model))
    parts = await _parts(request, services, cards, given.limits) if cards else {}
    compaction = exchanges_compaction(before.summaries, history.exchanges)
    question = question_item(request.message_id, request.run_id, request.content, request.references, files, parts)

    def load() -> None:
        items = earlier_items(request) if "history" in request.settings else []
        if history.left_out:
            items.append(NoteItem(f"{history.left_out:,} earlier messages of this conversation were left out."))
        for exchange in history.exchanges:
            items += exchange_items(exchange, files, parts)
        given.compact(compaction, [*items, question])

    steps = sum(len(exchange.steps) for exchange in history.exchanges)
    if steps > INLINE_STEPS or history.step_characters > INLINE_CHARACTERS:
        await run_off_loop(load)
    else:
        load()
    given.files = tuple(files[file_id] for file_id in request.references if file_id in files)
    return history


def earlier_items(request: RunRequest) -> list[Item]:
    """Return the earlier messages that the client sent along, which precede those of the thread."""
    items: list[Item] = []
    calls: dict[str, ToolRequest] = {}
    for message in request.settings["history"]:
        if message["role"] == "tool":
            if (call := calls.get(message["call_id"])) is not None:
                items.append(tool_result(call, "ok", message["content"]))
            continue
        if message["content"]:
            items.append(MessageItem(message["role"], message["content"]))
        requests = [ToolRequest(call["id"], call["name"], call["arguments"]) for call in message.get("calls", ())]
        calls |= {call.id: call for call in requests}
        items += [call.item() for call in requests]
    return items


async def _parts(
    request: RunRequest, services: Services, cards: Sequence[FileCard], limits: ModelLimits
) -> dict[str, Part]:
    """Return the newest of these files that are images or PDF files, for a model that takes them. What their clients
    call so; what they are is read from their content."""
    images = [card for card in cards if card.media_type.startswith("image/") and card.size <= MAX_IMAGE_BYTES]
    documents = [card for card in cards if card.media_type == DOCUMENT_TYPE and card.size <= MAX_DOCUMENT_BYTES]
    wanted = images[-MAX_IMAGES:] if limits.images else []
    wanted += documents[-MAX_DOCUMENTS:] if limits.documents else []
    attachments = services.attachments(request.owner)
    parts: dict[str, Part] = {}
    for card in wanted:
        if (content := await attachments.content(card.id)) is None:
            continue
        if (media_type := picture_type(content)) in IMAGE_TYPES and limits.images:
            parts[card.id] = ImagePart(card.id, str(media_type), content)
        elif PDF in content[:1024] and limits.documents:
            parts[card.id] = DocumentPart(card.id, card.name, content)
    return parts


def picture_type(head: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; None if it is no picture that is known here."""
    for mark, media_type in _PICTURES:
        if head.startswith(mark):
            return media_type
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None
