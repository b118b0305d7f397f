"""python-socketio on ASGI: the same application as `by_hand`, its events in Socket.IO's frames.

Runs in the environment that has python-socketio and what `by_hand` needs: `python rooms.py FOLDER`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import by_hand
import socketio
import uvicorn
from serving import announced

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", ping_interval=300)


@server.event
async def user_message(sid: str, payload: dict[str, Any]) -> None:
    """Store the message, play the script, store the answer. The library gives each event a task of its own."""

    async def emit(event: dict[str, Any]) -> None:
        await server.emit("event", event, to=sid)

    await by_hand.answer(emit, payload)


if __name__ == "__main__":
    by_hand.messages = by_hand.Messages(Path(sys.argv[1]))
    config = uvicorn.Config(
        socketio.ASGIApp(server), ws_per_message_deflate=False, ws_ping_interval=300.0, log_level="critical"
    )
    uvicorn.Server(config).run(sockets=[announced()])
