"""`/api/files`: uploads, downloads and previews of users' files."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from urllib.parse import quote

import trio
from attrs import asdict, frozen
from msgspec import UNSET, Meta, Struct, UnsetType
from quart import Response, request
from quart.blueprints import BlueprintSetupState
from werkzeug.datastructures import FileStorage

from transport.wire.errors import CommandRejected
from understudy.content.summary import KindCount
from understudy.extensions.files.preview import HEAD_BYTES, FilePreview, preview_of
from understudy.extensions.files.settings import FileSettings
from understudy.extensions.files.stores import BoundedFiles
from understudy.storage.errors import NotStored
from understudy.storage.records import File
from understudy.web.context import drain_body, identity, web_context
from understudy.web.routes import OF_ONE, STORED, Count, Routes

blueprint = Routes("files", __name__, url_prefix="/api/files")

CHUNK = 256 * 1024
"""Bytes of an upload that are read at a time."""


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
    files = web_context().services.attachments(identity().user)
    try:
        await files.check_room(min(request.content_length or 1, files.limit_bytes))
    except CommandRejected:
        await drain_body()
        raise
    received = (await request.files).get("file")
    if received is None or not received.filename:
        raise CommandRejected("invalid_file", "Send the file as the multipart field `file`, with its name.")
    row, findings = await files.upload(received.filename, received.mimetype, _chunks(received))
    return ShownFile(row.id, row.name, row.media_type, row.size, findings or UNSET)


@blueprint.get("/<file_id>", media="application/octet-stream", errors=OF_ONE)
async def download(file_id: str) -> Response:
    """Return a file, always as a download."""
    return await download_of(await _own_file(file_id))


async def download_of(row: File) -> Response:
    """Return a response with a file as a download.

    Raises:
        CommandRejected: `not_found`: its content is not stored any more.
    """
    content = web_context().parts[BoundedFiles].files.read(row)
    try:
        first = await anext(content, b"")  # read before the response begins, so that a refusal is still possible
    except NotStored:
        raise CommandRejected("not_found", "That file is no longer stored.") from None
    response = Response(_whole(first, content), content_type="application/octet-stream")
    response.headers["Content-Length"] = str(row.size)
    response.headers.set("Content-Disposition", "attachment", **_names(row.name))
    return response


@blueprint.get("/<file_id>/preview", errors=("not_found", "busy", *STORED))
async def preview(file_id: str) -> ShownPreview:
    """Return what can be shown of a file without opening it: a picture's type, rows, or text."""
    return await preview_for(await _own_file(file_id))


async def preview_for(row: File) -> ShownPreview:
    """Return the preview of a file. Raises CommandRejected: `not_found`: its content is not stored any more."""
    files = web_context().parts[BoundedFiles].files
    try:
        async with aclosing(files.read(row)) as content:
            head = b""
            async for chunk in content:
                head += chunk
                if len(head) >= HEAD_BYTES:
                    break
    except NotStored:
        raise CommandRejected("not_found", "That file is no longer stored.") from None
    shown = preview_of(row.name, head[:HEAD_BYTES], row.size)
    return ShownPreview(id=row.id, name=row.name, media_type=row.media_type, size=row.size, **asdict(shown))


async def _own_file(file_id: str) -> File:
    for row in await web_context().services.attachments(identity().user).rows([file_id]):
        return row
    raise CommandRejected("not_found", "There is no file of that name.")


def _names(name: str) -> dict[str, str]:
    """Return the parameters of Content-Disposition for a name: in ASCII and, if that differs, in UTF-8 (RFC 6266)."""
    ascii_name = name.encode("ascii", "replace").decode()
    return {"filename": ascii_name} | ({} if ascii_name == name else {"filename*": f"UTF-8''{quote(name, safe='')}"})


async def _chunks(upload: FileStorage) -> AsyncGenerator[bytes, None]:
    while chunk := await trio.to_thread.run_sync(upload.stream.read, CHUNK):
        yield chunk


async def _whole(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk


@blueprint.record
def let_files_in(state: BlueprintSetupState) -> None:
    """Raise the application's limit of request bodies to that of a file, with 64 KiB for the rest of the form."""
    limit_bytes = state.app.extensions["context"].settings.of(FileSettings).max_bytes
    state.app.config["MAX_CONTENT_LENGTH"] = max(state.app.config["MAX_CONTENT_LENGTH"], limit_bytes + 64 * 1024)
