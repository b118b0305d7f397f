"""A provider that cannot be reached: requests are retried, then the breaker opens and users get an error at once."""

import socket
from typing import Any

import pytest
import trio
from attrs import evolve

from actors import Backoff
from tests.end_to_end.chat_client import connected
from tests.end_to_end.http import request
from tests.end_to_end.test_rest import session
from tests.understudy.models.provider import KEY
from understudy.models import resilient


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning")
@pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms")
async def test_it_is_refused_at_once_after_failures_in_a_row(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setattr(resilient, "RETRY", evolve(resilient.RETRY, backoff=Backoff(min_s=0.01, max_s=0.02)))
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        running = await serve(model="openai:tiny")
        async with connected(running.address, await session(running)) as client:

            async def say() -> Any:
                await client.say("Hello", thread_id="t")
                return await client.until_end()

            first = await say()
            assert (first["data"]["code"], first["data"].get("retry_after")) == ("model_unavailable", None)
            await say()
            began = trio.current_time()
            third = await say()
            assert trio.current_time() - began < 0.5
            assert third["data"]["code"] == "model_unavailable"
            assert 1.0 <= third["data"]["retry_after"] <= 1.2
            _, _, health = await request(running.address, "GET", "/healthz")
            assert (health["status"], health["checks"]["model openai:tiny"]["status"]) == ("degraded", "degraded")
