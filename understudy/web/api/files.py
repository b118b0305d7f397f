"""`/api/files`: files that users attach to their messages, and those that tools make for them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated
from urllib.parse import quote

import trio
from attrs import asdict, frozen
from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response, request
from werkzeug.datastructures import FileStorage

from transport.auth.identity import Identity
from transport.wire.commands import Say
from transport.wire.errors import CommandRejected
from understudy.chat.file_preview import HEAD_BYTES, FilePreview, preview_of
from understudy.content.summary import KindCount, count_by_kind
from understudy.storage import queries
from understudy.storage.errors import NotStored
from understudy.storage.records import File
from understudy.web.api.message_content import NewFile
from understudy.web.context import drain_body, identity, web_context
from understudy.web.routes import OF_ONE, STORED, Count, Routes

blueprint = Routes("files", __name__, url_prefix="/api/files")

UNNAMED = "file"
"""Name of a file of whose own name nothing is left after redaction."""
CHUNK = 256 * 1024
"""Bytes read at a time."""


class UploadBody(Struct):
    """The body of an upload."""

    file: Annotated[str, Meta(extra_json_schema={"contentMediaType": "application/octet-stream"})]


class ShownFile(Struct):
    """A stored file, with the counts of what was found in it."""

    id: str
    name: str
    media_type: str
    size: Count
    findings: list[KindCount] | UnsetType = UNSET


@frozen(kw_only=True)
class ShownPreview(FilePreview):
    """What can be shown of a file without opening it."""

    id: str
    name: str
    media_type: str
    size: Count


@blueprint.post(
    "", status=201, body=UploadBody, form="multipart/form-data",
    errors=("invalid_file", "invalid_command", "file_too_large", "quota_exceeded", "content_blocked", *STORED),
)  # fmt: skip
async def upload() -> ShownFile:
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
    return ShownFile(row.id, row.name, row.media_type, row.size, findings or UNSET)


@blueprint.get("/<file_id>", media="application/octet-stream", errors=OF_ONE)
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


@blueprint.get("/<file_id>/preview", errors=("not_found", "busy", *STORED))
async def preview(file_id: str) -> ShownPreview:
    """Return what can be shown of a file without opening it: a picture's type, rows, or text."""
    return await preview_for(await _own_file(file_id))


async def preview_for(row: File) -> ShownPreview:
    """Return the preview of a file.

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
    except NotStored:
        raise CommandRejected("not_found", "That file is there no more.") from None
    shown = preview_of(row.name, head[:HEAD_BYTES], row.size)
    return ShownPreview(id=row.id, name=row.name, media_type=row.media_type, size=row.size, **asdict(shown))


async def _own_file(file_id: str) -> File:
    row = await web_context().store.read(queries.file, identity().user, file_id)
    if row is None:
        raise CommandRejected("not_found", "There is no file of that name.")
    return row


def _names(name: str) -> dict[str, str]:
    """Return a file's name as parameters of a header: in ASCII, and, if it has other characters, whole (RFC 6266)."""
    plain = name.encode("ascii", "replace").decode()
    return {"filename": plain} | ({} if plain == name else {"filename*": f"UTF-8''{quote(name, safe='')}"})


async def save_file(
    owner: str, name: str, media_type: str, content: AsyncGenerator[bytes, None]
) -> tuple[File, list[KindCount]]:
    """Filter and store an upload of a user. Return its row, and the counts of what was found in it.

    Raises:
        FileTooLarge: It is larger than the server accepts.
        CommandRejected: It may not be stored, or there is no more space for it.
    """
    context = web_context()
    name = await context.content_filter.filter_note(owner, name) or UNNAMED
    media_type = await context.content_filter.filter_note(owner, media_type) or "application/octet-stream"
    passage = context.content_filter.new_file_filter()
    async with aclosing(content) as chunks, aclosing(context.content_filter.filter_file(passage, chunks)) as passing:
        row = await context.files.save(owner, name, media_type, passing)
    return row, count_by_kind(passage.result.findings)


async def store_files(caller: Identity, files: Sequence[NewFile | str], say: Say | None = None) -> list[str]:
    """Store the new files of a message. Return the ids of all.

    Raises:
        CommandRejected: There is no room for the files; or `say` is refused, for which nothing is stored then.
    """
    new = [each for each in files if isinstance(each, NewFile)]
    if new and say is not None:
        await web_context().streams.dispatcher.check(caller, say)
    if new:
        await web_context().quotas.check_files(caller.user, sum(len(each.content) for each in new))
    ids = []
    for each in files:
        if isinstance(each, NewFile):
            row, _ = await save_file(caller.user, each.name, each.media_type, each.chunks())
            ids.append(row.id)
        else:
            ids.append(each)
    return ids


async def _chunks(given: FileStorage) -> AsyncGenerator[bytes, None]:
    while chunk := await trio.to_thread.run_sync(given.stream.read, CHUNK):
        yield chunk


async def _whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk
