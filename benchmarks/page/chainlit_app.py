"""The typist as an app of Chainlit. It runs in Chainlit's environment, where `documents.py` lies beside it."""

from __future__ import annotations

import asyncio
import time

import chainlit as cl
from documents import PIECE_S, asked


@cl.on_message
async def write(message: cl.Message) -> None:
    """Write the document that the message names, at the same pieces as our typist."""
    text, rate = asked(message.content)
    answer = cl.Message(content="")
    began, at = time.monotonic(), 0
    while at < len(text):
        due = min(len(text), int((time.monotonic() - began) * rate) + 1)
        if due > at:
            await answer.stream_token(text[at:due])
            at = due
        await asyncio.sleep(PIECE_S)
    await answer.update()
