"""The conversation before a message, read and made into the items of its run's model: messages, steps, files."""

from collections.abc import Sequence

from understudy.agents.agent import Agent
from understudy.chat.messages import RunRequest
from understudy.chat.run.history import exchange_items, question_item
from understudy.chat.run.model_input import ModelInput
from understudy.chat.run.replay import Replay
from understudy.chat.run.window import exchanges_compaction
from understudy.chat.services import Services
from understudy.content.texts import run_off_loop
from understudy.models.model import (
    DocumentPart,
    FileCard,
    ImagePart,
    Item,
    MessageItem,
    ModelLimits,
    NoteItem,
    Part,
    ToolRequest,
    limits_of,
    tool_result,
)
from understudy.storage import queries
from understudy.storage.records import History

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
    job: RunRequest,
    services: Services,
    before: Replay,
    given: ModelInput,
    agent: Agent,
    known: History | None = None,
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
        history = await services.store.read(queries.history, job.owner, job.message_id, limit)
    named = (name for each in history.exchanges for name in each.message.references)
    references = tuple(dict.fromkeys((*named, *job.references)))[-MAX_FILES:]
    cards = await services.attachments(job.owner).cards(references) if references else ()
    files = {each.id: each for each in cards}
    given.limits = limits_of(services.models.of(agent.model))
    parts = await _parts(job, services, cards, given.limits)
    compaction = exchanges_compaction(before.summaries, history.exchanges)
    question = question_item(job.message_id, job.run_id, job.content, job.references, files, parts)

    def load() -> None:
        items = earlier_items(job)
        if history.left_out:
            items.append(NoteItem(f"{history.left_out:,} earlier messages of this conversation were left out."))
        for exchange in history.exchanges:
            items += exchange_items(exchange, files, parts)
        given.load([*items, question], compaction)

    steps = sum(len(each.steps) for each in history.exchanges)
    if steps > INLINE_STEPS or history.step_characters > INLINE_CHARACTERS:
        await run_off_loop(load)
    else:
        load()
    given.files = tuple(files[each] for each in job.references if each in files)
    return history


def earlier_items(job: RunRequest) -> list[Item]:
    """Return the earlier messages that the client sent along, which precede those of the thread."""
    items: list[Item] = []
    calls: dict[str, ToolRequest] = {}
    for each in job.settings.get("history", ()):
        if each["role"] == "tool":
            if (call := calls.get(each["call_id"])) is not None:
                items.append(tool_result(call, "ok", each["content"]))
            continue
        if each["content"]:
            items.append(MessageItem(each["role"], each["content"]))
        made = [ToolRequest(call["id"], call["name"], call["arguments"]) for call in each.get("calls", ())]
        calls |= {call.id: call for call in made}
        items += [call.item() for call in made]
    return items


async def _parts(
    job: RunRequest, services: Services, cards: Sequence[FileCard], limits: ModelLimits
) -> dict[str, Part]:
    """Return the newest of these files that are images or PDF files, for a model that takes them.

    What their clients call so; what they are is read from their content.
    """
    images = [each for each in cards if each.media_type.startswith("image/") and each.size <= MAX_IMAGE_BYTES]
    documents = [each for each in cards if each.media_type == DOCUMENT_TYPE and each.size <= MAX_DOCUMENT_BYTES]
    wanted = images[-MAX_IMAGES:] if limits.images else []
    wanted += documents[-MAX_DOCUMENTS:] if limits.documents else []
    attachments = services.attachments(job.owner)
    parts: dict[str, Part] = {}
    for each in wanted:
        if (content := await attachments.content(each.id)) is None:
            continue
        if (media_type := picture_type(content)) in IMAGE_TYPES and limits.images:
            parts[each.id] = ImagePart(each.id, str(media_type), content)
        elif PDF in content[:1024] and limits.documents:
            parts[each.id] = DocumentPart(each.id, each.name, content)
    return parts


def picture_type(head: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; None if it is no picture that is known here."""
    for mark, media_type in _PICTURES:
        if head.startswith(mark):
            return media_type
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None
