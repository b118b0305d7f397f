"""Sockets of the load that speak Socket.IO: to our application on python-socketio, and to Chainlit."""

from __future__ import annotations

import json
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec
from attrs import define, field

from understudy.load.websocket import LoadEvent, LoadSocket, SocketEnded

OPEN, PING, CONNECTED, EVENT, CLOSED = "0", "2", "40", "42", ("1", "41", "44")
"""What messages of Engine.IO and Socket.IO begin with."""
PONG = "3"


@define(eq=False)
class RoomSocket(LoadSocket):
    """An envelope of ours is the argument of the event `event`."""

    async def take_text(self, text: str) -> list[LoadEvent]:
        """Shake hands, answer pings, and return the events."""
        if text.startswith(EVENT):
            name, *arguments = json.loads(text[len(EVENT) :])
            return self.heard(name, arguments[0] if arguments else {})
        if text.startswith(CONNECTED):
            await self.welcomed()
            return [LoadEvent("welcome")]
        if text.startswith(OPEN):
            await self.send_text(CONNECTED + json.dumps(self.credentials()))
        elif text == PING:
            await self.send_text(PONG)
        elif text.startswith(CLOSED):
            raise SocketEnded(f"closed: {text[:100]}")
        return []

    def credentials(self) -> dict[str, Any]:
        """Return what is sent with the request to connect."""
        return {}

    async def welcomed(self) -> None:
        """Send what the server wants to hear first."""

    def heard(self, name: str, argument: Any) -> list[LoadEvent]:
        """Return the events of ours that an event of the server's stands for."""
        return [msgspec.convert(argument, LoadEvent)] if name == "event" else []

    async def emit(self, name: str, argument: dict[str, Any] | None = None) -> None:
        """Send an event."""
        await self.send_text(EVENT + json.dumps([name] if argument is None else [name, argument]))

    async def send(self, kind: str, payload: dict[str, Any]) -> None:
        """Send a command."""
        await self.emit(kind, payload)


@define(eq=False)
class ChainlitSocket(RoomSocket):
    """Chainlit's events by ours. It does not name the message that an event belongs to: they are answered in order."""

    _waiting: deque[str] = field(factory=deque)
    _running: deque[str] = field(factory=deque)
    _thread: str = field(factory=lambda: str(uuid.uuid4()))

    def credentials(self) -> dict[str, Any]:
        """Return what its page sends."""
        session = str(uuid.uuid4())
        return {"sessionId": session, "clientType": "webapp", "userEnv": "{}", "chatProfile": "", "threadId": ""}

    async def welcomed(self) -> None:
        """Begin the session, as its page does."""
        await self.emit("connection_successful")

    async def send(self, kind: str, payload: dict[str, Any]) -> None:
        """Send a message; it has no other commands of ours."""
        if kind != "user_message":
            return
        self._waiting.append(payload["message_id"])
        message = {
            "id": str(uuid.uuid4()),
            "threadId": self._thread,
            "name": "User",
            "type": "user_message",
            "output": payload["content"],
            "createdAt": datetime.now(UTC).isoformat(),
        }
        await self.emit("client_message", {"message": message, "fileReferences": []})

    def heard(self, name: str, argument: Any) -> list[LoadEvent]:
        """Translate the beginning and end of a task, and what is shown between them."""
        if name == "task_start" and self._waiting:
            self._running.append(self._waiting.popleft())
            return [LoadEvent("message_accepted", message_id=self._running[-1], run_id=self._running[-1])]
        if not self._running:
            return []
        if name == "task_end":
            return [LoadEvent("final_response", message_id=self._running[0], run_id=self._running.popleft())]
        if name in ("stream_start", "stream_token", "new_message", "update_message"):
            return [LoadEvent("partial_result", message_id=self._running[0], run_id=self._running[0])]
        return []
