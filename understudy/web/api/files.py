"""`POST /api/files` and `GET /api/files/{id}`: files that users attach to their messages."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import trio
from quart import Blueprint, Response, request
from werkzeug.datastructures import FileStorage

from transport.wire.errors import CommandRejected
from understudy.content.summary import count_by_kind
from understudy.storage.errors import NotStored
from understudy.storage.records import File
from understudy.web.context import drain_body, identity, web_context

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
    row = await web_context().store.file(identity().user, file_id)
    if row is None:
        raise CommandRejected("not_found", "There is no file of that name.")
    content = web_context().files.read(row)
    try:
        first = await anext(content, b"")  # before the answer begins: it may still be a refusal
    except NotStored:
        raise CommandRejected("not_found", "That file is there no more.") from None
    answer = Response(_whole(first, content), content_type="application/octet-stream")
    answer.headers["Content-Length"] = str(row.size)
    answer.headers.set("Content-Disposition", "attachment", filename=row.name.encode("ascii", "replace").decode())
    return answer


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
