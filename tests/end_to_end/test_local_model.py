"""An operator of a server without a model uses one of their machine, from the page's button on."""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.rigs.chat_client import connected
from tests.rigs.heard import provider as provider
from tests.rigs.http import get, request
from tests.rigs.model_provider import Provider, Script, end_chunk, port_of, text_chunk
from understudy.extensions.openai import local
from understudy.extensions.openai.chat import OpenAIChat

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket"),
    pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning"),
    pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms"),
]

OpenAIChat("none", api_key="none")  # imports the package, which takes a second, before a server runs


def chosen_in(database: Path) -> list[tuple[str, str]]:
    """Return the model and the port of each entry of the audit log about a choice."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE action = 'model.used'").fetchall()
    return [(choice["model"], choice["port"]) for choice in (json.loads(detail) for (detail,) in rows)]


async def test_a_local_model_answers_after_one_request(
    provider: Provider, serve_guest: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    provider.models = {"qwen3:8b": {}}
    provider.scripts = [Script([text_chunk("Hello from here."), end_chunk("stop")])]
    port = port_of(provider)
    monkeypatch.setattr(local, "PORTS", {port: "Ollama"})
    running, token = await serve_guest(local_operator=True)
    status, _, listed = await request(running.address, "GET", "/api/admin/models", token=token)
    assert status == 200
    assert listed == {"in_use": "offline", "offered": [{"server": "Ollama", "port": port, "model": "qwen3:8b"}]}
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    _, _, other = await request(running.address, "POST", "/api/sessions", headers=forwarded)
    stranger, body = other["session_token"], f'{{"port": {port}, "model": "qwen3:8b"}}'.encode()
    status, _, _ = await request(running.address, "POST", "/api/admin/models", token=stranger, body=body)
    assert status == 403
    status, _, used = await request(running.address, "POST", "/api/admin/models", token=token, body=body)
    assert (status, used) == (200, {"in_use": "openai-chat:qwen3:8b"})
    async with connected(running.address) as client:
        final = await client.ask("Hello?")
    assert final["data"]["message"] == "Hello from here."
    assert (await get(running, "/api/agents", token))["model"]["name"] == "openai-chat"
    assert provider.requests[0]["model"] == "qwen3:8b"
    assert await trio.to_thread.run_sync(chosen_in, tmp_path / "data" / "understudy.db") == [("qwen3:8b", str(port))]
