"""A provider that cannot be reached: requests are retried, then the breaker opens and users get an error at once."""

import socket
from typing import Any

import pytest
from attrs import evolve

from actors import Backoff
from tests.rigs import messages_api
from tests.rigs.chat_client import connected
from tests.rigs.heard import provider as provider
from tests.rigs.http import get, new_token
from tests.rigs.model_provider import KEY, Provider, Script, end_chunk, text_chunk, usage_chunk
from understudy.models import resilient


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning")
@pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms")
async def test_it_is_refused_at_once_after_failures_in_a_row(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setattr(resilient, "RETRY", evolve(resilient.RETRY, backoff=Backoff(min_s=0.01, max_s=0.02)))
        monkeypatch.setattr(resilient, "CIRCUIT", evolve(resilient.CIRCUIT, reset=Backoff(min_s=60, max_s=60)))
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        running = await serve(model="openai:tiny")
        async with connected(running.address, await new_token(running)) as client:

            async def say() -> Any:
                return await client.ask("Hello", thread_id="t")

            first = await say()
            assert (first["data"]["code"], first["data"].get("retry_after")) == ("model_unavailable", None)
            await say()
            third = await say()
            assert third["data"]["code"] == "model_unavailable"
            assert 30 < third["data"]["retry_after"] <= 72, "which only a refusal without an attempt can tell"
            health = await get(running, "/healthz")
            assert (health["status"], health["checks"]["model openai:tiny"]["status"]) == ("degraded", "degraded")


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai|anthropic):ResourceWarning")
@pytest.mark.blocking("the providers' packages build what they need at their first request, for some 60 ms")
async def test_the_next_model_goes_on_in_the_middle_of_an_answer(
    serve: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in (("ANTHROPIC", provider.root), ("OPENAI", provider.url)):
        monkeypatch.setenv(f"{name}_API_KEY", KEY)
        monkeypatch.setenv(f"{name}_BASE_URL", url)
    pieces = ["Your parcel is at the depot in Elm Street", ", and comes tomorrow."]
    provider.scripts = [
        Script([messages_api.start(), *messages_api.text(0, pieces[0])[:-1]], drop=True),
        Script([text_chunk(pieces[0][-20:]), text_chunk(pieces[1]), end_chunk("stop"), usage_chunk(20, 8)]),
        Script([text_chunk("You are welcome."), end_chunk("stop"), usage_chunk(30, 4)]),
    ]
    running = await serve(model="anthropic:a, openai-chat:b", builtin_agents=["guide"], extensions=["-titles"])
    async with connected(running.address, await new_token(running)) as client:
        end = await client.ask("Where is my parcel?", thread_id="t")
        assert end["data"]["message"] == "".join(pieces)
        (change,) = [event for event in client.seen if event["data"].get("notice")]
        assert change["data"]["thought"] == "anthropic:a did not answer; openai-chat:b goes on."
        assert (change["type"], change["data"]["notice"]) == ("agent_thinking", "model_changed")
        assert change["seq"] > 0
        assert end["data"]["usage"]["output"] > 8, "what the first model has written is counted"
        assert (await client.ask("Thanks", thread_id="t"))["data"]["message"] == "You are welcome."
    paths = [request["path"] for request in provider.requests]
    assert paths == ["/v1/messages", "/v1/chat/completions", "/v1/chat/completions"]
    assert provider.requests[1]["messages"][-2]["content"] == pieces[0]
