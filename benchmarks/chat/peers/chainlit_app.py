"""The script as an app of Chainlit, whose command runs it: `python chainlit_app.py`, in Chainlit's environment.

Without a data layer, as it comes: it keeps nothing on the disk, numbers no events, and loses what runs when it ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
from pathlib import Path

import chainlit as cl

sys.path.insert(0, str(Path(__file__).parent))
import script


@cl.step(type="tool", name="percentage")
async def percentage(share: float, whole: float) -> float:
    """The tool, shown as a step."""
    return script.percentage(share, whole)


@cl.on_message
async def answer(message: cl.Message) -> None:
    """Play the script."""
    said = cl.Message(content="")
    if message.content == script.TOOL:
        await percentage(15, 80)
        await said.stream_token(script.ANSWER)
    else:
        for number, piece in enumerate(script.PIECES):
            if number:
                await asyncio.sleep(script.PIECE_S)
            await said.stream_token(piece)
    await said.send()


def main() -> None:
    """Run Chainlit's own command on a free port of the first core; print the port once it listens."""
    from chainlit.cli import cli

    os.sched_setaffinity(0, {0})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    told = os.dup(1)
    os.dup2(2, 1)  # what Chainlit prints goes elsewhere

    def announce() -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                os.write(told, f"{port}\n".encode())
                return

    threading.Thread(target=announce, daemon=True).start()
    cli(["run", __file__, "--headless", "--host", "127.0.0.1", "--port", str(port)])


if __name__ == "__main__":
    main()
