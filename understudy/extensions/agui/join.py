"""Lets an AG-UI client join a run: it gets a snapshot of the conversation so far, and then only new events."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from attrs import frozen

from understudy.content.texts import run_off_loop
from understudy.extensions.agui.events import AguiTranslator
from understudy.extensions.agui.messages import Messages
from understudy.extensions.agui.vocabulary import METADATA_KEY, AguiEvent
from understudy.extensions.doors.message_content import FILES
from understudy.storage import queries
from understudy.storage.records import File, LoggedEvent, Message, RunRecord, ThreadPage
from understudy.web.context import web_context
from understudy.wire.events import ANSWER, Envelope
from understudy.wire.vocabulary import from_log

MAX_MESSAGES: Final = 200
"""Limit of messages in the snapshot; a client can read older ones from `/api/threads/{id}/messages`."""
MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""Limit in bytes of logged events that are read for the snapshot, newest runs first. Older runs have only texts."""


@frozen
class AnsweredRun:
    """A message of the user, the run that answered it, the answer and the run's events, as far as these are stored."""

    message: Message
    run: RunRecord | None
    answer: Message | None
    events: tuple[LoggedEvent, ...] = ()


@frozen
class Position:
    """The point at which a client joins: the exchanges up to that of the run, and the files in them."""

    exchanges: tuple[AnsweredRun, ...]
    run: RunRecord
    files: dict[str, File]

    @property
    def head(self) -> int:
        """The number of the run's last event that was read; 0 if its events were trimmed from the log."""
        return max((row.seq for row in self.exchanges[-1].events), default=0)


async def find_position(owner: str, thread_id: str, run: RunRecord | None) -> Position | None:
    """Return the point at which a client joins this run, or, if `run` is None, the newest run of the thread.

    Return None if there is no such run or message.
    """
    store = web_context().store
    page = await store.read(queries.thread_page, owner, thread_id, None, MAX_MESSAGES)
    run = run or (None if page is None else page.newest)
    if page is None or run is None:
        return None
    path = _path(page, run)
    if not path:  # the run answered a message that is older than the page
        message, answer = [await store.message(owner, name) for name in (run.message_id, f"{ANSWER}{run.id}")]
        if message is None:
            return None
        path = [AnsweredRun(message, run, answer)]
    bytes_left = MAX_EVENT_BYTES
    exchanges: list[AnsweredRun] = []
    for exchange in reversed(path):
        rows: tuple[LoggedEvent, ...] = ()
        if exchange.run is not None and (bytes_left > 0 or not exchanges):
            rows = tuple(await store.run_events(owner, thread_id, exchange.run.id))
            bytes_left -= sum(len(row.body) for row in rows)
        exchanges.insert(0, AnsweredRun(exchange.message, exchange.run, exchange.answer, rows))
    file_ids = tuple(dict.fromkeys(name for exchange in exchanges for name in exchange.message.references))
    files = await web_context().services.attachments(owner).rows(file_ids) if file_ids else []
    return Position(tuple(exchanges), run, {file.id: file for file in files})


def _path(page: ThreadPage, run: RunRecord) -> list[AnsweredRun]:
    """Return the exchanges of the page that lead to a run, oldest first, the run's own last."""
    messages = {row.id: row for row in page.messages.items}
    runs = {row.id: row for row in page.runs}
    path: list[AnsweredRun] = []
    current: RunRecord | None = run
    while current is not None and (message := messages.get(current.message_id)) is not None and message.role == "user":
        path.insert(0, AnsweredRun(message, current, messages.get(f"{ANSWER}{current.id}")))
        current = runs.get((message.parent_id or "").removeprefix(ANSWER))
        if any(current is exchange.run for exchange in path):  # a cycle in damaged rows would not end
            break
    return path


async def join(
    translator: AguiTranslator, position: Position, known: dict[str, Any], *, newest: bool
) -> list[AguiEvent]:
    """Return the events by which the client joins the translator's run.

    The translator has ended afterwards, or continues with the events after `position.head`. `known` are the client's
    own messages with parts. `newest`: the client joined the thread, not this run, so the run's end is not sent again.
    """
    return await run_off_loop(partial(_join, translator, position, known, newest, web_context().content_filter.vault))


def _join(
    translator: AguiTranslator, position: Position, known: dict[str, Any], newest: bool, vault: Any
) -> list[AguiEvent]:
    owner, thread_id, run = position.run.owner, position.run.thread_id, position.run
    restore: Callable[[Envelope], Envelope] = partial(vault.restore_envelope, owner)
    messages, translated = Messages(), list[AguiEvent]()
    for exchange in position.exchanges:
        text = vault.restore_text(owner, thread_id, exchange.message.content)
        messages.all.append(known.get(exchange.message.id) or _user_message(exchange.message, text, position.files))
        if exchange.run is run:
            translated = _translate(translator, exchange.events, restore)
        elif exchange.run is not None:
            ids = (translator.thread_id, exchange.run.id, exchange.message.id)
            earlier = AguiTranslator(*ids, server_run_id=exchange.run.id, result_ids=translator.result_ids)
            translated = _translate(earlier, exchange.events, restore)
        messages.apply(translated)
        if not exchange.events and exchange.answer is not None:
            content = vault.restore_text(owner, thread_id, exchange.answer.content)
            messages.all.append({"id": exchange.answer.id, "role": "assistant", "content": content})
    last, ended = position.exchanges[-1], translator.ended
    opening = translator.opening(messages.all)
    if run.ended_at is not None and (newest or (not last.events and last.answer is not None)):
        return [*opening, translator.finished()]
    if ended:
        return [*opening, translated[-1]]
    if not last.events:
        return [*opening, *translator.closing_events("not_found", "The log does not hold that run any more.")]
    return [*opening, *translator.pause()]


def _translate(
    translator: AguiTranslator, rows: Sequence[LoggedEvent], restore: Callable[[Envelope], Envelope]
) -> list[AguiEvent]:
    return [event for row in rows for event in translator.translate(restore(from_log(row.body)))]


def _user_message(message: Message, text: str, files: dict[str, File]) -> dict[str, Any]:
    """Return a message of the user in AG-UI's form; its files are parts with their URLs on this server."""
    content: Any = text
    attached = [files[name] for name in message.references if name in files]
    if attached:
        content = [{"type": "text", "text": text}, *map(_part, attached)]
    return {"id": message.id, "role": "user", "content": content}


def _part(file: File) -> dict[str, Any]:
    kind = file.media_type.partition("/")[0]
    return {
        "type": kind if kind in ("image", "audio", "video") else "document",
        "source": {"type": "url", "value": f"{FILES}{file.id}", "mimeType": file.media_type},
        "metadata": {"filename": file.name, METADATA_KEY: {"file_id": file.id, "size": file.size}},
    }
