"""A server whose wall clock steps forward or back."""

import time
from typing import Any

import pytest
import trio

from tests.rigs import http
from tests.rigs.chat_client import check_arc, connected
from tests.servers.postgresql import Postgres

HOUR = 3600.0


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_a_clock_that_steps_changes_times_and_nothing_else(
    serve: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, where: str, step: float
) -> None:
    ahead, real = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    database: dict[str, str] = {}
    if where == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        database = {"database_url": postgres.create(request.getfixturevalue("template"))}
    running = await serve(**database)
    token = await http.new_token(running)
    async with connected(running.address, token) as client:
        await client.ask("What is 2 + 2?", thread_id="t")
        ahead = step
        end = await client.ask("And 3 + 3?", thread_id="t")
        assert end["type"] == "final_response"
        check_arc(client.durable(end["run_id"]))
    async with connected(running.address, token) as again:
        await again.ask("And 4 + 4?", thread_id="t")
    _, _, history = await http.request(running.address, "GET", "/api/threads/t/messages", token=token)
    messages = [message["content"] for message in history["messages"] if message["role"] == "user"]
    assert messages == ["What is 2 + 2?", "And 3 + 3?", "And 4 + 4?"]
    _, _, events = await http.request(running.address, "GET", "/api/threads/t/events", token=token)
    assert [event["seq"] for event in events["events"]] == list(range(1, events["last_seq"] + 1))
    with trio.fail_after(60):
        while (await http.request(running.address, "GET", "/readyz"))[0] != 200:  # noqa: ASYNC110 - as a balancer asks
            await trio.sleep(0.5)  # it is 503 while a write takes a second
