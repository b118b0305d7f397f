"""Encodes files that tools have saved as content of a result: pictures, sounds, embedded resources and links."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextResourceContents,
)

from understudy.content.texts import run_off_loop
from understudy.storage.errors import NotStored, StorageUnavailable
from understudy.storage.records import File
from understudy.web.context import WebContext

MAX_BYTES: Final = 1024 * 1024
"""Limit of the bytes of files in one result: encoded they fit into the 2 MiB that clients accept. Others are links."""
MAX_FILES: Final = 100
"""Limit of files that a result names."""


async def read_blocks(
    context: WebContext, owner: str, saved: Sequence[Mapping[str, Any]], address: str
) -> dict[str, ContentBlock]:
    """Return the content of a user's saved files by id. A file that is too large or cannot be read now is a link.

    `address` is the server's URL, for links.
    """
    blocks: dict[str, ContentBlock] = {}
    for row in saved[:MAX_FILES]:
        uri, size = f"{address}/api/files/{row['id']}", row["size"]
        blocks[row["id"]] = ResourceLink(name=row["name"], uri=uri, mime_type=row["media_type"], size=size)
    bytes_left, files = MAX_BYTES, context.services.attachments(owner)
    with suppress(NotStored, StorageUnavailable):
        for file in await files.rows(tuple(blocks)) if blocks else ():
            if file.size <= bytes_left:
                bytes_left -= file.size
                content, uri = await files.content(file.id), f"{address}/api/files/{file.id}"
                if content is not None:
                    blocks[file.id] = await run_off_loop(partial(_block, file, uri, content))
    return blocks


def _block(file: File, uri: str, data: bytes) -> ContentBlock:
    kind = file.media_type.partition("/")[0]
    if kind == "audio":
        return AudioContent(data=b64encode(data).decode(), mime_type=file.media_type)
    try:
        text = data.decode()  # an SVG is sent as text too, because models accept no such picture
    except UnicodeDecodeError:
        if kind == "image":
            return ImageContent(data=b64encode(data).decode(), mime_type=file.media_type)
        blob = b64encode(data).decode()
        return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=file.media_type, blob=blob))
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=file.media_type, text=text))
