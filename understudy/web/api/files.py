"""`/api/files`: files that users attach to their messages, and those that tools make for them."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import trio
from attrs import asdict
from quart import Blueprint, Response, request
from werkzeug.datastructures import FileStorage

from transport.wire.errors import CommandRejected
from understudy.chat.file_preview import (
    HEAD_BYTES,
    MAX_ROWS,
    NONE,
    FilePreview,
    is_binary_table,
    preview_of,
    preview_of_rows,
)
from understudy.content.summary import count_by_kind
from understudy.storage.errors import NotStored
from understudy.storage.records import File
from understudy.tools.context import StoredFile
from understudy.tools.errors import ToolError
from understudy.tools.queries import Answer
from understudy.tools.tables import ask_table
from understudy.web.context import drain_body, identity, web_context

log: Final = logging.getLogger(__name__)

blueprint = Blueprint("files", __name__, url_prefix="/api/files")

UNNAMED = "file"
"""Name of a file of whose own name nothing is left after redaction."""
CHUNK = 256 * 1024
"""Bytes read at a time."""


@blueprint.post("")
async def upload() -> tuple[dict[str, Any], int]:
    """Store the multipart field `file`. Return the id by which a message's `references` name it."""
    owner = identity().user
    try:
        await web_context().quotas.check_files(
            owner, min(request.content_length or 1, web_context().settings.max_file_bytes)
        )
    except CommandRejected:
        await drain_body()
        raise
    given = (await request.files).get("file")
    if given is None or not given.filename:
        raise CommandRejected("invalid_file", "Send the file as the multipart field `file`, with its name.")
    row, findings = await save_file(owner, given.filename, given.mimetype, _chunks(given))
    found = {"findings": findings} if findings else {}
    return {"id": row.id, "name": row.name, "media_type": row.media_type, "size": row.size} | found, 201


@blueprint.get("/<file_id>")
async def download(file_id: str) -> Response:
    """Return a file, always as a download: no uploaded file is shown as a page of this origin."""
    return await download_of(await _own_file(file_id))


async def download_of(row: File) -> Response:
    """Answer with a file as a download.

    Raises:
        CommandRejected: `not_found`: its content is there no more.
    """
    content = web_context().files.read(row)
    try:
        first = await anext(content, b"")  # before the answer begins: it may still be a refusal
    except NotStored:
        raise CommandRejected("not_found", "That file is there no more.") from None
    answer = Response(_whole(first, content), content_type="application/octet-stream")
    answer.headers["Content-Length"] = str(row.size)
    answer.headers.set("Content-Disposition", "attachment", **_names(row.name))
    return answer


@blueprint.get("/<file_id>/preview")
async def preview(file_id: str) -> dict[str, Any]:
    """Return what can be shown of a file without opening it: a picture's type, rows, or text."""
    return await preview_for(await _own_file(file_id), tables=True)


async def preview_for(row: File, *, tables: bool) -> dict[str, Any]:
    """Return the preview of a file; with `tables`, also of one that a database has to read.

    Raises:
        CommandRejected: `not_found`: its content is there no more.
    """
    files = web_context().files
    try:
        async with aclosing(files.read(row)) as content:
            head = b""
            async for chunk in content:
                head += chunk
                if len(head) >= HEAD_BYTES:
                    break
        shown = preview_of(row.name, head[:HEAD_BYTES], row.size)
        if is_binary_table(row.name, head):
            shown = await _preview_of_table(row, await files.local(row)) if tables else FilePreview(NONE)
    except NotStored:
        raise CommandRejected("not_found", "That file is there no more.") from None
    about = {"id": row.id, "name": row.name, "media_type": row.media_type, "size": row.size}
    return about | asdict(shown)


async def _own_file(file_id: str) -> File:
    row = await web_context().store.file(identity().user, file_id)
    if row is None:
        raise CommandRejected("not_found", "There is no file of that name.")
    return row


async def _preview_of_table(row: File, path: Path) -> FilePreview:
    """Return the first rows of a table that a database reads; no preview if it cannot be read."""
    stored = StoredFile(row.id, row.name, row.media_type, row.size, path)
    try:
        found = await ask_table(stored, row.owner, "query", ("SELECT * FROM data", MAX_ROWS), Answer)
    except ToolError as error:
        log.info("file.no_preview", extra={"reason": error.code})
        return FilePreview(NONE)
    return preview_of_rows([each.name for each in found.columns], found.rows, cut=bool(found.truncated))


def _names(name: str) -> dict[str, str]:
    """Return a file's name as parameters of a header: in ASCII, and, if it has other characters, whole (RFC 6266)."""
    plain = name.encode("ascii", "replace").decode()
    return {"filename": plain} | ({} if plain == name else {"filename*": f"UTF-8''{quote(name, safe='')}"})


async def save_file(
    owner: str, name: str, media_type: str, content: AsyncGenerator[bytes, None]
) -> tuple[File, list[dict[str, Any]]]:
    """Filter and store an upload of a user. Return its row, and the counts of what was found in it.

    Raises:
        FileTooLarge: It is larger than the server accepts.
        CommandRejected: It may not be stored, or there is no more space for it.
    """
    context = web_context()
    name = await context.content_filter.filter_note(owner, name) or UNNAMED
    media_type = await context.content_filter.filter_note(owner, media_type) or "application/octet-stream"
    passage = context.content_filter.new_file_filter()
    async with (
        aclosing(content) as chunks,
        aclosing(context.content_filter.filter_file(passage, chunks)) as passing,
    ):
        row = await context.files.save(owner, name, media_type, passing)
    return row, count_by_kind(passage.result.findings)


async def _chunks(given: FileStorage) -> AsyncGenerator[bytes, None]:
    while chunk := await trio.to_thread.run_sync(given.stream.read, CHUNK):
        yield chunk


async def _whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk
