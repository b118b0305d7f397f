"""Exports a user's data as a stream of chunks, so that a long conversation is never held in memory as a whole."""

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from operator import attrgetter
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from transport.server.connection_limiter import Counter
from transport.wire.codec import encode
from transport.wire.errors import UnreadableEvent
from understudy.content.texts import run_off_loop
from understudy.content.vault import Vault
from understudy.extension import UserData
from understudy.extensions.privacy import queries as archive_queries
from understudy.extensions.privacy import records
from understudy.extensions.privacy.queries import User
from understudy.extensions.privacy.transcript import Transcript, attachments, opening
from understudy.installed import kept_of_users
from understudy.storage import queries
from understudy.storage.acts import Act
from understudy.storage.deletion import kept_of_threads
from understudy.storage.owners import name_of
from understudy.storage.read_pool import Archive
from understudy.storage.records import LoggedEvent, Message, RunRecord, StepRecord, Thread
from understudy.web.api.shown import message_of, newest_of, thread_of
from understudy.wire.dialects import Dialect
from understudy.wire.events import Envelope
from understudy.wire.vocabulary import from_log

EXPORTED: Final = Act("user.exported", "events", "format", "thread")

log = logging.getLogger(__name__)

FORMS: Final = ("json", "markdown")
MAX_EXPORTS: Final = 1_000_000
"""Bound of the counter of exports, which no number of them reaches: `routes` has the limits."""
PIECE_BYTES: Final = 64 * 1024
"""Approximate size of a chunk of an export."""

Pieces = AsyncGenerator[bytes, None]


@frozen
class ExportOptions:
    """The format of an export; `events`: include the log (JSON only)."""

    form: str = "json"
    events: bool = False


@define
class Exporter:
    """Exports users' data. `vault` restores placeholders; `under_way` counts each user's exports.

    Its generators raise StorageUnavailable if the database cannot be read.
    """

    archive: Archive
    vault: Vault
    clock: Callable[[], float]
    under_way: Counter = field(factory=lambda: Counter(MAX_EXPORTS))

    def thread(self, row: Thread, what: ExportOptions) -> Pieces:
        """Export one thread as a document."""
        return in_chunks(self._whole_thread(row, what))

    def user(self, row: User, what: ExportOptions) -> Pieces:
        """Export all data of a user as one document."""
        return in_chunks(self._whole_user(row, what))

    def tenant(self, tenant: str, what: ExportOptions) -> Pieces:
        """Export all users of a tenant as one document."""
        return in_chunks(self._whole_tenant(tenant, what))

    async def _whole_thread(self, row: Thread, what: ExportOptions) -> Pieces:
        if what.form == "markdown":
            async with aclosing(self._transcript(row, what, 1)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        yield _members(records.head(self.clock())) + b","
        async with aclosing(self._thread(row, what)) as pieces:
            async for piece in pieces:
                yield piece
        yield b"}\n"

    async def _whole_user(self, row: User, what: ExportOptions) -> Pieces:
        markdown, at = what.form == "markdown", self.clock()
        if markdown:
            yield opening(row, name_of(row.id), at).encode()
        else:
            yield _members(records.head(at)) + b","
        async with aclosing(self._user(row, what)) as pieces:
            async for piece in pieces:
                yield piece
        if not markdown:
            yield b"}\n"

    async def _whole_tenant(self, tenant: str, what: ExportOptions) -> Pieces:
        at, after, edge = self.clock(), "", b""
        markdown = what.form == "markdown"
        if not markdown:
            yield _members(records.head(at) | {"tenant": tenant}) + b',"users":['
        while users := await self.archive.read(archive_queries.users, after, tenant):
            for row in users:
                yield (opening(row, name_of(row.id), at).encode() + b"\n") if markdown else edge + b"{"
                async with aclosing(self._user(row, what)) as pieces:
                    async for piece in pieces:
                        yield piece
                yield b"" if markdown else b"}"
                edge = b",\n"
            after = users[-1].id
        if not markdown:
            yield b"]}\n"

    # These yield members of a JSON object without its braces, so that callers can embed them in different documents.

    async def _user(self, row: User, what: ExportOptions) -> Pieces:
        if what.form == "markdown":
            async for thread in self._threads(row.id):
                async for piece in self._transcript(thread, what, 2):
                    yield piece
            return
        yield _members(records.user_of(row, name_of(row.id)))[1:]
        for kept in kept_of_users():
            if not kept.of_thread:
                first_rows = await self.archive.read(archive_queries.rows, kept, row.id)
                async for piece in self._rows(kept, row.id, first_rows):
                    yield piece
        yield b',"threads":['
        edge = b""
        async for thread in self._threads(row.id):
            yield edge + b"{"
            async for piece in self._thread(thread, what):
                yield piece
            yield b"}"
            edge = b",\n"
        yield b"]"

    async def _thread(self, row: Thread, what: ExportOptions) -> Pieces:
        restore = partial(self.vault.restore_text, row.owner, row.id)
        newest = await self.archive.read(queries.run, row.newest_run) if row.newest_run is not None else None
        yield _members({"thread": thread_of(row, restore), "newest": newest_of(newest)})[1:]
        yield b',"messages":['
        edge, names = b"", dict[str, None]()
        async for message, runs in self._messages(row):
            names |= dict.fromkeys(records.files_named(message))
            whole = message_of(message, [records.run_of(*run) for run in runs], restore)
            yield edge + msgspec.json.encode(whole)
            edge = b",\n"
        for kept in filter(attrgetter("attached"), kept_of_users()):
            yield b'],"%s":[' % kept.name.encode()
            edge = b""
            async for files in self._named(kept, row.owner, names):
                yield edge + _items(map(kept.record, files))
                edge = b","
        yield b"]"
        first_rows = await self.archive.read(archive_queries.rows_of_thread, row.owner, row.id)
        for kept in kept_of_threads():
            async for piece in self._rows(kept, row.owner, first_rows[kept.name], row.id):
                yield piece
        if what.events:
            yield b',"events":['
            edge, after = b"", 0
            limit = 5 * archive_queries.PAGE
            while events := await self.archive.read(queries.events, row.owner, row.id, after, limit):
                if frames := await run_off_loop(encode_events, events, partial(self.vault.restore_envelope, row.owner)):
                    yield edge + frames
                    edge = b",\n"
                after = events[-1].seq
            yield b"]"

    async def _rows(self, kept: UserData, owner: str, rows: Sequence[Any], thread_id: str | None = None) -> Pieces:
        """Yield a member with the rows of an extension of a user, or of a thread. `rows` is their first page."""
        yield b',"%s":' % kept.name.encode()
        if kept.single:
            yield msgspec.json.encode(kept.record(rows[0]) if rows else None)
            return
        edge = b"["
        while rows:
            yield edge + _items(map(kept.record, rows))
            after, edge = archive_queries.key_of(kept, rows[-1]), b","
            full = len(rows) == kept.together
            rows = await self.archive.read(archive_queries.rows, kept, owner, thread_id, after) if full else ()
        yield b"[]" if edge == b"[" else b"]"

    async def _transcript(self, row: Thread, what: ExportOptions, level: int) -> Pieces:
        restore = partial(self.vault.restore_text, row.owner, row.id)
        transcript, names = Transcript(row, restore, level), dict[str, None]()
        yield transcript.opening().encode()
        async for message, runs in self._messages(row, steps=False):
            names |= dict.fromkeys(records.files_named(message))
            yield transcript.message(message, [run for run, _ in runs]).encode("utf-8", "replace")
        if names:
            yield f"\n{'#' * (level + 1)} Files\n\n".encode()
        for kept in filter(attrgetter("attached"), kept_of_users()):
            async for files in self._named(kept, row.owner, names):
                yield attachments(files).encode()

    # Rows

    async def _threads(self, owner: str) -> AsyncGenerator[Thread, None]:
        after = ""
        while threads := await self.archive.read(archive_queries.threads, owner, after):
            for thread in threads:
                yield thread
            after = threads[-1].id

    async def _named(self, kept: UserData, owner: str, names: Iterable[str]) -> AsyncGenerator[Sequence[Any], None]:
        """Yield the rows of the files with these ids, page by page."""
        ids = list(names)
        for first in range(0, len(ids), kept.together):
            some = ids[first : first + kept.together]
            if files := await self.archive.read(archive_queries.named, kept, owner, some):
                yield files

    async def _messages(
        self, row: Thread, *, steps: bool = True
    ) -> AsyncGenerator[tuple[Message, list[tuple[RunRecord, list[StepRecord]]]], None]:
        """Yield every message of a thread with the runs that answered it, each with its `steps` if requested."""
        cursor, more = None, True
        while more:
            page = await self.archive.read(queries.messages_forward, row.owner, row.id, cursor, archive_queries.PAGE)
            requests = [message.id for message in page.items if message.role == "user"]
            runs: dict[str, list[RunRecord]] = {}
            for run in await self.archive.read(queries.runs_of, row.owner, requests):
                runs.setdefault(run.message_id, []).append(run)
            run_ids = [run.id for name in requests for run in runs.get(name, [])] if steps else []
            steps_of: dict[str, list[StepRecord]] = {}
            for message in page.items:
                answering = runs.get(message.id, [])
                answers = []
                for run in answering:
                    if steps and run.id not in steps_of:
                        steps_of = await self.archive.read(archive_queries.steps, run_ids[run_ids.index(run.id) :])
                    answers.append((run, steps_of.get(run.id, [])))
                yield message, answers
            cursor, more = page.next_cursor, page.next_cursor is not None


async def in_chunks(pieces: Pieces) -> Pieces:
    """Join small pieces into chunks of about PIECE_BYTES, because the server makes one write per chunk."""
    waiting = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


def encode_events(rows: Sequence[LoggedEvent], shown: Callable[[Envelope], Envelope]) -> bytes:
    """Encode events in the canonical dialect, separated by commas; an undecodable one is marked `unreadable`."""
    frames = []
    for row in rows:
        try:
            frame = encode(shown(from_log(row.body)), Dialect.CANONICAL)
        except UnreadableEvent:
            frame = msgspec.json.encode({"type": row.type, "seq": row.seq, "unreadable": True})
        frames.append(frame)
    return b",".join(frame for frame in frames if frame)


def _members(values: dict[str, Any]) -> bytes:
    """Encode an object without its closing brace."""
    return msgspec.json.encode(values)[:-1]


def _items(values: Iterable[Any]) -> bytes:
    """Encode a list without its brackets."""
    return msgspec.json.encode(list(values))[1:-1]
