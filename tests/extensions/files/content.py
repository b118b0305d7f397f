"""The content of a file, as it is uploaded and as it is read."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

import trio


async def stream(chunks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        await trio.lowlevel.checkpoint()
        yield chunk


async def read_all(files: Any, file: Any) -> bytes:
    async with aclosing(files.read(file)) as content:
        return b"".join([chunk async for chunk in content])
