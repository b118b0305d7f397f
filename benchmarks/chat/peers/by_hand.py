"""FastAPI with a WebSocket by hand: what an application there would write, with a commit in SQLite for each message.

It speaks as much of our protocol as the load reads: acceptance after the commit, pieces, the tool, and the end after
the commit of the answer. It numbers events and keeps none of them, scrubs nothing, and loses what runs when it ends.
Runs in the environment that has FastAPI: `python by_hand.py FOLDER`.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import script
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from serving import announced

app = FastAPI()


class Messages:
    """The messages in SQLite, each committed before it is answered, in a worker thread."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / "chat.db", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(
            "CREATE TABLE messages (thread TEXT, id TEXT PRIMARY KEY, role TEXT, said TEXT, at REAL)"
        )

    def _insert(self, thread: str, name: str, role: str, content: str) -> None:
        with self._lock:
            row = (thread, name, role, content, time.time())
            self._database.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", row)

    async def add(self, thread: str, name: str, role: str, content: str) -> None:
        """Store a message; it is on the disk on return."""
        await asyncio.to_thread(self._insert, thread, name, role, content)


async def answered(question: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Play the script: types of events and their data."""
    if question == script.TOOL:
        yield "tool_executing", {"tool": "percentage", "arguments": {"share": 15, "whole": 80}}
        yield "tool_completed", {"status": "ok", "value": script.percentage(15, 80)}
        yield "partial_result", {"text": script.ANSWER}
        return
    if question == script.FAST:
        began = time.monotonic()
        for number, piece in enumerate(script.FAST_PIECES):
            if (left_s := began + number * script.FAST_PIECE_S - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
            yield "partial_result", {"text": piece}
        return
    for number, piece in enumerate(script.PIECES):
        if number:
            await asyncio.sleep(script.PIECE_S)
        yield "partial_result", {"text": piece}


messages: Messages
last: dict[str, int] = {}


@app.websocket("/ws")
async def chat(socket: WebSocket) -> None:
    """Take messages, and answer each in a task of its own."""
    await socket.accept()
    await socket.send_text('{"type":"welcome"}')

    async def emit(event: dict[str, Any]) -> None:
        await socket.send_text(json.dumps(event, separators=(",", ":")))

    running: set[asyncio.Task[None]] = set()
    try:
        while True:
            command = json.loads(await socket.receive_text())
            if command["type"] == "user_message":
                task = asyncio.create_task(answer(emit, command["payload"]))
                running.add(task)
                task.add_done_callback(running.discard)
    except WebSocketDisconnect:
        for task in running:
            task.cancel()


async def answer(emit: Callable[[dict[str, Any]], Awaitable[None]], payload: dict[str, Any]) -> None:
    """Store the message, play the script, store the answer. `emit` writes an event to the client."""
    thread, name = payload["thread_id"], payload["message_id"]

    async def send(kind: str, data: dict[str, Any]) -> None:
        last[thread] = seq = last.get(thread, 0) + 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"type": kind, "seq": seq, "thread_id": thread, "run_id": f"run-{name}", "message_id": name}
        await emit({**event, "timestamp": now, "data": data})

    await messages.add(thread, name, "user", payload["content"])
    await send("message_accepted", {})
    said = []
    async for kind, data in answered(payload["content"]):
        said.append(data.get("text", ""))
        await send(kind, data)
    await messages.add(thread, f"{name}-answer", "assistant", "".join(said))
    await send("final_response", {"text": "".join(said)})


if __name__ == "__main__":
    messages = Messages(Path(sys.argv[1]))
    config = uvicorn.Config(app, ws_per_message_deflate=False, ws_ping_interval=300.0, log_level="critical")
    uvicorn.Server(config).run(sockets=[announced()])
