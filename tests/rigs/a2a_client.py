"""The client of the A2A SDK."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a

from understudy.app.server import Running


@asynccontextmanager
async def client(running: Running, token: str, *, streaming: bool = True) -> AsyncIterator[Client]:
    """Yield a client for the agent card of a server."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        card = await A2ACardResolver(http, f"{running.address}/a2a/script").get_agent_card()
        assert card.capabilities.streaming
        yield ClientFactory(ClientConfig(streaming=streaming, httpx_client=http)).create(card)


def message(text: str, **ids: str) -> a2a.SendMessageRequest:
    """Return a message of one text. `ids` are those of its task and context."""
    message = a2a.Message(message_id=uuid.uuid4().hex, role=a2a.ROLE_USER, parts=[a2a.Part(text=text)], **ids)
    return a2a.SendMessageRequest(message=message)


async def told(responses: Any, opened: trio.Event | None = None) -> tuple[list[str], str, str]:
    """Return the states of a stream, the text of its answer, and the task's id. Set `opened` once something came."""
    states, text, task = [], "", ""
    async for response in responses:
        if opened is not None:
            opened.set()
        kind = response.WhichOneof("payload")
        if kind == "task":
            task = response.task.id
            states.append(a2a.TaskState.Name(response.task.status.state))
        elif kind == "status_update":
            states.append(a2a.TaskState.Name(response.status_update.status.state))
        else:
            update = response.artifact_update
            fresh = "".join(part.text for part in update.artifact.parts)
            text = text + fresh if update.append else fresh
    return [state.removeprefix("TASK_STATE_") for state in states], text, task
